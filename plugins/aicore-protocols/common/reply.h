// SPDX-License-Identifier: Apache-2.0
// What mail and FTP servers answer.
#pragma once

#include "aicore/dissector.h"

namespace aicore::protocols {

// A reply of SMTP or FTP (RFC 5321 section 4.2, RFC 959 section 4.2): three digits, then a space, '-' or the end.
// 0: none.
constexpr int reply_code(std::string_view line) {
    if (line.size() < 3 || (line.size() > 3 && line[3] != ' ' && line[3] != '-')) return 0;
    if (line[0] < '1' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2])) return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

} // namespace aicore::protocols
