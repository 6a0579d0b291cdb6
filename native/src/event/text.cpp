// SPDX-License-Identifier: Apache-2.0
// Text forms of what a row holds as numbers.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "aicore/digest.h"
#include "aicore/text.h"

namespace aicore {

namespace {

constexpr char kHex[] = "0123456789abcdef";

void append_number(std::string &out, uint64_t n) {
    char buffer[20];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, n).ptr;
    out.append(buffer, end);
}

void append_ipv4(std::string &out, const uint8_t *a) {
    char buffer[16];
    char *p = buffer;
    for (int i = 0; i < 4; ++i) {
        if (i) *p++ = '.';
        p = std::to_chars(p, buffer + sizeof buffer, a[i]).ptr;
    }
    out.append(buffer, p);
}

// RFC 5952: lower case, no leading zeros, the longest (first of equals) run of two or more zero groups as "::";
// section 5 on IPv4-mapped addresses.
void append_ipv6(std::string &out, const uint8_t *a) {
    static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::memcmp(a, kMapped, 12) == 0) {
        out += "::ffff:";
        append_ipv4(out, a + 12);
        return;
    }
    uint16_t group[8];
    for (int i = 0; i < 8; ++i)
        group[i] = static_cast<uint16_t>(a[2 * i] << 8 | a[2 * i + 1]);
    int best = -1, best_length = 1;
    for (int i = 0; i < 8;) {
        int j = i;
        while (j < 8 && group[j] == 0)
            ++j;
        if (j - i > best_length) {
            best = i;
            best_length = j - i;
        }
        i = j > i ? j : i + 1;
    }
    char buffer[40];
    char *p = buffer;
    for (int i = 0; i < 8; ++i) {
        if (i == best) {
            *p++ = ':';
            *p++ = ':';
            i += best_length - 1;
            continue;
        }
        if (i && i != best + best_length) *p++ = ':';
        p = std::to_chars(p, buffer + sizeof buffer, group[i], 16).ptr;
    }
    out.append(buffer, p);
}

// Length of the valid UTF-8 sequence at p (RFC 3629 section 4: no overlong forms, no surrogates, at most U+10FFFF), 0
// if none.
size_t utf8_sequence(const uint8_t *p, size_t left) {
    const auto tail = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
        return i < left && p[i] >= low && p[i] <= high;
    };
    const uint8_t c = p[0];
    if (c < 0x80) return 1;
    if (c >= 0xc2 && c <= 0xdf) return tail(1) ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) return tail(1, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) && tail(2) ? 3 : 0;
    if (c >= 0xf0 && c <= 0xf4)
        return tail(1, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) && tail(2) && tail(3) ? 4 : 0;
    return 0;
}

// Days since the epoch to a civil date (proleptic Gregorian), by eras of 400 years.
void civil(int64_t days, int64_t &year, unsigned &month, unsigned &day) {
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const auto doe = static_cast<unsigned>(days - era * 146097);
    const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const unsigned mp = (5 * doy + 2) / 153;
    day = doy - (153 * mp + 2) / 5 + 1;
    month = mp < 10 ? mp + 3 : mp - 9;
    year = static_cast<int64_t>(yoe) + era * 400 + (month <= 2);
}

void digits(char *p, uint64_t n, int width) {
    for (int i = width - 1; i >= 0; --i) {
        p[i] = static_cast<char>('0' + n % 10);
        n /= 10;
    }
}

} // namespace

void append_address(std::string &out, const uint8_t *address, uint8_t ip_version) {
    if (ip_version == 6)
        append_ipv6(out, address);
    else
        append_ipv4(out, address);
}

void append_key(std::string &out, const Row &row) {
    const bool v6 = row.ip_version == 6;
    const auto end = [&](const uint8_t *address, uint16_t port) {
        if (v6) out += '[';
        append_address(out, address, row.ip_version);
        if (v6) out += ']';
        out += ':';
        append_number(out, port);
    };
    end(row.ipsrc, row.portsrc);
    out += ':';
    append_number(out, row.proto);
    out += ':';
    end(row.ipdst, row.portdst);
}

void append_flow_id(std::string &out, const Row &row) {
    char buffer[32];
    for (int i = 0; i < 32; ++i)
        buffer[i] = kHex[row.flow_id[i / 16] >> (60 - 4 * (i % 16)) & 15];
    out.append(buffer, sizeof buffer);
}

void append_tunnel(std::string &out, Tunnel tunnel, uint32_t id) {
    out += kTunnelNames[static_cast<size_t>(tunnel)];
    if (id) {
        out += ':';
        append_number(out, id);
    }
}

void append_time(std::string &out, int64_t ns) {
    constexpr int64_t kDay = 86400LL * 1000000000;
    int64_t days = ns / kDay, rest = ns % kDay;
    if (rest < 0) {
        rest += kDay;
        --days;
    }
    int64_t year;
    unsigned month, day;
    civil(days, year, month, day); // of an int64 of nanoseconds always 1677..2262
    const int64_t seconds = rest / 1000000000;
    char buffer[30] = "0000-00-00T00:00:00.000000000";
    digits(buffer, static_cast<uint64_t>(year), 4);
    digits(buffer + 5, month, 2);
    digits(buffer + 8, day, 2);
    digits(buffer + 11, static_cast<uint64_t>(seconds / 3600), 2);
    digits(buffer + 14, static_cast<uint64_t>(seconds / 60 % 60), 2);
    digits(buffer + 17, static_cast<uint64_t>(seconds % 60), 2);
    digits(buffer + 20, static_cast<uint64_t>(rest % 1000000000), 9);
    out.append(buffer, 29);
    out += 'Z';
}

// Community ID v1 (Corelight's specification, version 1.0): "1:" + base64(SHA-1(seed, address, address, protocol, 0,
// port, port)), the smaller endpoint first.
void append_community_id(std::string &out, const Row &row) {
    const size_t size = row.ip_version == 6 ? 16 : 4;
    uint8_t message[2 + 16 + 16 + 2 + 4] = {0, 0};
    const int order = std::memcmp(row.ipsrc, row.ipdst, size);
    const bool swap = order > 0 || (order == 0 && row.portsrc > row.portdst);
    std::memcpy(message + 2, swap ? row.ipdst : row.ipsrc, size);
    std::memcpy(message + 2 + size, swap ? row.ipsrc : row.ipdst, size);
    uint8_t *p = message + 2 + 2 * size;
    const uint16_t first = swap ? row.portdst : row.portsrc, second = swap ? row.portsrc : row.portdst;
    *p++ = row.proto;
    *p++ = 0;
    *p++ = static_cast<uint8_t>(first >> 8);
    *p++ = static_cast<uint8_t>(first);
    *p++ = static_cast<uint8_t>(second >> 8);
    *p++ = static_cast<uint8_t>(second);
    const auto sum = sha1(message, static_cast<size_t>(p - message)); // 20 bytes: 6 full groups and 2 bytes
    static constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[2 + 28] = {'1', ':'};
    char *q = text + 2;
    for (size_t i = 0; i < 21; i += 3) {
        const uint32_t n = static_cast<uint32_t>(sum[i] << 16 | sum[i + 1] << 8 | (i + 2 < 20 ? sum[i + 2] : 0));
        *q++ = kBase64[n >> 18];
        *q++ = kBase64[n >> 12 & 63];
        *q++ = kBase64[n >> 6 & 63];
        *q++ = i + 2 < 20 ? kBase64[n & 63] : '=';
    }
    out.append(text, sizeof text);
}

bool append_utf8(std::string &out, const uint8_t *bytes, size_t length, size_t limit) {
    const size_t plain_limit = std::min(length, limit);
    size_t i = 0;
    while (i < plain_limit && bytes[i] < 0x80 && bytes[i] != 0)
        ++i; // nearly every string is ASCII to its end
    out.append(reinterpret_cast<const char *>(bytes), i);
    size_t used = i;
    while (i < length) {
        const size_t n = bytes[i] == 0 ? 0 : utf8_sequence(bytes + i, length - i);
        const size_t need = n ? n : 4;
        if (used + need > limit) return true;
        if (n) {
            out.append(reinterpret_cast<const char *>(bytes + i), n);
            i += n;
        } else {
            const char escaped[4] = {'\\', 'x', kHex[bytes[i] >> 4], kHex[bytes[i] & 15]};
            out.append(escaped, 4);
            ++i;
        }
        used += need;
    }
    return false;
}

bool valid_utf8(std::string_view text) {
    const auto *bytes = reinterpret_cast<const uint8_t *>(text.data());
    for (size_t i = 0; i < text.size();) {
        const size_t n = utf8_sequence(bytes + i, text.size() - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

bool valid_column_name(std::string_view name) {
    if (name.empty() || name.size() > 48 || name[0] < 'a' || name[0] > 'z') return false;
    return std::all_of(name.begin(), name.end(),
                       [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

} // namespace aicore
