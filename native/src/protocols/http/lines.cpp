// SPDX-License-Identifier: Apache-2.0
#include "lines.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "aicore/dissector.h"

namespace aicore::http {

namespace {

constexpr size_t kMinMethod = 3, kMaxMethod = 24; // registered methods have 3 to 17 letters
constexpr size_t kProbe = 64;                     // bytes of an unfinished target that are looked at
constexpr std::string_view kVersion = " HTTP/1.";

bool method_char(char c) {
    return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}
bool control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}
bool blank(char c) {
    return c == ' ' || c == '\t';
}

} // namespace

Match request_line(std::string_view in, StartLine &out) {
    size_t i = 0;
    while (i < in.size() && i <= kMaxMethod && method_char(in[i]))
        ++i;
    if (i > kMaxMethod) return Match::no;
    if (i == in.size()) return Match::more;
    if (i < kMinMethod || in[i] != ' ') return Match::no;
    const size_t target = i + 1;
    const size_t newline = in.find('\n', target);
    if (newline == in.npos) {
        for (const char c : in.substr(target, kProbe))
            if (control(c) && c != '\r') return Match::no;
        return Match::more;
    }
    size_t end = newline;
    if (in[end - 1] == '\r') --end;
    while (end > target && in[end - 1] == ' ')
        --end;
    if (end < target + 1 + kVersion.size() + 1 || !is_digit(in[end - 1])) return Match::no;
    const size_t version = end - 1 - kVersion.size();
    if (in.substr(version, kVersion.size()) != kVersion || in[target] == ' ') return Match::no;
    const std::string_view uri = in.substr(target, version - target);
    if (std::any_of(uri.begin(), uri.end(), control)) return Match::no;
    out = {in.substr(0, i), uri, 0, newline + 1};
    return Match::yes;
}

Match status_line(std::string_view in, StartLine &out) {
    // The shape of "HTTP/1.x NNN": d is a digit, s the digit of a status class, other bytes stand for themselves.
    constexpr std::string_view kShape = "HTTP/1.d sdd";
    for (size_t i = 0; i < kShape.size(); ++i) {
        if (i == in.size()) return Match::more;
        const char want = kShape[i], have = in[i];
        if (want == 'd' ? !is_digit(have) : want == 's' ? have < '1' || have > '9' : have != want) return Match::no;
    }
    if (in.size() == kShape.size()) return Match::more;
    const char next = in[kShape.size()];
    if (next != ' ' && next != '\r' && next != '\n') return Match::no;
    const size_t newline = in.find('\n', kShape.size());
    if (newline == in.npos) return Match::more;
    out = {{}, {}, (in[9] - '0') * 100 + (in[10] - '0') * 10 + (in[11] - '0'), newline + 1};
    return Match::yes;
}

Header header_name(std::string_view line, size_t &value, bool &spaced) {
    const auto is = [&](std::string_view name, Header header) {
        const size_t common = std::min(line.size(), name.size());
        if (!equal_nocase(line.substr(0, common), name.substr(0, common))) return Header::other;
        size_t i = common;
        while (i < line.size() && blank(line[i]))
            ++i;
        if (i == line.size()) return Header::undecided;
        if (line[i] != ':') return Header::other;
        value = i + 1;
        spaced = i > name.size();
        return header;
    };
    if (line.empty()) return Header::undecided;
    switch (lower(line[0])) {
    case 'h':
        return is("host", Header::host);
    case 'c':
        return is("content-length", Header::content_length);
    case 't':
        return is("transfer-encoding", Header::transfer_encoding);
    case 'e':
        return is("expect", Header::expect);
    case 'u': {
        const Header agent = is("user-agent", Header::user_agent);
        return agent == Header::other ? is("upgrade", Header::upgrade) : agent;
    }
    default:
        return Header::other;
    }
}

std::string_view target_authority(std::string_view method, std::string_view target) {
    if (method == "CONNECT") return target;
    if (target.empty() || target[0] == '/' || target[0] == '*') return {};
    const size_t colon = target.find(':');
    if (colon == target.npos || target.substr(colon, 3) != "://") return {};
    std::string_view authority = target.substr(colon + 3);
    authority = authority.substr(0, authority.find_first_of("/?#"));
    const size_t at = authority.rfind('@');
    return at == authority.npos ? authority : authority.substr(at + 1);
}

bool content_length(std::string_view value, uint64_t &length) {
    bool first = true;
    for (;;) {
        const size_t comma = value.find(',');
        const std::string_view item = trim(value.substr(0, comma));
        uint64_t n = 0;
        const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), n);
        if (item.empty() || error != std::errc{} || end != item.data() + item.size() || n > INT64_MAX) return false;
        if (!std::exchange(first, false) && n != length) return false;
        length = n;
        if (comma == value.npos) return true;
        value.remove_prefix(comma + 1);
    }
}

Match chunk_line(std::string_view in, uint64_t &size, size_t &length) {
    const auto [digits, error] = std::from_chars(in.data(), in.data() + in.size(), size, 16);
    if (error == std::errc::result_out_of_range || size > INT64_MAX) return Match::no;
    if (digits == in.data()) return in.empty() ? Match::more : Match::no;
    size_t at = static_cast<size_t>(digits - in.data());
    while (at < in.size() && blank(in[at]))
        ++at;
    if (at == in.size()) return Match::more;
    if (in[at] != ';' && in[at] != '\r' && in[at] != '\n') return Match::no;
    const size_t newline = in.find('\n', at);
    if (newline == in.npos) return Match::more;
    length = newline + 1;
    return Match::yes;
}

std::string_view strip_port(std::string_view authority) {
    const size_t colon = authority.rfind(':');
    if (colon == authority.npos) return authority;
    const std::string_view port = authority.substr(colon + 1), host = authority.substr(0, colon);
    if (!std::all_of(port.begin(), port.end(), is_digit)) return authority;
    const bool literal = host.ends_with(']');
    return literal || host.find(':') == host.npos ? host : authority; // an IPv6 address without brackets has no port
}

} // namespace aicore::http
