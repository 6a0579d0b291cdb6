// SPDX-License-Identifier: Apache-2.0
// What the layers of the decoder share: the window on the frame, what was found on the way down, and the layers.
// A layer checks its length first, then reads, then calls the layer above. Nothing is counted on the way: a tunnel
// may turn out to hold nothing, and then the outer packet is what counts (decoder.cpp does the counting).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "aicore/counters.h"
#include "aicore/decode.h"
#include "aicore/packet.h"

namespace aicore {

class FragmentTable;

namespace wire {

constexpr int kMaxTags = 16;      // tags of a frame, behind all of its Ethernet headers together
constexpr int kMaxLabels = 16;    // MPLS labels of a frame, all stacks together
constexpr int kMaxTunnels = 4;    // tunnels inside each other
constexpr int kMaxExtensions = 8; // IPv6 extension headers of one packet

enum EtherType : uint16_t {
    kTypeIpv4 = 0x0800,
    kTypeArp = 0x0806,
    kTypeTrill = 0x22f3,
    kTypeTeb = 0x6558, // transparent Ethernet bridging, in GRE and Geneve
    kTypeVlan = 0x8100,
    kTypeIpv6 = 0x86dd,
    kTypeMpls = 0x8847,
    kTypeMplsMulticast = 0x8848,
    kTypePppoe = 0x8864, // session stage
    kTypeQinq = 0x88a8,
    kTypeMacsec = 0x88e5,
    kTypePbb = 0x88e7,
    kTypeCiscoMetadata = 0x8909,
    kTypeVnTag = 0x8926,
    kTypeHsr = 0x892f,
    kTypeTrillLabel = 0x893b, // fine-grained label
    kTypeETag = 0x893f,
    kTypeNsh = 0x894f,
    kTypeQinqOld = 0x9100,
};

constexpr uint8_t kProtoIcmp = 1, kProtoIgmp = 2, kProtoIpv4 = 4, kProtoIpv6 = 41, kProtoGre = 47, kProtoEsp = 50,
                  kProtoAh = 51, kProtoIcmpv6 = 58, kProtoEtherip = 97, kProtoPim = 103, kProtoIpcomp = 108,
                  kProtoL2tp = 115, kProtoSctp = 132, kProtoMpls = 137;

template <class T> inline T load(const uint8_t *p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}
inline uint16_t be16(const uint8_t *p) {
    uint16_t v = load<uint16_t>(p);
    return std::endian::native == std::endian::little ? __builtin_bswap16(v) : v;
}
inline uint32_t be32(const uint8_t *p) {
    uint32_t v = load<uint32_t>(p);
    return std::endian::native == std::endian::little ? __builtin_bswap32(v) : v;
}
inline uint64_t be64(const uint8_t *p) {
    uint64_t v = load<uint64_t>(p);
    return std::endian::native == std::endian::little ? __builtin_bswap64(v) : v;
}

// The rest of the frame from some layer on. `captured` bytes may be read; `length` are those that were on the wire
// (never fewer), for counting.
struct View {
    const uint8_t *data;
    uint32_t captured;
    uint32_t length;

    bool has(uint32_t n) const { return captured >= n; }
    View from(uint32_t n) const { return {data + n, captured - n, length - n}; } // only if has(n)
    View first(uint32_t n) const { return {data, captured < n ? captured : n, length < n ? length : n}; }
};

enum class Verdict : uint8_t {
    flow,      // Walk::out is complete
    waiting,   // a fragment that waits for the one that tells its flow
    untracked, // an IP packet of a kind that is counted only
    not_ip,    // the frame, or the tunnel, carries something else
    broken     // a header is impossible or cut: Found::why says which
};

// What was seen on the way down. A copy of it is what brings a failed look into a tunnel back to the outer packet.
struct Found {
    Counter why = Counter::none;     // of a verdict other than flow: what to count
    Counter anomaly = Counter::none; // the first thing wrong that did not stop decoding
    uint16_t vlan = 0, vlan_inner = 0;
    uint32_t tunnel_id = 0;
    Tunnel tunnel = Tunnel::none;
    Tunnel tunnel_of_id = Tunnel::none; // the one that gave tunnel_id
    uint8_t tunnels = 0, labels = 0, tags = 0;
    uint8_t version = 0;          // of the innermost IP header read
    uint8_t together = 0;         // datagrams that were put together on the way here
    bool fragment = false;        // some IP header of the frame belongs to a fragment
    bool first_fragment = false;  // the innermost one does, and more follow
    bool cut = false;             // the rest is in later fragments: inner lengths may exceed the window
    bool duplicate = false;       // a fragment that came before
    bool in_datagram = false;     // no IP header since the last fragment header
    const uint8_t *src = nullptr; // addresses in the innermost IP header; `version` says how long
    const uint8_t *dst = nullptr;
    uint32_t ip_bytes = 0; // its datagram, on the wire
};

struct Walk {
    Packet &out;
    FragmentTable &fragments;
    int64_t time;
    const DecodeOptions &options;
    Found at{};

    Verdict broken(Counter why) {
        at.why = why;
        return Verdict::broken;
    }
    Verdict untracked(Counter why) {
        at.why = why;
        return Verdict::untracked;
    }
    Verdict not_ip(Counter why = Counter::other_link) {
        at.why = why;
        return Verdict::not_ip;
    }
    void note(Counter anomaly) {
        if (at.anomaly == Counter::none) at.anomaly = anomaly;
    }
    // False: that is one tunnel too many.
    bool enter(Tunnel tunnel) {
        at.tunnel = tunnel;
        return ++at.tunnels <= kMaxTunnels;
    }
    // Of the tunnel that was entered last.
    void identify(uint32_t id) {
        at.tunnel_id = id;
        at.tunnel_of_id = at.tunnel;
    }
    // False: that is one tag too many.
    bool tag() { return at.tags++ < kMaxTags; }
};

// What of a packet no layer but the way to it tells.
void finish(Packet &out, const Walk &w);

// link.cpp
Verdict link(int linktype, View v, Walk &w);
bool link_supported(int linktype);
Verdict ethernet(View v, Walk &w);
Verdict address_family(uint32_t family, View v, Walk &w); // AF_INET or any system's AF_INET6
Verdict cisco_hdlc(View v, Walk &w);
Verdict llc(View v, Walk &w); // IEEE 802.2
Verdict ppp(View v, Walk &w);
Verdict pppoe(View v, Walk &w);

// ethertype.cpp. `v` starts behind the type field. Only behind Ethernet addresses may the type be a length instead
// (IEEE 802.3).
Verdict ethertype(uint16_t type, View v, Walk &w, bool may_be_length = false);
Verdict nsh(View v, Walk &w);
Verdict nsh_next(uint8_t next, View v, Walk &w); // its next protocols, which VXLAN-GPE has, too

// mpls.cpp
Verdict mpls(View v, Walk &w);
// Whether the bytes are what the name says, for headers that nothing announces: a header whose lengths fit the window.
bool looks_ethernet(View v); // of a type that carries IP, or ARP
bool looks_ipv4(View v);
bool looks_ipv6(View v);
bool fills_as_ip(View v); // one of the two, with nothing behind it

// pseudo.cpp: headers that the capturing system adds.
Verdict nflog(View v, Walk &w);
Verdict pflog(View v, Walk &w);
Verdict pktap(View v, Walk &w);
Verdict ppi(View v, Walk &w);

// lines.cpp
Verdict arcnet(View v, bool linux, Walk &w);
Verdict frame_relay(View v, Walk &w);
Verdict slip(View v, Walk &w);

// wifi.cpp
Verdict ieee80211(View v, Walk &w, bool exchanged = false); // `exchanged`: flags stand before the type
Verdict radiotap(View v, Walk &w);

// ip.cpp
Verdict ip(View v, Walk &w); // by the version nibble
Verdict ipv4(View v, Walk &w);
Verdict ipv6(View v, Walk &w);

// fragmented.cpp
struct FragmentHeader {
    uint32_t id;
    uint32_t offset; // bytes
    bool more;
    uint8_t proto;
};
// `v` is what the fragment carries, `headers` extension headers stand before it.
Verdict fragment(const FragmentHeader &header, View v, int headers, Walk &w);
// The next datagram that will not become whole, as Decoder::overdue().
bool overdue(FragmentTable &table, int64_t time, const DecodeOptions &options, Packet &out);
// In ip.cpp: what stands behind an IP header or its extension headers.
Verdict carried(uint8_t next, View v, int headers, Walk &w);

// transport.cpp
Verdict tcp(View v, Walk &w);
Verdict udp(View v, Walk &w);

// tunnel.cpp
Verdict ip_in_ip(uint8_t proto, View v, Walk &w);
Verdict gre(View v, Walk &w);
Verdict etherip(View v, Walk &w);
Verdict pim(View v, Walk &w);
Verdict mpls_in_ip(View v, Walk &w);

// l2tp.cpp
Verdict l2tp_in_ip(View v, Walk &w);
Verdict l2tp_in_udp(View v, Walk &w);

// udp_tunnel.cpp. What a UDP datagram between these ports may carry; `v` is the UDP payload.
Verdict udp_tunnel(uint16_t src_port, uint16_t dst_port, View v, Walk &w);

constexpr uint16_t kPortL2tp = 1701, kPortGtpu = 2152, kPortTeredo = 3544, kPortVxlan = 4789, kPortVxlanGpe = 4790,
                   kPortAyiya = 5072, kPortCapwapData = 5247, kPortGeneve = 6081, kPortMpls = 6635,
                   kPortVxlanLinux = 8472;

constexpr size_t tunnel_place(uint16_t port) {
    return (port ^ port >> 9) & 31; // of the ports above, no two have the same
}

// A datagram costs two look-ups, however many there are.
alignas(64) constexpr auto kTunnelPorts = [] {
    std::array<uint16_t, 32> table{};
    for (uint16_t port : {kPortL2tp, kPortGtpu, kPortTeredo, kPortVxlan, kPortVxlanGpe, kPortAyiya, kPortCapwapData,
                          kPortGeneve, kPortMpls, kPortVxlanLinux}) {
        uint16_t &place = table[tunnel_place(port)];
        if (place != 0) throw "two ports at one place"; // at compile time
        place = port;
    }
    return table;
}();

// Whether one of the ports is a tunnel's; port 0, which is none's, passes too.
inline bool may_be_tunnel(uint16_t src_port, uint16_t dst_port) {
    return kTunnelPorts[tunnel_place(dst_port)] == dst_port || kTunnelPorts[tunnel_place(src_port)] == src_port;
}

} // namespace wire
} // namespace aicore
