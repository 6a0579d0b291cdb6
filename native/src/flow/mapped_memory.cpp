// SPDX-License-Identifier: Apache-2.0
#include "aicore/mapped_memory.h"

#include <sys/mman.h>

#include <new>

namespace aicore {

MappedMemory::MappedMemory(size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    // Every packet lands at a random place: with pages of 4 KiB the page walks behind the prefetches took as long as
    // the packet's decoding. Advice only; without huge pages nothing changes.
    madvise(p, bytes, MADV_HUGEPAGE);
    data_ = static_cast<uint8_t *>(p);
}

MappedMemory::~MappedMemory() {
    if (data_) munmap(data_, bytes_);
}

} // namespace aicore
