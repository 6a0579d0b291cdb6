// SPDX-License-Identifier: Apache-2.0
// IP-in-IP (RFC 2003, 2473, 4213), GRE (RFC 2784, 2890) with PPTP (RFC 2637) and ERSPAN (draft-foschiano-erspan), VXLAN
// (RFC 7348), Geneve (RFC 8926), GTP-U (3GPP TS 29.281), Teredo (RFC 4380).
#include "layers.h"

namespace aicore::wire {
namespace {

constexpr uint16_t kTypeErspan = 0x88be, kTypeErspan3 = 0x22eb, kTypePpp = 0x880b;

uint32_t be24(const uint8_t *p) {
    return be32(p) >> 8;
}

// Type I: the frame itself. Type II and III: a header in front, told by its version.
Verdict erspan(uint16_t type, bool sequenced, View v, Walk &w) {
    w.at.tunnel = Tunnel::erspan;
    if (type == kTypeErspan) {
        if (!sequenced) return ethernet(v, w);
        return v.has(8) ? ethernet(v.from(8), w) : w.broken(Counter::bad_tunnel);
    }
    if (!v.has(12)) return w.broken(Counter::bad_tunnel);
    uint16_t word = be16(v.data + 10);
    uint32_t header = (word & 1) != 0 ? 20 : 12; // O: a platform-specific sub-header follows
    if (!v.has(header)) return w.broken(Counter::bad_tunnel);
    bool is_ip = ((word >> 10) & 31) == 2; // FT: 0 Ethernet, 2 IP
    return is_ip ? ip(v.from(header), w) : ethernet(v.from(header), w);
}

Verdict gre_payload(uint16_t type, bool sequenced, View v, Walk &w) {
    switch (type) {
    case kTypeErspan:
    case kTypeErspan3:
        return erspan(type, sequenced, v, w);
    case kTypeTeb:
        return ethernet(v, w);
    case kTypePpp:
        return ppp(v, w);
    default:
        return ethertype(type, v, w);
    }
}

Verdict vxlan(View v, Walk &w) {
    if (!v.has(8)) return w.not_ip();
    if ((v.data[0] & 0x08) == 0) return w.not_ip(); // I: the VNI is valid; other flags are to be ignored
    if (!w.enter(Tunnel::vxlan)) return w.broken(Counter::too_deep);
    w.identify(be24(v.data + 4));
    return ethernet(v.from(8), w);
}

Verdict geneve(View v, Walk &w) {
    if (!v.has(8) || (v.data[0] & 0xc0) != 0) return w.not_ip(); // version 0
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

Verdict teredo(View v, Walk &w) {
    if (v.has(4) && v.data[0] == 0 && v.data[1] == 1) { // authentication: client id, value, nonce, confirmation
        uint32_t header = 4u + v.data[2] + v.data[3] + 9;
        if (!v.has(header)) return w.not_ip();
        v = v.from(header);
    }
    if (v.has(8) && v.data[0] == 0 && v.data[1] == 0) v = v.from(8); // origin
    if (!v.has(1) || v.data[0] >> 4 != 6) return w.not_ip();
    if (!w.enter(Tunnel::teredo)) return w.broken(Counter::too_deep);
    return ipv6(v, w);
}

} // namespace

Verdict ip_in_ip(uint8_t proto, View v, Walk &w) {
    if (!w.enter(Tunnel::ipip)) return w.broken(Counter::too_deep);
    return proto == kProtoIpv4 ? ipv4(v, w) : ipv6(v, w);
}

Verdict gre(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::bad_tunnel);
    uint16_t flags = be16(v.data), type = be16(v.data + 2);
    constexpr uint16_t kChecksum = 0x8000, kRouting = 0x4000, kKey = 0x2000, kSequence = 0x1000, kAck = 0x0080;
    uint16_t version = flags & 7;
    bool pptp = version == 1 && type == kTypePpp && (flags & kKey) != 0;
    if ((version != 0 && !pptp) || (flags & kRouting) != 0) return w.untracked(Counter::other_ip);
    if (!w.enter(Tunnel::gre)) return w.broken(Counter::too_deep);
    uint32_t header = 4;
    if (!pptp && (flags & kChecksum) != 0) header += 4;
    uint32_t key_at = header;
    if ((flags & kKey) != 0) header += 4;
    if ((flags & kSequence) != 0) header += 4;
    if (pptp && (flags & kAck) != 0) header += 4;
    if (!v.has(header)) return w.broken(Counter::bad_tunnel);
    if (pptp) {
        if ((flags & kSequence) == 0) return w.untracked(Counter::other_ip); // an acknowledgement alone
        v = v.from(header).first(be16(v.data + key_at)); // here the key is payload length and call id of one direction
    } else {
        if ((flags & kKey) != 0) w.identify(be32(v.data + key_at));
        v = v.from(header);
    }
    Verdict verdict = gre_payload(type, (flags & kSequence) != 0, v, w);
    // Keep-alives, routing protocols, encrypted PPP: the outer packet is what is left to count.
    return verdict == Verdict::not_ip ? w.untracked(Counter::other_ip) : verdict;
}

Verdict udp_tunnel(uint16_t src_port, uint16_t dst_port, View v, Walk &w) {
    switch (dst_port) {
    case kPortVxlan:
    case kPortVxlanLinux:
        return vxlan(v, w);
    case kPortGeneve:
        return geneve(v, w);
    case kPortGtpu:
        return gtpu(v, w);
    case kPortTeredo:
        return teredo(v, w);
    default:
        return src_port == kPortGtpu ? gtpu(v, w) : teredo(v, w);
    }
}

} // namespace aicore::wire
