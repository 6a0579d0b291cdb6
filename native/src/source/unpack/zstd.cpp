// SPDX-License-Identifier: Apache-2.0
// Zstandard (RFC 8878): frames and skippable frames one behind the other.
#include <stdexcept>
#include <zstd.h>

#include "unpack/decompressor.h"
#include "unpack/formats.h"

namespace aicore {

namespace {

constexpr int kWindowLog = 27; // 128 MiB, as the program zstd takes without --long

class Zstd final : public Decompressor {
  public:
    Zstd(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin)
        : Decompressor("zstd", std::move(packed), begin), stream_(ZSTD_createDCtx()) {
        if (!stream_) throw std::runtime_error("no memory to unpack zstd data");
        ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kWindowLog);
    }
    ~Zstd() override { ZSTD_freeDCtx(stream_); }

  private:
    Step unpack(std::span<const uint8_t> in, std::span<uint8_t> out, bool /*last*/) override {
        ZSTD_inBuffer input{in.data(), in.size(), 0};
        ZSTD_outBuffer output{out.data(), out.size(), 0};
        const size_t result = ZSTD_decompressStream(stream_, &output, &input);
        Step step{input.pos, output.pos};
        if (ZSTD_isError(result))
            step.damage = ZSTD_getErrorName(result);
        else
            step.between = result == 0;
        return step;
    }

    ZSTD_DCtx *const stream_;
};

} // namespace

std::unique_ptr<ByteSource> open_zstd(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin) {
    return std::make_unique<Zstd>(std::move(packed), begin);
}

} // namespace aicore
