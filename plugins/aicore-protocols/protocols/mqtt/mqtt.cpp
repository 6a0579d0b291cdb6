// SPDX-License-Identifier: Apache-2.0
// MQTT 3.1, 3.1.1 and 5.0 (OASIS): client, topics, number of control packets. Recognised by CONNECT, which a client
// must send first (5.0 section 3.1); in a connection caught in its middle by a question and its answer: PINGREQ and
// PINGRESP, or packets of the two sides with the same packet identifier (section 2.2.1).
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kClientId, kUser, kTopic, kTopics, kVersion, kOperation, kClientPackets, kServerPackets };
enum Anomaly : uint32_t { kBadPacket };
enum Type : uint8_t {
    kConnect = 1,
    kPublish = 3,
    kPuback = 4,
    kPubrec = 5,
    kPubrel = 6,
    kSubscribe = 8,
    kSuback = 9,
    kUnsubscribe = 10,
    kPingreq = 12,
    kPingresp = 13
};

constexpr size_t kHead = 4096; // of a packet: what is waited for
constexpr size_t kListBound = 16;
constexpr uint16_t kPorts[] = {1883};

struct State {
    uint32_t skip[2]; // rest of a packet that is not read
    int64_t packets[2];
    uint8_t level;  // of the protocol, from CONNECT; 0: not seen
    uint8_t client; // direction that sent CONNECT
    uint8_t topics;
};

// Section 1.5.5: 7 bits a byte, the lowest first, at most four. Returns its bytes; 0: more are needed; -1: none.
int variable_length(Bytes in, uint32_t &value) {
    value = 0;
    for (int i = 0; i < 4; ++i) {
        const uint8_t byte = in.u8();
        if (!in.ok()) return 0;
        value |= static_cast<uint32_t>(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) return i + 1;
    }
    return -1;
}

std::string_view string(Bytes &in) {
    const size_t length = in.u16();
    return text(in.take(length));
}

bool skip_properties(Bytes &in) {
    uint32_t length = 0;
    const int n = variable_length(in, length);
    if (n <= 0) return false;
    in.skip(static_cast<size_t>(n) + length);
    return in.ok();
}

// Sections 2.1.3 and 2.1.2: flags that are reserved have one value.
bool plausible(uint8_t first) {
    const uint8_t type = first >> 4, flags = first & 15;
    if (type == kPublish) return (flags & 6) != 6;
    if (type == kPubrel || type == kSubscribe || type == kUnsubscribe) return flags == 2;
    return type != 0 && flags == 0;
}

// Section 3.1.2. False: not a CONNECT.
bool connect(Flow flow, Bytes in, State &state) {
    const std::string_view name = string(in);
    state.level = in.u8();
    const uint8_t flags = in.u8();
    in.skip(2);                                                                       // keep alive
    const bool level = name == "MQTT" ? (state.level & 0x7f) == 4 || state.level == 5 // 0x84: a bridge
                                      : name == "MQIsdp" && (state.level & 0x7f) == 3;
    if (!in.ok() || !level || flags & 1 || (flags & 0x18) == 0x18 || (!(flags & 4) && flags & 0x38)) return false;
    flow.set(kVersion, state.level == 5 ? "5.0" : name == "MQTT" ? "3.1.1" : "3.1");
    if (state.level == 5 && !skip_properties(in)) return true;
    flow.set(kClientId, string(in));
    if (flags & 4) { // will
        if (state.level == 5 && !skip_properties(in)) return true;
        string(in);
        string(in);
    }
    if (flags & 0x80) flow.set(kUser, string(in));
    return true;
}

void topic(Flow flow, std::string_view name, State &state) {
    if (name.empty() || !printable(name)) return; // in 5.0 an alias may stand for it
    flow.first(kTopic, name);
    if (state.topics == kListBound) return;
    ++state.topics;
    flow.add(kTopics, name);
}

void packet(Flow flow, uint8_t first, Bytes in, State &state) {
    const uint8_t type = first >> 4;
    if (type == kPublish) return topic(flow, string(in), state);
    if (type != kSubscribe && type != kUnsubscribe) return;
    in.skip(2); // packet identifier
    if (state.level == 0 || (state.level == 5 && !skip_properties(in))) return;
    while (in.left() > 2) {
        const std::string_view name = string(in);
        if (!in.ok()) return;
        topic(flow, name, state);
        if (type == kSubscribe) in.skip(1); // options
    }
}

// The first packet of a direction in a connection's middle.
struct Middle {
    uint8_t type = 0; // 0: none
    uint16_t identifier = 0;
};

Middle middle(Bytes in) {
    const uint8_t first = in.u8(), type = first >> 4;
    uint32_t size = 0;
    const int n = variable_length(in, size);
    in.skip(n > 0 ? static_cast<size_t>(n) : 0);
    Bytes body = in.take(size);
    if (n <= 0 || !in.ok() || !plausible(first)) return {};
    if (type == kPingreq || type == kPingresp) return size == 0 ? Middle{type, 0} : Middle{};
    if (type == kPublish) {
        const std::string_view name = string(body);
        if (!(first & 6) || name.empty() || !printable(name) || name.find_first_of("#+") != name.npos) return {};
    } else if (type != kSubscribe && type != kSuback && (type < kPuback || type > kPubrel || size > 4)) {
        return {};
    }
    const uint16_t identifier = body.u16();
    return body.ok() && identifier ? Middle{type, identifier} : Middle{};
}

bool is_answer(Middle question, Middle answer) {
    if (question.identifier != answer.identifier) return false;
    switch (question.type) {
    case kPingreq:
        return answer.type == kPingresp;
    case kPublish:
        return answer.type == kPuback || answer.type == kPubrec;
    case kPubrec:
        return answer.type == kPubrel;
    case kSubscribe:
        return answer.type == kSuback;
    }
    return false;
}

int recognise_middle(Flow flow, const aicore_payload &payload, State &state) {
    const Middle mine = middle(bytes(payload));
    if (!mine.type) return AICORE_NO;
    if (!payload.other_length) return AICORE_MORE;
    const Middle other = middle({payload.other, payload.other_length});
    if (!is_answer(mine, other) && !is_answer(other, mine)) return AICORE_NO;
    const bool client = mine.type == kPingreq || mine.type == kSubscribe;
    const bool server = mine.type == kPingresp || mine.type == kSuback;
    const bool forward = client || (!server && !flow.from_server(payload, kPorts));
    state.client = static_cast<uint8_t>(forward ? payload.reverse : payload.reverse ^ 1);
    return AICORE_YES;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP) return flow.recognised() ? AICORE_DONE : AICORE_NO;
    bool recognised = flow.recognised();
    if (!recognised && payload.flags & AICORE_MIDSTREAM && payload.length && payload.data[0] != kConnect << 4) {
        const int answer = recognise_middle(flow, payload, state);
        if (answer != AICORE_YES) return answer;
        recognised = true;
    }
    Bytes in = bytes(payload);
    size_t consumed = 0;
    uint8_t operation = 0;
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        consumed = payload.length - in.left();
        if (in.left() < 2) break;
        Bytes ahead = in;
        const uint8_t first = ahead.u8();
        uint32_t size = 0;
        const int bytes_of_size = variable_length(ahead, size);
        if (!plausible(first) || bytes_of_size < 0 || (!recognised && (first != kConnect << 4 || size < 10))) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadPacket);
            return AICORE_DONE;
        }
        if (bytes_of_size == 0) break;
        ahead.skip(static_cast<size_t>(bytes_of_size));
        const size_t wanted = std::min<size_t>(size, kHead);
        if (!recognised && ahead.left() > 2) { // its name tells a packet of another protocol before all of it is here
            static constexpr std::string_view kNames[] = {{"\0\4MQTT", 6}, {"\0\6MQIsdp", 8}};
            const std::string_view have = text(ahead);
            if (std::none_of(std::begin(kNames), std::end(kNames), [&](std::string_view name) {
                    return name.substr(0, have.size()) == have.substr(0, name.size());
                }))
                return AICORE_NO;
        }
        if (ahead.left() < wanted && !(payload.flags & AICORE_TRUNCATED)) break;
        const Bytes body = ahead.take(std::min(wanted, ahead.left()));
        if (first >> 4 == kConnect) {
            if (!connect(flow, body, state)) {
                if (!recognised) return AICORE_NO;
                flow.anomaly(kBadPacket);
                return AICORE_DONE;
            }
            if (!recognised) state.client = payload.reverse & 1;
            recognised = true;
        } else {
            packet(flow, first, body, state);
        }
        ++state.packets[side];
        operation = first >> 4;
        state.skip[side] = size - static_cast<uint32_t>(body.left());
        in = ahead;
    }
    if (!recognised) return AICORE_MORE;
    payload.consumed = consumed;
    if (operation) {
        flow.set(kOperation, operation);
        flow.set(kClientPackets, state.packets[state.client]);
        flow.set(kServerPackets, state.packets[state.client ^ 1]);
    }
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"mqttclientid", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "client identifier of CONNECT"},
    {"mqttuser", AICORE_STRING, 0, 0, nullptr, "user.name", "user name of CONNECT"},
    {"mqtttopic", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "first topic published or subscribed to"},
    {"mqtttopics", AICORE_STRINGS, 0, 255, nullptr, nullptr, "topics published or subscribed to, the first 16"},
    {"mqttversion", AICORE_STRING, 0, 8, nullptr, nullptr, "3.1, 3.1.1 or 5.0"},
    {"mqttoperation", AICORE_INTEGER, 0, 0, nullptr, nullptr, "type of the last control packet"},
    {"mqttclientpackets", AICORE_INTEGER, 0, 0, "packets", nullptr, "control packets of the client"},
    {"mqttserverpackets", AICORE_INTEGER, 0, 0, "packets", nullptr, "control packets of the server"},
};
constexpr const char *kAnomalies[] = {"mqtt_bad_packet"};
constexpr aicore_prefix kPrefixes[] = {{"\x10", 1}, {"2", 1},        {"3", 1},        {"4", 1},
                                       {"5", 1},    {":", 1},        {";", 1},        {"<", 1},
                                       {"=", 1},    {"\x40\x02", 2}, {"\x50\x02", 2}, {"\x62\x02", 2},
                                       {"\x82", 1}, {"\x90", 1},     {"\xc0\x00", 2}, {"\xd0\x00", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "mqtt",
    .help = "MQTT 3.1, 3.1.1, 5.0: client, topics",
    .transports = AICORE_TCP,
    .rank = 5,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *mqtt() {
    return &kProtocol;
}

} // namespace aicore::protocols
