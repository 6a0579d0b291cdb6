// SPDX-License-Identifier: Apache-2.0
// libndpi takes IP packets; aicore shows payload. So packets are made: the flow's addresses and ports, sequence numbers
// that count the payload, and no checksums, which libndpi does not look at.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aicore/protocol.h"

namespace aicore::ndpi {

constexpr size_t kMaxPayload = 65400; // a packet's length has 16 bits
constexpr size_t kMaxHeaders = 40 + 20;

enum TcpFlags : uint8_t { kSyn = 2, kPush = 8, kAck = 16 };

struct Segment {
    uint32_t seq, ack;
    uint8_t flags;
};

// Into `out` (kMaxHeaders + kMaxPayload bytes); returns the packet's length. `segment`: of TCP.
size_t make_packet(const aicore_flow &flow, bool reverse, const Segment &segment, const uint8_t *payload, size_t length,
                   uint8_t *out);

} // namespace aicore::ndpi
