// SPDX-License-Identifier: Apache-2.0
// What dissect.cpp is linked with: the protocols of the core or of a plugin.
#pragma once

#include <vector>

#include "aicore/protocol.h"

namespace aicore::fuzz {

std::vector<const aicore_protocol *> protocols();

} // namespace aicore::fuzz
