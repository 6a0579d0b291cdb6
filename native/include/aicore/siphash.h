// SPDX-License-Identifier: Apache-2.0
// SipHash (Aumasson, Bernstein 2012): keyed, so that packets cannot be chosen to collide. 1-3 for tables. 128 bits of
// output stand for what was hashed: 2-4 for flow ids, which leave the process, 1-3 for texts that were looked up.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace aicore {

struct HashKey {
    uint64_t k0, k1;
};

HashKey random_hash_key(); // from getrandom(2)

template <int compress, int finish, int bits = 64> class SipHash {
  public:
    constexpr explicit SipHash(HashKey k)
        : v0_(k.k0 ^ 0x736f6d6570736575u), v1_(k.k1 ^ 0x646f72616e646f6du), v2_(k.k0 ^ 0x6c7967656e657261u),
          v3_(k.k1 ^ 0x7465646279746573u) {
        if (bits == 128) v1_ ^= 0xee;
    }

    constexpr void add(uint64_t word) {
        v3_ ^= word;
        for (int i = 0; i < compress; ++i)
            round();
        v0_ ^= word;
        words_++;
    }

    constexpr uint64_t finish64() {
        static_assert(bits == 64);
        add(words_ << 59); // length in bytes modulo 256 in the top byte: whole words only
        v2_ ^= 0xff;
        for (int i = 0; i < finish; ++i)
            round();
        return v0_ ^ v1_ ^ v2_ ^ v3_;
    }

    constexpr std::array<uint64_t, 2> finish128() {
        static_assert(bits == 128);
        add(words_ << 59);
        v2_ ^= 0xee;
        for (int i = 0; i < finish; ++i)
            round();
        const uint64_t high = v0_ ^ v1_ ^ v2_ ^ v3_;
        v1_ ^= 0xdd;
        for (int i = 0; i < finish; ++i)
            round();
        return {high, v0_ ^ v1_ ^ v2_ ^ v3_};
    }

  private:
    constexpr void round() {
        v0_ += v1_;
        v1_ = std::rotl(v1_, 13) ^ v0_;
        v0_ = std::rotl(v0_, 32);
        v2_ += v3_;
        v3_ = std::rotl(v3_, 16) ^ v2_;
        v0_ += v3_;
        v3_ = std::rotl(v3_, 21) ^ v0_;
        v2_ += v1_;
        v1_ = std::rotl(v1_, 17) ^ v2_;
        v2_ = std::rotl(v2_, 32);
    }

    uint64_t v0_, v1_, v2_, v3_, words_ = 0;
};

} // namespace aicore
