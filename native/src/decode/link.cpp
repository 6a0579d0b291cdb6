// SPDX-License-Identifier: Apache-2.0
// Link layers, and what may stand between them and IP: VLAN tags (IEEE 802.1Q), MPLS (RFC 3032), PPPoE (RFC 2516), PPP
// (RFC 1661, 1662), LLC/SNAP (IEEE 802.2, RFC 1042). Linux cooked, BSD loopback and Cisco HDLC as libpcap's link-type
// pages describe them.
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
    if (family > 0xffff) family = __builtin_bswap32(family);
    v = v.from(4);
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

Verdict cooked(uint16_t type, View v, Walk &w) {
    constexpr uint16_t kLlc = 4; // ETH_P_802_2
    return type == kLlc ? llc(v, w) : ethertype(type, v, w);
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

// Whether the type field of an Ethernet header that starts here is one that MPLS is likely to carry.
bool looks_ethernet(View v) {
    if (!v.has(14)) return false;
    uint16_t type = be16(v.data + 12);
    return type == kTypeIpv4 || type == kTypeIpv6 || type == kTypeArp || type == kTypeVlan || type == kTypeQinq ||
           type == kTypeMpls || type == kTypePppoe;
}

bool looks_ipv4(View v) {
    return v.has(20) && (v.data[0] & 15) >= 5 && be16(v.data + 2) >= 20 && be16(v.data + 2) <= v.length;
}

bool looks_ipv6(View v) {
    return v.has(40) && be16(v.data + 4) + 40u <= v.length;
}

} // namespace

Verdict ethernet(View v, Walk &w) {
    if (!v.has(14)) return w.broken(Counter::short_link);
    return ethertype(be16(v.data + 12), v.from(14), w, true);
}

Verdict ethertype(uint16_t type, View v, Walk &w, bool may_be_length) {
    // The outermost two tags of the frame. Tags inside a tunnel count only if there were none outside; a tag of VLAN 0
    // carries a priority and no VLAN.
    bool tagged = w.at.vlan != 0;
    for (int tags = 0; type == kTypeVlan || type == kTypeQinq || type == kTypeQinqOld; ++tags) {
        if (tags == kMaxTags) return w.broken(Counter::too_deep);
        if (!v.has(4)) return w.broken(Counter::short_link);
        uint16_t vlan = be16(v.data) & 0xfff;
        if (!tagged && vlan != 0) {
            if (w.at.vlan == 0)
                w.at.vlan = vlan;
            else if (w.at.vlan_inner == 0)
                w.at.vlan_inner = vlan;
        }
        type = be16(v.data + 2);
        v = v.from(4);
    }
    switch (type) {
    case kTypeIpv4:
        return ipv4(v, w);
    case kTypeIpv6:
        return ipv6(v, w);
    case kTypeArp:
        return w.not_ip(Counter::arp);
    case kTypeMpls:
    case kTypeMplsMulticast:
        return mpls(v, w);
    case kTypePppoe:
        return pppoe(v, w);
    default:
        return may_be_length && type <= 1500 ? llc(v.first(type), w) : w.not_ip();
    }
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

// No field says what follows the labels: IP by its version nibble and lengths, else an Ethernet pseudowire, with a
// control word (first nibble 0, RFC 4385) or without.
Verdict mpls(View v, Walk &w) {
    for (bool bottom = false; !bottom;) {
        if (w.at.labels++ == kMaxLabels) return w.broken(Counter::too_deep);
        if (!v.has(4)) return w.broken(Counter::short_link);
        bottom = (v.data[2] & 1) != 0;
        v = v.from(4);
    }
    if (!v.has(1)) return w.broken(Counter::short_link);
    uint8_t nibble = v.data[0] >> 4;
    if (nibble == 4 && (looks_ipv4(v) || !looks_ethernet(v))) return ipv4(v, w);
    if (nibble == 6 && (looks_ipv6(v) || !looks_ethernet(v))) return ipv6(v, w);
    if (nibble == 0 && v.has(4)) {
        // The control word of an unsequenced pseudowire is all zero; an address that starts so is hardly seen.
        View behind = v.from(4);
        if (looks_ethernet(behind) && (!looks_ethernet(v) || be32(v.data) == 0)) return ethernet(behind, w);
    }
    return looks_ethernet(v) ? ethernet(v, w) : w.not_ip();
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
    case kDltRaw12:
    case kDltRaw14:
    case kLinktypeRaw:
        return ip(v, w);
    default:
        return w.not_ip();
    }
}

} // namespace aicore::wire
