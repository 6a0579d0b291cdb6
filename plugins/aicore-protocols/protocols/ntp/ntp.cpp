// SPDX-License-Identifier: Apache-2.0
// NTP 1 to 4 and SNTP (RFC 5905, RFC 1305): version, mode, stratum, reference. Recognised on port 123 by version, mode
// and the length that goes with it.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kVersion, kMode, kStratum, kReference };

constexpr const char *kModes[] = {"",       "symmetric-active", "symmetric-passive", "client",
                                  "server", "broadcast",        "control",           "private"};
enum Mode : uint8_t { kServer = 4, kBroadcast = 5, kControl = 6, kPrivate = 7 };

constexpr uint8_t kMaxStratum = 16, kMaxPoll = 17; // RFC 5905 section 7.2 and 7.3

// RFC 5905 section 7.3 and 7.5: 48 bytes, then extensions and a code, all in words; RFC 9327 section 2 for control
// messages: 12 bytes and the data they count; in mode 7 ntpd's own: 8 bytes with its number, four zero bits, and items.
bool length_fits(Bytes in, uint8_t mode) {
    const size_t length = in.left();
    if (mode == kControl) {
        in.skip(10);
        return in.u16() + size_t{12} <= length && in.ok();
    }
    if (mode == kPrivate) {
        in.skip(2);
        const uint8_t implementation = in.u8();
        in.skip(3);
        return in.u16() < 0x1000 && in.ok() && implementation <= 3;
    }
    return length >= 48 && length % 4 == 0;
}

int inspect(Flow flow, aicore_payload &payload) {
    Bytes in = bytes(payload);
    const uint8_t first = in.u8(), stratum = in.u8(), poll = in.u8(), precision = in.u8();
    const uint8_t mode = first & 7, version = first >> 3 & 7;
    // A precision is a negative power of 2; simple clients leave it out.
    const bool plausible = stratum <= kMaxStratum && poll <= kMaxPoll && (precision == 0 || precision >= 0x80);
    if (version < 1 || version > 4 || mode == 0 || !length_fits(bytes(payload), mode) ||
        (mode <= kBroadcast && !plausible))
        return flow.recognised() ? AICORE_YES : AICORE_NO;
    flow.set(kVersion, version);
    flow.set(kMode, kModes[mode]);
    if (mode != kServer && mode != kBroadcast) return AICORE_YES;
    in.skip(8); // delay, dispersion
    const Bytes reference = in.take(4);
    flow.set(kStratum, stratum);
    // Section 7.3: text at stratum 0 and 1, else an address, or of an IPv6 one a hash that looks like one.
    if (stratum <= 1)
        flow.set(kReference, text(reference).substr(0, text(reference).find('\0')));
    else
        flow.set(kReference, AddressText(reference).view());
    return AICORE_DONE;
}

constexpr aicore_field kFields[] = {
    {"ntpversion", AICORE_INTEGER, 0, 0, nullptr, nullptr, "protocol version, 1 to 4"},
    {"ntpmode", AICORE_STRING, 0, 24, nullptr, nullptr, "mode of the last message: client, server, ..."},
    {"ntpstratum", AICORE_INTEGER, 0, 0, nullptr, nullptr, "stratum of the server, 0: it refuses"},
    {"ntpreference", AICORE_STRING, 0, 0, nullptr, nullptr, "what the server takes its time from, or why it refuses"},
};
constexpr uint16_t kPorts[] = {123};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "ntp",
    .help = "NTP and SNTP: mode, stratum, reference",
    .transports = AICORE_UDP,
    .rank = 30,
    .ports = kPorts,
    .fields = kFields,
});

} // namespace

const aicore_protocol *ntp() {
    return &kProtocol;
}

} // namespace aicore::protocols
