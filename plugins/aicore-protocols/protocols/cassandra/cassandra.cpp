// SPDX-License-Identifier: Apache-2.0
// Apache Cassandra: CQL's native protocol, versions 1 to 5 (doc/native_protocol_v5.spec of the project), and the magic
// of connections between nodes. Recognised by STARTUP or SUPPORTED, which name CQL_VERSION, or on 9042 by OPTIONS.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kVersion, kCql, kDriver, kOperation, kOperations, kKeyspace, kError };
enum Anomaly : uint32_t { kBadFrame };
enum Operation : uint8_t { kErrorReply = 0, kStartup = 1, kReady = 2, kAuthenticate = 3, kOptions = 5, kSupported = 6 };
enum : uint8_t { kResult = 8, kMaxOperation = 0x10 };

constexpr size_t kHead = 2048;
constexpr uint32_t kMaxLength = 256 << 20; // section 2.5
constexpr uint8_t kListBound = 16;
constexpr uint32_t kInternode = 0xca552dfa;
constexpr uint16_t kPorts[] = {9042};
constexpr std::string_view kCqlVersion = "CQL_VERSION";

constexpr std::string_view kNames[kMaxOperation + 1] = {
    "ERROR",          "STARTUP",       "READY",        "AUTHENTICATE", "",         "OPTIONS", "SUPPORTED",
    "QUERY",          "RESULT",        "PREPARE",      "EXECUTE",      "REGISTER", "EVENT",   "BATCH",
    "AUTH_CHALLENGE", "AUTH_RESPONSE", "AUTH_SUCCESS",
};
// Section 2.4: which of them only servers send.
constexpr bool response(uint8_t operation) {
    return operation == kErrorReply || operation == kReady || operation == kAuthenticate || operation == kSupported ||
           operation == kResult || operation == 0x0c || operation == 0x0e || operation == 0x10;
}

struct State {
    uint32_t skip[2];
    uint8_t operations;
};

struct Frame {
    bool server = false;
    uint8_t version = 0, flags = 0, operation = 0;
    uint32_t length = 0;
    size_t header = 9; // 8 up to version 2
};

// Section 2. More than these bits of flags there are not.
bool frame(Bytes &in, Frame &out) {
    const uint8_t first = in.u8();
    out.server = first & 0x80;
    out.version = first & 0x7f;
    out.flags = in.u8();
    out.header = out.version <= 2 ? 8 : 9;
    in.skip(out.version <= 2 ? 1 : 2); // stream
    out.operation = in.u8();
    out.length = in.u32();
    return out.version >= 1 && out.version <= 5 && out.flags < 0x20;
}

int64_t size(Bytes in) {
    Frame f;
    const Bytes start = in;
    if (!frame(in, f) && start.left() >= 2) return -1;
    if (!in.ok()) return 0;
    if (f.operation > kMaxOperation || kNames[f.operation].empty() || f.length > kMaxLength) return -1;
    if (response(f.operation) != f.server) return -1;
    return static_cast<int64_t>(f.header) + f.length;
}

std::string_view string(Bytes &in) {
    return text(in.take(in.u16()));
}

// A map of names to a text (STARTUP) or to a list of them (SUPPORTED). Whether it says which CQL.
bool map(Flow flow, Bytes in, bool lists) {
    bool found = false;
    for (uint16_t n = in.u16(); n && in.ok(); --n) {
        const std::string_view name = string(in);
        std::string_view value;
        for (uint16_t values = lists ? in.u16() : 1; values && in.ok(); --values)
            value = string(in);
        if (name == kCqlVersion && in.ok() && printable(value)) {
            found = true;
            if (!lists) flow.set(kCql, value);
            flow.first(kCql, value);
        }
        if (name == "DRIVER_NAME") flow.first(kDriver, value);
    }
    return found;
}

Message read(Flow flow, State &state, Bytes in, bool proven) {
    Frame f;
    frame(in, f);
    const bool plain = (f.flags & 1) == 0; // not compressed
    const bool named =
        (f.operation == kStartup || f.operation == kSupported) && plain && map(flow, in, f.operation == kSupported);
    if (!proven && !named && f.operation != kOptions) return Message::broken;
    if (f.operation == kOptions && f.length) return Message::broken;
    flow.set(kVersion, f.version);
    if (!f.server) {
        flow.set(kOperation, kNames[f.operation]);
        if (state.operations < kListBound) {
            ++state.operations;
            flow.add(kOperations, kNames[f.operation]);
        }
    }
    if (f.flags & 2 && f.server) in.skip(16); // tracing: a UUID in front
    if (f.operation == kErrorReply && plain) {
        const uint32_t code = in.u32();
        if (in.ok()) flow.set(kError, code);
    }
    if (f.operation == kResult && plain && f.flags < 8 && in.u32() == 3)
        flow.first(kKeyspace, string(in)); // Set_keyspace
    if (f.version == 5 && (f.operation == kReady || f.operation == kAuthenticate)) return Message::last;
    if (named || proven) return Message::proof;
    return flow.port(kPorts[0]) ? Message::proof : Message::fits;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    Bytes in = bytes(payload);
    const Bytes start = in;
    if (!flow.recognised() && start.left() &&
        *start.data() == 0xca) { // org.apache.cassandra.net.Message.PROTOCOL_MAGIC
        const uint32_t magic = in.u32();
        if (!in.ok()) return AICORE_MORE;
        const uint32_t flags = in.u32();
        if (magic != kInternode) return AICORE_NO;
        if (!in.ok()) return AICORE_MORE;
        flow.set(kVersion, flags >> 8 & 0xff);
        return AICORE_DONE;
    }
    return each_message(flow, payload, state.skip, kBadFrame, kHead, size,
                        [&](Bytes message, bool proven) { return read(flow, state, message, proven); });
}

constexpr aicore_field kFields[] = {
    {"cassandraversion", AICORE_INTEGER, 0, 0, nullptr, nullptr,
     "version of the protocol, of CQL or, between nodes, of their messages"},
    {"cassandracql", AICORE_STRING, 0, 16, nullptr, nullptr, "version of CQL, the client's if it was seen"},
    {"cassandradriver", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "driver of the client"},
    {"cassandraoperation", AICORE_STRING, 0, 16, nullptr, nullptr, "last operation of the client"},
    {"cassandraoperations", AICORE_STRINGS, 0, 16, nullptr, nullptr, "first 16 operations of the client, each once"},
    {"cassandrakeyspace", AICORE_STRING, 0, 64, nullptr, nullptr, "first keyspace that was chosen"},
    {"cassandraerror", AICORE_INTEGER, 0, 0, nullptr, nullptr, "code of the last error"},
};
constexpr const char *kAnomalies[] = {"cassandra_bad_frame"};
constexpr aicore_prefix kPrefixes[] = {
    {"\xca\x55\x2d\xfa", 4},
    {"\1", 1},
    {"\2", 1},
    {"\3", 1},
    {"\4", 1},
    {"\5", 1},
    {"\x81", 1},
    {"\x82", 1},
    {"\x83", 1},
    {"\x84", 1},
    {"\x85", 1},
};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "cassandra",
    .help = "Cassandra: CQL's native protocol, connections between nodes",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *cassandra() {
    return &kProtocol;
}

} // namespace aicore::protocols
