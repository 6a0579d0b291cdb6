// SPDX-License-Identifier: Apache-2.0
// JA4, the fingerprint of a TLS client (FoxIO's public specification, technical_details/JA4.md; the method itself is
// under the BSD 3-Clause licence, unlike the rest of JA4+).
#pragma once

#include <array>

#include "hello.h"

namespace aicore::tls {

using Ja4 = std::array<char, 36>; // t13d1516h2_8daaf6152771_e5627efa2ab1

// Of a whole ClientHello over TCP. Sorts the codes of `hello` in place.
Ja4 ja4(ClientHello &hello);

} // namespace aicore::tls
