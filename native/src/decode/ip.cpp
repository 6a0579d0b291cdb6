// SPDX-License-Identifier: Apache-2.0
// IPv4 (RFC 791), IPv6 (RFC 8200) with its extension headers, Authentication Header (RFC 4302), IPComp (RFC 3173) where
// nothing was compressed.
#include "layers.h"

namespace aicore::wire {
namespace {

constexpr uint32_t kIpv4Header = 20, kIpv6Header = 40;

enum Extension : uint8_t { kHopByHop = 0, kRouting = 43, kFragment = 44, kDestination = 60, kMobility = 135 };

Verdict ip_payload(uint8_t proto, View v, Walk &w) {
    switch (proto) {
    case kProtoTcp:
        return tcp(v, w);
    case kProtoUdp:
        return udp(v, w);
    case kProtoIcmp:
    case kProtoIcmpv6:
        return w.untracked(Counter::icmp);
    case kProtoIgmp:
        return w.untracked(Counter::igmp);
    case kProtoSctp:
        return w.untracked(Counter::sctp);
    case kProtoEsp:
        return w.untracked(Counter::esp);
    case kProtoIpv4:
    case kProtoIpv6:
        return ip_in_ip(proto, v, w);
    case kProtoGre:
        return gre(v, w);
    case kProtoEtherip:
        return etherip(v, w);
    case kProtoPim:
        return pim(v, w);
    case kProtoL2tp:
        return l2tp_in_ip(v, w);
    case kProtoMpls:
        return mpls_in_ip(v, w);
    default:
        return w.untracked(Counter::other_ip);
    }
}

bool is_extension(uint8_t next, uint8_t version) {
    if (next == kProtoAh || next == kProtoIpcomp) return true;
    return version == 6 &&
           (next == kHopByHop || next == kRouting || next == kFragment || next == kDestination || next == kMobility);
}

// Where what an IPComp header (next header, flags, 2 bytes of index) announces begins; 0: it is compressed. It is not
// with index 0, nor in a block of DEFLATE that is stored (RFC 1951 section 3.2.4): length and its complement, of 2
// bytes.
uint32_t uncompressed(View v, const Walk &w) {
    if (v.has(4) && be16(v.data + 2) == 0) return 4;
    if (!v.has(9) || (v.data[4] & 6) != 0 || (be16(v.data + 5) ^ be16(v.data + 7)) != 0xffff) return 0;
    uint32_t length = __builtin_bswap16(be16(v.data + 5));
    return length <= v.length - 9 || w.at.cut ? 9 : 0;
}

// Sets what the innermost IP header decides; a tunnel's outer one is overwritten by the inner one.
void begin(Walk &w, uint8_t version, const uint8_t *src, const uint8_t *dst, uint32_t ip_bytes) {
    w.at.version = version;
    w.at.first_fragment = w.at.in_datagram = false;
    w.at.src = src;
    w.at.dst = dst;
    w.at.ip_bytes = ip_bytes;
}

} // namespace

// Skips the headers between the IP header and what it carries. In IPv4 only AH and IPComp are among them.
Verdict carried(uint8_t next, View v, int headers, Walk &w) {
    for (; is_extension(next, w.at.version); ++headers) {
        Counter bad = w.at.version == 6 ? Counter::bad_ipv6_extension : Counter::bad_ip_length;
        if (headers == kMaxExtensions) return w.broken(bad);
        if (v.captured < v.length) bad = Counter::short_ip; // if it ends inside, then the capture does, not the packet
        if (!v.has(next == kProtoIpcomp ? 4 : 8)) return w.broken(bad);
        uint8_t after = v.data[0];
        if (next == kProtoIpcomp) {
            uint32_t size = uncompressed(v, w);
            if (size == 0) return w.untracked(Counter::other_ip);
            v = v.from(size);
        } else if (next == kFragment) {
            uint16_t field = be16(v.data + 2);
            const FragmentHeader header = {be32(v.data + 4), field & 0xfff8u, (field & 1) != 0, after};
            v = v.from(8);
            // Offset 0 with nothing to follow is a whole packet (RFC 6946).
            if (header.offset != 0 || header.more) return fragment(header, v, headers + 1, w);
        } else {
            uint32_t size = next == kProtoAh ? (v.data[1] + 2u) * 4 : (v.data[1] + 1u) * 8;
            if (!v.has(size)) return w.broken(bad);
            v = v.from(size);
        }
        next = after;
    }
    return ip_payload(next, v, w);
}

Verdict ip(View v, Walk &w) {
    if (!v.has(1)) return w.broken(Counter::short_ip);
    switch (v.data[0] >> 4) {
    case 4:
        return ipv4(v, w);
    case 6:
        return ipv6(v, w);
    default:
        return w.broken(Counter::bad_ip_version);
    }
}

Verdict ipv4(View v, Walk &w) {
    if (!v.has(kIpv4Header)) return w.broken(Counter::short_ip);
    if (v.data[0] >> 4 != 4) return w.broken(Counter::bad_ip_version);
    uint32_t header = static_cast<uint32_t>(v.data[0] & 15) * 4;
    uint32_t total = be16(v.data + 2);
    if (total == 0) total = v.length; // left to the network card, which cuts a large send into packets (TSO)
    if (header < kIpv4Header || total < header) return w.broken(Counter::bad_ip_length);
    if (!v.has(header)) return w.broken(Counter::short_ip);
    begin(w, 4, v.data + 12, v.data + 16, total);
    // What is promised but was not sent still counts: the frame's length is often lost on the way to the file.
    if (total > v.length && !w.at.cut) w.note(Counter::bad_ip_length);
    View body = {v.data + header, (v.captured < total ? v.captured : total) - header, total - header};
    uint16_t field = be16(v.data + 6);
    uint8_t proto = v.data[9];
    if ((field & 0x3fff) == 0) return carried(proto, body, 0, w);
    return fragment({be16(v.data + 4), (field & 0x1fffu) * 8, (field & 0x2000) != 0, proto}, body, 0, w);
}

Verdict ipv6(View v, Walk &w) {
    if (!v.has(kIpv6Header)) return w.broken(Counter::short_ip);
    if (v.data[0] >> 4 != 6) return w.broken(Counter::bad_ip_version);
    uint32_t length = be16(v.data + 4);
    uint8_t next = v.data[6];
    // Jumbogram (RFC 2675) or TSO: the link knows the length. What is too short for a header is Ethernet padding.
    if (length == 0 && v.length - kIpv6Header >= 8 && (next == kHopByHop || next == kProtoTcp || next == kProtoUdp))
        length = v.length - kIpv6Header;
    begin(w, 6, v.data + 8, v.data + 24, kIpv6Header + length);
    if (length > v.length - kIpv6Header && !w.at.cut) w.note(Counter::bad_ip_length);
    uint32_t captured = v.captured - kIpv6Header;
    View body = {v.data + kIpv6Header, captured < length ? captured : length, length};
    return carried(next, body, 0, w);
}

} // namespace aicore::wire
