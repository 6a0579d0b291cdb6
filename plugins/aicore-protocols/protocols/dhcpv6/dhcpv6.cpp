// SPDX-License-Identifier: Apache-2.0
// DHCPv6 (RFC 8415): who asks, for what, and what it is given. Recognised on its ports by a message type and options
// that fill the datagram. Fields that DHCP has, too, have its names.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kHostname, kMessage, kIp, kLease, kT1, kT2, kVendor };
enum Anomaly : uint32_t { kBadMessage };
enum Option : uint16_t { // RFC 8415 section 21; 39: RFC 4704
    kNonTemporary = 3,
    kTemporary = 4,
    kAddress = 5,
    kRelayed = 9,
    kVendorClass = 16,
    kDelegation = 25,
    kPrefix = 26,
    kName = 39
};

constexpr const char *kMessages[] = {"solicit", "advertise",     "request",    "confirm", "renew",
                                     "rebind",  "reply",         "release",    "decline", "reconfigure",
                                     "inform",  "relay-forward", "relay-reply"};
constexpr uint8_t kRelayForward = 12;
constexpr int kMaxDepth = 8; // of relays in relays, and of options in options

// Section 21.1. False: an option is longer than what there is.
template <typename Take> bool options(Bytes in, Take take) {
    while (in.left()) {
        const uint16_t code = in.u16(), length = in.u16();
        const Bytes value = in.take(length);
        if (!in.ok()) return false;
        take(code, value);
    }
    return true;
}

// RFC 1035 labels, RFC 4704 section 4.
void name(Flow flow, Bytes in) {
    in.skip(1); // flags
    char out[255];
    size_t length = 0;
    while (in.left()) {
        const uint8_t size = in.u8();
        const Bytes label = in.take(size);
        if (label.left() == 0 || length + label.left() + 1 > sizeof out) break;
        if (length) out[length++] = '.';
        length += text(label).copy(out + length, label.left());
    }
    flow.first(kHostname, {out, length});
}

void option(Flow flow, uint16_t code, Bytes value, int depth) {
    if (depth > kMaxDepth) return;
    const auto inner = [&](uint16_t c, Bytes v) { option(flow, c, v, depth + 1); };
    switch (code) {
    case kNonTemporary:
    case kDelegation: { // identity, T1, T2
        value.skip(4);
        const uint32_t t1 = value.u32(), t2 = value.u32();
        if (!value.ok()) return;
        if (t1 || !flow.has(kT1)) flow.set(kT1, t1);
        if (t2 || !flow.has(kT2)) flow.set(kT2, t2);
        options(value, inner);
        return;
    }
    case kTemporary:
        value.skip(4);
        options(value, inner);
        return;
    case kAddress: {
        const Bytes address = value.take(16);
        value.skip(4); // preferred lifetime
        const uint32_t valid = value.u32();
        if (!value.ok()) return;
        flow.set(kIp, AddressText(address).view());
        flow.set(kLease, valid);
        return;
    }
    case kPrefix: {
        value.skip(4);
        const uint32_t valid = value.u32();
        value.skip(1); // prefix length
        const Bytes address = value.take(16);
        if (!value.ok() || flow.has(kIp)) return;
        flow.set(kIp, AddressText(address).view());
        flow.set(kLease, valid);
        return;
    }
    case kVendorClass: {
        value.skip(4); // enterprise
        const uint16_t length = value.u16();
        flow.first(kVendor, text(value.take(length)));
        return;
    }
    case kName:
        return name(flow, value);
    }
}

// Sections 8 and 9. False: not a message.
bool message(Flow flow, Bytes in, int depth, bool cut) {
    const uint8_t type = in.u8();
    if (type == 0 || type > std::size(kMessages) || depth > kMaxDepth) return false;
    const bool relay = type >= kRelayForward;
    in.skip(relay ? 1 + 16 + 16 : 3);             // hops, link, peer; or the transaction
    if (!in.ok() || in.left() == 0) return false; // each message has options: whose it is, at least
    bool relayed = true;
    const auto take = [&](uint16_t code, Bytes value) {
        if (code == kRelayed && relay) relayed = message(flow, value, depth + 1, cut) && relayed;
    };
    if (!options(in, take) && !cut) return false;
    if (!relayed) return false;
    flow.set(kMessage, kMessages[type - 1]);
    if (relay) return true;
    options(in, [&](uint16_t code, Bytes value) { option(flow, code, value, 0); });
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    if (message(flow, bytes(payload), 0, payload.flags & AICORE_TRUNCATED)) return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"dhcphostname", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr,
     "name of the client, by itself or the server"},
    {"dhcpmessage", AICORE_STRING, 0, 16, nullptr, nullptr, "type of the last message: discover, offer, request, ..."},
    {"dhcpip", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "address given to the client, else the one it wants"},
    {"dhcplease", AICORE_INTEGER, 0, 0, "s", nullptr, "lease time"},
    {"dhcpt1", AICORE_INTEGER, 0, 0, "s", nullptr, "time after which the client renews"},
    {"dhcpt2", AICORE_INTEGER, 0, 0, "s", nullptr, "time after which the client asks any server"},
    {"dhcpvendor", AICORE_STRING, 0, 0, nullptr, nullptr, "vendor class of the client"},
};
constexpr const char *kAnomalies[] = {"dhcpv6_bad_message"};
constexpr uint16_t kPorts[] = {546, 547};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "dhcpv6",
    .help = "DHCPv6: host name, address, lease",
    .transports = AICORE_UDP,
    .rank = 20,
    .ports = kPorts,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *dhcpv6() {
    return &kProtocol;
}

} // namespace aicore::protocols
