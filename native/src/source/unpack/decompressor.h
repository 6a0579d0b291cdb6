// SPDX-License-Identifier: Apache-2.0
// What the decompressors share: a compressed file is a sequence of members (gzip's word; frames, streams), which are
// unpacked one behind the other.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "byte_source.h"

namespace aicore {

class Decompressor : public ByteSource {
  public:
    Take read(uint8_t *to, size_t size) final;
    bool wait(int wait_ms) final { return packed_->wait(wait_ms); }
    [[nodiscard]] uint64_t taken() const noexcept final { return packed_->taken(); }
    [[nodiscard]] std::string error() const final { return error_; }

  protected:
    Decompressor(std::string name, std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin);

    struct Step {
        size_t used = 0, made = 0; // bytes of input and output
        bool between = false;      // a member has ended: the input may end here
        const char *damage = nullptr;
    };
    // Unpacks some of `in` to `out`; `in` may be empty if the last call filled its `out`, or `last`: nothing follows.
    virtual Step unpack(std::span<const uint8_t> in, std::span<uint8_t> out, bool last) = 0;

  private:
    Take fail(std::string why) {
        error_ = std::move(why);
        return {Took::failed};
    }

    const std::string name_; // of the format
    const std::unique_ptr<ByteSource> packed_;
    std::vector<uint8_t> buffer_;
    size_t begin_ = 0, end_ = 0;          // of the input in the buffer
    bool last_ = false;                   // nothing follows what is in the buffer
    bool between_ = false, full_ = false; // as the last step left it: between members, with a full output
    const char *damage_ = nullptr;
    std::string error_;
};

} // namespace aicore
