// SPDX-License-Identifier: Apache-2.0
// This plugin's protocols for native/fuzz/dissect.cpp.
#include "dissect.h"

namespace aicore::protocols {
#define AICORE_PROTOCOL(name) const aicore_protocol *name();
#include "protocols.inc"
#undef AICORE_PROTOCOL
} // namespace aicore::protocols

namespace aicore::fuzz {

std::vector<const aicore_protocol *> protocols() {
    return {
#define AICORE_PROTOCOL(name) aicore::protocols::name(),
#include "protocols.inc"
#undef AICORE_PROTOCOL
    };
}

} // namespace aicore::fuzz
