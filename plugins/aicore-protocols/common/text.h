// SPDX-License-Identifier: Apache-2.0
// Text of line protocols: comparison without case (US-ASCII), words, numbers, lines.
#pragma once

#include <cstdint>
#include <string_view>

namespace aicore::protocols {

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
constexpr bool is_alpha(char c) {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

// `pattern` in lower case.
constexpr bool starts_nocase(std::string_view in, std::string_view pattern) {
    if (in.size() < pattern.size()) return false;
    for (size_t i = 0; i < pattern.size(); ++i)
        if (lower(in[i]) != pattern[i]) return false;
    return true;
}
constexpr bool equal_nocase(std::string_view in, std::string_view pattern) {
    return in.size() == pattern.size() && starts_nocase(in, pattern);
}
constexpr bool contains_nocase(std::string_view in, std::string_view pattern) {
    for (size_t i = 0; i + pattern.size() <= in.size(); ++i)
        if (starts_nocase(in.substr(i), pattern)) return true;
    return false;
}

constexpr std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t'))
        s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r' || s.back() == '\n'))
        s.remove_suffix(1);
    return s;
}

// The word before the next space or tab; `in` goes on behind the space.
constexpr std::string_view take_word(std::string_view &in) {
    in = trim(in);
    size_t n = 0;
    while (n < in.size() && in[n] != ' ' && in[n] != '\t')
        ++n;
    const std::string_view word = in.substr(0, n);
    in.remove_prefix(n < in.size() ? n + 1 : n);
    return word;
}

// Printable US-ASCII, or bytes above it, which names in UTF-8 have.
constexpr bool printable(std::string_view s) {
    for (const char c : s)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    return true;
}

// Decimal digits alone, below 10^9; -1: none.
constexpr int64_t decimal(std::string_view s) {
    if (s.empty() || s.size() > 9) return -1;
    int64_t value = 0;
    for (const char c : s) {
        if (!is_digit(c)) return -1;
        value = value * 10 + (c - '0');
    }
    return value;
}

// A reply of SMTP or FTP (RFC 5321 section 4.2, RFC 959 section 4.2): three digits, then a space, '-' or the end.
// 0: none.
constexpr int reply_code(std::string_view line) {
    if (line.size() < 3 || (line.size() > 3 && line[3] != ' ' && line[3] != '-')) return 0;
    if (line[0] < '1' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2])) return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

// The lines of one direction's payload; the incomplete one at its end stays unread. A line longer than kMaxLine is
// given as far as it goes, and its rest passed over, in later payloads, too: `skipping` belongs to the direction.
class Lines {
  public:
    static constexpr size_t kMaxLine = 4096;

    // `gap`: bytes are missing before `in`, so that it may begin with the end of any line.
    Lines(std::string_view in, bool gap, bool &skipping) : in_(in), skipping_(skipping) {
        if (gap) skipping_ = true;
    }

    // The next line without its CR LF or LF.
    bool next(std::string_view &line) {
        while (at_ < in_.size()) {
            const std::string_view rest = in_.substr(at_);
            const size_t newline = rest.find('\n');
            const bool whole = newline != rest.npos;
            if (!whole && !skipping_ && rest.size() < kMaxLine) return false;
            at_ += whole ? newline + 1 : rest.size();
            if (skipping_) {
                skipping_ = !whole;
                continue;
            }
            skipping_ = !whole;
            line = rest.substr(0, whole ? newline : rest.size());
            if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
            return true;
        }
        return false;
    }

    std::string_view rest() const { return in_.substr(at_); }
    void skip(size_t n) { at_ += n < in_.size() - at_ ? n : in_.size() - at_; }
    size_t at() const { return at_; } // bytes read

  private:
    std::string_view in_;
    size_t at_ = 0;
    bool &skipping_;
};

// The first line of `in`, or what there is of it. `whole`: its end is there.
constexpr std::string_view first_line(std::string_view in, bool &whole) {
    const size_t newline = in.find('\n');
    whole = newline != in.npos;
    std::string_view line = in.substr(0, newline);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

} // namespace aicore::protocols
