// SPDX-License-Identifier: Apache-2.0
// This plugin's protocol for native/fuzz/dissect.cpp.
#include "dissect.h"
#include "quic.h"

namespace aicore::fuzz {

std::vector<const aicore_protocol *> protocols() {
    return {quic::protocol()};
}

} // namespace aicore::fuzz
