// SPDX-License-Identifier: Apache-2.0
// SSH (RFC 4253): the identification line of both sides (section 4.2), then the packets in the clear (section 6) up to
// SSH_MSG_NEWKEYS (section 7.3). What follows is encrypted and never looked at.
#include <iterator>

#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kClient, kServer, kVersion, kHandshake, kClearBytes };
enum Anomaly : uint32_t { kBadLine, kBadPacket };
enum class Phase : uint8_t { line, packets, finished };

constexpr size_t kMaxLine = 255;     // section 4.2, with CR LF
constexpr size_t kMaxPacket = 35000; // section 6.1, for all of a packet; the largest that everybody must take
constexpr size_t kMaxGreeting = 4096;
constexpr uint8_t kNewKeys = 21;
constexpr uint16_t kPorts[] = {22};

struct State {
    Phase phase[2];
    bool encrypts[2]; // NEWKEYS seen
    uint32_t skip[2]; // rest of a packet that is not read
    uint32_t clear;   // payload bytes of both sides up to NEWKEYS
};

// "SSH-2.0-software comments": the version, and software with comments.
struct Identification {
    std::string_view version, software;
};

bool parse(std::string_view line, Identification &out) {
    if (!line.starts_with("SSH-") || line.size() > kMaxLine || !printable(line)) return false;
    line.remove_prefix(4);
    const size_t dash = line.find('-');
    if (dash == line.npos || dash < 3 || !is_digit(line[0]) || line[1] != '.') return false;
    for (const char c : line.substr(2, dash - 2))
        if (!is_digit(c)) return false;
    out = {line.substr(0, dash), trim(line.substr(dash + 1))};
    return true;
}

enum class Packets : uint8_t { more, encrypted, bad };

// Of each packet its head alone: length, padding length, message number.
Packets packets(Bytes &in, State &state, int side) {
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        state.clear += static_cast<uint32_t>(rest);
        if (in.left() < 6) return Packets::more;
        Bytes head = in;
        const uint32_t length = head.u32();
        const uint8_t padding = head.u8(), number = head.u8();
        if (length < 12 || length > kMaxPacket || padding < 4 || padding + 1u >= length || number == 0)
            return Packets::bad;
        if (number == kNewKeys) {
            state.clear += length + 4;
            return Packets::encrypted;
        }
        state.skip[side] = length + 4;
    }
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_DONE; // where a packet begins is lost
    Bytes in = bytes(payload);
    while (state.phase[side] == Phase::line) {
        bool whole = false;
        const std::string_view line = first_line(text(in), whole);
        const bool wanted = std::string_view("SSH-").starts_with(line.substr(0, 4));
        if (!whole) {
            if (line.size() > (wanted ? kMaxLine : kMaxGreeting) || (!wanted && !flow.recognised())) {
                if (!flow.recognised()) return AICORE_NO;
                flow.anomaly(kBadLine);
                return AICORE_DONE;
            }
            payload.consumed = payload.length - in.left();
            return flow.recognised() ? AICORE_YES : AICORE_MORE;
        }
        Identification id;
        if (!parse(line, id)) {
            if (!flow.recognised()) return AICORE_NO;
            if (wanted) {
                flow.anomaly(kBadLine);
                return AICORE_DONE;
            }
            in.skip(text(in).find('\n') + 1); // a server may say other lines before, section 4.2
            continue;
        }
        const size_t length = text(in).find('\n') + 1;
        in.skip(length);
        state.clear += static_cast<uint32_t>(length);
        flow.set(flow.from_server(payload, kPorts) ? kServer : kClient, id.software);
        flow.set(kVersion, id.version);
        state.phase[side] = id.version.starts_with("1.") && id.version != "1.99" ? Phase::finished : Phase::packets;
    }
    if (state.phase[side] == Phase::packets) {
        const Packets result = packets(in, state, side);
        if (result == Packets::bad) {
            flow.anomaly(kBadPacket);
            return AICORE_DONE;
        }
        if (result == Packets::encrypted) {
            state.phase[side] = Phase::finished;
            state.encrypts[side] = true;
        }
    }
    if (state.phase[0] == Phase::finished && state.phase[1] == Phase::finished) {
        if (state.encrypts[0] && state.encrypts[1]) {
            flow.set(kHandshake, 1);
            flow.set(kClearBytes, state.clear);
        }
        return AICORE_DONE;
    }
    payload.consumed = state.phase[side] == Phase::finished ? payload.length : payload.length - in.left();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"sshclient", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "software of the client, with comments"},
    {"sshserver", AICORE_STRING, AICORE_NOTIFY, 0, nullptr, nullptr, "software of the server, with comments"},
    {"sshversion", AICORE_STRING, 0, 8, nullptr, nullptr, "protocol version of the side that spoke last"},
    {"sshhandshake", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 once both sides have begun to encrypt"},
    {"sshclearbytes", AICORE_INTEGER, 0, 0, "bytes", nullptr,
     "payload before encryption, both sides; the rest of payload_bytes is encrypted"},
};
constexpr const char *kAnomalies[] = {"ssh_bad_line", "ssh_bad_packet"};
constexpr aicore_prefix kPrefixes[] = {{"SSH-", 4}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "ssh",
    .help = "SSH 1 and 2: software of both sides",
    .transports = AICORE_TCP,
    .rank = 0,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *ssh() {
    return &kProtocol;
}

} // namespace aicore::protocols
