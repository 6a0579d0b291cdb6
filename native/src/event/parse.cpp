// SPDX-License-Identifier: Apache-2.0
// Texts back to what a row holds.
#include <arpa/inet.h>

#include <charconv>
#include <cstring>
#include <string>

#include "aicore/text.h"

namespace aicore {

namespace {

template <typename Number> bool number(std::string_view text, Number &n, int base = 10) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
    return error == std::errc() && end == text.data() + text.size();
}

// Digits alone: no sign.
bool digits(std::string_view text, int64_t &n) {
    return !text.empty() && text[0] != '-' && number(text, n);
}

// Days since the epoch of a civil date (proleptic Gregorian), by eras of 400 years.
int64_t days_of(int64_t year, int64_t month, int64_t day) {
    const int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    const int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int64_t days_in(int64_t year, int64_t month) {
    constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return kDays[month - 1] + (month == 2 && leap);
}

} // namespace

const char *parse_address(uint8_t *out, uint8_t &ip_version, std::string_view text) {
    const bool v6 = text.find(':') != text.npos;
    std::memset(out, 0, 16);
    if (inet_pton(v6 ? AF_INET6 : AF_INET, std::string(text).c_str(), out) != 1) return "is no IP address";
    if (ip_version == (v6 ? 4 : 6)) return "is not of the same IP version as the other address";
    ip_version = v6 ? 6 : 4;
    return nullptr;
}

const char *parse_flow_id(Row &row, std::string_view text) {
    if (text.size() != 32 || !number(text.substr(0, 16), row.flow_id[0], 16) ||
        !number(text.substr(16), row.flow_id[1], 16))
        return "is not 32 hex digits";
    return nullptr;
}

const char *parse_tunnel(Row &row, std::string_view text) { // as append_tunnel() writes it
    const size_t colon = text.find(':');
    for (size_t i = 0; i < std::size(kTunnelNames); ++i) {
        if (text.substr(0, colon) != kTunnelNames[i]) continue;
        int64_t id = 0;
        if (colon != text.npos && (!digits(text.substr(colon + 1), id) || id > UINT32_MAX)) return "has no valid id";
        row.tunnel = static_cast<Tunnel>(i);
        row.tunnel_id = static_cast<uint32_t>(id);
        return nullptr;
    }
    return "has an unknown value";
}

const char *parse_time(int64_t &ns, std::string_view text) {
    static constexpr const char *kNoTime = "is no RFC 3339 time";
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' ||
        (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' || text[16] != ':')
        return kNoTime;
    int64_t year, month, day, hour, minute, second, fraction = 0;
    if (!digits(text.substr(0, 4), year) || !digits(text.substr(5, 2), month) || !digits(text.substr(8, 2), day) ||
        !digits(text.substr(11, 2), hour) || !digits(text.substr(14, 2), minute) || !digits(text.substr(17, 2), second))
        return kNoTime;
    text.remove_prefix(19);
    if (text[0] == '.') {
        const size_t end = std::min(text.find_first_not_of("0123456789", 1), text.size());
        if (end > 10) return "has more than 9 decimals";
        if (!digits(text.substr(1, end - 1), fraction)) return kNoTime;
        for (size_t i = end; i < 10; ++i)
            fraction *= 10;
        text.remove_prefix(end);
    }
    if (text != "Z" && text != "z" && text != "+00:00") return "must be in UTC";
    if (year < 1678 || year > 2261 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
        minute > 59 || second > 60) // 60: a leap second
        return "is no time that fits in 64 bits of nanoseconds";
    ns = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000000000 + fraction;
    return nullptr;
}

} // namespace aicore
