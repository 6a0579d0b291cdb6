// SPDX-License-Identifier: Apache-2.0
// RTCP (RFC 3550 section 6, RFC 4585): who reports, what it hears of the other side. Recognised by packets that fill
// the datagram, of which the first is a report with the length of its blocks, or is followed by a description.
#include "aicore/dissector.h"
#include "hex.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kSource, kName, kTool, kLost, kJitter };
enum Anomaly : uint32_t { kBadPacket };
enum Type : uint8_t {
    kSender = 200,
    kReceiver,
    kDescription,
    kBye,
    kApp,
    kTransportFeedback,
    kPayloadFeedback,
    kExtended
};

struct Packet {
    uint8_t count = 0, type = 0;
    Bytes body;
};

// Section 6.1: version, and a length in words less one. Padding may stand in the last packet alone.
bool next(Bytes &in, Packet &out) {
    const uint8_t first = in.u8();
    out.count = first & 31;
    out.type = in.u8();
    const uint16_t words = in.u16();
    out.body = in.take(4u * words);
    return in.ok() && first >> 6 == 2 && out.type >= kSender && out.type <= kExtended &&
           (!(first & 0x20) || in.left() == 0);
}

bool is_report(const Packet &packet) {
    return packet.type == kSender || packet.type == kReceiver;
}

// The fixed part and 24 bytes a block; behind them a profile may have more.
size_t report_length(const Packet &packet) {
    return (packet.type == kSender ? 24u : 4u) + 24u * packet.count;
}

bool proof(Bytes in) {
    Packet first, packet;
    if (!next(in, first) || !is_report(first) || first.body.left() < report_length(first)) return false;
    bool described = false;
    while (in.left()) {
        if (!next(in, packet)) return false;
        described |= packet.type == kDescription && packet.count > 0 && packet.body.left() >= 8;
    }
    return described || first.body.left() == report_length(first);
}

void report(Flow flow, const Packet &packet) {
    Bytes in = packet.body;
    flow.set(kSource, hex_text(in.take(4)).view());
    if (packet.type == kSender) in.skip(20);
    if (packet.count == 0) return;
    in.skip(5);
    const uint32_t lost = in.u24();
    in.skip(4);
    const uint32_t jitter = in.u32();
    if (!in.ok()) return;
    flow.set(kLost, lost < 0x800000 ? lost : int64_t{lost} - 0x1000000); // signed: duplicates count less
    flow.set(kJitter, jitter);
}

// Section 6.5: per source its items, ended by a zero and filled up to a word.
void description(Flow flow, Bytes in) {
    in.skip(4);
    for (uint8_t type; in.left() && (type = in.u8()) != 0;) {
        const Bytes item = in.take(in.u8());
        if (type == 1) flow.set(kName, text(item));
        if (type == 6) flow.set(kTool, text(item));
    }
}

int inspect(Flow flow, aicore_payload &payload) {
    if (!flow.recognised() && !proof(bytes(payload))) return AICORE_NO;
    Bytes in = bytes(payload);
    if (in.left() < 2 || in.data()[0] >> 6 != 2 || in.data()[1] < 192 || in.data()[1] > 223) return AICORE_YES; // RTP
    while (in.left()) {
        Packet packet;
        if (!next(in, packet)) {
            if (!(payload.flags & AICORE_TRUNCATED)) flow.anomaly(kBadPacket);
            break;
        }
        if (is_report(packet)) report(flow, packet);
        if (packet.type == kDescription && packet.count > 0) description(flow, packet.body);
    }
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"rtcpssrc", AICORE_STRING, 0, 8, nullptr, nullptr, "source of the last report, in hexadecimal"},
    {"rtcpcname", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "canonical name of who described itself last"},
    {"rtcptool", AICORE_STRING, 0, 255, nullptr, nullptr, "its software"},
    {"rtcplost", AICORE_INTEGER, 0, 0, "packets", nullptr, "lost of what the last reporter was sent"},
    {"rtcpjitter", AICORE_INTEGER, 0, 0, nullptr, nullptr, "its jitter, in units of the media's clock"},
};
constexpr const char *kAnomalies[] = {"rtcp_bad_packet"};
constexpr aicore_prefix kPrefixes[] = {{"\x80\xc8", 2}, {"\x81\xc8", 2}, {"\x82\xc8", 2},
                                       {"\x80\xc9", 2}, {"\x81\xc9", 2}, {"\x82\xc9", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "rtcp",
    .help = "RTCP: names and reports of RTP's sources",
    .transports = AICORE_UDP,
    .rank = 15,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *rtcp() {
    return &kProtocol;
}

} // namespace aicore::protocols
