// SPDX-License-Identifier: Apache-2.0
// Kerberos 5 (RFC 4120): who asks for a ticket, to which service. Recognised by the message's tag, its version and its
// type, which says the tag again.
#include "aicore/dissector.h"
#include "ber.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kRealm, kService, kMessage, kError };
enum Anomaly : uint32_t { kBadMessage };
enum Type : uint32_t {
    kAsReq = 10,
    kAsRep = 11,
    kTgsReq = 12,
    kTgsRep = 13,
    kApReq = 14,
    kApRep = 15,
    kErrorType = 30
};

constexpr uint8_t kApplication = 0x60, kContext = 0xa0, kGeneralString = 0x1b;
constexpr size_t kMaxWait = 12288; // a longer message is read as far as its beginning goes

struct State {
    uint32_t skip[2]; // rest of a message that is not read
};

const char *type_name(uint32_t type) {
    switch (type) {
    case kAsReq:
        return "as-req";
    case kAsRep:
        return "as-rep";
    case kTgsReq:
        return "tgs-req";
    case kTgsRep:
        return "tgs-rep";
    case kApReq:
        return "ap-req";
    case kApRep:
        return "ap-rep";
    case kErrorType:
        return "error";
    }
    return nullptr;
}

// Section 5.2.2: type of name, and its parts.
void principal(Flow flow, uint32_t field, Bytes in) {
    Bytes sequence, parts, part;
    ber::Element type, e;
    if (!ber::take(in, ber::kSequence, sequence) || ber::element(sequence, type) != ber::Read::whole ||
        ber::element(sequence, e) != ber::Read::whole || !ber::take(e.value, ber::kSequence, parts))
        return;
    char out[255];
    size_t length = 0;
    while (ber::take(parts, kGeneralString, part) && length + part.left() < sizeof out) {
        if (length) out[length++] = '/';
        length += text(part).copy(out + length, part.left());
    }
    flow.first(field, {out, length});
}

void string(Flow flow, uint32_t field, Bytes in) {
    Bytes value;
    if (ber::take(in, kGeneralString, value)) flow.first(field, text(value));
}

// The members [n] of a sequence, as far as they go.
template <typename Take> void members(Bytes in, Take take) {
    ber::Element e;
    while (ber::element(in, e) == ber::Read::whole)
        take(static_cast<uint8_t>(e.tag - kContext), e.value);
}

// Sections 5.4.1, 5.4.2, 5.5, 5.9.1: the numbers of the members differ.
bool message(Flow flow, uint8_t tag, Bytes in) {
    const uint32_t type = tag - kApplication;
    const bool request = type == kAsReq || type == kTgsReq;
    ber::Element sequence;
    uint32_t version = 0, again = 0;
    if (ber::element(in, sequence) == ber::Read::bad || sequence.tag != ber::kSequence) return false;
    Bytes body = sequence.value, value;
    const uint8_t first = kContext + (request ? 1 : 0);
    if (!ber::take(body, first, value) || !ber::take_number(value, ber::kInteger, version) || version != 5 ||
        !ber::take(body, static_cast<uint8_t>(first + 1), value) || !ber::take_number(value, ber::kInteger, again) ||
        again != type)
        return false;
    flow.first(kMessage, type_name(type));
    members(body, [&](uint8_t n, Bytes part) {
        if (request && n == 4) { // the body of the request
            Bytes inner;
            if (!ber::take(part, ber::kSequence, inner)) return;
            members(inner, [&](uint8_t m, Bytes p) {
                if (m == 1) principal(flow, kUser, p);
                if (m == 2) string(flow, kRealm, p);
                if (m == 3) principal(flow, kService, p);
            });
        } else if (type == kAsRep || type == kTgsRep) {
            if (n == 3) string(flow, kRealm, part);
            if (n == 4) principal(flow, kUser, part);
        } else if (type == kErrorType) {
            uint32_t code = 0;
            if (n == 6 && ber::take_number(part, ber::kInteger, code)) flow.set(kError, code);
            if (n == 9) string(flow, kRealm, part);
            if (n == 10) principal(flow, kService, part);
        }
    });
    return true;
}

// The message's tag, and a length that is no shorter than what the parts need.
ber::Read outer(Bytes &in, ber::Element &e) {
    const ber::Read read = ber::element(in, e);
    if (read == ber::Read::bad || (in.ok() && e.tag && !type_name(static_cast<uint32_t>(e.tag - kApplication))))
        return ber::Read::bad;
    return read;
}

// Section 7.2.2: each message behind its length in four bytes.
int stream(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_DONE;
    bool recognised = flow.recognised();
    Bytes in = bytes(payload);
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        payload.consumed = payload.length - in.left();
        if (in.left() < 4) break;
        Bytes ahead = in;
        const uint32_t length = ahead.u32();
        Bytes part = ahead.take_some(length);
        const bool whole = ahead.ok();
        ber::Element e;
        Bytes copy = part;
        const ber::Read read = outer(copy, e);
        // The element fills the length, so that it is known from its first bytes.
        if (length < 16 || length > 1 << 20 || read == ber::Read::bad || (e.size && e.size != length))
            return recognised ? AICORE_DONE : AICORE_NO;
        if (!whole && part.left() < kMaxWait && !(payload.flags & AICORE_TRUNCATED)) break;
        if (!message(flow, e.tag, e.value)) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadMessage);
        }
        recognised = true;
        state.skip[side] = length + 4;
    }
    return recognised ? AICORE_YES : AICORE_MORE;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.tcp()) return stream(flow, payload, state);
    Bytes in = bytes(payload);
    ber::Element e;
    const ber::Read read = outer(in, e);
    const bool cut = payload.flags & AICORE_TRUNCATED;
    if ((read == ber::Read::whole || (read == ber::Read::cut && cut)) && in.left() == 0 &&
        message(flow, e.tag, e.value))
        return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"kerberosuser", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "user.name", "client's name, its parts joined by /"},
    {"kerberosrealm", AICORE_STRING, 0, 255, nullptr, nullptr, "realm of the first message that has one"},
    {"kerberosservice", AICORE_STRING, 0, 255, nullptr, nullptr, "service that a ticket is asked for"},
    {"kerberosmessage", AICORE_STRING, 0, 16, nullptr, nullptr, "type of the first message: as-req, tgs-req, ..."},
    {"kerberoserror", AICORE_INTEGER, 0, 0, nullptr, nullptr, "code of the last error"},
};
constexpr const char *kAnomalies[] = {"kerberos_bad_message"};
constexpr uint16_t kPorts[] = {88};
constexpr aicore_prefix kPrefixes[] = {{"\x6a", 1}, {"\x6b", 1}, {"\x6c", 1}, {"\x6d", 1}, {"\x7e", 1}, {"\0\0", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "kerberos",
    .help = "Kerberos 5 over UDP and TCP: client, realm, service",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *kerberos() {
    return &kProtocol;
}

} // namespace aicore::protocols
