// SPDX-License-Identifier: Apache-2.0
// xz: streams one behind the other, with padding (The .xz File Format, section 2).
#include <lzma.h>
#include <stdexcept>

#include "unpack/decompressor.h"
#include "unpack/formats.h"

namespace aicore {

namespace {

constexpr uint64_t kMemory = 128 << 20; // twice of what `xz -9` wants

const char *damage_of(lzma_ret result) {
    switch (result) {
    case LZMA_OK:
    case LZMA_STREAM_END:
    case LZMA_BUF_ERROR: // more input is wanted
        return nullptr;
    case LZMA_MEM_ERROR:
        return "no memory";
    case LZMA_MEMLIMIT_ERROR:
        return "they want more than 128 MiB of memory";
    case LZMA_FORMAT_ERROR:
        return "no xz stream begins here";
    case LZMA_OPTIONS_ERROR:
        return "an option is not known";
    default:
        return "a checksum or a structure is wrong";
    }
}

class Xz final : public Decompressor {
  public:
    Xz(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin)
        : Decompressor("xz", std::move(packed), begin) {
        if (lzma_stream_decoder(&stream_, kMemory, LZMA_CONCATENATED) != LZMA_OK)
            throw std::runtime_error("no memory to unpack xz data");
    }
    ~Xz() override { lzma_end(&stream_); }

  private:
    // Only the library knows whether it is between two streams: it is told when the input ends.
    Step unpack(std::span<const uint8_t> in, std::span<uint8_t> out, bool last) override {
        stream_.next_in = in.data();
        stream_.avail_in = in.size();
        stream_.next_out = out.data();
        stream_.avail_out = out.size();
        const lzma_ret result = lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN);
        return {in.size() - stream_.avail_in, out.size() - stream_.avail_out, result == LZMA_STREAM_END,
                damage_of(result)};
    }

    lzma_stream stream_ = LZMA_STREAM_INIT;
};

} // namespace

std::unique_ptr<ByteSource> open_xz(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin) {
    return std::make_unique<Xz>(std::move(packed), begin);
}

} // namespace aicore
