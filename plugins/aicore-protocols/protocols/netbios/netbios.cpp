// SPDX-License-Identifier: Apache-2.0
// NetBIOS over TCP and UDP (RFC 1001, RFC 1002): names asked for (port 137), datagrams (138), sessions (139).
// Recognised by names in their encoding: 32 letters A to P. What follows on an accepted session is for SMB to
// recognise.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kName, kCaller, kSuffix };
enum Anomaly : uint32_t { kBadMessage };

constexpr uint16_t kNames = 137, kDatagrams = 138, kSessions = 139;
constexpr uint8_t kRequest = 0x81, kAccepted = 0x82, kRefused = 0x83;

struct State {
    bool asked; // a session, and not answered
};

// RFC 1001 section 14.1: each half of a byte is a letter; 15 characters filled up with spaces, and a suffix that tells
// the kind of service. A name of labels, or a pointer into the message (RFC 1002 section 4.2.1.2).
struct Name {
    char text[16];
    size_t length = 0;
    uint8_t suffix = 0;
};

bool read_name(Bytes &in, Name &out) {
    if (in.u8() != 32) return false;
    const Bytes label = in.take(32);
    if (!in.ok()) return false;
    for (size_t i = 0; i < 16; ++i) {
        const uint8_t high = static_cast<uint8_t>(label.data()[2 * i] - 'A');
        const uint8_t low = static_cast<uint8_t>(label.data()[2 * i + 1] - 'A');
        if (high > 15 || low > 15) return false;
        out.text[i] = static_cast<char>(high << 4 | low);
    }
    out.suffix = static_cast<uint8_t>(out.text[15]);
    const std::string_view name = trim({out.text, 15});
    out.length = out.text[0] == '*' ? 1 : name.substr(0, name.find('\0')).size(); // "*": any node
    for (;;) {                                                                    // the scope
        const uint8_t size = in.u8();
        if (size == 0) return in.ok();
        if (size > 63) return false;
        in.skip(size);
    }
}

void take(Flow flow, const Name &name) {
    flow.first(kName, {name.text, name.length});
    flow.set(kSuffix, name.suffix);
}

// RFC 1002 section 4.2.1: DNS's header and sections, with other types.
bool name_service(Flow flow, Bytes in) {
    in.skip(2);
    const uint16_t flags = in.u16(), questions = in.u16(), answers = in.u16();
    in.skip(4);
    const unsigned operation = flags >> 11 & 15;
    const bool response = flags & 0x8000;
    if (questions > 1 || answers > 32 || questions + answers == 0 ||
        (operation != 0 && (operation < 5 || operation > 9)) || (!response && questions == 0))
        return false;
    Name name;
    if (!read_name(in, name)) return false;
    const uint16_t type = in.u16(), cls = in.u16();
    if (!in.ok() || (type != 0x20 && type != 0x21 && type != 0x0a) || cls != 1) return false;
    if (!flow.has(kName)) take(flow, name);
    return true;
}

// Section 4.4.1: type, flags, number, address and port of the source, two names.
bool datagram(Flow flow, Bytes in) {
    const uint8_t type = in.u8();
    if (type < 0x10 || type > 0x16) return false;
    in.skip(9);
    Name source, destination;
    if (type == 0x13) return in.ok() && in.left() == 1; // error
    if (type <= 0x12) {
        const uint16_t length = in.u16();
        in.skip(2); // offset of this fragment
        if (length < 68 || !read_name(in, source)) return false;
    }
    if (!read_name(in, destination)) return false;
    if (!flow.has(kName)) take(flow, destination);
    flow.first(kCaller, {source.text, source.length});
    return true;
}

// Section 4.3.2: a request for a session with the names of both, then its answer.
int session(Flow flow, aicore_payload &payload, State &state) {
    Bytes in = bytes(payload);
    if (payload.length == 0) return AICORE_MORE;
    if (flow.recognised() && state.asked && payload.reverse) {
        const uint8_t type = in.u8();
        in.skip(1);
        const uint16_t length = in.u16();
        if (!in.ok()) return AICORE_MORE;
        if (type != kAccepted || length != 0) {
            if (type != kRefused) flow.anomaly(kBadMessage);
            return AICORE_DONE;
        }
        payload.consumed = 4;
        flow.hand_over();
        return AICORE_YES;
    }
    if (flow.recognised()) { // the client does not wait
        payload.consumed = 0;
        return AICORE_YES;
    }
    const uint8_t type = in.u8(), flags = in.u8();
    const uint16_t length = in.u16();
    if (!in.ok()) return payload.data[0] == kRequest ? AICORE_MORE : AICORE_NO;
    if (type != kRequest || flags > 1 || length < 68) return AICORE_NO;
    if (in.left() < length) return in.left() == 0 || in.data()[0] == 32 ? AICORE_MORE : AICORE_NO;
    Bytes body = in.take(length);
    Name called, calling;
    if (!read_name(body, called) || !read_name(body, calling) || body.left()) return AICORE_NO;
    take(flow, called);
    flow.set(kCaller, {calling.text, calling.length});
    state.asked = true;
    payload.consumed = payload.length - in.left();
    return AICORE_YES;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.tcp()) return session(flow, payload, state);
    const Bytes in = bytes(payload);
    if ((flow.port(kNames) && name_service(flow, in)) || (flow.port(kDatagrams) && datagram(flow, in)))
        return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    flow.anomaly(kBadMessage);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"netbiosname", AICORE_STRING, AICORE_NOTIFY, 16, nullptr, nullptr, "first name that is asked for, or called"},
    {"netbioscaller", AICORE_STRING, AICORE_NOTIFY, 16, nullptr, nullptr,
     "name of the sender of a datagram or session"},
    {"netbiossuffix", AICORE_INTEGER, 0, 0, nullptr, nullptr, "kind of service that netbiosname is, its last byte"},
};
constexpr const char *kAnomalies[] = {"netbios_bad_message"};
constexpr uint16_t kPorts[] = {kNames, kDatagrams, kSessions};
constexpr aicore_prefix kPrefixes[] = {{"\x81\x00\x00\x44", 4}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "netbios",
    .help = "NetBIOS names, datagrams and sessions",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *netbios() {
    return &kProtocol;
}

} // namespace aicore::protocols
