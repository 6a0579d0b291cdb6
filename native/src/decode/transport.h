// SPDX-License-Identifier: Apache-2.0
// The parts of TCP, UDP and the flow key that the fast path (decoder.cpp) and the walk through all layers share.
#pragma once

#include "layers.h"

namespace aicore::wire {

constexpr uint32_t kTcpHeader = 20, kUdpHeader = 8;

// Sets addresses and ports of `key` in canonical order; true if the sender is endpoint b. Both orders are equally
// likely and cannot be predicted, so values are exchanged under a mask instead of by a branch.
inline bool order_ports(FlowKey &key, uint16_t src_port, uint16_t dst_port, bool reversed) {
    uint16_t swap = static_cast<uint16_t>((src_port ^ dst_port) & -static_cast<int>(reversed));
    key.port_a = src_port ^ swap;
    key.port_b = dst_port ^ swap;
    return reversed;
}

inline bool endpoints4(FlowKey &key, const uint8_t *src, const uint8_t *dst, uint16_t src_port, uint16_t dst_port) {
    uint64_t s = static_cast<uint64_t>(be32(src)) << 16 | src_port;
    uint64_t d = static_cast<uint64_t>(be32(dst)) << 16 | dst_port;
    bool reversed = d < s;
    uint32_t x = load<uint32_t>(src), y = load<uint32_t>(dst);
    uint32_t swap = (x ^ y) & -static_cast<uint32_t>(reversed);
    uint32_t a = x ^ swap, b = y ^ swap;
    std::memcpy(key.a, &a, 4);
    std::memset(key.a + 4, 0, 12);
    std::memcpy(key.b, &b, 4);
    std::memset(key.b + 4, 0, 12);
    return order_ports(key, src_port, dst_port, reversed);
}

inline bool endpoints6(FlowKey &key, const uint8_t *src, const uint8_t *dst, uint16_t src_port, uint16_t dst_port) {
    uint64_t s0 = be64(src), s1 = be64(src + 8), d0 = be64(dst), d1 = be64(dst + 8);
    bool reversed = (d0 < s0) | ((d0 == s0) & ((d1 < s1) | ((d1 == s1) & (dst_port < src_port))));
    uint64_t mask = -static_cast<uint64_t>(reversed);
    uint64_t x0 = load<uint64_t>(src), x1 = load<uint64_t>(src + 8);
    uint64_t y0 = load<uint64_t>(dst), y1 = load<uint64_t>(dst + 8);
    uint64_t swap0 = (x0 ^ y0) & mask, swap1 = (x1 ^ y1) & mask;
    uint64_t a[2] = {x0 ^ swap0, x1 ^ swap1}, b[2] = {y0 ^ swap0, y1 ^ swap1};
    std::memcpy(key.a, a, 16);
    std::memcpy(key.b, b, 16);
    return order_ports(key, src_port, dst_port, reversed);
}

// The whole 20 bytes must be captured; the data offset is the caller's.
inline void tcp_fields(Packet &out, const uint8_t *header) {
    out.seq = be32(header + 4);
    out.ack = be32(header + 8);
    out.tcp_flags = header[13];
    out.window = be16(header + 14);
}

inline void no_tcp_fields(Packet &out) {
    out.seq = 0;
    out.ack = 0;
    out.tcp_flags = 0;
    out.window = 0;
}

} // namespace aicore::wire
