// SPDX-License-Identifier: Apache-2.0
// The handshake message at the start of a TCP stream out of TLS's record layer (RFC 8446 section 5.1), also where it is
// spread over records or is not all there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "aicore/tls.h"

namespace aicore::tls {

// Bytes of an unfinished hello that are waited for; it must stay below what is buffered for a direction. Hellos with
// two post-quantum key shares have about 4 KiB.
constexpr size_t kMaxWait = 12288;
using Scratch = std::array<uint8_t, kMaxWait>;

struct Handshake {
    enum class State : uint8_t { none, start, part, whole }; // none: not a handshake; start: type or length missing
    State state;
    uint8_t type;
    uint32_t length; // of the body as the header says
    Bytes body;      // what is here of it
};

// The result points into the input or into `scratch`: a message in one record is not copied.
Handshake read_handshake(const uint8_t *data, size_t length, Scratch &scratch);

} // namespace aicore::tls
