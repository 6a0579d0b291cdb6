// SPDX-License-Identifier: Apache-2.0
// Google's QUIC before encrypted Initial packets: Q024 to Q043 with the public header (QUIC Wire Layout Specification,
// Hamilton, revision 1.9), Q046 with a long header. The client's first packets are clear text behind a hash of 96 bits,
// which is the proof.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aicore/bytes.h"

namespace aicore::quic {

// The frames of a client's packet and its version; false if it is none or its hash does not fit.
bool open_clear(const uint8_t *data, size_t length, uint32_t &version, Bytes &frames);

// The first data of stream 1, on which the handshake is; empty if there is none.
Bytes handshake_stream(uint32_t version, Bytes frames);

} // namespace aicore::quic
