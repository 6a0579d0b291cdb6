// SPDX-License-Identifier: Apache-2.0
// L2TP version 2 (RFC 2661 section 3.1) and version 3 (RFC 3931 section 4.1), over UDP and, version 3, over IP.
#include "layers.h"

namespace aicore::wire {
namespace {

bool looks_ip(uint16_t type, View v) {
    return type == kTypeIpv4 ? looks_ipv4(v) : type == kTypeIpv6 && looks_ipv6(v);
}

// Ethernet whose IP header, where its type says that there is one, fits.
bool is_ethernet(View v) {
    if (!looks_ethernet(v) || (v.data[6] & 1) != 0) return false; // no sender is a group
    uint16_t type = be16(v.data + 12);
    return (type != kTypeIpv4 && type != kTypeIpv6) || looks_ip(type, v.from(14));
}
bool is_ppp(View v) {
    if (!v.has(4) || be16(v.data) != 0xff03) return false;
    uint16_t protocol = be16(v.data + 2);
    return looks_ip(protocol == 0x21 ? kTypeIpv4 : protocol == 0x57 ? kTypeIpv6 : 0, v.from(4));
}
bool is_hdlc(View v) {
    if (!v.has(4) || (be16(v.data) != 0x0f00 && be16(v.data) != 0x8f00)) return false;
    return looks_ip(be16(v.data + 2), v.from(4));
}

using Layer = Verdict (*)(View, Walk &);

Layer frame(View v) {
    return is_ethernet(v) ? ethernet : is_ppp(v) ? ppp : is_hdlc(v) ? cisco_hdlc : Layer{};
}
// A packet without a frame has nothing behind it.
Layer packet(View v) {
    return fills_as_ip(v) ? ip : Layer{};
}

// Behind the session's id stands what its two ends agreed on when they opened it: a cookie of 0, 4 or 8 bytes, a
// sublayer of 0 or 4, a pseudowire of some kind. The first place where a frame fits is taken, else that of a packet.
Verdict session(View v, Walk &w) {
    for (Layer (*kind)(View) : {frame, packet}) {
        for (uint32_t skip : {0u, 4u, 8u, 12u}) {
            Layer layer = v.has(skip) ? kind(v.from(skip)) : Layer{};
            if (!layer) continue;
            if (!w.enter(Tunnel::l2tp)) return w.broken(Counter::too_deep);
            return layer(v.from(skip), w);
        }
    }
    return w.not_ip();
}

// `v` begins with the length, which is optional as the rest is.
Verdict version2(uint16_t flags, View v, Walk &w) {
    constexpr uint16_t kLength = 0x4000, kSequence = 0x0800, kOffset = 0x0200, kReserved = 0x34f0;
    if ((flags & kReserved) != 0) return w.not_ip();
    uint32_t header = 4; // tunnel, session
    if ((flags & kLength) != 0) {
        if (!v.has(2)) return w.not_ip();
        uint32_t length = be16(v.data); // with the two bytes of flags
        if (length < 8 || (length - 2 > v.length && !w.at.cut)) return w.not_ip();
        v = v.first(length - 2).from(2);
    }
    if ((flags & kSequence) != 0) header += 4;
    if ((flags & kOffset) != 0) {
        if (!v.has(header + 2)) return w.not_ip();
        header += 2u + be16(v.data + header);
    }
    if (!v.has(header)) return w.not_ip();
    if (!w.enter(Tunnel::l2tp)) return w.broken(Counter::too_deep);
    return ppp(v.from(header), w);
}

} // namespace

Verdict l2tp_in_udp(View v, Walk &w) {
    constexpr uint16_t kControl = 0x8000;
    if (!v.has(2)) return w.not_ip();
    uint16_t flags = be16(v.data);
    if ((flags & kControl) != 0) return w.not_ip();
    if ((flags & 15) == 2) return version2(flags, v.from(2), w);
    // Version 3: no other bit, 16 reserved ones, the session, which is never 0.
    if (!v.has(8) || be32(v.data) != 0x00030000 || be32(v.data + 4) == 0) return w.not_ip();
    return session(v.from(8), w);
}

Verdict l2tp_in_ip(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::bad_tunnel);
    if (be32(v.data) == 0) return w.untracked(Counter::other_ip); // control
    Verdict verdict = session(v.from(4), w);
    return verdict == Verdict::not_ip ? w.untracked(Counter::other_ip) : verdict;
}

} // namespace aicore::wire
