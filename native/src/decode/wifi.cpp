// SPDX-License-Identifier: Apache-2.0
// IEEE 802.11-2020 section 9.2.3: data frames that are neither encrypted nor aggregated. Radiotap: radiotap.org.
#include "layers.h"

namespace aicore::wire {

Verdict radiotap(View v, Walk &w) {
    if (!v.has(4)) return w.broken(Counter::short_link);
    uint32_t length = v.data[2] | static_cast<uint32_t>(v.data[3]) << 8; // little-endian
    if (length < 8 || !v.has(length)) return w.broken(Counter::short_link);
    return ieee80211(v.from(length), w);
}

Verdict ieee80211(View v, Walk &w, bool exchanged) {
    if (!v.has(2)) return w.broken(Counter::short_link);
    uint8_t type = v.data[exchanged], flags = v.data[!exchanged];
    bool data = (type & 0x0c) == 0x08, null = (type & 0x40) != 0, encrypted = (flags & 0x40) != 0;
    if (!data || null || encrypted) return w.not_ip();
    uint32_t header = 24;
    if ((flags & 0x03) == 0x03) header += 6; // fourth address, between access points
    if ((type & 0x80) != 0) {
        if (!v.has(header + 2)) return w.broken(Counter::short_link);
        if ((v.data[header] & 0x80) != 0) return w.not_ip(); // several frames in one
        header += 2;
        if ((flags & 0x80) != 0) header += 4; // HT control
    }
    if (!v.has(header)) return w.broken(Counter::short_link);
    return llc(v.from(header), w);
}

} // namespace aicore::wire
