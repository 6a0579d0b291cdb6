// SPDX-License-Identifier: Apache-2.0
// DCE/RPC with connections (C706 chapter 12, MS-RPCE 2.2.2): interfaces that are bound, the first operation. Recognised
// by a header whose parts agree, and behind it what its type must have.
#include <cstdio>

#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUuid, kUuids, kOperation };
enum Anomaly : uint32_t { kBadPacket };
enum Type : uint8_t {
    kRequest = 0,
    kResponse = 2,
    kFault = 3,
    kBind = 11,
    kBindAck = 12,
    kBindNak = 13,
    kAlter = 14,
    kAlterResponse = 15,
    kLast = 19
};

constexpr size_t kHeader = 16;
constexpr size_t kHead = 4096; // of a packet: what is waited for
constexpr size_t kListBound = 16;
constexpr uint16_t kPorts[] = {135};

struct State {
    uint32_t skip[2]; // rest of a packet that is not read
    uint8_t uuids;
};

struct Header {
    uint8_t type, flags;
    bool little; // the lower byte of numbers is first
    uint16_t length, authentication;
};

uint16_t number(Bytes &in, bool little) {
    return little ? in.u16le() : in.u16();
}

// C706 section 12.6.3.1. False: not one.
bool read_header(Bytes in, Header &out) {
    const uint8_t major = in.u8(), minor = in.u8();
    out.type = in.u8();
    out.flags = in.u8();
    const uint8_t order = in.u8(), real = in.u8();
    const uint16_t zero = in.u16();
    out.little = order >> 4 == 1;
    out.length = number(in, out.little);
    out.authentication = number(in, out.little);
    return in.ok() && major == 5 && minor <= 1 && out.type <= kLast && (order & 0xef) == 0 && real <= 3 && zero == 0 &&
           out.length >= kHeader && out.length >= kHeader + out.authentication;
}

void uuid(Flow flow, State &state, Bytes in, bool little) {
    const uint32_t a = little ? in.u32le() : in.u32();
    const uint16_t b = number(in, little), c = number(in, little);
    const uint8_t *d = in.take(8).data();
    if (!in.ok()) return;
    char out[37];
    std::snprintf(out, sizeof out, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", a, b, c, d[0], d[1], d[2], d[3],
                  d[4], d[5], d[6], d[7]);
    flow.first(kUuid, {out, 36});
    if (state.uuids == kListBound) return;
    ++state.uuids;
    flow.add(kUuids, {out, 36});
}

// Section 12.6.4.3: fragment sizes, group, then of each context its interface and the ways to encode it.
bool bind(Flow flow, State &state, Bytes in, const Header &h, bool cut) {
    const uint16_t sends = number(in, h.little), receives = number(in, h.little);
    in.skip(4);
    const uint8_t contexts = in.u8();
    in.skip(3);
    if (!in.ok() || contexts == 0 || sends < 64 || receives < 64) return false;
    for (uint8_t i = 0; i < contexts; ++i) {
        in.skip(2);
        const uint8_t transfers = in.u8();
        in.skip(1);
        const Bytes interface = in.take(20);
        in.skip(size_t{transfers} * 20);
        if (!in.ok()) return cut && i > 0;
        if (transfers == 0) return false;
        uuid(flow, state, interface, h.little);
    }
    return true;
}

bool body(Flow flow, State &state, Bytes in, const Header &h, bool cut) {
    switch (h.type) {
    case kBind:
    case kAlter:
        return bind(flow, state, in, h, cut);
    case kBindAck:
    case kAlterResponse: {
        const uint16_t sends = number(in, h.little), receives = number(in, h.little);
        return in.ok() && sends >= 64 && receives >= 64;
    }
    case kRequest: {
        in.skip(6); // hint of size, context
        const uint16_t operation = number(in, h.little);
        if (in.ok() && !flow.has(kOperation)) flow.set(kOperation, operation);
        return in.ok();
    }
    case kResponse:
    case kFault:
        return h.length >= kHeader + 8;
    default:
        return flow.recognised() || h.type == kBindNak;
    }
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_DONE; // where a packet begins is lost
    bool recognised = flow.recognised();
    Bytes in = bytes(payload);
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        payload.consumed = payload.length - in.left();
        if (in.left() < kHeader) break;
        Header h;
        if (!read_header(in, h)) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadPacket);
            return AICORE_DONE;
        }
        const size_t wanted = std::min<size_t>(h.length, kHead);
        if (in.left() < wanted && !(payload.flags & AICORE_TRUNCATED)) break;
        Bytes packet = in;
        packet = packet.take(std::min(wanted, in.left()));
        packet.skip(kHeader);
        if (!body(flow, state, packet, h, packet.left() + kHeader < h.length)) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadPacket);
        }
        recognised = true;
        state.skip[side] = h.length;
    }
    return recognised ? AICORE_YES : AICORE_MORE;
}

constexpr aicore_field kFields[] = {
    {"dcerpcuuid", AICORE_STRING, AICORE_NOTIFY, 40, nullptr, nullptr, "first interface that is bound"},
    {"dcerpcuuids", AICORE_STRINGS, 0, 40, nullptr, nullptr, "interfaces that are bound, the first 16"},
    {"dcerpcoperation", AICORE_INTEGER, 0, 0, nullptr, nullptr, "number of the first operation"},
};
constexpr const char *kAnomalies[] = {"dcerpc_bad_packet"};
constexpr aicore_prefix kPrefixes[] = {{"\5\0", 2}, {"\5\1", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "dcerpc",
    .help = "DCE/RPC over TCP: interfaces, operations",
    .transports = AICORE_TCP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *dcerpc() {
    return &kProtocol;
}

} // namespace aicore::protocols
