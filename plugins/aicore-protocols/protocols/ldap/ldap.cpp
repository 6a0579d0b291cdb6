// SPDX-License-Identifier: Apache-2.0
// LDAP 2 and 3 over TCP (RFC 4511) and without connections over UDP (MS-ADTS section 6.3.3): who binds, what is
// searched, StartTLS. Recognised by a message whose operation has the parts that it must have.
#include "aicore/dissector.h"
#include "ber.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kMechanism, kBase, kResult, kTls };
enum Anomaly : uint32_t { kBadMessage };
enum Operation : uint8_t { // RFC 4511 section 4.2 and following: [APPLICATION n]
    kBindRequest = 0x60,
    kBindResponse = 0x61,
    kUnbind = 0x42,
    kSearch = 0x63,
    kEntry = 0x64,
    kDone = 0x65,
    kModify = 0x66,
    kModifyResponse = 0x67,
    kAdd = 0x68,
    kAddResponse = 0x69,
    kDelete = 0x4a,
    kDeleteResponse = 0x6b,
    kRename = 0x6c,
    kRenameResponse = 0x6d,
    kCompare = 0x6e,
    kCompareResponse = 0x6f,
    kAbandon = 0x50,
    kReference = 0x73,
    kExtended = 0x77,
    kExtendedResponse = 0x78,
    kIntermediate = 0x79
};

constexpr size_t kMaxWait = 8192; // a longer message is read as far as its first part goes
constexpr size_t kFirstPart = 1024;
constexpr std::string_view kStartTls = "1.3.6.1.4.1.1466.20037"; // section 4.14.1
constexpr uint8_t kSimple = 0x80, kSasl = 0xa3, kRequestName = 0x80;

struct State {
    uint32_t skip[2]; // rest of a message that is not read
    bool tls_asked;   // and not answered
};

struct Message {
    uint8_t operation = 0;
    uint32_t result = 0;
    bool start_tls = false;
};

bool dn(Bytes &in, std::string_view &out) {
    Bytes value;
    if (!ber::take(in, ber::kOctetString, value)) return false;
    out = text(value);
    return printable(out);
}

// What an operation begins with. `cut`: the message is longer than what there is.
bool operation(Flow flow, uint8_t tag, Bytes in, bool cut, Message &out) {
    std::string_view name;
    Bytes value;
    uint32_t number = 0, second = 0;
    switch (tag) {
    case kBindRequest:
        if (!ber::take_number(in, ber::kInteger, number) || number < 1 || number > 3 || !dn(in, name)) return false;
        flow.first(kUser, name);
        if (ber::take(in, kSasl, value)) {
            Bytes mechanism;
            if (!ber::take(value, ber::kOctetString, mechanism)) return false;
            flow.first(kMechanism, text(mechanism));
            return true;
        }
        return ber::take(in, kSimple, value) || cut || (in.left() && (in.data()[0] & 0xc0) == 0x80);
    case kBindResponse:
    case kDone:
    case kModifyResponse:
    case kAddResponse:
    case kDeleteResponse:
    case kRenameResponse:
    case kCompareResponse:
    case kExtendedResponse: // section 4.1.9
        if (!ber::take_number(in, ber::kEnumerated, out.result) || out.result > 4096 || !dn(in, name)) return false;
        return dn(in, name) || cut;
    case kSearch:
        if (!dn(in, name) || !ber::take_number(in, ber::kEnumerated, number) || number > 3 ||
            !ber::take_number(in, ber::kEnumerated, second) || second > 3)
            return false;
        flow.first(kBase, name);
        return true;
    case kEntry:
        return dn(in, name) && (cut || ber::take(in, ber::kSequence, value));
    case kModify:
    case kAdd:
    case kRename:
    case kCompare:
        return dn(in, name) && in.left();
    case kExtended:
        if (!ber::take(in, kRequestName, value)) return false;
        out.start_tls = text(value) == kStartTls;
        return std::all_of(value.data(), value.data() + value.left(),
                           [](uint8_t c) { return c == '.' || is_digit(static_cast<char>(c)); });
    case kUnbind:
        return in.left() == 0;
    case kDelete:
        return in.left() && printable(text(in));
    case kAbandon:
        return in.left() >= 1 && in.left() <= 4;
    case kReference:
    case kIntermediate:
        return in.left() && flow.recognised();
    }
    return false;
}

// Section 4.1.1: number, operation, maybe controls.
bool message(Flow flow, const Bytes &in, bool cut, Message &out) {
    Bytes body = in;
    uint32_t number = 0;
    ber::Element op;
    if (!ber::take_number(body, ber::kInteger, number)) return false;
    const ber::Read read = ber::element(body, op);
    if (read == ber::Read::bad || (read == ber::Read::cut && !cut)) return false;
    out.operation = op.tag;
    return operation(flow, op.tag, op.value, read == ber::Read::cut, out);
}

int stream(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_DONE; // where a message begins is lost
    bool recognised = flow.recognised();
    Bytes in = bytes(payload);
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        payload.consumed = payload.length - in.left();
        if (in.left() == 0) break;
        Bytes ahead = in;
        ber::Element e;
        const ber::Read read = ber::element(ahead, e);
        if (read == ber::Read::cut && e.size == 0) break;             // its length is not there
        if (read == ber::Read::bad || in.data()[0] != ber::kSequence) // or SASL's protection has begun, section 5.1
            return recognised ? AICORE_DONE : AICORE_NO;
        if (read == ber::Read::cut && (e.size < kMaxWait || in.left() < kFirstPart) &&
            !(payload.flags & AICORE_TRUNCATED)) {
            Bytes version; // not worth waiting for: its first part is no number
            if (!recognised && e.value.left() >= 8 && !ber::take(e.value, ber::kInteger, version)) return AICORE_NO;
            break;
        }
        Message m;
        if (!message(flow, e.value, read == ber::Read::cut, m)) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadMessage);
        }
        recognised = true;
        state.skip[side] = static_cast<uint32_t>(std::min<size_t>(e.size, UINT32_MAX));
        if (m.operation == kBindResponse) flow.set(kResult, m.result);
        if (m.start_tls) state.tls_asked = true;
        if (m.operation == kExtendedResponse && state.tls_asked) {
            state.tls_asked = false;
            if (m.result != 0) continue;
            payload.consumed = std::min(payload.consumed + e.size, payload.length);
            flow.set(kTls, 1);
            flow.hand_over();
            return AICORE_YES;
        }
    }
    return recognised ? AICORE_YES : AICORE_MORE;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.tcp()) return stream(flow, payload, state);
    Bytes in = bytes(payload);
    ber::Element e;
    Message m;
    const ber::Read read = ber::element(in, e);
    const bool cut = payload.flags & AICORE_TRUNCATED;
    if (e.tag == ber::kSequence && (read == ber::Read::whole || (read == ber::Read::cut && cut)) &&
        message(flow, e.value, cut, m))
        return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"ldapuser", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "user.name", "name of the first bind request"},
    {"ldapmechanism", AICORE_STRING, 0, 32, nullptr, nullptr, "SASL mechanism of the first bind request"},
    {"ldapbase", AICORE_STRING, 0, 255, nullptr, nullptr, "base of the first search"},
    {"ldapresult", AICORE_INTEGER, 0, 0, nullptr, nullptr, "result code of the last bind"},
    {"ldaptls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if StartTLS was accepted"},
};
constexpr const char *kAnomalies[] = {"ldap_bad_message"};
constexpr uint16_t kPorts[] = {389, 3268};
constexpr aicore_prefix kPrefixes[] = {{"\x30", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "ldap",
    .help = "LDAP 2 and 3, CLDAP: bind, search, StartTLS",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 25,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *ldap() {
    return &kProtocol;
}

} // namespace aicore::protocols
