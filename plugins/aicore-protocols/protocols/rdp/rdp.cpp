// SPDX-License-Identifier: Apache-2.0
// Remote Desktop (MS-RDPBCGR): the user of the client's cookie, the security that the server chooses. Recognised by
// X.224's connection request and confirm (RFC 1006, X.224 section 13.3) with RDP's own parts in them; without these,
// which other protocols may send, on port 3389 alone. What follows is encrypted and never looked at.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kSecurity };

constexpr uint8_t kRequest = 0xe0, kConfirm = 0xd0;
constexpr uint16_t kPorts[] = {3389};
constexpr size_t kMaxRequest = 1024;

// MS-RDPBCGR 2.2.1.1.1 and 2.2.1.2.1: type, flags, length 8, protocols.
bool negotiation(Bytes in, uint8_t type, uint32_t &protocols) {
    const uint8_t have = in.u8();
    in.skip(1);
    const uint16_t length = in.u16le();
    protocols = in.u32le();
    return in.ok() && have == type && length == 8 && protocols <= 0x1f;
}

const char *security(uint32_t protocol) {
    switch (protocol) {
    case 0:
        return "rdp";
    case 1:
        return "tls";
    case 2:
        return "credssp";
    case 4:
        return "rdstls";
    case 8:
        return "credssp-ex";
    case 16:
        return "aad";
    }
    return "";
}

int inspect(Flow flow, aicore_payload &payload) {
    if (flow.recognised() && payload.flags & AICORE_GAP) return AICORE_DONE;
    Bytes in = bytes(payload);
    const uint8_t version = in.u8(), zero = in.u8();
    const uint16_t length = in.u16();
    const uint8_t indicator = in.u8(), code = in.u8();
    if (!in.ok())
        return payload.length == 0 || payload.data[0] == 3 ? AICORE_MORE : flow.recognised() ? AICORE_DONE : AICORE_NO;
    // RFC 1006 section 6: all of the packet; X.224 section 13.2.1: all of it behind the indicator itself.
    const bool head = version == 3 && zero == 0 && length >= 11 && length <= kMaxRequest && indicator + 5u == length;
    if (!head || (code != kRequest && code != kConfirm)) return flow.recognised() ? AICORE_DONE : AICORE_NO;
    if (payload.length < length) return AICORE_MORE;
    in.skip(5); // references, class
    in = in.take(length - size_t{11});
    uint32_t protocols = 0;
    bool proof = flow.port(kPorts[0]);
    if (code == kConfirm) {
        if (negotiation(in, 2, protocols)) {
            proof = true;
            flow.set(kSecurity, security(protocols));
        } else if (negotiation(in, 3, protocols)) { // refused
            proof = true;
        }
    } else {
        static constexpr std::string_view kCookie = "Cookie: mstshash=";
        const std::string_view data = text(in);
        const size_t end = data.find("\r\n");
        if (end != data.npos) {
            proof = proof || data.starts_with("Cookie: msts"); // a user, or a token of a load balancer
            if (data.starts_with(kCookie)) flow.set(kUser, data.substr(kCookie.size(), end - kCookie.size()));
            in.skip(end + 2);
        }
        proof = negotiation(in, 1, protocols) || proof;
    }
    if (!proof) return flow.recognised() ? AICORE_DONE : AICORE_NO;
    payload.consumed = length;
    return code == kConfirm ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"rdpuser", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, "user.name", "user that the client's cookie names"},
    {"rdpsecurity", AICORE_STRING, 0, 16, nullptr, nullptr, "what the server chooses: rdp, tls, credssp, ..."},
};
constexpr aicore_prefix kPrefixes[] = {{"\3\0\0", 3}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "rdp",
    .help = "Remote Desktop: user, security",
    .transports = AICORE_TCP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *rdp() {
    return &kProtocol;
}

} // namespace aicore::protocols
