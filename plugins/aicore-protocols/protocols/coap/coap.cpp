// SPDX-License-Identifier: Apache-2.0
// CoAP over UDP (RFC 7252): the resource. Recognised on port 5683 by header and options that fill the datagram; on any
// port by a request whose options are known ones and name a resource.
#include <array>

#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kHost, kHosts, kUri, kMethod, kCode };
enum Anomaly : uint32_t { kBadMessage };
enum Option : uint32_t { kUriHost = 3, kUriPath = 11, kUriQuery = 15 };

constexpr uint16_t kPort = 5683;
constexpr const char *kMethods[] = {"", "GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH"}; // RFC 8132, too
constexpr uint8_t kLastMethod = 7;

// Section 5.10 with the lengths they may have; RFC 7641 (6), RFC 7959 (23, 27, 28).
bool known_option(uint32_t number, size_t length) {
    switch (number) {
    case 1:
    case 4:
        return length <= 8;
    case kUriHost:
        return length >= 1 && length <= 255;
    case 5:
        return length == 0;
    case 6:
    case 23:
    case 27:
        return length <= 3;
    case 7:
    case 12:
    case 17:
        return length <= 2;
    case 8:
    case kUriPath:
    case kUriQuery:
    case 20:
        return length <= 255;
    case 14:
    case 28:
    case 60:
        return length <= 4;
    case 35:
    case 39:
        return length >= 1;
    }
    return false;
}

// Section 3.1: a nibble, or what follows it and more.
bool extended(Bytes &in, uint32_t &value) {
    if (value == 13)
        value = in.u8() + 13u;
    else if (value == 14)
        value = in.u16() + 269u;
    else if (value == 15)
        return false;
    return in.ok();
}

template <typename Take> bool options(Bytes in, Take take) {
    uint32_t number = 0;
    while (in.left()) {
        const uint8_t first = in.u8();
        if (first == 0xff) return in.left() > 0; // section 3: a payload may not be empty
        uint32_t delta = first >> 4, length = first & 15;
        if (!extended(in, delta) || !extended(in, length)) return false;
        const Bytes value = in.take(length);
        number += delta;
        if (!in.ok() || number > 65535) return false;
        take(number, value);
    }
    return true;
}

// RFC 3986 sections 2.2 and 2.3; enough of it to be a name.
bool names_resource(std::string_view path) {
    static constexpr std::string_view kMarks = "-._~/?=&%+:@,;!$'()*";
    return path.size() >= 4 && std::all_of(path.begin(), path.end(), [](char c) {
               return is_alpha(c) || is_digit(c) || kMarks.find(c) != kMarks.npos;
           });
}

struct Uri {
    char text[512];
    size_t length = 0;
    void add(char before, std::string_view part) {
        if (length + 1 + part.size() > sizeof text) return;
        text[length++] = before;
        length += part.copy(text + length, part.size());
    }
};

bool message(Flow flow, Bytes in, bool cut) {
    const size_t size = in.left();
    const uint8_t first = in.u8(), code = in.u8();
    in.skip(2); // message number
    const uint8_t type = first >> 4 & 3, token = first & 15, group = code >> 5;
    in.skip(token);
    // Section 3: version 1; an empty message is four bytes; only confirmable ones and resets may be empty requests.
    if (!in.ok() || first >> 6 != 1 || token > 8 || (group != 0 && group != 2 && group != 4 && group != 5))
        return false;
    const bool request = group == 0 && code != 0;
    if ((code == 0 && size != 4) || (request && (code > kLastMethod || type > 1))) return false;
    bool known = true;
    Uri uri;
    std::string_view host;
    char before = '?';
    const bool whole = options(in, [&](uint32_t number, Bytes value) {
        known = known && known_option(number, value.left());
        if (number == kUriHost) host = text(value);
        if (number == kUriPath) uri.add('/', text(value));
        if (number != kUriQuery) return;
        uri.add(before, text(value));
        before = '&';
    });
    if (!whole && !cut) return false;
    const std::string_view path(uri.text, uri.length);
    if (!flow.recognised() && !flow.port(kPort) && !(request && known && whole && names_resource(path))) return false;
    if (request) {
        flow.first(kMethod, kMethods[code]);
        flow.first(kUri, path);
        flow.first(kHost, host);
        flow.add(kHosts, host);
    } else if (code != 0) { // section 12.1.2: "2.05"
        const char out[] = {static_cast<char>('0' + group), '.', static_cast<char>('0' + (code & 31) / 10),
                            static_cast<char>('0' + (code & 31) % 10)};
        flow.set(kCode, {out, sizeof out});
    }
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    if (message(flow, bytes(payload), payload.flags & AICORE_TRUNCATED)) return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"coaphost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "url.domain", "host of the first request that has one"},
    {"coaphosts", AICORE_STRINGS, AICORE_NOTIFY, 255, nullptr, nullptr, "hosts of requests: the latest 16"},
    {"coapuri", AICORE_STRING, AICORE_NOTIFY, 512, nullptr, "url.path", "path and query of the first request"},
    {"coapmethod", AICORE_STRING, 0, 8, nullptr, nullptr, "method of the first request"},
    {"coapcode", AICORE_STRING, 0, 8, nullptr, nullptr, "code of the last response, such as 2.05"},
};
constexpr const char *kAnomalies[] = {"coap_bad_message"};
constexpr uint16_t kPorts[] = {kPort};

// Confirmable and other requests with tokens of 0 to 8 bytes, GET to DELETE.
constexpr size_t kFirsts = 2 * 9, kCodes = 4;
constexpr auto kPrefixBytes = [] {
    std::array<char, kFirsts * kCodes * 2> out{};
    for (size_t i = 0; i < kFirsts * kCodes; ++i) {
        out[2 * i] = static_cast<char>(0x40 + i / kCodes % 9 + (i / kCodes / 9) * 0x10);
        out[2 * i + 1] = static_cast<char>(1 + i % kCodes);
    }
    return out;
}();
constexpr auto kPrefixes = [] {
    std::array<aicore_prefix, kFirsts * kCodes> out{};
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = {kPrefixBytes.data() + 2 * i, 2};
    return out;
}();

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "coap",
    .help = "CoAP: host, resource, method",
    .transports = AICORE_UDP,
    .rank = 48,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *coap() {
    return &kProtocol;
}

} // namespace aicore::protocols
