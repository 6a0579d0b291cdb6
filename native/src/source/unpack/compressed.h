// SPDX-License-Identifier: Apache-2.0
// Compressed captures, known by their first bytes, unpacked as they are read. Whatever they unpack to, memory is that
// of one window of the format; the libraries are zlib, zstd, liblzma and liblz4. Engine thread only.
#pragma once

#include <span>

#include "byte_source.h"

namespace aicore {

struct Compression {
    const char *name;
    const char *command; // that unpacks to standard output
    // null: this build has no library for it
    std::unique_ptr<ByteSource> (*open)(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin);
};

// null: what begins like this is not compressed, or nobody knows how. `open` unpacks `begin` and then what follows in
// `packed`; std::runtime_error where there is no memory.
const Compression *compression_of(std::span<const uint8_t> head) noexcept;

} // namespace aicore
