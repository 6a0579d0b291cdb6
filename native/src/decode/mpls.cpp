// SPDX-License-Identifier: Apache-2.0
// MPLS (RFC 3032) and what is recognised by its look because no field names it.
#include "layers.h"

namespace aicore::wire {

bool looks_ethernet(View v) {
    if (!v.has(14)) return false;
    uint16_t type = be16(v.data + 12);
    return type == kTypeIpv4 || type == kTypeIpv6 || type == kTypeArp || type == kTypeVlan || type == kTypeQinq ||
           type == kTypeMpls || type == kTypePppoe;
}

bool looks_ipv4(View v) {
    return v.has(20) && v.data[0] >> 4 == 4 && (v.data[0] & 15) >= 5 && be16(v.data + 2) >= 20 &&
           be16(v.data + 2) <= v.length;
}

bool looks_ipv6(View v) {
    return v.has(40) && v.data[0] >> 4 == 6 && be16(v.data + 4) + 40u <= v.length;
}

bool fills_as_ip(View v) {
    return (looks_ipv4(v) && be16(v.data + 2) == v.length) || (looks_ipv6(v) && be16(v.data + 4) + 40u == v.length);
}

// No field says what follows the labels: IP by its version nibble and lengths, else an Ethernet pseudowire, with a
// control word (first nibble 0, RFC 4385) or without.
Verdict mpls(View v, Walk &w) {
    for (bool bottom = false; !bottom;) {
        if (w.at.labels++ == kMaxLabels) return w.broken(Counter::too_deep);
        if (!v.has(4)) return w.broken(Counter::short_link);
        bottom = (v.data[2] & 1) != 0;
        v = v.from(4);
    }
    if (!v.has(1)) return w.broken(Counter::short_link);
    uint8_t nibble = v.data[0] >> 4;
    if (nibble == 4 && (looks_ipv4(v) || !looks_ethernet(v))) return ipv4(v, w);
    if (nibble == 6 && (looks_ipv6(v) || !looks_ethernet(v))) return ipv6(v, w);
    if (nibble == 0 && v.has(4)) {
        // The control word of an unsequenced pseudowire is all zero; an address that starts so is hardly seen.
        View behind = v.from(4);
        if (looks_ethernet(behind) && (!looks_ethernet(v) || be32(v.data) == 0)) return ethernet(behind, w);
    }
    return looks_ethernet(v) ? ethernet(v, w) : w.not_ip();
}

} // namespace aicore::wire
