// SPDX-License-Identifier: Apache-2.0
// Identifiers without a notation of their own, in hexadecimal.
#pragma once

#include <string_view>

#include "aicore/bytes.h"

namespace aicore::protocols {

struct HexText {
    char text[40];
    size_t length = 0;
    std::string_view view() const { return {text, length}; }
};

// Of at most 20 bytes.
inline HexText hex_text(Bytes bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    HexText out;
    while (bytes.left() && out.length < sizeof out.text) {
        const uint8_t byte = bytes.u8();
        out.text[out.length++] = kDigits[byte >> 4];
        out.text[out.length++] = kDigits[byte & 15];
    }
    return out;
}

} // namespace aicore::protocols
