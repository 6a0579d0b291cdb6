// SPDX-License-Identifier: Apache-2.0
// The classic BPF program of a fanout group (linux/filter.h).
#pragma once

#include <cstdint>
#include <vector>

#include <linux/filter.h>

namespace aicore {

// Returns 16 bits for a packet: those of Fanout::owner() before the modulo. A packet that it cannot read is 0.
std::vector<sock_filter> fanout_program(uint32_t of_ports, uint32_t of_all);

} // namespace aicore
