// SPDX-License-Identifier: Apache-2.0
// DHCP (RFC 2131) and BOOTP with vendor information (RFC 1497): who asks, for what, and what it is given. Recognised by
// the magic cookie behind the fixed part (RFC 2131 section 3) and options that parse.
#include <cstring>

#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kHostname, kMessage, kIp, kLease, kMac, kVendor, kServer, kDomain };
enum Anomaly : uint32_t { kBadOptions };
enum Option : uint8_t { // RFC 2132; 81: RFC 4702
    kHostNameOption = 12,
    kDomainOption = 15,
    kAddressOption = 50,
    kLeaseOption = 51,
    kMessageOption = 53,
    kServerOption = 54,
    kVendorOption = 60,
    kFqdnOption = 81,
};

constexpr size_t kFixed = 236;
constexpr uint32_t kCookie = 0x63825363;
constexpr const char *kMessages[] = {"discover", "offer",   "request", "decline",   "ack",
                                     "nak",      "release", "inform",  "forcerenew"};

void mac_text(Flow flow, Bytes in) {
    static constexpr char kHex[] = "0123456789abcdef";
    char out[3 * 6];
    for (int i = 0; i < 6; ++i) {
        const uint8_t byte = in.u8();
        out[3 * i] = kHex[byte >> 4];
        out[3 * i + 1] = kHex[byte & 15];
        out[3 * i + 2] = ':';
    }
    flow.set(kMac, {out, sizeof out - 1});
}

// RFC 4702 section 2: flags, two result codes, the name as text or, with the E bit, as labels.
void fqdn(Flow flow, Bytes in) {
    const bool labels = in.u8() & 4;
    in.skip(2);
    if (!labels) return flow.set(kHostname, text(in));
    char name[255];
    size_t length = 0;
    while (in.left()) {
        const uint8_t size = in.u8();
        const Bytes label = in.take(size);
        if (label.left() == 0 || length + label.left() + 1 > sizeof name) break;
        if (length) name[length++] = '.';
        std::memcpy(name + length, label.data(), label.left());
        length += label.left();
    }
    flow.set(kHostname, {name, length});
}

void option(Flow flow, uint8_t code, Bytes value) {
    switch (code) {
    case kHostNameOption:
        return flow.set(kHostname, text(value).substr(0, text(value).find('\0')));
    case kDomainOption:
        return flow.set(kDomain, text(value).substr(0, text(value).find('\0')));
    case kAddressOption:
        if (value.left() == 4 && !flow.has(kIp)) flow.set(kIp, AddressText(value).view());
        return;
    case kLeaseOption:
        if (value.left() == 4) flow.set(kLease, value.u32());
        return;
    case kMessageOption:
        if (const uint8_t type = value.u8(); type >= 1 && type <= std::size(kMessages))
            flow.set(kMessage, kMessages[type - 1]);
        return;
    case kServerOption:
        if (value.left() == 4) flow.set(kServer, AddressText(value).view());
        return;
    case kVendorOption:
        return flow.set(kVendor, text(value));
    case kFqdnOption:
        if (!flow.has(kHostname)) fqdn(flow, value);
        return;
    }
}

// RFC 2132 section 2. False: an option is longer than what there is.
template <typename Take> bool options(Bytes in, Take take) {
    while (in.left()) {
        const uint8_t code = in.u8();
        if (code == 255) return true;
        if (code == 0) continue;
        const uint8_t length = in.u8();
        const Bytes value = in.take(length);
        if (!in.ok()) return false;
        take(code, value);
    }
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    Bytes in = bytes(payload);
    const uint8_t op = in.u8(), type = in.u8(), address_length = in.u8();
    in.skip(16 - 3); // hops, transaction, seconds, flags, client's own address
    const Bytes your = in.take(4);
    in.skip(8); // next server, relay
    const Bytes hardware = in.take(16);
    in.skip(kFixed - 44); // server name, file
    const uint32_t cookie = in.u32();
    const bool header = in.ok() && (op == 1 || op == 2) && type != 0 && address_length <= 16 && cookie == kCookie;
    const bool cut = payload.flags & AICORE_TRUNCATED;
    if (!header || (!flow.recognised() && !cut && !options(in, [](uint8_t, Bytes) {}))) {
        if (!flow.recognised()) return AICORE_NO;
        flow.anomaly(kBadOptions);
        return AICORE_YES;
    }
    if (type == 1 && address_length == 6) mac_text(flow, hardware);
    Bytes copy = your;
    if (copy.u32() != 0) flow.set(kIp, AddressText(your).view());
    if (!options(in, [&](uint8_t code, Bytes value) { option(flow, code, value); }) && !cut) flow.anomaly(kBadOptions);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"dhcphostname", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr,
     "name of the client, by itself or the server"},
    {"dhcpmessage", AICORE_STRING, 0, 16, nullptr, nullptr, "type of the last message: discover, offer, request, ..."},
    {"dhcpip", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "address given to the client, else the one it wants"},
    {"dhcplease", AICORE_INTEGER, 0, 0, "s", nullptr, "lease time"},
    {"dhcpmac", AICORE_STRING, 0, 24, nullptr, nullptr, "hardware address of the client"},
    {"dhcpvendor", AICORE_STRING, 0, 0, nullptr, nullptr, "vendor class of the client"},
    {"dhcpserver", AICORE_STRING, 0, 0, nullptr, nullptr, "address of the server, by its identifier"},
    {"dhcpdomain", AICORE_STRING, 0, 255, nullptr, nullptr, "domain name that the server gives"},
};
constexpr const char *kAnomalies[] = {"dhcp_bad_message"};
constexpr uint16_t kPorts[] = {67, 68, 4011};
constexpr aicore_prefix kPrefixes[] = {{"\1\1\6", 3}, {"\2\1\6", 3}}; // on any port: Ethernet alone

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "dhcp",
    .help = "DHCP and BOOTP: host name, address, lease",
    .transports = AICORE_UDP,
    .rank = 0,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *dhcp() {
    return &kProtocol;
}

} // namespace aicore::protocols
