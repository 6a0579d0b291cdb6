// SPDX-License-Identifier: Apache-2.0
// The ClientHello of TLS 1.3 (RFC 8446 section 4.1.2) as QUIC carries it, and its JA4 (FoxIO's public specification,
// technical_details/JA4.md; the method itself is under the BSD 3-Clause licence). aicore's own reader is not a part of
// what it installs for plugins, hence this one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "aicore/bytes.h"

namespace aicore::quic {

constexpr uint8_t kClientHello = 1;
using Ja4 = std::array<char, 36>; // q13d0312h3_55b375c5d22e_06cda9e17597

// A list of 16-bit codes without GREASE (RFC 8701). What does not fit is counted in `lost`.
template <size_t bound> struct Codes {
    std::array<uint16_t, bound> value;
    size_t count = 0, lost = 0;
    void add(uint16_t code) {
        if ((code & 0x0f0f) == 0x0a0a && code >> 8 == (code & 0xff)) return;
        if (count < bound)
            value[count++] = code;
        else
            ++lost;
    }
};

struct ClientHello {
    uint16_t version = 0; // highest of supported_versions, else legacy_version
    bool has_server_name = false;
    std::string_view server_name, alpn; // alpn: the first one offered
    Codes<256> ciphers, extensions;
    Codes<128> signatures;
};

// `body`: behind type and length. False if it is broken or ends early; what was read before that place is there.
bool read_client_hello(Bytes body, ClientHello &out);

// Of a whole hello. Sorts the codes in place. False if libcrypto fails.
bool ja4(ClientHello &hello, Ja4 &out);

} // namespace aicore::quic
