// SPDX-License-Identifier: Apache-2.0
// Link types whose frames begin with a header that the capturing system adds: NFLOG of Linux, PFLOG of the BSDs, PKTAP
// of macOS and PPI (PPI Packet Header specification, CACE, 1.0.10). Layouts: www.tcpdump.org/linktypes.html.
#include <pcap/dlt.h>

#include "layers.h"

namespace aicore::wire {
namespace {

uint16_t le16(const uint8_t *p) {
    return __builtin_bswap16(be16(p));
}
uint32_t le32(const uint8_t *p) {
    return __builtin_bswap32(be32(p));
}

// What is behind a header that names its link type; none of the kinds that name one themselves.
Verdict named_link(uint32_t linktype, View v, Walk &w) {
    if (linktype == DLT_PPI || linktype == DLT_PKTAP || linktype > INT32_MAX) return w.not_ip();
    return link(static_cast<int>(linktype), v, w);
}

} // namespace

// Family, version, a number; then attributes: length (of it all), type, value, padded to words. Lengths and types are
// in the byte order of the host that captured; no type reaches 256, which tells the order.
Verdict nflog(View v, Walk &w) {
    constexpr int kMaxAttributes = 32;
    constexpr uint16_t kPacketHeader = 1, kPayload = 9; // NFULA_PACKET_HDR, NFULA_PAYLOAD
    constexpr uint8_t kInet4 = 2, kInet6 = 10;
    if (!v.has(4)) return w.broken(Counter::short_link);
    uint8_t family = v.data[0];
    if (v.data[1] != 0) return w.not_ip(); // version
    v = v.from(4);
    uint16_t protocol = 0; // Ethernet type
    for (int n = 0; n < kMaxAttributes; ++n) {
        if (!v.has(4)) return w.broken(Counter::short_link);
        bool little = le16(v.data + 2) < 256;
        uint16_t size = little ? le16(v.data) : be16(v.data), type = little ? le16(v.data + 2) : be16(v.data + 2);
        if (size < 4) return w.broken(Counter::bad_link);
        if (type == kPayload) {
            v = v.from(4).first(size - 4u);
            return family == kInet4 || family == kInet6 ? ip(v, w) : ethertype(protocol, v, w);
        }
        if (!v.has(size)) return w.broken(Counter::short_link);
        if (type == kPacketHeader && size >= 6) protocol = be16(v.data + 4);
        uint32_t padded = (size + 3u) & ~3u;
        if (!v.has(padded)) return w.broken(Counter::short_link);
        v = v.from(padded);
    }
    return w.broken(Counter::too_deep);
}

// Length of the header without its padding to a word, address family; the shortest there was has 45 bytes.
Verdict pflog(View v, Walk &w) {
    if (!v.has(2)) return w.broken(Counter::short_link);
    if (v.data[0] < 45) return w.broken(Counter::bad_link);
    uint8_t family = v.data[1];
    uint32_t header = (v.data[0] + 3u) & ~3u;
    if (!v.has(header)) return w.broken(Counter::short_link);
    return address_family(family, v.from(header), w);
}

// Length of the header, type of what follows (1: a packet), its link type; all little-endian.
Verdict pktap(View v, Walk &w) {
    if (!v.has(12)) return w.broken(Counter::short_link);
    uint32_t header = le32(v.data);
    if (header < 12) return w.broken(Counter::bad_link);
    if (!v.has(header)) return w.broken(Counter::short_link);
    if (le32(v.data + 4) != 1) return w.not_ip();
    return named_link(le32(v.data + 8), v.from(header), w);
}

// Version 0, flags, length of the header, link type; little-endian.
Verdict ppi(View v, Walk &w) {
    if (!v.has(8)) return w.broken(Counter::short_link);
    if (v.data[0] != 0) return w.not_ip();
    uint32_t header = le16(v.data + 2);
    if (header < 8) return w.broken(Counter::bad_link);
    if (!v.has(header)) return w.broken(Counter::short_link);
    return named_link(le32(v.data + 4), v.from(header), w);
}

} // namespace aicore::wire
