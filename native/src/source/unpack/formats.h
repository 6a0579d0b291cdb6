// SPDX-License-Identifier: Apache-2.0
// The formats that this build unpacks: each is there if CMake found its library.
#pragma once

#include <span>

#include "byte_source.h"

namespace aicore {

std::unique_ptr<ByteSource> open_gzip(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin);
std::unique_ptr<ByteSource> open_zstd(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin);
std::unique_ptr<ByteSource> open_xz(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin);
std::unique_ptr<ByteSource> open_lz4(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin);

} // namespace aicore
