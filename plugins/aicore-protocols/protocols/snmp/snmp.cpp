// SPDX-License-Identifier: Apache-2.0
// SNMP 1 (RFC 1157), 2c (RFC 1901, RFC 3416) and 3 (RFC 3412): version, kind of request, the first object. Recognised
// by a message that is one well-formed element, on any port. The community is a credential and not taken.
#include <charconv>
#include <iterator>

#include "aicore/dissector.h"
#include "ber.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kVersion, kPdu, kOid };
enum Anomaly : uint32_t { kBadMessage };

constexpr const char *kPdus[] = {"get-request",      "get-next-request", "get-response", "set-request", "trap",
                                 "get-bulk-request", "inform-request",   "snmpv2-trap",  "report"};
constexpr uint8_t kFirstPdu = 0xa0, kTrap1 = 0xa4;

// X.690 section 8.19.
void oid_text(Flow flow, Bytes in) {
    char out[256];
    char *at = out, *const end = out + sizeof out;
    uint64_t part = 0;
    bool first = true;
    while (in.left() && end - at > 24) { // the longest part, with its point
        const uint8_t byte = in.u8();
        part = part << 7 | (byte & 0x7f);
        if (byte & 0x80) continue;
        if (first) {
            const uint64_t top = part < 80 ? part / 40 : 2;
            *at++ = static_cast<char>('0' + top);
            part -= top * 40;
            first = false;
        }
        *at++ = '.';
        at = std::to_chars(at, end, part).ptr;
        part = 0;
    }
    flow.first(kOid, {out, static_cast<size_t>(at - out)});
}

// RFC 3416 section 3: request id, two numbers, bindings; RFC 1157 section 4.1.6 for traps: what sends it.
bool pdu(Flow flow, Bytes in) {
    ber::Element e;
    if (ber::element(in, e) != ber::Read::whole || in.left()) return false;
    const size_t index = static_cast<size_t>(e.tag - kFirstPdu);
    if (e.tag < kFirstPdu || index >= std::size(kPdus)) return false;
    Bytes body = e.value, part, name;
    if (e.tag == kTrap1) {
        if (!ber::take(body, ber::kOid, name)) return false;
    } else {
        for (int i = 0; i < 3; ++i)
            if (!ber::take(body, ber::kInteger, part) || part.left() > 5) return false;
        if (!ber::take(body, ber::kSequence, part) || body.left()) return false;
        Bytes binding;
        if (part.left() && (!ber::take(part, ber::kSequence, binding) || !ber::take(binding, ber::kOid, name)))
            return false;
    }
    flow.first(kPdu, kPdus[index]);
    if (name.left()) oid_text(flow, name);
    return true;
}

// RFC 3412 section 6: header, security parameters, a scoped PDU or an encrypted one.
bool version3(Flow flow, Bytes in) {
    Bytes header, part;
    uint32_t number = 0, size = 0;
    if (!ber::take(in, ber::kSequence, header) || !ber::take_number(header, ber::kInteger, number) ||
        !ber::take_number(header, ber::kInteger, size) || size < 484 || !ber::take(header, ber::kOctetString, part) ||
        part.left() != 1 || !ber::take_number(header, ber::kInteger, number) || !ber::take(in, ber::kOctetString, part))
        return false;
    if (ber::take(in, ber::kOctetString, part)) return in.left() == 0; // encrypted
    Bytes scoped, engine;
    return ber::take(in, ber::kSequence, scoped) && in.left() == 0 && ber::take(scoped, ber::kOctetString, engine) &&
           ber::take(scoped, ber::kOctetString, part) && pdu(flow, scoped);
}

bool message(Flow flow, Bytes in) {
    Bytes body, community;
    uint32_t version = 0;
    if (!ber::take(in, ber::kSequence, body) || in.left() || !ber::take_number(body, ber::kInteger, version))
        return false;
    if (version == 3) {
        if (!version3(flow, body)) return false;
    } else if (version > 1 || !ber::take(body, ber::kOctetString, community) || !pdu(flow, body)) {
        return false;
    }
    flow.set(kVersion, version == 3 ? "3" : version == 1 ? "2c" : "1");
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    if (message(flow, bytes(payload))) return flow.recognised() && flow.has(kPdu) ? AICORE_DONE : AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"snmpversion", AICORE_STRING, 0, 8, nullptr, nullptr, "1, 2c or 3"},
    {"snmppdu", AICORE_STRING, 0, 24, nullptr, nullptr, "kind of the first message: get-request, trap, ..."},
    {"snmpoid", AICORE_STRING, 0, 255, nullptr, nullptr, "first object that is named"},
};
constexpr const char *kAnomalies[] = {"snmp_bad_message"};
constexpr uint16_t kPorts[] = {161, 162};
constexpr aicore_prefix kPrefixes[] = {{"\x30", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "snmp",
    .help = "SNMP 1, 2c, 3: kind of request, first object",
    .transports = AICORE_UDP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *snmp() {
    return &kProtocol;
}

} // namespace aicore::protocols
