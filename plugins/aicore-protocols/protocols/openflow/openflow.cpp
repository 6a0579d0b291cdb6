// SPDX-License-Identifier: Apache-2.0
// OpenFlow 1.0 to 1.5 (its switch specification, section 7.1 and appendix A): versions, messages, the switch's name.
// Recognised by the HELLO of both sides, or on its ports by that of one and a message behind it.
#include <iterator>

#include "aicore/dissector.h"
#include "hex.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kVersion, kMessage, kMessages, kDatapath, kError };
enum Anomaly : uint32_t { kBadMessage };
enum Type : uint8_t { kHello = 0, kErrorMessage = 1, kFeaturesReply = 6 };

constexpr size_t kHead = 8;
constexpr uint16_t kPorts[] = {6653, 6633};
// Those whose numbers all versions share.
constexpr const char *kMessageNames[] = {"hello",
                                         "error",
                                         "echo-request",
                                         "echo-reply",
                                         "experimenter",
                                         "features-request",
                                         "features-reply",
                                         "get-config-request",
                                         "get-config-reply",
                                         "set-config",
                                         "packet-in",
                                         "flow-removed",
                                         "port-status",
                                         "packet-out",
                                         "flow-mod"};
constexpr uint8_t kMaxType[] = {0, 21, 23, 25, 29, 33, 35}; // by version

struct State {
    uint32_t skip[2]; // rest of a message that is not read
};

struct Message {
    uint8_t version = 0, type = 0;
    uint16_t length = 0;
};

bool head(Bytes in, Message &out) {
    out.version = in.u8();
    out.type = in.u8();
    out.length = in.u16();
    return in.ok() && out.version >= 1 && out.version <= 6 && out.type <= kMaxType[out.version] && out.length >= kHead;
}

enum class Look : uint8_t { no, more, yes };

// HELLO, from 1.3 on with elements: a bitmap of versions is the only kind (section 7.5.1).
Look hello(Bytes in) {
    Message message;
    if (in.left() >= 2 && (in.data()[0] < 1 || in.data()[0] > 6 || in.data()[1] != kHello)) return Look::no;
    if (in.left() < kHead) return Look::more;
    if (!head(in, message) || message.length > 64 || message.length % 4) return Look::no;
    if (in.left() < message.length) return Look::more;
    in.skip(kHead);
    Bytes elements = in.take(message.length - kHead);
    while (elements.left()) {
        const uint16_t type = elements.u16(), length = elements.u16();
        if (type != 1 || length < 8 || length % 4) return Look::no;
        elements.skip(length - 4u);
        if (!elements.ok()) return Look::no;
    }
    return Look::yes;
}

Look recognise(Flow flow, const aicore_payload &payload) {
    const Look own = hello(bytes(payload));
    if (own != Look::yes) return own;
    if (payload.other_length) return hello({payload.other, payload.other_length});
    if (!flow.port(kPorts[0]) && !flow.port(kPorts[1])) return Look::more;
    Bytes in = bytes(payload);
    in.skip(static_cast<size_t>(payload.data[2] << 8 | payload.data[3]));
    Message next;
    if (in.left() < 4) return Look::more;
    return head(in, next) && next.type != kHello ? Look::yes : Look::no;
}

void report(Flow flow, const Message &message, Bytes body) {
    flow.set(kVersion, message.version);
    const char *const name = message.type < std::size(kMessageNames) ? kMessageNames[message.type] : "other";
    flow.set(kMessage, name);
    flow.add(kMessages, name);
    if (message.type == kFeaturesReply) flow.set(kDatapath, hex_text(body.take(8)).view());
    if (message.type == kErrorMessage)
        if (const uint16_t error = body.u16(); body.ok()) flow.set(kError, error);
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (!flow.recognised()) {
        const Look look = recognise(flow, payload);
        if (look != Look::yes) return look == Look::no ? AICORE_NO : AICORE_MORE;
    } else if (payload.flags & AICORE_GAP) {
        return AICORE_DONE; // where a message begins is lost
    }
    Bytes in = bytes(payload);
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        if (in.left() < kHead + 8 && (in.left() < kHead || in.left() < size_t(in.data()[2] << 8 | in.data()[3]))) break;
        Message message;
        if (!head(in, message)) {
            flow.anomaly(kBadMessage);
            return AICORE_DONE;
        }
        Bytes body = in.take_some(message.length);
        state.skip[side] = static_cast<uint32_t>(message.length - body.left());
        body.skip(kHead);
        report(flow, message, body);
    }
    payload.consumed = payload.length - in.left();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"openflowversion", AICORE_INTEGER, 0, 0, nullptr, nullptr, "version of the last message: 1 is 1.0, 4 is 1.3, ..."},
    {"openflowmessage", AICORE_STRING, 0, 24, nullptr, nullptr, "last message: hello, packet-in, flow-mod, ..."},
    {"openflowmessages", AICORE_STRINGS, 0, 255, nullptr, nullptr, "messages seen"},
    {"openflowdatapath", AICORE_STRING, AICORE_NOTIFY, 16, nullptr, nullptr, "datapath of the switch, in hexadecimal"},
    {"openflowerror", AICORE_INTEGER, 0, 0, nullptr, nullptr, "type of the last error"},
};
constexpr const char *kAnomalies[] = {"openflow_bad_message"};
constexpr aicore_prefix kPrefixes[] = {{"\1\0", 2}, {"\2\0", 2}, {"\3\0", 2}, {"\4\0", 2}, {"\5\0", 2}, {"\6\0", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "openflow",
    .help = "OpenFlow 1.0 to 1.5: messages, datapath",
    .transports = AICORE_TCP,
    .rank = 30,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *openflow() {
    return &kProtocol;
}

} // namespace aicore::protocols
