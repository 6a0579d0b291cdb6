// SPDX-License-Identifier: Apache-2.0
// Link types, and the layers that several of them share: Ethernet and LLC/SNAP (IEEE 802.3, 802.2, RFC 1042), PPP
// (RFC 1661, 1662), PPPoE (RFC 2516), Linux cooked, BSD loopback and Cisco HDLC. What a link type's number stands for:
// www.tcpdump.org/linktypes.html.
#include <pcap/dlt.h>

#include "layers.h"

namespace aicore::wire {
namespace {

constexpr int kLinktypeRaw = 101; // LINKTYPE_RAW, as files have it; DLT_RAW is 12 or 14 by platform
constexpr int kDltRaw12 = 12, kDltRaw14 = 14;

// DLT_NULL: an address family in the byte order of the host that captured. DLT_LOOP: in network order.
Verdict loopback(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::short_link);
    uint32_t family = be32(v.data);
    return address_family(family > 0xffff ? __builtin_bswap32(family) : family, v.from(4), w);
}

Verdict cooked(uint16_t type, View v, Walk &w) {
    constexpr uint16_t kLlc = 4; // ETH_P_802_2
    return type == kLlc ? llc(v, w) : ethertype(type, v, w);
}

} // namespace

Verdict address_family(uint32_t family, View v, Walk &w) {
    switch (family) {
    case 2:
        return ipv4(v, w);
    case 10: // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS
    case 23:
    case 24:
    case 28:
    case 30:
        return ipv6(v, w);
    default:
        return w.not_ip();
    }
}

Verdict cisco_hdlc(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::short_link);
    return ethertype(be16(v.data + 2), v.from(4), w);
}

Verdict pppoe(View v, Walk &w) {
    if (!v.has(6)) return w.broken(Counter::short_link);
    if (v.data[0] != 0x11 || v.data[1] != 0) return w.not_ip(); // version and type 1; code 0 carries data
    return ppp(v.from(6).first(be16(v.data + 4)), w);
}

Verdict ethernet(View v, Walk &w) {
    if (!v.has(14)) return w.broken(Counter::short_link);
    return ethertype(be16(v.data + 12), v.from(14), w, true);
}

// IEEE 802.2; only SNAP carries IP.
Verdict llc(View v, Walk &w) {
    if (!v.has(3)) return w.broken(Counter::short_link);
    if (v.data[0] != 0xaa || v.data[1] != 0xaa || v.data[2] != 3) return w.not_ip();
    if (!v.has(8)) return w.broken(Counter::short_link);
    uint32_t organisation = be32(v.data + 2) & 0xffffff;
    uint16_t type = be16(v.data + 6);
    // 00-00-00 and, for bridged frames, 00-00-F8 (IEEE 802.1H) say that an EtherType follows.
    if (organisation != 0 && organisation != 0xf8) return w.not_ip();
    return ethertype(type, v.from(8), w);
}

Verdict ppp(View v, Walk &w) {
    if (v.has(2) && v.data[0] == 0xff && v.data[1] == 3) v = v.from(2); // address and control, unless compressed
    if (!v.has(1)) return w.broken(Counter::short_link);
    uint32_t protocol = v.data[0], size = 1; // one byte if odd (protocol field compression)
    if ((protocol & 1) == 0) {
        if (!v.has(2)) return w.broken(Counter::short_link);
        protocol = be16(v.data);
        size = 2;
    }
    switch (protocol) {
    case 0x21:
        return ipv4(v.from(size), w);
    case 0x57:
        return ipv6(v.from(size), w);
    case 0x281:
    case 0x283:
        return mpls(v.from(size), w);
    default:
        return w.not_ip();
    }
}

bool link_supported(int linktype) {
    switch (linktype) {
    case DLT_EN10MB:
    case DLT_NULL:
    case DLT_LOOP:
    case DLT_PPP:
    case DLT_PPP_SERIAL:
    case DLT_PPP_ETHER:
    case DLT_C_HDLC:
    case DLT_LINUX_SLL:
    case DLT_LINUX_SLL2:
    case DLT_IPV4:
    case DLT_IPV6:
    case DLT_IEEE802_11:
    case DLT_IEEE802_11_RADIO:
    case DLT_ARCNET:
    case DLT_ARCNET_LINUX:
    case DLT_FRELAY:
    case DLT_SLIP:
    case DLT_NFLOG:
    case DLT_PFLOG:
    case DLT_PKTAP:
    case DLT_PPI:
    case kDltRaw12:
    case kDltRaw14:
    case kLinktypeRaw:
        return true;
    default:
        return false;
    }
}

Verdict link(int linktype, View v, Walk &w) {
    switch (linktype) {
    case DLT_EN10MB:
        return ethernet(v, w);
    case DLT_NULL:
    case DLT_LOOP:
        return loopback(v, w);
    case DLT_PPP:
    case DLT_PPP_SERIAL:
        // Cisco's framing on the same kind of line: unicast or broadcast address, control 0.
        if (v.has(2) && (v.data[0] == 0x0f || v.data[0] == 0x8f) && v.data[1] == 0) return cisco_hdlc(v, w);
        return ppp(v, w);
    case DLT_PPP_ETHER:
        return pppoe(v, w);
    case DLT_C_HDLC:
        return cisco_hdlc(v, w);
    case DLT_LINUX_SLL:
        return v.has(16) ? cooked(be16(v.data + 14), v.from(16), w) : w.broken(Counter::short_link);
    case DLT_LINUX_SLL2:
        return v.has(20) ? cooked(be16(v.data), v.from(20), w) : w.broken(Counter::short_link);
    case DLT_IPV4:
        return ipv4(v, w);
    case DLT_IPV6:
        return ipv6(v, w);
    case DLT_IEEE802_11:
        return ieee80211(v, w);
    case DLT_IEEE802_11_RADIO:
        return radiotap(v, w);
    case DLT_ARCNET:
    case DLT_ARCNET_LINUX:
        return arcnet(v, linktype == DLT_ARCNET_LINUX, w);
    case DLT_FRELAY:
        return frame_relay(v, w);
    case DLT_SLIP:
        return slip(v, w);
    case DLT_NFLOG:
        return nflog(v, w);
    case DLT_PFLOG:
        return pflog(v, w);
    case DLT_PKTAP:
        return pktap(v, w);
    case DLT_PPI:
        return ppi(v, w);
    case kDltRaw12:
    case kDltRaw14:
    case kLinktypeRaw:
        return ip(v, w);
    default:
        return w.not_ip();
    }
}

} // namespace aicore::wire
