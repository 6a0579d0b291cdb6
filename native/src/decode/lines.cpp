// SPDX-License-Identifier: Apache-2.0
// Old lines: Frame Relay (RFC 2427; ITU-T Q.922 annex A), SLIP as BPF hands it over, ARCNET (RFC 1051, RFC 1201).
#include "layers.h"

namespace aicore::wire {
namespace {

// A Network Layer Protocol Identifier (ISO/IEC TR 9577), with padding before it where SNAP follows.
Verdict nlpid(View v, Walk &w) {
    constexpr uint8_t kPadding = 0, kSnap = 0x80, kIpv6 = 0x8e, kIpv4 = 0xcc, kPpp = 0xcf;
    constexpr uint32_t kBridged = 0x0080c2;
    if (v.has(1) && v.data[0] == kPadding) v = v.from(1);
    if (!v.has(1)) return w.broken(Counter::short_link);
    uint8_t id = v.data[0];
    v = v.from(1);
    switch (id) {
    case kIpv4:
        return ipv4(v, w);
    case kIpv6:
        return ipv6(v, w);
    case kPpp: // RFC 1973
        return ppp(v, w);
    case kSnap:
        break;
    default:
        return w.not_ip();
    }
    if (!v.has(5)) return w.broken(Counter::short_link);
    uint32_t organisation = be32(v.data) >> 8;
    uint16_t type = be16(v.data + 3);
    v = v.from(5);
    if (organisation == 0) return ethertype(type, v, w);
    bool is_ethernet = type == 1 || type == 7; // with its check sequence, without
    return organisation == kBridged && is_ethernet ? ethernet(v, w) : w.not_ip();
}

} // namespace

// An address of 2 to 4 bytes, the last of which is odd; then an unnumbered frame (3) with an NLPID, or, as Cisco has
// it, an Ethernet type at once.
Verdict frame_relay(View v, Walk &w) {
    constexpr uint8_t kUnnumbered = 3;
    uint32_t address = 1;
    do {
        if (address == 4) return w.broken(Counter::bad_link);
        if (!v.has(++address)) return w.broken(Counter::short_link);
    } while ((v.data[address - 1] & 1) == 0);
    v = v.from(address);
    if (!v.has(2)) return w.broken(Counter::short_link);
    return v.data[0] == kUnnumbered ? nlpid(v.from(1), w) : ethertype(be16(v.data), v.from(2), w);
}

// Direction, and 15 bytes with the header as it was on the line, compressed or not; then the datagram, expanded.
Verdict slip(View v, Walk &w) {
    return v.has(16) ? ip(v.from(16), w) : w.broken(Counter::short_link);
}

// Source, destination, on Linux an offset of two bytes, protocol. Those of RFC 1201 are split into frames: a flag,
// which is odd in the first of several, and a number. BSD may put an exception header before these two.
Verdict arcnet(View v, bool linux, Walk &w) {
    constexpr uint8_t kIpv4Rfc1051 = 240, kArpRfc1051 = 241, kIpv4 = 212, kArp = 213, kIpv6 = 196, kException = 0xff;
    uint32_t header = linux ? 5 : 3;
    if (!v.has(header)) return w.broken(Counter::short_link);
    uint8_t protocol = v.data[header - 1];
    if (protocol == kIpv4Rfc1051) return ipv4(v.from(header), w);
    if (protocol == kArp || protocol == kArpRfc1051) return w.not_ip(Counter::arp);
    if (protocol != kIpv4 && protocol != kIpv6) return w.not_ip();
    if (!linux && v.has(header + 1) && v.data[header] == kException) header += 4;
    if (!v.has(header + 3)) return w.broken(Counter::short_link);
    uint8_t split = v.data[header];
    if (split != 0 && (split & 1) == 0) return w.not_ip(); // not the first
    w.at.cut = split != 0;
    v = v.from(header + 3);
    return protocol == kIpv4 ? ipv4(v, w) : ipv6(v, w);
}

} // namespace aicore::wire
