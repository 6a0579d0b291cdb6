// SPDX-License-Identifier: Apache-2.0
// gzip (RFC 1952): members one behind the other, and zeros behind the last, as tapes leave them.
#include <stdexcept>
#include <zlib.h>

#include "unpack/decompressor.h"
#include "unpack/formats.h"

namespace aicore {

namespace {

class Gzip final : public Decompressor {
  public:
    Gzip(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin)
        : Decompressor("gzip", std::move(packed), begin) {
        if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::runtime_error("no memory to unpack gzip data");
    }
    ~Gzip() override { inflateEnd(&stream_); }

  private:
    Step unpack(std::span<const uint8_t> in, std::span<uint8_t> out, bool /*last*/) override {
        if (ended_) {
            size_t zeros = 0;
            while (zeros < in.size() && in[zeros] == 0)
                ++zeros;
            if (zeros) return {zeros, 0, true};
            inflateReset(&stream_);
            ended_ = false;
        }
        stream_.next_in = const_cast<Bytef *>(in.data()); // zlib's interface knows no const unless asked to
        stream_.avail_in = static_cast<uInt>(in.size());
        stream_.next_out = out.data();
        stream_.avail_out = static_cast<uInt>(out.size());
        const int result = inflate(&stream_, Z_SYNC_FLUSH);
        Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out};
        ended_ = step.between = result == Z_STREAM_END;
        if (result == Z_NEED_DICT)
            step.damage = "a dictionary is wanted";
        else if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            step.damage = stream_.msg ? stream_.msg : "no memory";
        return step;
    }

    z_stream stream_{};
    bool ended_ = false; // a member
};

} // namespace

std::unique_ptr<ByteSource> open_gzip(std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin) {
    return std::make_unique<Gzip>(std::move(packed), begin);
}

} // namespace aicore
