// SPDX-License-Identifier: Apache-2.0
// The link types that an input chooses from by its first byte, as libpcap numbers them in memory; in the order of LINKS
// in seeds.py.
#pragma once

namespace aicore::fuzz {

// NULL, Ethernet, PPP, RAW, C-HDLC, LOOP, Linux cooked 1 and 2, RAW of a file, PPP serial, PPPoE, 802.11, radiotap,
// IPv4, IPv6, one that is not known, SLIP, PPI, Frame Relay, ARCNET, PFLOG, ARCNET of Linux, NFLOG, PKTAP
constexpr int kLinks[] = {0,   1,   9,   12,  104, 108, 113, 276, 101, 50,  51,  105,
                          127, 228, 229, 147, 8,   192, 107, 7,   117, 129, 239, 258};

inline int link(unsigned index) {
    return kLinks[index % (sizeof kLinks / sizeof *kLinks)];
}

} // namespace aicore::fuzz
