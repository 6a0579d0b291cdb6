// SPDX-License-Identifier: Apache-2.0
// Numbers and texts of HPACK (RFC 7541).
#pragma once

#include "aicore/dissector.h"

namespace aicore::protocols::hpack {

constexpr size_t kMaxText = 1024; // of a field's value: what a record keeps

// RFC 7541 appendix B: a canonical code, here its symbols by length. Longer ones stand for bytes that names in headers
// do not have.
inline constexpr struct {
    uint8_t bits;
    std::string_view symbols;
} kHuffman[] = {
    {5, "012aceiost"},
    {6, " %-./3456789=A_bdfghlmnpru"},
    {7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"},
    {8, "&*,;XZ"},
    {10, "!\"()?"},
    {11, "'+|"},
    {12, "#>"},
    {13, {"\0$@[]~", 6}},
    {14, "^}"},
    {15, "<`{"},
    {19, "\\"},
};

// False: not that code. `out` ends with what fits.
inline bool huffman(Bytes in, char *out, size_t &size) {
    uint64_t window = 0;
    unsigned have = 0;
    for (size = 0; size < kMaxText;) {
        while (have < 32 && in.left()) {
            window = window << 8 | in.u8();
            have += 8;
        }
        if (have == 0) return true;
        uint32_t first = 0; // code of the first symbol of that length
        unsigned before = 0;
        bool found = false;
        for (const auto &[bits, symbols] : kHuffman) {
            if (bits > have) break;
            first <<= bits - before;
            before = bits;
            const uint32_t code = static_cast<uint32_t>(window >> (have - bits)) & ((1u << bits) - 1);
            if (code - first < symbols.size()) {
                out[size++] = symbols[code - first];
                have -= bits;
                found = true;
                break;
            }
            first += static_cast<uint32_t>(symbols.size());
        }
        if (found) continue;
        const uint64_t ones = (uint64_t{1} << have) - 1;
        return have < 8 && (window & ones) == ones; // section 5.2: the padding
    }
    return true;
}

// Section 5.1.
inline uint32_t integer(Bytes &in, unsigned bits) {
    const uint32_t max = (1u << bits) - 1;
    uint32_t value = in.u8() & max;
    if (value < max) return value;
    for (unsigned shift = 0; shift <= 14; shift += 7) {
        const uint8_t byte = in.u8();
        value += static_cast<uint32_t>(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    in.skip(SIZE_MAX); // longer than a frame
    return 0;
}

class Text { // section 5.2
  public:
    bool read(Bytes &in) {
        const bool coded = in.left() && *in.data() & 0x80;
        const Bytes bytes = in.take(integer(in, 7));
        view_ = text(bytes).substr(0, kMaxText);
        if (!coded) return in.ok();
        size_t size = 0;
        const bool good = huffman(bytes, out_, size);
        view_ = {out_, good ? size : 0};
        return in.ok();
    }
    std::string_view view() const { return view_; }

  private:
    char out_[kMaxText];
    std::string_view view_;
};

} // namespace aicore::protocols::hpack
