// SPDX-License-Identifier: Apache-2.0
// WebSocket (RFC 6455): frames behind the upgrade that HTTP has seen. In the middle of a connection by a text of the
// client: masked bytes that become text.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kClient, kServer, kOperations, kClose };
enum Anomaly : uint32_t { kBadFrame };
enum Operation : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kCloses = 8, kPing = 9, kPong = 10 };

constexpr size_t kHead = 256;
constexpr size_t kProof = 8; // characters of text that are unlikely by chance
constexpr size_t kMaxControl = 125;

struct State {
    uint32_t skip[2];
    uint32_t frames[2]; // of client, server
};

std::string_view name(uint8_t operation) {
    switch (operation) {
    case kContinuation:
        return "continuation";
    case kText:
        return "text";
    case kBinary:
        return "binary";
    case kCloses:
        return "close";
    case kPing:
        return "ping";
    case kPong:
        return "pong";
    default:
        return {};
    }
}

struct Frame { // section 5.2
    bool final = false, masked = false;
    uint8_t reserved = 0, operation = 0, mask[4] = {};
    uint64_t length = 0;
    size_t header = 0;
    Bytes body; // what of it is there
};

// 0: cannot tell yet, negative: none.
int parse(Bytes in, Frame &out) {
    const size_t size = in.left();
    const uint8_t first = in.u8();
    if (!in.ok()) return 0;
    out.final = first & 0x80;
    out.reserved = first >> 4 & 7;
    out.operation = first & 15;
    if (name(out.operation).empty() || out.reserved & 3) return -1; // RSV1: compressed, RFC 7692
    const uint8_t second = in.u8();
    out.masked = second & 0x80;
    out.length = second & 0x7f;
    if (in.ok() && out.operation >= kCloses && (!out.final || out.length > kMaxControl || out.reserved)) return -1;
    if (out.length == 126) {
        out.length = in.u16();
        if (in.ok() && out.length < 126) return -1;
    } else if (out.length == 127) {
        const uint64_t high = in.u32();
        out.length = high << 32 | in.u32();
        if (in.ok() && out.length < 0x10000) return -1;
    }
    if (out.masked)
        for (uint8_t &byte : out.mask)
            byte = in.u8();
    if (!in.ok()) return 0;
    out.header = size - in.left();
    out.body = in;
    return 1;
}

int64_t size(Bytes in) {
    Frame f;
    const int found = parse(in, f);
    if (found != 1) return found;
    const uint64_t total = f.length + f.header;
    return f.length > UINT32_MAX || total > UINT32_MAX ? -1 : static_cast<int64_t>(total);
}

uint8_t plain(const Frame &f, size_t at) {
    return f.body.data()[at] ^ (f.masked ? f.mask[at % 4] : 0);
}

// Whether what is there of it is text, of some length.
bool is_text(const Frame &f) {
    const size_t there = std::min<uint64_t>(f.length, f.body.left());
    if (!f.final || f.reserved || f.operation != kText || there < std::min<uint64_t>(f.length, 64)) return false;
    for (size_t i = 0; i < there; ++i) {
        const uint8_t c = plain(f, i);
        if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c >= 0x7f) return false;
    }
    return true;
}

Message read(Flow flow, State &state, Bytes in, const aicore_payload &payload, bool proven) {
    const bool middle = payload.flags & AICORE_MIDSTREAM;
    Frame f;
    parse(in, f);
    if (!proven && (!middle || !is_text(f))) return Message::broken;
    const bool proof = proven || (f.masked && f.length >= kProof);
    const bool from_server = middle ? !f.masked : payload.reverse; // section 5.1; some clients do not mask
    flow.set(from_server ? kServer : kClient, ++state.frames[from_server]);
    flow.add(kOperations, name(f.operation));
    if (f.operation == kCloses && f.length >= 2 && f.body.left() >= 2) flow.set(kClose, plain(f, 0) << 8 | plain(f, 1));
    return proof ? Message::proof : Message::fits;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!(payload.flags & AICORE_MIDSTREAM) && !flow.recognised())
        return AICORE_NO; // HTTP is what a connection begins with
    return each_message(flow, payload, state.skip, kBadFrame, kHead, size,
                        [&](Bytes in, bool proven) { return read(flow, state, in, payload, proven); });
}

constexpr aicore_field kFields[] = {
    {"websocketclientframes", AICORE_INTEGER, 0, 0, "frames", nullptr, "frames of the client"},
    {"websocketserverframes", AICORE_INTEGER, 0, 0, "frames", nullptr, "frames of the server"},
    {"websocketoperations", AICORE_STRINGS, 0, 16, nullptr, nullptr,
     "kinds of frames: text, binary, continuation, ping, pong, close"},
    {"websocketclose", AICORE_INTEGER, 0, 0, nullptr, nullptr, "code with which the last side closed"},
};
constexpr const char *kAnomalies[] = {"websocket_bad_frame"};
constexpr aicore_prefix kPrefixes[] = {{"\x81", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "websocket",
    .help = "WebSocket behind an upgrade of HTTP: frames and their kinds",
    .transports = AICORE_TCP,
    .rank = 60,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *websocket() {
    return &kProtocol;
}

} // namespace aicore::protocols
