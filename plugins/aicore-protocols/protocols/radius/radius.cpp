// SPDX-License-Identifier: Apache-2.0
// RADIUS (RFC 2865), accounting (RFC 2866), dynamic authorization (RFC 5176): who asks to be let in, where. Recognised
// on its ports by code, length and attributes that fill it; on any port by a request that has the attributes of one.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kMessage, kNas, kIp, kStation };
enum Anomaly : uint32_t { kBadMessage };
enum Attribute : uint8_t {
    kUserName = 1,
    kNasAddress = 4,
    kFramedAddress = 8,
    kCallingStation = 31,
    kNasIdentifier = 32,
    kStatusType = 40
};

constexpr size_t kHeader = 20, kMaxLength = 4096; // section 3
constexpr uint8_t kAccessRequest = 1, kAccountingRequest = 4;
constexpr uint16_t kPorts[] = {1812, 1813, 1645, 1646, 3799};

const char *code_name(uint8_t code) { // IANA "RADIUS Types"
    static constexpr const char *kFirst[] = {"access-request", "access-accept", "access-reject", "accounting-request",
                                             "accounting-response"};
    static constexpr const char *kDynamic[] = {"disconnect-request", "disconnect-ack", "disconnect-nak",
                                               "coa-request",        "coa-ack",        "coa-nak"};
    if (code >= 1 && code <= 5) return kFirst[code - 1];
    if (code >= 40 && code <= 45) return kDynamic[code - 40];
    return code == 11 ? "access-challenge" : code == 12 ? "status-server" : nullptr;
}

// Section 5. False: an attribute is longer than what there is.
template <typename Take> bool attributes(Bytes in, Take take) {
    while (in.left()) {
        const uint8_t type = in.u8(), length = in.u8();
        if (length < 2 || type == 0) return false;
        const Bytes value = in.take(length - size_t{2});
        if (!in.ok()) return false;
        take(type, value);
    }
    return true;
}

bool message(Flow flow, Bytes in) {
    const uint8_t code = in.u8();
    in.skip(1);
    const uint16_t length = in.u16();
    in.skip(16); // authenticator
    const char *name = code_name(code);
    if (!in.ok() || !name || length < kHeader || length > kMaxLength || length > in.left() + kHeader) return false;
    in = in.take(length - kHeader); // section 3: what is behind it is padding
    bool user = false, nas = false, status = false;
    const bool whole = attributes(in, [&](uint8_t type, Bytes value) {
        user = user || (type == kUserName && value.left() && printable(text(value)));
        nas = nas || (type == kNasAddress && value.left() == 4) || type == kNasIdentifier || type == 95;
        status = status || (type == kStatusType && value.left() == 4);
    });
    const bool known_port = std::any_of(std::begin(kPorts), std::end(kPorts), [&](uint16_t p) { return flow.port(p); });
    // Section 4.1, RFC 2866 section 4.1: attributes that such a request must have.
    const bool proof = code == kAccessRequest ? user && nas : code == kAccountingRequest && status && nas;
    if (!whole || !(known_port || proof || flow.recognised())) return false;
    flow.set(kMessage, name);
    attributes(in, [&](uint8_t type, Bytes value) {
        if (type == kUserName)
            flow.first(kUser, text(value));
        else if (type == kNasIdentifier || (type == kNasAddress && value.left() == 4 && !flow.has(kNas)))
            flow.set(kNas, type == kNasAddress ? AddressText(value).view() : text(value));
        else if (type == kFramedAddress && value.left() == 4)
            flow.set(kIp, AddressText(value).view());
        else if (type == kCallingStation)
            flow.first(kStation, text(value));
    });
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    if (message(flow, bytes(payload))) return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    if (!(payload.flags & AICORE_TRUNCATED)) flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"radiususer", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "user.name", "first user name"},
    {"radiusmessage", AICORE_STRING, 0, 24, nullptr, nullptr, "last message: access-request, access-accept, ..."},
    {"radiusnas", AICORE_STRING, 0, 255, nullptr, nullptr, "identifier of the access server, else its address"},
    {"radiusip", AICORE_STRING, 0, 0, nullptr, nullptr, "address that the user gets"},
    {"radiusstation", AICORE_STRING, 0, 0, nullptr, nullptr, "where the user calls from, as a rule a MAC address"},
};
constexpr const char *kAnomalies[] = {"radius_bad_message"};
constexpr aicore_prefix kPrefixes[] = {{"\1", 1}, {"\4", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "radius",
    .help = "RADIUS: user, access server, address",
    .transports = AICORE_UDP,
    .rank = 40,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *radius() {
    return &kProtocol;
}

} // namespace aicore::protocols
