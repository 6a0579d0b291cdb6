// SPDX-License-Identifier: Apache-2.0
// What the protocol of an IP header announces: IP-in-IP (RFC 2003, 2473, 4213), GRE (RFC 2784, 2890) with PPTP (RFC
// 2637), ERSPAN (draft-foschiano-erspan) and WCCP, EtherIP (RFC 3378), PIM register (RFC 7761 section 4.9.3), MPLS (RFC
// 4023).
#include "layers.h"

namespace aicore::wire {
namespace {

constexpr uint16_t kTypeErspan = 0x88be, kTypeErspan3 = 0x22eb, kTypePpp = 0x880b, kTypeWccp = 0x883e;

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

// Behind the fixed header of WCCP version 2 (draft-mclaggan-wccp-v2rev1 section 4.12); version 1 has none.
Verdict wccp(View v, Walk &w) {
    if (!looks_ipv4(v) && !looks_ipv6(v)) { // a flag of version 2 looks like the version of IPv4
        if (!v.has(4)) return w.broken(Counter::bad_tunnel);
        v = v.from(4);
    }
    return ip(v, w);
}

// Here the type of what follows stands in front: type, version 1, words of options, options.
Verdict cisco_metadata(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::bad_tunnel);
    uint32_t header = 4 + v.data[3] * 4u;
    if (v.data[2] != 1 || !v.has(header)) return w.broken(Counter::bad_tunnel);
    return ethertype(be16(v.data), v.from(header), w);
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
    case kTypeWccp:
        return wccp(v, w);
    case kTypeCiscoMetadata:
        return cisco_metadata(v, w);
    default:
        return ethertype(type, v, w);
    }
}

// Keep-alives, routing protocols, encrypted PPP: the outer packet is what is left to count.
Verdict or_other(Verdict verdict, Walk &w) {
    return verdict == Verdict::not_ip ? w.untracked(Counter::other_ip) : verdict;
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
    return or_other(gre_payload(type, (flags & kSequence) != 0, v, w), w);
}

Verdict etherip(View v, Walk &w) {
    if (!v.has(2)) return w.broken(Counter::bad_tunnel);
    if (v.data[0] >> 4 != 3) return w.untracked(Counter::other_ip); // version; the other bits are reserved
    if (!w.enter(Tunnel::etherip)) return w.broken(Counter::too_deep);
    return or_other(ethernet(v.from(2), w), w);
}

Verdict pim(View v, Walk &w) {
    constexpr uint8_t kRegister = 0x21;  // version 2, type 1
    constexpr uint32_t kNull = 1u << 30; // a header alone, to say that the source is still there
    if (!v.has(1)) return w.broken(Counter::bad_tunnel);
    if (v.data[0] != kRegister) return w.untracked(Counter::other_ip);
    if (!v.has(8)) return w.broken(Counter::bad_tunnel);
    if ((be32(v.data + 4) & kNull) != 0) return w.untracked(Counter::other_ip);
    if (!w.enter(Tunnel::pim)) return w.broken(Counter::too_deep);
    return ip(v.from(8), w);
}

Verdict mpls_in_ip(View v, Walk &w) {
    if (!w.enter(Tunnel::mpls)) return w.broken(Counter::too_deep);
    return or_other(mpls(v, w), w);
}

} // namespace aicore::wire
