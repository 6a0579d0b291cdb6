// SPDX-License-Identifier: Apache-2.0
// The way in: a fast path for the packets that make up nearly all traffic, and the walk through the layers for the
// rest. Counting happens here, once it is known what a frame is.
#include "aicore/decode.h"

#include <pcap/dlt.h>

#include "fragments.h"
#include "transport.h"

namespace aicore {

using wire::be16;

namespace {

struct Fast {
    const uint8_t *header; // transport header
    uint32_t captured;     // of the transport header and what follows
    uint32_t length;       // the same on the wire
};

// False: nothing was decided, `out` may be partly written and the walk has to look.
inline bool fast_transport(uint8_t proto, const Fast &at, uint16_t &src_port, uint16_t &dst_port, Packet &out) {
    uint32_t size;
    if (proto == kProtoTcp) {
        if (at.captured < wire::kTcpHeader) return false;
        size = (at.header[12] >> 4) * 4u;
        if (size < wire::kTcpHeader || size > at.captured) return false;
        wire::tcp_fields(out, at.header);
    } else if (proto == kProtoUdp) {
        size = wire::kUdpHeader;
        if (at.captured < size || be16(at.header + 4) != at.length) return false;
        wire::no_tcp_fields(out);
    } else {
        return false;
    }
    src_port = be16(at.header);
    dst_port = be16(at.header + 2);
    if (proto == kProtoUdp && wire::may_be_tunnel(src_port, dst_port)) return false;
    out.transport = at.header;
    out.payload = at.header + size;
    out.payload_length = at.captured - size;
    out.payload_bytes = at.length - size;
    return true;
}

// Ethernet with at most one VLAN tag, IPv4 without options or IPv6 without extension headers, not a fragment, TCP or
// UDP, all lengths as they should be.
inline bool fast_path(const RawPacket &raw, bool vlan_in_key, Packet &out) {
    const uint8_t *p = raw.data;
    uint32_t offset = 14;
    if (raw.captured < 14 + 4 + 20) return false;
    uint16_t type = be16(p + 12), vlan = 0;
    if (type == wire::kTypeVlan) {
        vlan = be16(p + 14) & 0xfff;
        type = be16(p + 16);
        offset = 18;
    }
    const uint8_t *ip = p + offset;
    uint32_t captured = raw.captured - offset;
    uint32_t length = (raw.length > raw.captured ? raw.length : raw.captured) - offset;
    uint16_t src_port, dst_port;
    FlowKey &key = out.key;
    if (type == wire::kTypeIpv4) {
        uint32_t total = be16(ip + 2);
        if (ip[0] != 0x45 || (be16(ip + 6) & 0x3fff) != 0 || total < 20 || total > length) return false;
        Fast at = {ip + 20, (captured < total ? captured : total) - 20, total - 20};
        if (!fast_transport(ip[9], at, src_port, dst_port, out)) return false;
        out.reversed = wire::endpoints4(key, ip + 12, ip + 16, src_port, dst_port);
        key.proto = ip[9];
        key.version = 4;
        out.ip_bytes = total;
    } else if (type == wire::kTypeIpv6) {
        if (captured < 40) return false;
        uint32_t total = be16(ip + 4) + 40u;
        if (ip[0] >> 4 != 6 || total == 40 || total > length) return false;
        Fast at = {ip + 40, (captured < total ? captured : total) - 40, total - 40};
        if (!fast_transport(ip[6], at, src_port, dst_port, out)) return false;
        out.reversed = wire::endpoints6(key, ip + 8, ip + 24, src_port, dst_port);
        key.proto = ip[6];
        key.version = 6;
        out.ip_bytes = total;
    } else {
        return false;
    }
    out.ip = ip;
    key.vlan = vlan_in_key ? vlan : 0;
    key.vlan_inner = 0;
    key.tunnel_id = 0;
    key.tunnel = 0;
    key.zero = 0;
    out.time = raw.time;
    out.vlan = vlan;
    out.vlan_inner = 0;
    out.anomaly = 0;
    out.tunnel = Tunnel::none;
    out.tunnel_id = 0;
    out.fragment = nullptr;
    return true;
}

// Out of line, so that the fast path does not pay for its registers.
[[gnu::noinline]] bool walk(const RawPacket &raw, const DecodeOptions &options, FragmentTable &fragments,
                            Counters &counters, Packet &out) {
    wire::Walk w{out, fragments, raw.time, options};
    uint32_t length = raw.length > raw.captured ? raw.length : raw.captured;
    wire::Verdict verdict = wire::link(raw.linktype, {raw.data, raw.captured, length}, w);

    if (w.at.version != 0) ++counters[w.at.version == 4 ? Counter::ipv4 : Counter::ipv6];
    if (w.at.fragment) ++counters[Counter::fragments];
    if (w.at.duplicate) ++counters[Counter::duplicate_fragments];
    if (w.at.tunnels != 0) ++counters[Counter::tunnelled];
    // Overlaps were counted, each datagram once.
    if (w.at.anomaly != Counter::none && w.at.anomaly != Counter::fragment_overlaps) ++counters[w.at.anomaly];
    if (verdict != wire::Verdict::flow) {
        if (verdict != wire::Verdict::waiting && w.at.why != Counter::none) ++counters[w.at.why];
        return false;
    }
    const uint32_t packets = out.fragment ? out.fragment->packets : 1;
    if (packets == 0) ++counters[Counter::tunnel_fragments];
    counters[out.key.proto == kProtoTcp ? Counter::tcp : Counter::udp] += packets;
    wire::finish(out, w);
    return true;
}

} // namespace

void wire::finish(Packet &out, const Walk &w) {
    out.time = w.time;
    out.ip = w.at.src - (w.at.version == 4 ? 12 : 8); // its addresses' place in the header
    out.vlan = w.at.vlan;
    out.vlan_inner = w.at.vlan_inner;
    out.tunnel_id = w.at.tunnel_id;
    out.anomaly = static_cast<uint16_t>(w.at.anomaly);
    out.tunnel = w.at.tunnel;
}

Decoder::Decoder(const DecodeOptions &options, Counters &counters)
    : options_(options), counters_(counters),
      fragments_(std::make_unique<FragmentTable>(options.max_fragments, counters)) {}

Decoder::~Decoder() = default;

bool Decoder::supports(int linktype) {
    return wire::link_supported(linktype);
}

bool Decoder::overdue(int64_t time, Packet &out) {
    return wire::overdue(*fragments_, time, options_, out);
}

std::shared_ptr<const void> Decoder::keep(Packet &packet) const {
    return fragments_->keep(packet);
}

bool Decoder::decode(const RawPacket &raw, Packet &out) {
    ++counters_[Counter::packets];
    counters_[Counter::wire_bytes] += raw.length;
    if (raw.captured < raw.length) ++counters_[Counter::truncated_packets];
    if (raw.linktype == DLT_EN10MB && fast_path(raw, options_.vlan_in_key, out)) [[likely]] {
        ++counters_[out.key.version == 4 ? Counter::ipv4 : Counter::ipv6];
        ++counters_[out.key.proto == kProtoTcp ? Counter::tcp : Counter::udp];
        return true;
    }

    return walk(raw, options_, *fragments_, counters_, out);
}

} // namespace aicore
