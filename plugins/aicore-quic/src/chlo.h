// SPDX-License-Identifier: Apache-2.0
// The CHLO message of Google's QUIC (QUIC Crypto, Langley and Chang, revision 20161206): tags and values. It must fit
// into one packet, so it is read from the piece that it begins in.
#pragma once

#include <string_view>

#include "aicore/bytes.h"

namespace aicore::quic {

struct Chlo {
    std::string_view server_name, alpn;
};

// False: not a CHLO. One that is cut short gives what is there.
bool read_chlo(Bytes message, Chlo &out);

} // namespace aicore::quic
