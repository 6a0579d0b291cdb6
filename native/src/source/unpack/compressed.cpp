// SPDX-License-Identifier: Apache-2.0
#include "unpack/compressed.h"

#include <algorithm>
#include <string_view>

#include "unpack/formats.h"

namespace aicore {

namespace {

#ifdef AICORE_HAVE_ZLIB
constexpr auto kGzip = open_gzip;
#else
constexpr auto kGzip = nullptr;
#endif
#ifdef AICORE_HAVE_ZSTD
constexpr auto kZstd = open_zstd;
#else
constexpr auto kZstd = nullptr;
#endif
#ifdef AICORE_HAVE_LZMA
constexpr auto kXz = open_xz;
#else
constexpr auto kXz = nullptr;
#endif
#ifdef AICORE_HAVE_LZ4
constexpr auto kLz4 = open_lz4;
#else
constexpr auto kLz4 = nullptr;
#endif

using namespace std::string_view_literals;
struct Magic {
    std::string_view bytes;
    Compression compression;
};
constexpr Magic kMagics[] = {
    {"\x1f\x8b\x08"sv, {"gzip", "zcat", kGzip}},
    {"\x28\xb5\x2f\xfd"sv, {"zstd", "zstdcat", kZstd}},
    {"\xfd\x37zXZ\0"sv, {"xz", "xzcat", kXz}},
    {"\x04\x22\x4d\x18"sv, {"lz4", "lz4cat", kLz4}},
    {"\x02\x21\x4c\x18"sv, {"lz4's legacy format", "lz4cat", nullptr}},
    {"BZh"sv, {"bzip2", "bzcat", nullptr}},
    {"\x1f\x9d"sv, {"compress", "zcat", nullptr}},
};
// Of zstd and lz4 alike, which both skip them; pzstd begins its files with one.
constexpr uint8_t kSkippable = 0x50, kSkippableRest[] = {0x2a, 0x4d, 0x18};

} // namespace

const Compression *compression_of(std::span<const uint8_t> head) noexcept {
    const std::string_view text(reinterpret_cast<const char *>(head.data()), head.size());
    for (const Magic &magic : kMagics)
        if (text.starts_with(magic.bytes)) return &magic.compression;
    if (head.size() >= 4 && (head[0] & 0xf0) == kSkippable &&
        std::equal(std::begin(kSkippableRest), std::end(kSkippableRest), &head[1]))
        return &kMagics[1].compression;
    return nullptr;
}

} // namespace aicore
