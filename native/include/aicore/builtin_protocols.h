// SPDX-License-Identifier: Apache-2.0
// The protocols that come with the core, written with aicore/dissector.h like any plugin's; the structures are constant
// and live as long as the process.
#pragma once

#include "aicore/protocol.h"

extern "C" {
const aicore_protocol *aicore_http(void);
const aicore_protocol *aicore_tls(void);
const aicore_protocol *aicore_dns(void);
}
