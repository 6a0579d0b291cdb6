// SPDX-License-Identifier: Apache-2.0
// Tunnels in UDP: VXLAN (RFC 7348) and VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe-13), Geneve (RFC 8926), GTP-U (3GPP TS
// 29.281), Teredo (RFC 4380), CAPWAP data (RFC 5415 section 4.3), AYIYA (draft-massar-v6ops-ayiya-02), MPLS (RFC 7510).
// A port proves nothing: what lacks a tunnel's fixed bits is not_ip, and so the outer datagram's flow. So is, as
// bad_tunnel, what has them but carries nothing that fits (transport.cpp).
#include "layers.h"

namespace aicore::wire {
namespace {

uint32_t be24(const uint8_t *p) {
    return be32(p) >> 8;
}

Verdict vxlan(View v, Walk &w) {
    if (!v.has(8)) return w.not_ip();
    if ((v.data[0] & 0x08) == 0) return w.not_ip(); // I: the VNI is valid; other flags are to be ignored
    if (!w.enter(Tunnel::vxlan)) return w.broken(Counter::too_deep);
    w.identify(be24(v.data + 4));
    return ethernet(v.from(8), w);
}

// VXLAN with a version, a flag that the type of what it carries is given, and one for operation and maintenance.
Verdict vxlan_gpe(View v, Walk &w) {
    constexpr uint8_t kVersion = 0x30, kInstance = 0x08, kNext = 0x04, kOam = 0x01, kReserved = 0xc0;
    if (!v.has(8)) return w.not_ip();
    uint8_t flags = v.data[0], next = (flags & kNext) != 0 ? v.data[3] : 3;
    if ((flags & (kReserved | kVersion | kOam)) != 0 || (flags & (kInstance | kNext)) == 0) return w.not_ip();
    if (be16(v.data + 1) != 0 || v.data[7] != 0) return w.not_ip(); // reserved
    if (!w.enter(Tunnel::vxlan)) return w.broken(Counter::too_deep);
    if ((flags & kInstance) != 0) w.identify(be24(v.data + 4));
    return nsh_next(next, v.from(8), w);
}

Verdict geneve(View v, Walk &w) {
    // Version 0; senders leave the reserved bits 0.
    if (!v.has(8) || (v.data[0] & 0xc0) != 0 || (v.data[1] & 0x3f) != 0 || v.data[7] != 0) return w.not_ip();
    uint32_t header = 8 + (v.data[0] & 0x3fu) * 4;
    uint16_t type = be16(v.data + 2);
    if (!w.enter(Tunnel::geneve)) return w.broken(Counter::too_deep);
    w.identify(be24(v.data + 4));
    if (!v.has(header)) return w.broken(Counter::bad_tunnel);
    v = v.from(header);
    return type == kTypeTeb ? ethernet(v, w) : ethertype(type, v, w);
}

Verdict gtpu(View v, Walk &w) {
    constexpr uint8_t kTpdu = 0xff;
    constexpr int kMaxGtpExtensions = 8;
    if (!v.has(8) || (v.data[0] & 0xf0) != 0x30 || v.data[1] != kTpdu) return w.not_ip(); // version 1, GTP not GTP'
    if (!w.enter(Tunnel::gtpu)) return w.broken(Counter::too_deep);
    uint8_t flags = v.data[0];
    uint32_t length = be16(v.data + 2);
    if (length > v.length - 8 && !w.at.cut) return w.broken(Counter::bad_tunnel);
    v = v.from(8).first(length);
    if ((flags & 0x07) != 0) { // sequence number, N-PDU number, extension header type: all there if one is
        if (!v.has(4)) return w.broken(Counter::bad_tunnel);
        uint8_t extension = (flags & 0x04) != 0 ? v.data[3] : 0;
        v = v.from(4);
        for (int n = 0; extension != 0; ++n) {
            if (n == kMaxGtpExtensions || !v.has(1)) return w.broken(Counter::bad_tunnel);
            uint32_t size = v.data[0] * 4u;
            if (size == 0 || !v.has(size)) return w.broken(Counter::bad_tunnel);
            extension = v.data[size - 1];
            v = v.from(size);
        }
    }
    if (!v.has(1)) return w.broken(Counter::bad_tunnel);
    uint8_t version = v.data[0] >> 4;
    return version == 4 || version == 6 ? ip(v, w) : w.not_ip(); // else an Ethernet or unstructured session
}

// Whether an IPv6 packet fills the datagram, but for trailers (RFC 6081 section 4): type, length, value.
bool fills(View v) {
    constexpr int kMaxTrailers = 8;
    constexpr uint8_t kMaxTrailer = 5; // of the types that are defined
    if (!looks_ipv6(v)) return false;
    uint32_t at = 40u + be16(v.data + 4);
    for (int n = 0; n < kMaxTrailers && at < v.length; ++n) {
        if (!v.has(at + 2) || v.data[at] == 0 || v.data[at] > kMaxTrailer) return false;
        at += 2u + v.data[at + 1];
    }
    return at == v.length;
}

// No field says that this is Teredo, so the lengths have to.
Verdict teredo(View v, Walk &w) {
    if (v.has(4) && v.data[0] == 0 && v.data[1] == 1) { // authentication: client id, value, nonce, confirmation
        uint32_t header = 4u + v.data[2] + v.data[3] + 9;
        if (!v.has(header)) return w.not_ip();
        v = v.from(header);
    }
    if (v.has(8) && v.data[0] == 0 && v.data[1] == 0) v = v.from(8); // origin
    bool begins = w.at.cut && v.has(40) && v.data[0] >> 4 == 6;      // the rest is in later fragments
    if (!begins && !fills(v)) return w.not_ip();
    if (!w.enter(Tunnel::teredo)) return w.broken(Counter::too_deep);
    return ipv6(v, w);
}

// The data channel; the control channel has a port of its own, and what it says is mostly encrypted.
Verdict capwap(View v, Walk &w) {
    if (!v.has(8)) return w.not_ip();
    // Version 4 and type 4 (1: DTLS), words of the header 5, radio 5, kind of frame 5, then flags: a native frame, a
    // fragment, the last one, wireless information, radio address, keep-alive, three reserved.
    constexpr uint32_t kNative = 0x100, kFragment = 0x80, kLast = 0x40, kKeepAlive = 0x08, kReserved = 0x07;
    uint32_t word = be32(v.data), header = (word >> 19 & 31) * 4, kind = word >> 9 & 31;
    if (word >> 24 != 0 || header < 8 || (word & (kKeepAlive | kReserved)) != 0 || !v.has(header)) return w.not_ip();
    bool fragment = (word & kFragment) != 0;
    // A later fragment counts as what it is outside; the first one says what the packet is.
    if ((be16(v.data + 6) & 7) != 0 || (fragment && be16(v.data + 6) != 0)) return w.not_ip();
    if (!fragment && (word & kLast) != 0) return w.not_ip();
    v = v.from(header);
    if (!w.enter(Tunnel::capwap)) return w.broken(Counter::too_deep);
    if (fragment) w.at.cut = true;
    if ((word & kNative) == 0) return ethernet(v, w);
    if (kind != 1) return w.not_ip(); // IEEE 802.11
    // Some access points exchange the two bytes of frame control. Its version is 0, and of the flags, which take that
    // place then, one that says the direction is set.
    bool exchanged = v.has(2) && (v.data[0] & 3) != 0 && (v.data[1] & 3) == 0;
    return ieee80211(v, w, exchanged);
}

Verdict ayiya(View v, Walk &w) {
    constexpr uint8_t kForward = 1;
    if (!v.has(8)) return w.not_ip();
    // Bits of the identity's length 4, its type 4; words of the signature 4, hash 4; authentication 4, operation 4;
    // next.
    uint32_t identity = v.data[0] >> 4, header = 8 + (1u << identity) + (v.data[1] >> 4) * 4u;
    uint8_t next = v.data[3];
    if (identity > 5 || (v.data[1] & 15) > 3 || v.data[2] >> 4 > 2 || (v.data[2] & 15) != kForward) return w.not_ip();
    if (!v.has(header)) return w.not_ip();
    v = v.from(header);
    if (!(next == kProtoIpv6 && looks_ipv6(v)) && !(next == kProtoIpv4 && looks_ipv4(v))) return w.not_ip();
    if (!w.enter(Tunnel::ayiya)) return w.broken(Counter::too_deep);
    return ip(v, w);
}

// No field says that this is MPLS: the stack has to end in time and to carry what MPLS does.
Verdict mpls_in_udp(View v, Walk &w) {
    View inner = v;
    bool bottom = false;
    for (int n = 0; n < kMaxLabels && !bottom; ++n) {
        if (!inner.has(4)) return w.not_ip();
        bottom = (inner.data[2] & 1) != 0;
        inner = inner.from(4);
    }
    bool control_word = inner.has(4) && inner.data[0] >> 4 == 0 && looks_ethernet(inner.from(4));
    if (!bottom || !(fills_as_ip(inner) || looks_ethernet(inner) || control_word)) return w.not_ip();
    if (!w.enter(Tunnel::mpls)) return w.broken(Counter::too_deep);
    return mpls(v, w);
}

} // namespace

Verdict udp_tunnel(uint16_t src_port, uint16_t dst_port, View v, Walk &w) {
    switch (dst_port) {
    case kPortVxlan:
    case kPortVxlanLinux:
        return vxlan(v, w);
    case kPortVxlanGpe:
        return vxlan_gpe(v, w);
    case kPortGeneve:
        return geneve(v, w);
    case kPortMpls:
        return mpls_in_udp(v, w);
    default:
        break;
    }
    for (uint16_t port : {dst_port, src_port}) { // of these, one end has the port
        switch (port) {
        case kPortGtpu:
            return gtpu(v, w);
        case kPortTeredo:
            return teredo(v, w);
        case kPortL2tp:
            return l2tp_in_udp(v, w);
        case kPortCapwapData:
            return capwap(v, w);
        case kPortAyiya:
            return ayiya(v, w);
        default:
            break;
        }
    }
    return w.not_ip();
}

} // namespace aicore::wire
