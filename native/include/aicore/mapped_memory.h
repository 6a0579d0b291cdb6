// SPDX-License-Identifier: Apache-2.0
// Zeroed memory for tables that are mostly empty: reserved at once, a page becomes resident when it is first touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aicore {

class MappedMemory {
  public:
    explicit MappedMemory(size_t bytes); // std::bad_alloc; 0 bytes map nothing
    ~MappedMemory();
    MappedMemory(const MappedMemory &) = delete;
    MappedMemory &operator=(const MappedMemory &) = delete;

    uint8_t *data() const { return data_; }

  private:
    uint8_t *data_ = nullptr;
    size_t bytes_;
};

} // namespace aicore
