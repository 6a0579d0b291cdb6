// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 over whole 64-bit words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), keyed afresh
// for each table, so that packets cannot be chosen to collide.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>

namespace aicore {

struct HashKey {
    uint64_t k0, k1;

    static HashKey random() { // may throw where the system has no entropy: only at the start of a run
        std::random_device device;
        auto word = [&device] { return static_cast<uint64_t>(device()) << 32 | device(); };
        return {word(), word()};
    }
};

template <size_t words> inline uint64_t siphash13(const HashKey &key, const uint64_t (&data)[words]) {
    uint64_t v0 = key.k0 ^ 0x736f6d6570736575, v1 = key.k1 ^ 0x646f72616e646f6d;
    uint64_t v2 = key.k0 ^ 0x6c7967656e657261, v3 = key.k1 ^ 0x7465646279746573;
    auto round = [&] {
        v0 += v1, v1 = std::rotl(v1, 13), v1 ^= v0, v0 = std::rotl(v0, 32);
        v2 += v3, v3 = std::rotl(v3, 16), v3 ^= v2;
        v0 += v3, v3 = std::rotl(v3, 21), v3 ^= v0;
        v2 += v1, v1 = std::rotl(v1, 17), v1 ^= v2, v2 = std::rotl(v2, 32);
    };
    auto absorb = [&](uint64_t word) { v3 ^= word, round(), v0 ^= word; };
    for (uint64_t word : data)
        absorb(word);
    absorb(static_cast<uint64_t>(words * 8) << 56);
    v2 ^= 0xff;
    round(), round(), round();
    return v0 ^ v1 ^ v2 ^ v3;
}

} // namespace aicore
