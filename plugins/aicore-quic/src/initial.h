// SPDX-License-Identifier: Apache-2.0
// Long headers (RFC 9000 section 17.2, RFC 9369 section 3.2) and the protection of a client's Initial packets (RFC 9001
// section 5). Its keys follow from the packet itself: anybody who sees it may read it, and a tag that fits is the
// proof.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aicore/bytes.h"

namespace aicore::quic {

constexpr size_t kMaxConnectionId = 20;
constexpr size_t kMaxPacket = 16384; // bytes of an Initial packet that is read; a datagram has 1,200 to 1,500

struct LongHeader {
    bool initial;
    Bytes destination;    // connection id
    size_t packet_number; // where the protected packet number begins
    size_t size;          // of the whole packet; what follows in the datagram is another packet
};

// False: no such header, or one without a length (Retry, Version Negotiation).
bool read_long_header(const uint8_t *data, size_t length, LongHeader &out);

struct Keys {
    uint8_t key[16], iv[12], hp[16];
};

// Those of the client, from the destination connection id of its first packet. False if libcrypto fails.
bool derive_client_keys(uint32_t version, Bytes destination, Keys &out);

// The frames of an Initial packet in `out` (kMaxPacket bytes); 0 if these are not its keys.
size_t open_initial(const Keys &keys, const uint8_t *packet, const LongHeader &header, uint8_t *out);

// QUIC's numbers of 1 to 8 bytes (RFC 9000 section 16).
uint64_t variable(Bytes &in);

} // namespace aicore::quic
