// SPDX-License-Identifier: Apache-2.0
// UTF-16 with the lower byte first, as Windows protocols have it, to UTF-8 (RFC 3629 section 3).
#pragma once

#include <string_view>

#include "aicore/bytes.h"

namespace aicore::protocols {

class Utf8 {
  public:
    // As far as 1 KiB goes, which is what a record keeps. A half of a pair alone becomes U+FFFD.
    explicit Utf8(Bytes in) {
        while (in.left() >= 2 && length_ + 4 <= sizeof out_) {
            uint32_t c = unit(in);
            if (c >= 0xd800 && c < 0xe000) {
                Bytes ahead = in;
                const uint32_t low = unit(ahead);
                const bool pair = c < 0xdc00 && ahead.ok() && low >= 0xdc00 && low < 0xe000;
                c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
                if (pair) in = ahead;
            }
            add(c);
        }
    }
    std::string_view view() const { return {out_, length_}; }

  private:
    static uint32_t unit(Bytes &in) {
        const uint32_t low = in.u8();
        return low | static_cast<uint32_t>(in.u8()) << 8;
    }
    void put(uint32_t byte) { out_[length_++] = static_cast<char>(byte); }
    void add(uint32_t c) {
        if (c < 0x80) return put(c);
        if (c < 0x800) {
            put(0xc0 | c >> 6);
        } else {
            if (c < 0x10000) {
                put(0xe0 | c >> 12);
            } else {
                put(0xf0 | c >> 18);
                put(0x80 | (c >> 12 & 0x3f));
            }
            put(0x80 | (c >> 6 & 0x3f));
        }
        put(0x80 | (c & 0x3f));
    }

    char out_[1024];
    size_t length_ = 0;
};

} // namespace aicore::protocols
