// SPDX-License-Identifier: Apache-2.0
// The conversations of tests/messages, from the file that AICORE_SEEDS names (written by tests/talk.py).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aicore/protocol.h"

namespace aicore::test {

struct SeedTurn {
    bool from_server;
    std::string data;
};

struct Seed {
    std::string name;   // "ssh-banner_alone": the protocol that it is a test of, and of what
    std::string layer7; // empty: nobody's
    uint8_t transport;
    bool middle;
    uint16_t client_port, server_port;
    std::vector<SeedTurn> turns;

    std::string protocol() const { return name.substr(0, name.find('-')); }
};

const std::vector<Seed> &seeds();
const std::vector<const aicore_protocol *> &protocols();

} // namespace aicore::test
