// SPDX-License-Identifier: Apache-2.0
// The hash of flow keys for tables: multilinear hashing of 64-bit words modulo 2^128 with random 128-bit keys, of which
// the upper 64 bits are taken. It is strongly universal (Lemire, Kaser: "Strongly universal string hashing is fast",
// 2014): whatever two keys a sender chooses, they collide as rarely as if both hashes were random. Packets can
// therefore not be chosen to collide, at a sixth of the instructions of SipHash 1-3 (28 instead of 168 for IPv4,
// measured).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aicore/packet.h"
#include "aicore/siphash.h"

namespace aicore {

class FlowHash {
  public:
    // `seed` is stretched to the keys that are needed, by SipHash 2-4 of their numbers.
    explicit FlowHash(HashKey seed) noexcept {
        uint64_t number = 0;
        const auto next = [&] {
            SipHash<2, 4> h(seed);
            h.add(number++);
            return h.finish64();
        };
        for (Word &w : words_)
            w = {next(), next()};
    }

    [[nodiscard]] uint64_t operator()(const FlowKey &key) const noexcept {
        static_assert(offsetof(FlowKey, port_a) == 32 && sizeof(FlowKey) == 48, "ports, tags and protocol: two words");
        const auto *bytes = reinterpret_cast<const uint8_t *>(&key);
        Wide sum = whole(words_[0]) + times(words_[1], word(bytes + 32)) + times(words_[2], word(bytes + 40));
        if (key.version == 4) { // the version is in the last word: none of these is taken for one of the others
            uint32_t a, b;
            std::memcpy(&a, key.a, sizeof a);
            std::memcpy(&b, key.b, sizeof b);
            sum += times(words_[3], static_cast<uint64_t>(a) << 32 | b);
        } else {
            for (int i = 0; i < 4; ++i)
                sum += times(words_[3 + i], word(bytes + 8 * i));
        }
        return mixed(static_cast<uint64_t>(sum >> 64));
    }

  private:
    __extension__ using Wide = unsigned __int128;
    struct Word {
        uint64_t low, high;
    };

    // The sum is linear: of keys that are evenly apart, as of a scan, the low bits alone may crowd (29 of 50,000 in one
    // of 32,768 buckets, seen, where 12 are usual). One to one, so no two hashes become equal.
    static uint64_t mixed(uint64_t hash) noexcept {
        hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93;
        return hash ^ hash >> 32;
    }

    static Wide whole(const Word &w) noexcept { return static_cast<Wide>(w.high) << 64 | w.low; }
    static Wide times(const Word &w, uint64_t by) noexcept { return whole(w) * by; }
    static uint64_t word(const uint8_t *p) noexcept {
        uint64_t n;
        std::memcpy(&n, p, sizeof n);
        return n;
    }

    Word words_[7];
};

} // namespace aicore
