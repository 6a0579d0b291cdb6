// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "aicore/protocol.h"

namespace aicore::quic {

const aicore_protocol *protocol();

} // namespace aicore::quic
