// SPDX-License-Identifier: Apache-2.0
// Messages with a start line and headers, as SIP (RFC 3261 section 7) and RTSP (RFC 2326 section 15) have them.
#pragma once

#include <algorithm>
#include <cstring>

#include "aicore/dissector.h"

namespace aicore::protocols {

// Bytes of the message's head, with the empty line behind it; 0: its end is not there.
constexpr size_t head_length(std::string_view in) {
    for (size_t at = in.find('\n'); at != in.npos; at = in.find('\n', at + 1)) {
        if (in.substr(at + 1).starts_with('\n')) return at + 2;
        if (in.substr(at + 1).starts_with("\r\n")) return at + 3;
    }
    return 0;
}

// Headers behind the start line, one after the other; a line that has no name is passed over.
class Headers {
  public:
    explicit Headers(std::string_view head) : in_(head) { line(); }

    bool next(std::string_view &name, std::string_view &value) {
        while (!in_.empty()) {
            const std::string_view first = line();
            if (first.empty()) return false; // the end of the head
            value = first;
            if (folded()) value = unfold(first);
            const size_t colon = value.find(':');
            if (colon == value.npos) continue;
            name = trim(value.substr(0, colon));
            value = trim(value.substr(colon + 1));
            if (!name.empty()) return true;
        }
        return false;
    }

  private:
    bool folded() const { return in_.starts_with(' ') || in_.starts_with('\t'); }

    std::string_view line() {
        bool whole = false;
        const std::string_view out = first_line(in_, whole);
        const size_t newline = in_.find('\n');
        in_.remove_prefix(whole ? newline + 1 : in_.size());
        return out;
    }

    // RFC 3261 section 7.3.1: a line that begins with space continues the one before it.
    std::string_view unfold(std::string_view first) {
        size_t length = 0;
        const auto append = [&](std::string_view part) {
            const size_t n = std::min(part.size(), sizeof joined_ - length);
            std::memcpy(joined_ + length, part.data(), n);
            length += n;
        };
        append(first);
        while (folded()) {
            append(" ");
            append(trim(line()));
        }
        return {joined_, length};
    }

    std::string_view in_;
    char joined_[1024]; // the longest value that a record keeps
};

} // namespace aicore::protocols
