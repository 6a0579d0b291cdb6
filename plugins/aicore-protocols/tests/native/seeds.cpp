// SPDX-License-Identifier: Apache-2.0
#include "seeds.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "aicore/bytes.h"

namespace aicore::protocols {
#define AICORE_PROTOCOL(name) const aicore_protocol *name();
#include "protocols.inc"
#undef AICORE_PROTOCOL
} // namespace aicore::protocols

namespace aicore::test {

namespace {

std::string string(Bytes &in, size_t length) {
    const Bytes part = in.take(length);
    return {reinterpret_cast<const char *>(part.data()), part.left()};
}

std::vector<Seed> load() {
    const char *path = std::getenv("AICORE_SEEDS");
    std::ifstream file(path ? path : "", std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    Bytes in(reinterpret_cast<const uint8_t *>(content.data()), content.size());
    std::vector<Seed> out;
    while (in.left()) {
        Seed seed;
        seed.name = string(in, in.u16());
        seed.layer7 = string(in, in.u16());
        const uint8_t flags = in.u8();
        seed.transport = flags & 1 ? AICORE_UDP : AICORE_TCP;
        seed.middle = flags & 2;
        seed.client_port = in.u16();
        seed.server_port = in.u16();
        for (uint16_t turns = in.u16(); turns; --turns) {
            const bool from_server = in.u8();
            seed.turns.push_back({from_server, string(in, in.u32())});
        }
        out.push_back(std::move(seed));
    }
    if (!in.ok() || out.empty()) throw std::runtime_error("AICORE_SEEDS names no file of seeds");
    return out;
}

} // namespace

const std::vector<Seed> &seeds() {
    static const std::vector<Seed> all = load();
    return all;
}

const std::vector<const aicore_protocol *> &protocols() {
    static const std::vector<const aicore_protocol *> all = {
#define AICORE_PROTOCOL(name) protocols::name(),
#include "protocols.inc"
#undef AICORE_PROTOCOL
    };
    return all;
}

} // namespace aicore::test
