// SPDX-License-Identifier: Apache-2.0
// STUN (RFC 8489, RFC 5389, RFC 3489), TURN (RFC 8656) and ICE's attributes: who talks, and under which addresses.
// Recognised by the magic cookie and the length, without a cookie by attributes of RFC 3489 that fill the message. What
// comes beside it on the same ports (RFC 7983) is DTLS, which then names the flow, or media.
#include <iterator>

#include "aicore/dissector.h"
#include "dtls.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t {
    kMethod,
    kUser,
    kRealm,
    kSoftware,
    kError,
    kMappedIp,
    kMappedPort,
    kRelayedIp,
    kPeerIp,
    kChannels,
    kDtls
};
enum Anomaly : uint32_t { kBadMessage };
enum Alias : uint32_t { kDtlsAlias };
enum class Framing : uint8_t { unknown, plain, lengths }; // of a stream: RFC 8489 section 6.2.2 or RFC 4571

constexpr uint32_t kCookie = 0x2112a442;
constexpr size_t kHead = 20;
constexpr uint8_t kMaxOther = 64; // payloads in a row that are not STUN, after which the flow is media
constexpr uint16_t kPorts[] = {3478, 3479};

struct State {
    Framing framing[2];
    uint32_t skip[2]; // rest of a frame that is not read
    uint8_t other;
    bool dtls;
};

constexpr const char *kMethods[] = {"other",
                                    "binding",
                                    "shared-secret",
                                    "allocate",
                                    "refresh",
                                    "other",
                                    "send",
                                    "data",
                                    "create-permission",
                                    "channel-bind",
                                    "connect",
                                    "connection-bind",
                                    "connection-attempt"};

const char *method_name(uint16_t type) { // RFC 8489 section 5: bits of the class stand between
    const size_t method = (type & 0x3e00) >> 2 | (type & 0xe0) >> 1 | (type & 0xf);
    return kMethods[method < std::size(kMethods) ? method : 0];
}

// Calls take(type, value); true if they fill the message. Where its length is no multiple of 4 the attributes are not
// padded (MS-TURN section 2.2.2).
template <typename Take> bool attributes(Bytes in, Take take) {
    const bool padded = in.left() % 4 == 0;
    while (in.left()) {
        const uint16_t type = in.u16(), length = in.u16();
        const Bytes value = in.take(length);
        if (!in.ok()) return false;
        take(type, value);
        if (padded && length % 4) in.skip(4u - length % 4);
    }
    return in.ok();
}

// RFC 3489 section 11.2: attributes known there, addresses of 8 bytes, a change request of 4.
bool classic(Flow flow, uint16_t type, Bytes body) {
    const int method = type & 0xf, kind_of = type >> 4; // request, response, error
    if (method < 1 || method > 2 || (kind_of != 0 && kind_of != 0x10 && kind_of != 0x11)) return false;
    if (body.left() == 0) return flow.port(kPorts[0]) || flow.port(kPorts[1]);
    bool known = body.left() % 4 == 0;
    const bool whole = attributes(body, [&](uint16_t kind, Bytes value) {
        const bool address = kind == 1 || kind == 2 || kind == 4 || kind == 5 || kind == 11 || kind == 0x8020;
        known &= address     ? value.left() == 8 && value.u16() == 1
                 : kind == 3 ? value.left() == 4
                             : kind >= 6 && kind <= 10;
    });
    return known && whole;
}

struct Message {
    uint16_t type = 0;
    Bytes id, body; // id: cookie and transaction
};

// False: not a message that is whole in `in`; it may be longer than the message in a stream.
bool parse(Bytes in, Message &out) {
    out.type = in.u16();
    const uint16_t length = in.u16();
    out.id = in.take(16);
    out.body = in.take(length);
    return in.ok() && out.type < 0x4000;
}

// RFC 8489 section 14.1 and 14.2; `id` is empty where the address stands in clear.
void address(Flow flow, Bytes in, Bytes id, Field field) {
    in.skip(1);
    const uint8_t family = in.u8();
    const uint16_t port = in.u16() ^ Bytes(id).u16();
    uint8_t bytes[16];
    const size_t length = family == 1 ? 4 : 16;
    if (in.left() != length || family < 1 || family > 2) return;
    for (size_t i = 0; i < length; ++i)
        bytes[i] = static_cast<uint8_t>(in.u8() ^ id.u8());
    flow.set(field, AddressText({bytes, length}).view());
    if (field == kMappedIp) flow.set(kMappedPort, port);
}

void report(Flow flow, const Message &message) {
    flow.set(kMethod, method_name(message.type));
    const bool whole = attributes(message.body, [&](uint16_t type, Bytes value) {
        switch (type) {
        case 0x0006:
            return flow.set(kUser, text(value));
        case 0x0014:
            return flow.set(kRealm, text(value));
        case 0x8022:
            return flow.set(kSoftware, text(value));
        case 0x0009:
            value.skip(2);
            if (const int hundreds = value.u8() & 7, rest = value.u8(); value.ok())
                flow.set(kError, hundreds * 100 + rest);
            return;
        case 0x0001:
        case 0x0020:
            return address(flow, value, type == 1 ? Bytes() : message.id, kMappedIp);
        case 0x0016:
            return address(flow, value, message.id, kRelayedIp);
        case 0x0012:
            return address(flow, value, message.id, kPeerIp);
        }
    });
    if (!whole) flow.anomaly(kBadMessage);
}

// What fills a datagram or a frame.
int datagram(Flow flow, Bytes in, State &state, bool recognised, bool cut) {
    Message message;
    const bool stun = parse(in, message) && message.body.data() + message.body.left() == in.data() + in.left();
    if (stun && (Bytes(message.id).u32() == kCookie || classic(flow, message.type, message.body))) {
        state.other = 0;
        report(flow, message);
        return AICORE_YES;
    }
    if (!recognised) return AICORE_NO;
    if (in.left() && (*in.data() & 0xc0) == 0x40) flow.set(kChannels, 1);
    bool hello = false;
    if (in.left() && !cut && dtls_records(in, [&](const DtlsRecord &record) { hello |= record.message != 0; })) {
        if (!state.dtls) flow.set_layer7(kDtlsAlias);
        state.dtls = true;
        if (hello) dtls_records(in, [&](const DtlsRecord &record) { dtls_hello(flow, kDtls, record); });
    }
    return ++state.other >= kMaxOther ? AICORE_DONE : AICORE_YES;
}

// Messages and channels as they are, or each behind its length. Before recognition one whole message is the proof.
int stream(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (flow.recognised() && payload.flags & AICORE_GAP) return AICORE_DONE; // where a message begins is lost
    Bytes in = bytes(payload);
    Framing &framing = state.framing[side];
    bool recognised = flow.recognised();
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        if (in.left() < 10) break;
        Bytes head = in;
        const uint16_t first = head.u16(), second = head.u16();
        const bool plain = Bytes(head).u32() == kCookie;
        head.skip(2);
        if (framing == Framing::unknown) {
            if (!plain && head.u32() != kCookie) return recognised ? AICORE_DONE : AICORE_NO;
            framing = plain ? Framing::plain : Framing::lengths;
        }
        if (framing == Framing::plain && recognised && first >> 14 == 1) { // RFC 8656 section 12.5: padded in streams
            flow.set(kChannels, 1);
            state.skip[side] = 4 + (second + 3u) / 4 * 4;
            continue;
        }
        if (framing == Framing::plain && !plain) {
            flow.anomaly(kBadMessage);
            return AICORE_DONE;
        }
        const size_t prefix = framing == Framing::lengths ? 2 : 0, length = prefix ? first : kHead + second;
        if (in.left() < prefix + length) break;
        in.skip(prefix);
        const int answer = datagram(flow, in.take(length), state, recognised, false);
        if (answer != AICORE_YES) return answer;
        recognised = true;
    }
    payload.consumed = payload.length - in.left();
    return recognised ? AICORE_YES : AICORE_MORE;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.tcp()) return stream(flow, payload, state);
    return datagram(flow, bytes(payload), state, flow.recognised(), payload.flags & AICORE_TRUNCATED);
}

constexpr aicore_field kFields[] = {
    {"stunmethod", AICORE_STRING, 0, 24, nullptr, nullptr, "method of the last message: binding, allocate, ..."},
    {"stunuser", AICORE_STRING, 0, 255, nullptr, "user.name", "user of TURN, or both fragments of ICE"},
    {"stunrealm", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "realm of the server"},
    {"stunsoftware", AICORE_STRING, 0, 255, nullptr, nullptr, "software of who named it last"},
    {"stunerror", AICORE_INTEGER, 0, 0, nullptr, nullptr, "last error, 300 to 699"},
    {"stunip", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "address under which the other side sees the asker"},
    {"stunport", AICORE_INTEGER, 0, 0, nullptr, nullptr, "its port"},
    {"stunrelayip", AICORE_STRING, 0, 0, nullptr, nullptr, "address that TURN gives to its client"},
    {"stunpeerip", AICORE_STRING, 0, 0, nullptr, nullptr, "address of the last peer behind TURN"},
    {"stunchannels", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if data in TURN's channels was seen"},
    kDtlsFields[kDtlsServerName],
    kDtlsFields[kDtlsAlpn],
    kDtlsFields[kDtlsVersion],
};
constexpr const char *kAnomalies[] = {"stun_bad_message"};
constexpr const char *kAliases[] = {"dtls"};
constexpr aicore_prefix kPrefixes[] = {{"\0", 1}, {"\1", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "stun",
    .help = "STUN, TURN and ICE: addresses, user, realm",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 5,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
    .aliases = kAliases,
});

} // namespace

const aicore_protocol *stun() {
    return &kProtocol;
}

} // namespace aicore::protocols
