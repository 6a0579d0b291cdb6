// SPDX-License-Identifier: Apache-2.0
// Apache Kafka (kafka.apache.org/protocol): requests with their API, version and client. Recognised by a request whose
// parts agree: elsewhere than on 9092 one that asks for the versions, or one with the answer to its number.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kClient, kApi, kApis, kTopic, kSoftware };
enum Anomaly : uint32_t { kBadMessage };
enum Api : uint16_t { kProduce = 0, kMetadata = 3, kVersions = 18 };

constexpr size_t kHead = 512;              // of a request: what is waited for
constexpr uint32_t kMaxLength = 100 << 20; // message.max.bytes and socket.request.max.bytes by default
constexpr uint8_t kListBound = 16;
constexpr uint16_t kPorts[] = {9092};

// By number. Those of the servers among themselves have no name here.
constexpr std::string_view kApiNames[] = {
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "",
    "",
    "",
    "",
    "OffsetCommit",
    "OffsetFetch",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
    "LeaveGroup",
    "SyncGroup",
    "DescribeGroups",
    "ListGroups",
    "SaslHandshake",
    "ApiVersions",
    "CreateTopics",
    "DeleteTopics",
    "DeleteRecords",
    "InitProducerId",
    "OffsetForLeaderEpoch",
    "AddPartitionsToTxn",
    "AddOffsetsToTxn",
    "EndTxn",
    "WriteTxnMarkers",
    "TxnOffsetCommit",
    "DescribeAcls",
    "CreateAcls",
    "DeleteAcls",
    "DescribeConfigs",
    "AlterConfigs",
    "AlterReplicaLogDirs",
    "DescribeLogDirs",
    "SaslAuthenticate",
};
constexpr uint16_t kMaxApi = 92, kMaxVersion = 20; // of Kafka 4, with room for some more

struct State {
    uint32_t skip[2];
    uint8_t apis;
    uint8_t server; // 1: the side of the flow's first packet, 2: the other
};

struct Request {
    uint32_t length = 0, number = 0;
    uint16_t api = 0, version = 0;
    std::string_view client;
    Bytes body;
};

// NULLABLE_STRING: -1 is none.
bool string(Bytes &in, std::string_view &out) {
    const uint16_t length = in.u16();
    if (length == 0xffff) return in.ok();
    out = text(in.take(length));
    return in.ok() && length <= 255 && printable(out);
}

// Compact strings have their length and one more in front (of one byte here: the shorter ones).
std::string_view compact(Bytes &in) {
    const uint8_t length = in.u8();
    const std::string_view out = length && length < 0x80 ? text(in.take(length - 1u)) : std::string_view();
    return printable(out) ? out : std::string_view();
}

// Request header v1: what all but very old and very few requests begin with.
bool request(Bytes in, Request &out) {
    out.length = in.u32();
    out.api = in.u16();
    out.version = in.u16();
    out.number = in.u32();
    const bool named = string(in, out.client);
    out.body = in;
    return named && out.api <= kMaxApi && out.version <= kMaxVersion && out.number < 0x80000000 &&
           out.length >= 10 + out.client.size() && out.length <= kMaxLength;
}

// In it stands nothing but the client, or since version 3 its software.
bool asks_versions(Request r) {
    if (r.api != kVersions || r.version > 4) return false;
    if (r.version < 3) return r.length == 10 + r.client.size();
    r.body.skip(1); // tagged fields
    const bool software = !compact(r.body).empty() && !compact(r.body).empty();
    return software && r.body.left() == 1;
}

// The first topic, where the version has it in front. Topics are letters, digits and "._-".
std::string_view topic(Request r) {
    std::string_view name;
    if (r.api == kMetadata && r.version <= 8) {
        const uint32_t count = r.body.u32();
        if (count == 0 || count > 10000 || !string(r.body, name)) return {};
    } else if (r.api == kProduce && r.version <= 8) {
        std::string_view transaction;
        if (r.version >= 3 && !string(r.body, transaction)) return {};
        r.body.skip(2 + 4); // acknowledgements, time
        if (r.body.u32() == 0 || !string(r.body, name)) return {};
    }
    for (const char c : name)
        if (!is_alpha(c) && !is_digit(c) && c != '.' && c != '_' && c != '-') return {};
    return name;
}

void take(Flow flow, State &state, const Request &r) {
    flow.first(kClient, r.client);
    if (r.api < std::size(kApiNames) && !kApiNames[r.api].empty()) {
        flow.set(kApi, kApiNames[r.api]);
        if (state.apis < kListBound) {
            ++state.apis;
            flow.add(kApis, kApiNames[r.api]);
        }
    }
    flow.first(kTopic, topic(r));
    if (r.api == kVersions && r.version >= 3 && asks_versions(r)) {
        Bytes body = r.body;
        body.skip(1);
        flow.first(kSoftware, compact(body));
    }
}

int64_t size(Bytes in) {
    const uint32_t length = in.u32();
    if (!in.ok()) return 0;
    return length < 4 || length > kMaxLength ? -1 : int64_t{length} + 4;
}

// Finds out who asks.
int recognise(Flow flow, const aicore_payload &payload, State &state) {
    const uint8_t side = payload.reverse & 1;
    const Bytes in = bytes(payload);
    Bytes ahead = in;
    const uint32_t length = ahead.u32();
    if (!ahead.ok()) return AICORE_MORE;
    if (length < 4 || length > kMaxLength) return AICORE_NO;
    const uint32_t number = ahead.u32();
    if (!ahead.ok()) return AICORE_MORE;
    Bytes other(payload.other, payload.other_length);
    Request asked, here;
    if (request(other, asked) && !asked.client.empty() && number == asked.number) { // this is the answer
        state.server = static_cast<uint8_t>(1 + side);
        take(flow, state, asked);
        return AICORE_YES;
    }
    if (number >> 16 > kMaxApi || (number & 0xffff) > kMaxVersion) return AICORE_NO; // here API and version
    if (in.left() < std::min<size_t>(length + 4u, kHead) && !(payload.flags & AICORE_TRUNCATED)) return AICORE_MORE;
    if (!request(Bytes(in.data(), std::min<size_t>(in.left(), length + 4u)), here)) return AICORE_NO;
    other.skip(4);
    const bool answered = !here.client.empty() && other.u32() == here.number && other.ok();
    if (!answered && !asks_versions(here) && (here.client.empty() || !flow.port(kPorts[0]))) return AICORE_MORE;
    state.server = static_cast<uint8_t>(2 - side);
    return AICORE_YES;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.recognised())
        if (const int answer = recognise(flow, payload, state); answer != AICORE_YES) return answer;
    return each_message(flow, payload, state.skip, kBadMessage, kHead, size, [&](Bytes in, bool) {
        if (state.server == 1 + (payload.reverse & 1)) return Message::proof;
        Request r;
        if (!request(in, r)) return Message::broken;
        take(flow, state, r);
        return Message::proof;
    });
}

constexpr aicore_field kFields[] = {
    {"kafkaclient", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "client id of the first request that has one"},
    {"kafkaapi", AICORE_STRING, 0, 32, nullptr, nullptr, "last API that was asked for"},
    {"kafkaapis", AICORE_STRINGS, 0, 32, nullptr, nullptr, "APIs of the first 16 requests"},
    {"kafkatopic", AICORE_STRING, 0, 255, nullptr, nullptr, "first topic of a Metadata or Produce request"},
    {"kafkasoftware", AICORE_STRING, 0, 0, nullptr, nullptr, "software of the client, as ApiVersions names it"},
};
constexpr const char *kAnomalies[] = {"kafka_bad_message"};
constexpr aicore_prefix kPrefixes[] = {{"\0", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "kafka",
    .help = "Apache Kafka: client, APIs, topic",
    .transports = AICORE_TCP,
    .rank = 40,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *kafka() {
    return &kProtocol;
}

} // namespace aicore::protocols
