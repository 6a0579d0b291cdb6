// SPDX-License-Identifier: Apache-2.0
// ClientHello and ServerHello (RFC 8446 section 4.1, RFC 5246 section 7.4.1) out of the record layer, also where a
// message is spread over records or is not all there. Results point into the input or the caller's scratch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "aicore/bytes.h"

namespace aicore::tls {

enum RecordType : uint8_t { kChangeCipherSpec = 20, kAlert = 21, kHandshake = 22, kApplicationData = 23 };
enum HandshakeType : uint8_t { kClientHello = 1, kServerHello = 2 };

// Bytes of an unfinished hello that are waited for; it must stay below what is buffered for a direction. Hellos with
// two post-quantum key shares have about 4 KiB.
constexpr size_t kMaxWait = 12288;
using Scratch = std::array<uint8_t, kMaxWait>;

struct Handshake {
    enum class State : uint8_t {
        none,
        start,
        part,
        whole
    } state; // none: not a handshake; start: type or length missing
    uint8_t type;
    uint32_t length; // of the body as the header says
    Bytes body;      // what is here of it
};

// The handshake message at the start of a direction's stream. A message in one record is not copied.
Handshake read_handshake(const uint8_t *data, size_t length, Scratch &scratch);

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
    uint16_t version = 0;           // legacy_version
    uint16_t supported_version = 0; // highest of the extension supported_versions
    bool has_server_name = false;   // the extension, whatever is in it
    std::string_view server_name, alpn;
    Codes<512> ciphers; // three times what clients that offer everything offer
    Codes<256> extensions;
    Codes<128> signatures;
};

// False if the body is broken or ends early; then what was read before that place is there nevertheless.
bool read_client_hello(Bytes body, ClientHello &out);

struct ServerHello {
    uint16_t version = 0; // negotiated
    std::string_view alpn;
};
bool read_server_hello(Bytes body, ServerHello &out);

// "1.3" ... "1.0", "SSL 3.0", "SSL 2.0"; empty if unknown.
std::string_view version_text(uint16_t version);

} // namespace aicore::tls
