// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "aicore/protocol.h"

namespace aicore::ndpi {

// nullptr if libndpi has another version than its headers had.
const aicore_protocol *protocol();

} // namespace aicore::ndpi
