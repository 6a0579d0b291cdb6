// SPDX-License-Identifier: Apache-2.0
// Domain names and numbers of DNS messages as text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aicore::dns {

// A name has at most 255 bytes on the wire (RFC 1035 section 2.3.4), each at most four characters as text ("\DDD").
struct Name {
    std::array<char, 1024> text;
    size_t length = 0;
    bool encoded_netbios = false; // first label as RFC 1001 section 14.1 encodes NetBIOS names: 32 letters A to P
    std::string_view view() const { return {text.data(), length}; }
};

// Reads the name at `at` of `message`, advances `at` behind it. False: broken, or not all of it is here. Labels hold
// any byte: dots and backslashes inside them get a backslash, controls become \DDD (RFC 4343 section 2.1); case and
// bytes from 0x80 on stay. The root is ".". Compression pointers (RFC 1035 section 4.1.4) lead backwards only.
bool read_name(const uint8_t *message, size_t length, size_t &at, Name &out);

// The same without the text.
bool skip_name(const uint8_t *message, size_t length, size_t &at);

// Mnemonics of IANA's DNS Parameters; null if there is none (write TYPE123, RFC 3597 section 5).
const char *type_name(uint16_t type);
const char *rcode_name(uint8_t rcode); // of the header's 4 bits

} // namespace aicore::dns
