// SPDX-License-Identifier: Apache-2.0
// IP addresses as text.
#pragma once

#include <arpa/inet.h>

#include <cstring>
#include <string_view>

#include "aicore/bytes.h"

namespace aicore::protocols {

struct AddressText {
    char text[INET6_ADDRSTRLEN];
    std::string_view view() const { return {text, std::strlen(text)}; }
};

// `bytes` holds 4 or 16.
inline AddressText address_text(const Bytes &bytes) {
    AddressText out;
    if (bytes.left() < 4 || !inet_ntop(bytes.left() < 16 ? AF_INET : AF_INET6, bytes.data(), out.text, sizeof out.text))
        out.text[0] = 0;
    return out;
}

} // namespace aicore::protocols
