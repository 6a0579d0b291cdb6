// SPDX-License-Identifier: Apache-2.0
// The core's protocols for dissect.cpp.
#include "aicore/builtin_protocols.h"
#include "dissect.h"

namespace aicore::fuzz {

std::vector<const aicore_protocol *> protocols() {
    return {aicore_http(), aicore_tls(), aicore_dns()};
}

} // namespace aicore::fuzz
