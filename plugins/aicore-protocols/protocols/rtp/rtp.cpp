// SPDX-License-Identifier: Apache-2.0
// RTP (RFC 3550 section 5.1, payload types of RFC 3551), over UDP or behind lengths in TCP (RFC 4571). A header alone
// proves nothing: three packets of a direction that follow each other are recognised, or in one datagram what goes with
// the header: sound in the codec that it names, a transport stream, or header extensions.
#include <cstdlib>
#include <iterator>

#include "aicore/dissector.h"
#include "hex.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kType, kCodec, kSource, kSources };

constexpr size_t kHeader = 12, kMaxFrame = 1500;
constexpr uint8_t kFrames = 3;    // of a direction that must follow each other
constexpr uint16_t kMaxStep = 16; // of their numbers in datagrams, of which some are lost
constexpr uint8_t kMaxSeen = 64;  // packets after which the other direction is not waited for
constexpr uint8_t kPcmu = 0, kGsm = 3, kPcma = 8, kTransportStream = 33;

struct Packet {
    uint8_t type = 0;
    uint16_t number = 0;
    uint32_t time = 0, source = 0;
    Bytes payload;
    bool extension = false; // one of RFC 8285 whose elements fill it
};

const char *codec(uint8_t type) {
    static constexpr const char *kNames[] = {"PCMU", "",    "",    "GSM",   "G723", "DVI4", "DVI4", "LPC",  "PCMA",
                                             "G722", "L16", "L16", "QCELP", "CN",   "MPA",  "G728", "DVI4", "DVI4",
                                             "G729", "",    "",    "",      "",     "",     "",     "CelB", "JPEG",
                                             "",     "nv",  "",    "",      "H261", "MPV",  "MP2T", "H263"};
    return type < std::size(kNames) ? kNames[type] : "";
}

struct State {
    struct Side {
        uint8_t frames, type;
        uint16_t number;
        uint32_t time, source;
    } side[2]; // before recognition: its last packet, and how many follow each other up to it
    uint8_t sides, seen;
};

// RFC 8285 section 4.2 and 4.3. Padding stands between elements and behind them.
bool elements(uint16_t profile, Bytes in) {
    const bool one = profile == 0xbede;
    if (!one && profile >> 4 != 0x100) return false;
    size_t count = 0;
    while (in.left()) {
        const uint8_t id = in.u8();
        if (id == 0) continue;
        if (one && id >> 4 == 15) return false;
        in.skip(one ? (id & 15) + 1u : in.u8());
        ++count;
    }
    return in.ok() && count > 0;
}

bool parse(Bytes in, Packet &out) {
    const uint8_t first = in.u8(), second = in.u8();
    out.type = second & 0x7f;
    out.number = in.u16();
    out.time = in.u32();
    out.source = in.u32();
    in.skip(4u * (first & 15));
    if (first & 0x10) {
        const uint16_t profile = in.u16();
        const Bytes body = in.take(4u * in.u16());
        out.extension = in.ok() && body.left() && elements(profile, body);
    }
    size_t padding = 0;
    if (first & 0x20 && in.left()) padding = in.data()[in.left() - 1];
    if (!in.ok() || first >> 6 != 2 || (out.type >= 64 && out.type < 96)) return false; // RFC 5761: those are RTCP's
    if (padding > in.left() || (first & 0x20 && padding == 0)) return false;
    out.payload = in.take(in.left() - padding);
    return true;
}

// G.711 (RFC 3551 section 4.5.14): packets of whole 10 ms, in which the loudness of neighbours is alike: two random
// bytes are of the same or the next segment 11 times of 32, samples of sound (silence, too) nearly always.
bool sound(Bytes in, uint8_t type) {
    const size_t length = in.left();
    if (length == 0 || length > 480 || length % 80) return false;
    const int mask = type == kPcma ? 0x55 : 0;
    size_t alike = 0;
    for (size_t i = 1; i < length; ++i) {
        const uint8_t a = in.data()[i - 1], b = in.data()[i];
        alike += (a || b) && std::abs(((a ^ mask) >> 4 & 7) - ((b ^ mask) >> 4 & 7)) <= 1; // zeros are full volume
    }
    return alike * 10 >= length * 6;
}

// Blocks that each begin alike: GSM's 33 bytes with the nibble 13 (RFC 3551 section 4.5.8.1), packets of a transport
// stream with their sync byte (RFC 2250 section 2).
bool blocks(Bytes in, size_t size, uint8_t mask, uint8_t begin) {
    if (in.left() < size || in.left() % size) return false;
    for (; in.left(); in.skip(size))
        if ((*in.data() & mask) != begin) return false;
    return true;
}

bool proof(const Packet &packet) {
    if (packet.extension) return true;
    switch (packet.type) {
    case kPcmu:
    case kPcma:
        return sound(packet.payload, packet.type);
    case kGsm:
        return packet.payload.left() >= 66 && blocks(packet.payload, 33, 0xf0, 0xd0);
    case kTransportStream:
        return blocks(packet.payload, 188, 0xff, 0x47);
    default:
        return false;
    }
}

// Whether so many packets of a direction follow each other that it is no chance.
bool follows(State::Side &last, const Packet &packet, uint16_t step) {
    const auto ahead = static_cast<uint16_t>(packet.number - last.number);
    const bool next = last.frames && packet.type == last.type && packet.source == last.source && ahead >= 1 &&
                      ahead <= step && static_cast<int32_t>(packet.time - last.time) >= 0;
    last = {static_cast<uint8_t>(next ? last.frames + 1 : 1), packet.type, packet.number, packet.time, packet.source};
    return last.frames >= kFrames;
}

void report(Flow flow, const Packet &packet) {
    const uint32_t value = packet.source;
    const uint8_t source[] = {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
                              static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
    flow.set(kType, packet.type);
    flow.set(kCodec, codec(packet.type));
    flow.first(kSource, hex_text({source, 4}).view());
    flow.add(kSources, hex_text({source, 4}).view());
}

int stream(Flow flow, const aicore_payload &payload) {
    Bytes in = bytes(payload);
    Packet packet;
    State::Side last{};
    do {
        const uint16_t length = in.u16();
        if (!in.ok() || in.left() == 0) return AICORE_MORE;
        if (length < kHeader || length > kMaxFrame || *in.data() >> 6 != 2) return AICORE_NO;
        if (in.left() < length) return AICORE_MORE;
        const uint8_t frames = last.frames;
        if (!parse(in.take(length), packet)) return AICORE_NO;
        follows(last, packet, 1);
        if (last.frames <= frames) return AICORE_NO;
    } while (last.frames < kFrames);
    report(flow, packet);
    return AICORE_DONE;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.tcp()) return stream(flow, payload);
    Packet packet;
    const int side = payload.reverse & 1;
    const bool fits = parse(bytes(payload), packet);
    if (!flow.recognised() && !fits) return AICORE_NO;
    if (!flow.recognised() && !follows(state.side[side], packet, kMaxStep) && !proof(packet)) return AICORE_MORE;
    if (fits) {
        report(flow, packet);
        state.sides |= static_cast<uint8_t>(1 << side);
    }
    return state.sides == 3 || ++state.seen >= kMaxSeen ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"rtptype", AICORE_INTEGER, 0, 0, nullptr, nullptr, "payload type of the last packet that was looked at"},
    {"rtpcodec", AICORE_STRING, 0, 16, nullptr, nullptr, "its encoding, where the number is of RFC 3551"},
    {"rtpssrc", AICORE_STRING, 0, 8, nullptr, nullptr, "source of the first packet, in hexadecimal"},
    {"rtpssrcs", AICORE_STRINGS, 0, 0, nullptr, nullptr, "sources of both directions"},
};
// Version 2 with at most one CSRC; in TCP the length, of frames up to an Ethernet's.
constexpr aicore_prefix kPrefixes[] = {{"\x80", 1}, {"\x81", 1}, {"\x90", 1}, {"\xa0", 1}, {"\xb0", 1}, {"\0", 1},
                                       {"\1", 1},   {"\2", 1},   {"\3", 1},   {"\4", 1},   {"\5", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "rtp",
    .help = "RTP: sources and payload types",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 80,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *rtp() {
    return &kProtocol;
}

} // namespace aicore::protocols
