// SPDX-License-Identifier: Apache-2.0
// What may stand between Ethernet's addresses and IP. Tags: VLAN (IEEE 802.1Q, 802.1ad), VN-Tag (Cisco, the draft for
// IEEE 802.1Qbh), E-Tag (IEEE 802.1BR clause 7.5), Cisco metadata (its layout: Wireshark's packet-cisco-metadata.c),
// HSR (IEC 62439-3 clause 5.7; PRP has a trailer, which no layer reads), MACsec without encryption (IEEE 802.1AE clause
// 9). Frames in frames: PBB (IEEE 802.1ah, 802.1Q clause 9.7), TRILL (RFC 6325 section 3, RFC 7172), NSH (RFC 8300).
#include "layers.h"

namespace aicore::wire {
namespace {

// Bytes between the type that announces a tag and the type behind it; 0: `type` announces none. May be more than are
// captured.
uint32_t tag_size(uint16_t type, View v) {
    constexpr uint8_t kSci = 0x20; // in MACsec's first byte: 8 bytes with the channel's identifier follow
    switch (type) {
    case kTypeVlan:
    case kTypeQinq:
    case kTypeQinqOld:
    case kTypeTrillLabel:
        return 2;
    case kTypeVnTag:
    case kTypeHsr: // path and size, sequence number
        return 4;
    case kTypeETag:
        return 6;
    case kTypeCiscoMetadata: // version, length of the options in words
        return v.has(2) ? 2u + v.data[1] * 4u : 2;
    case kTypeMacsec: // flags, short length, packet number
        return v.has(1) && (v.data[0] & kSci) != 0 ? 14 : 6;
    default:
        return 0;
    }
}

// Outermost two VLANs of the frame; `outer`: there were some outside of this Ethernet header, and those count. A tag of
// VLAN 0 carries a priority and no VLAN.
void note_vlan(uint16_t vlan, bool outer, Walk &w) {
    if (outer || vlan == 0) return;
    if (w.at.vlan == 0)
        w.at.vlan = vlan;
    else if (w.at.vlan_inner == 0)
        w.at.vlan_inner = vlan;
}

// I-TAG: priority and flags, a service identifier of 24 bits, then the customer's frame.
Verdict pbb(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::short_link);
    if (!w.enter(Tunnel::pbb)) return w.broken(Counter::too_deep);
    w.identify(be32(v.data) & 0xffffff);
    return ethernet(v.from(4), w);
}

Verdict trill(View v, Walk &w) {
    if (!v.has(6)) return w.broken(Counter::short_link);
    uint16_t word = be16(v.data); // version 2, reserved 2, multicast 1, words of options 5, hop count 6
    if (word >> 14 != 0) return w.not_ip();
    uint32_t header = 6 + ((word >> 6) & 31u) * 4;
    if (!v.has(header)) return w.broken(Counter::short_link);
    if (!w.enter(Tunnel::trill)) return w.broken(Counter::too_deep);
    return ethernet(v.from(header), w);
}

} // namespace

Verdict ethertype(uint16_t type, View v, Walk &w, bool may_be_length) {
    constexpr uint8_t kVersion = 0x80, kEncrypted = 0x08, kChanged = 0x04; // in MACsec's first byte
    bool tagged = w.at.vlan != 0;
    for (uint32_t size = tag_size(type, v); size != 0; size = tag_size(type, v)) {
        if (!w.tag()) return w.broken(Counter::too_deep);
        if (!v.has(size + 2)) return w.broken(Counter::short_link);
        if (type == kTypeVlan || type == kTypeQinq || type == kTypeQinqOld)
            note_vlan(be16(v.data) & 0xfff, tagged, w);
        else if (type == kTypeCiscoMetadata && (v.data[0] != 1 || v.data[1] == 0))
            return w.broken(Counter::bad_link);
        else if (type == kTypeMacsec && (v.data[0] & (kVersion | kEncrypted | kChanged)) != 0)
            return w.not_ip();
        type = be16(v.data + size);
        v = v.from(size + 2);
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
    case kTypePbb:
        return pbb(v, w);
    case kTypeTrill:
        return trill(v, w);
    case kTypeNsh:
        return nsh(v, w);
    default:
        return may_be_length && type <= 1500 ? llc(v.first(type), w) : w.not_ip();
    }
}

Verdict nsh(View v, Walk &w) {
    if (!v.has(8)) return w.broken(Counter::short_link); // base header and service path header
    uint32_t word = be32(v.data); // version 2, OAM 1, unused 1, TTL 6, length 6 in words, unused 4, type 4, next 8
    if (word >> 29 != 0) return w.not_ip();
    uint32_t header = ((word >> 16) & 63) * 4;
    if (header < 8) return w.broken(Counter::bad_link);
    if (!v.has(header)) return w.broken(Counter::short_link);
    if (!w.tag()) return w.broken(Counter::too_deep);
    return nsh_next(static_cast<uint8_t>(word & 0xff), v.from(header), w);
}

Verdict nsh_next(uint8_t next, View v, Walk &w) {
    switch (next) {
    case 1:
        return ipv4(v, w);
    case 2:
        return ipv6(v, w);
    case 3:
        return ethernet(v, w);
    case 4:
        return nsh(v, w);
    case 5:
        return mpls(v, w);
    default:
        return w.not_ip();
    }
}

} // namespace aicore::wire
