// SPDX-License-Identifier: Apache-2.0
// LZ4 frames and skippable frames one behind the other (LZ4 Frame Format Description 1.6).
#include <lz4frame.h>
#include <stdexcept>

#include "unpack/decompressor.h"
#include "unpack/formats.h"

namespace aicore {

namespace {

class Lz4 final : public Decompressor {
  public:
    Lz4(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin)
        : Decompressor("lz4", std::move(packed), begin) {
        if (LZ4F_isError(LZ4F_createDecompressionContext(&stream_, LZ4F_VERSION)))
            throw std::runtime_error("no memory to unpack lz4 data");
    }
    ~Lz4() override { LZ4F_freeDecompressionContext(stream_); }

  private:
    Step unpack(std::span<const uint8_t> in, std::span<uint8_t> out, bool /*last*/) override {
        size_t used = in.size(), made = out.size();
        const size_t result = LZ4F_decompress(stream_, out.data(), &made, in.data(), &used, nullptr);
        if (LZ4F_isError(result)) return {0, 0, false, LZ4F_getErrorName(result)};
        return {used, made, result == 0};
    }

    LZ4F_dctx *stream_ = nullptr;
};

} // namespace

std::unique_ptr<ByteSource> open_lz4(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin) {
    return std::make_unique<Lz4>(std::move(packed), begin);
}

} // namespace aicore
