// SPDX-License-Identifier: Apache-2.0
// AMQP 0-9-1 (amqp.org, specification of 2008) and 1.0 (OASIS 2012): who logs in where, and what is exchanged.
// Recognised by the eight bytes that a connection begins with; in the middle of one by a method with its end mark.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kVersion, kHost, kMechanism, kContainer, kExchange, kQueue, kKey, kProduct };
enum Anomaly : uint32_t { kBadFrame };

constexpr size_t kHead = 1024;
constexpr uint32_t kMaxFrame = 1 << 27;
constexpr uint8_t kEnd = 0xce; // 0-9-1, section 4.2.3

struct State {
    uint32_t skip[2];
    uint8_t version; // of the connection: 0 not known, else the first digit
};

std::string_view short_string(Bytes &in) {
    return text(in.take(in.u8()));
}

// 0-9-1, section 1.4 and the classes behind it. The response to a challenge is a credential and not read.
bool method(Flow flow, Bytes in) {
    const uint16_t group = in.u16(), number = in.u16();
    if (!in.ok() || number == 0 || number > 121) return false;
    switch (group << 16 | number) {
    case 10 << 16 | 10: // Connection.Start, properties of the server
        return in.ok() && in.u8() == 0 && in.u8() <= 9;
    case 10 << 16 | 11: { // Connection.StartOk
        Bytes table = in.take_some(in.u32());
        static constexpr std::string_view kKey = "\7productS";
        const size_t at = text(table).find(kKey);
        if (at != std::string_view::npos) {
            table.skip(at + kKey.size());
            flow.first(Field::kProduct, text(table.take(table.u32())));
        }
        flow.first(kMechanism, short_string(in));
        return true;
    }
    case 10 << 16 | 40: // Connection.Open
        flow.first(kHost, short_string(in));
        return true;
    case 40 << 16 | 10: // Exchange.Declare
        in.skip(2);
        flow.first(kExchange, short_string(in));
        return true;
    case 50 << 16 | 10: // Queue.Declare
        in.skip(2);
        flow.first(kQueue, short_string(in));
        return true;
    case 50 << 16 | 20: // Queue.Bind
        in.skip(2);
        flow.first(kQueue, short_string(in));
        flow.first(kExchange, short_string(in));
        flow.first(Field::kKey, short_string(in));
        return true;
    case 60 << 16 | 20: // Basic.Consume
        in.skip(2);
        flow.first(kQueue, short_string(in));
        return true;
    case 60 << 16 | 40: // Basic.Publish
        in.skip(2);
        flow.first(kExchange, short_string(in));
        flow.first(Field::kKey, short_string(in));
        return true;
    case 60 << 16 | 60:   // Basic.Deliver
        short_string(in); // of the consumer
        in.skip(9);
        flow.first(kExchange, short_string(in));
        flow.first(Field::kKey, short_string(in));
        return true;
    }
    return group == 10 || group == 20 || group == 30 || group == 40 || group == 50 || group == 60 || group == 85 ||
           group == 90;
}

// 1.0, part 1: a string or a symbol; another value is passed over as far as these lists need it.
bool value(Bytes &in, std::string_view &out) {
    out = {};
    const uint8_t code = in.u8();
    if (code == 0xa1 || code == 0xa3) {
        out = text(in.take(in.u8()));
    } else if (code == 0xb1 || code == 0xb3) {
        out = text(in.take(in.u32()));
    } else if (code != 0x40) {
        return false;
    }
    return in.ok();
}

// 1.0, sections 2.7.1 (open: container, host), 5.3.3.2 (sasl-init: mechanism, a credential, host).
bool performative(Flow flow, Bytes in, uint8_t type) {
    if (in.left() == 0) return true; // keeps alive
    if (in.u8() != 0 || in.u8() != 0x53) return in.ok();
    const uint8_t code = in.u8(), list = in.u8();
    const bool wide = list == 0xd0;
    if (!wide && list != 0xc0 && list != 0x45) return false;
    const uint32_t length = list == 0x45 ? 0 : wide ? in.u32() : in.u8();
    if (list != 0x45) in.skip(wide ? 4 : 1); // number of values
    if (!in.ok() || length > kMaxFrame) return false;
    std::string_view first, second;
    if (type == 1 && code == 0x41 && value(in, first)) flow.first(kMechanism, first);
    if (type == 0 && code == 0x10 && value(in, first)) {
        flow.first(kContainer, first);
        if (value(in, second)) flow.first(kHost, second);
    }
    return type == 1 ? code >= 0x40 && code <= 0x44 : code >= 0x10 && code <= 0x18;
}

// "AMQP" and four numbers: 0-9-1, and of 1.0 the layer (0, 2 TLS, 3 SASL) and version.
std::string_view opening(std::string_view in) {
    if (in == std::string_view("AMQP\0\0\x09\1", 8)) return "0-9-1";
    if (in == std::string_view("AMQP\1\1\0\x0a", 8)) return "0-10";
    if (in == std::string_view("AMQP\1\1\x08\0", 8) || in == std::string_view("AMQP\1\1\0\x09", 8)) return "0-9";
    if (in.substr(4, 4) == std::string_view("\0\1\0\0", 4) || in.substr(4, 4) == std::string_view("\3\1\0\0", 4) ||
        in.substr(4, 4) == std::string_view("\2\1\0\0", 4))
        return "1.0";
    return {};
}

int64_t size(const State &state, Bytes in) {
    static constexpr std::string_view kName = "AMQP";
    const std::string_view start = text(in).substr(0, 4);
    if (kName.starts_with(start)) return start.size() < 4 ? 0 : 8;
    if (state.version == '1') {
        const uint32_t length = in.u32();
        const uint8_t offset = in.u8(), type = in.u8();
        if (!in.ok()) return 0;
        return length < 8 || length > kMaxFrame || offset < 2 || offset * 4u > length || type > 1 ? -1
                                                                                                  : int64_t{length};
    }
    const uint8_t type = in.u8();
    const uint16_t channel = in.u16();
    const uint32_t length = in.u32();
    if (type != 8 && (type < 1 || type > 3)) return -1;
    if (!in.ok()) return 0;
    if (length > kMaxFrame || (type == 8 && (length || channel))) return -1;
    return int64_t{length} + 8;
}

Message read(Flow flow, State &state, Bytes in, bool proven) {
    if (text(in).starts_with("AMQP")) {
        const std::string_view version = opening(text(in));
        if (version.empty()) return Message::broken;
        flow.set(kVersion, version);
        state.version = version == "1.0" ? '1' : '0';
        if (version == "1.0" && text(in)[4] == 2) return Message::over; // TLS
        return version[0] == '0' && version != "0-9-1" ? Message::last : Message::proof;
    }
    if (state.version == '1') {
        in.skip(4);
        const uint8_t offset = in.u8(), type = in.u8();
        in.skip(offset * 4u - 6);
        return performative(flow, in, type) ? Message::proof : Message::broken;
    }
    const uint8_t type = in.u8();
    in.skip(2);
    const uint32_t length = in.u32();
    const Bytes body = in.take_some(length);
    const bool whole = in.ok();
    const uint8_t end = in.u8();
    const bool ended = whole && in.ok();
    if (ended && end != kEnd) return Message::broken;
    if (!proven && (!ended || type != 1)) return type == 8 || type == 1 ? Message::fits : Message::broken;
    if (type == 1 && !method(flow, body)) return Message::broken;
    flow.first(kVersion, "0-9-1");
    state.version = '0';
    return Message::proof;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    return each_message(
        flow, payload, state.skip, kBadFrame, kHead, [&](Bytes in) { return size(state, in); },
        [&](Bytes in, bool proven) { return read(flow, state, in, proven); });
}

constexpr aicore_field kFields[] = {
    {"amqpversion", AICORE_STRING, 0, 8, nullptr, nullptr, "version of the protocol"},
    {"amqphost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "virtual host; in 1.0 the host that is meant"},
    {"amqpmechanism", AICORE_STRING, 0, 32, nullptr, nullptr, "how the client logs in"},
    {"amqpcontainer", AICORE_STRING, 0, 255, nullptr, nullptr, "first container id (1.0)"},
    {"amqpexchange", AICORE_STRING, 0, 255, nullptr, nullptr, "first exchange that is named"},
    {"amqpqueue", AICORE_STRING, 0, 255, nullptr, nullptr, "first queue that is named"},
    {"amqproutingkey", AICORE_STRING, 0, 255, nullptr, nullptr, "first routing key"},
    {"amqpproduct", AICORE_STRING, 0, 64, nullptr, nullptr, "software of the client"},
};
constexpr const char *kAnomalies[] = {"amqp_bad_frame"};
constexpr uint16_t kPorts[] = {5672};
constexpr aicore_prefix kPrefixes[] = {{"AMQP", 4}, {"\1\0", 2}, {"\x08\0\0\0\0\0\0\xce", 8}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "amqp",
    .help = "AMQP 0-9-1 and 1.0: virtual host, exchange, queue",
    .transports = AICORE_TCP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *amqp() {
    return &kProtocol;
}

} // namespace aicore::protocols
