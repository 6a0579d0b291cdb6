// SPDX-License-Identifier: Apache-2.0
// What a source hands out (RawPacket) and what decoding makes of it (Packet). Both live on the engine thread's stack
// and point into the source's buffer: valid until the source reads the next packet, a fragment until the decoder does.
#pragma once

#include <cstdint>
#include <cstring>

namespace aicore {

struct RawPacket {
    const uint8_t *data;
    uint32_t captured; // bytes readable at data
    uint32_t length;   // bytes on the wire; for counting only, never for reading
    int64_t time;      // nanoseconds since the epoch, UTC
    int linktype;      // DLT_* value of libpcap
};

constexpr uint8_t kProtoTcp = 6;
constexpr uint8_t kProtoUdp = 17;

// Flags of the TCP header, byte 13 (RFC 9293 section 3.1).
enum TcpFlag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32, kEce = 64, kCwr = 128 };

// Numbers are those of aicore_tunnel in meter.h, names in row.h.
enum class Tunnel : uint8_t {
    none,
    ipip,
    gre,
    erspan,
    vxlan,
    geneve,
    gtpu,
    teredo,
    pbb,
    trill,
    etherip,
    l2tp,
    capwap,
    ayiya,
    mpls, // in UDP or IP
    pim,  // register
    count_
};

// Identity of a flow, the same for both directions: endpoint a is the smaller of the two (address, then port).
// Compared byte by byte, so every byte is set. IPv4 addresses fill the first 4 bytes, the rest is zero.
struct FlowKey {
    uint8_t a[16];
    uint8_t b[16];
    uint16_t port_a; // host order, as all numbers here
    uint16_t port_b;
    uint16_t vlan;       // outermost VLAN id (12 bits); 0 = untagged, or VLAN not part of the identity
    uint16_t vlan_inner; // second VLAN id of QinQ
    uint32_t tunnel_id;  // VXLAN/Geneve VNI, GRE key, PBB I-SID; 0 where the tunnel has no direction-free id (never a
                         // GTP TEID), or ids are not part of the identity
    uint8_t proto;       // kProtoTcp or kProtoUdp
    uint8_t version;     // 4 or 6
    uint8_t tunnel;      // Tunnel that gave tunnel_id, else 0: a mirrored IP-in-IP path is the same flow
    uint8_t zero;
};
static_assert(sizeof(FlowKey) == 48);

inline bool operator==(const FlowKey &x, const FlowKey &y) {
    return std::memcmp(&x, &y, sizeof x) == 0;
}

struct Packet;

// What a packet that is a part of an IP datagram counts for. Fragments that came before the one that tells whose they
// are are counted with it.
struct Fragmented {
    uint32_t packets;       // of the flow; 0 = the frame is a further part of a tunnel's outer datagram
    uint32_t payload_bytes; // each byte of the datagram once
    uint64_t bytes;         // as Packet::ip_bytes
    int64_t earliest;       // time of the first of them
    const Packet *whole;    // the datagram, if it is complete with this packet: what dissectors look at; else null
};

// One decoded packet: the innermost IP datagram that carries TCP or UDP.
struct Packet {
    FlowKey key;
    // From here to `tunnel` as in aicore_packet, so that a meter's view of it is one copy.
    int64_t time;             // as RawPacket
    const uint8_t *ip;        // innermost IP header
    const uint8_t *transport; // null in a fragment that is not the first
    const uint8_t *payload;   // behind the headers that were read, also where none was captured
    uint32_t ip_bytes;        // IP datagram on the wire: IPv4 total length, IPv6 40 + payload length
    uint32_t payload_length;  // captured bytes readable at payload
    uint32_t payload_bytes;   // payload bytes on the wire (>= payload_length)
    uint32_t seq;             // TCP, as the next three
    uint32_t ack;
    uint16_t window;
    uint8_t tcp_flags; // TcpFlag bits
    Tunnel tunnel;     // innermost tunnel, for the record

    uint32_t tunnel_id; // for the record, also when not part of the key, as the next two
    uint16_t vlan;
    uint16_t vlan_inner;
    uint16_t anomaly; // Counter of the first thing wrong with this packet that did not stop decoding, 0 = none
    bool reversed;    // the sender is endpoint b
    const Fragmented *fragment; // null = not a fragment; it and what it points to belong to the decoder
};

} // namespace aicore
