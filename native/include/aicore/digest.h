// SPDX-License-Identifier: Apache-2.0
// SHA-1 and SHA-256 (FIPS 180-4), for identifiers that are defined by them (Community ID, JA4); not for security.
// No allocation, never fails.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define AICORE_SHA_INSTRUCTIONS
#endif

namespace aicore {

namespace digest_detail {

inline uint32_t load(const uint8_t *p) {
    return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 | static_cast<uint32_t>(p[2]) << 8 |
           p[3];
}

inline void sha1_block(std::array<uint32_t, 5> &state, const uint8_t *block) {
    uint32_t ring[16]; // the last words: with all 80 made beforehand it takes half as long again (measured)
    for (int i = 0; i < 16; ++i)
        ring[i] = load(block + 4 * i);
    const auto word = [&ring](int i) {
        uint32_t &w = ring[i & 15];
        if (i >= 16) w = std::rotl(ring[(i - 3) & 15] ^ ring[(i - 8) & 15] ^ ring[(i - 14) & 15] ^ w, 1);
        return w;
    };
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    const auto step = [](uint32_t one, uint32_t &two, uint32_t f, uint32_t &five, uint32_t k) {
        five += std::rotl(one, 5) + f + k;
        two = std::rotl(two, 30);
    };
    // Five steps, after which each variable is in its place again: moving them costs half as much again (measured).
    const auto steps = [&](int from, uint32_t k, auto f) {
        for (int i = from; i < from + 20; i += 5) {
            step(a, b, f(b, c, d), e, k + word(i));
            step(e, a, f(a, b, c), d, k + word(i + 1));
            step(d, e, f(e, a, b), c, k + word(i + 2));
            step(c, d, f(d, e, a), b, k + word(i + 3));
            step(b, c, f(c, d, e), a, k + word(i + 4));
        }
    };
    const auto choose = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (~x & z); };
    const auto parity = [](uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; };
    const auto majority = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (x & z) | (y & z); };
    steps(0, 0x5a827999, choose);
    steps(20, 0x6ed9eba1, parity);
    steps(40, 0x8f1bbcdc, majority);
    steps(60, 0xca62c1d6, parity);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

// First 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4 section 4.2.2).
inline constexpr uint32_t kSha256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#ifdef AICORE_SHA_INSTRUCTIONS
// x86's SHA extensions.
[[gnu::target("sha,sse4.1")]] inline void sha256_block_native(std::array<uint32_t, 8> &state, const uint8_t *block) {
    const auto at = [](const void *p) { return _mm_loadu_si128(static_cast<const __m128i *>(p)); };
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    // The instructions want the state as ABEF and CDGH.
    const __m128i dcba = at(&state[0]), hgfe = at(&state[4]);
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    const __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    __m128i one = abef, two = cdgh, words[4];
    for (int i = 0; i < 4; ++i)
        words[i] = _mm_shuffle_epi8(at(block + 16 * i), order);
    for (int i = 0; i < 16; ++i) { // four steps each
        __m128i &w = words[i & 3];
        if (i >= 4) {
            const __m128i &before = words[(i + 3) & 3];
            w = _mm_sha256msg1_epu32(w, words[(i + 1) & 3]);
            w = _mm_add_epi32(w, _mm_alignr_epi8(before, words[(i + 2) & 3], 4));
            w = _mm_sha256msg2_epu32(w, before);
        }
        const __m128i sum = _mm_add_epi32(w, at(&kSha256[4 * i]));
        two = _mm_sha256rnds2_epu32(two, one, sum);
        one = _mm_sha256rnds2_epu32(one, two, _mm_shuffle_epi32(sum, 0x0e));
    }
    one = _mm_add_epi32(one, abef);
    two = _mm_add_epi32(two, cdgh);
    const __m128i feba = _mm_shuffle_epi32(one, 0x1b), dchg = _mm_shuffle_epi32(two, 0xb1);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(&state[0]), _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(&state[4]), _mm_alignr_epi8(dchg, feba, 8));
}

inline bool has_sha_instructions() noexcept {
    static const bool has = [] {
        unsigned a = 0, b = 0, c = 0, d = 0, b1 = 0, c1 = 0;
        if (!__get_cpuid(1, &a, &b1, &c1, &d) || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
        return (b & bit_SHA) != 0 && (c1 & bit_SSE4_1) != 0 && (c1 & bit_SSSE3) != 0;
    }();
    return has;
}
#endif

inline void sha256_block_portable(std::array<uint32_t, 8> &state, const uint8_t *block) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i)
        w[i] = load(block + 4 * i);
    for (int i = 16; i < 64; ++i) {
        const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
        const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    const auto step = [&w](uint32_t p, uint32_t q, uint32_t r, uint32_t &s, uint32_t t, uint32_t u, uint32_t v,
                           uint32_t &x, int i) {
        const uint32_t s1 = std::rotr(t, 6) ^ std::rotr(t, 11) ^ std::rotr(t, 25);
        const uint32_t s0 = std::rotr(p, 2) ^ std::rotr(p, 13) ^ std::rotr(p, 22);
        x += s1 + ((t & u) ^ (~t & v)) + kSha256[i] + w[i];
        s += x;
        x += s0 + ((p & q) ^ (p & r) ^ (q & r));
    };
    for (int i = 0; i < 64; i += 8) {
        step(a, b, c, d, e, f, g, h, i);
        step(h, a, b, c, d, e, f, g, i + 1);
        step(g, h, a, b, c, d, e, f, i + 2);
        step(f, g, h, a, b, c, d, e, i + 3);
        step(e, f, g, h, a, b, c, d, i + 4);
        step(d, e, f, g, h, a, b, c, i + 5);
        step(c, d, e, f, g, h, a, b, i + 6);
        step(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

inline void sha256_block(std::array<uint32_t, 8> &state, const uint8_t *block) {
#ifdef AICORE_SHA_INSTRUCTIONS
    if (has_sha_instructions()) return sha256_block_native(state, block);
#endif
    sha256_block_portable(state, block);
}

// Both pad alike: whole blocks, then 0x80, zeros and the length in bits (section 5.1.1).
template <size_t words, void (*block)(std::array<uint32_t, words> &, const uint8_t *)>
std::array<uint8_t, words * 4> digest(std::array<uint32_t, words> state, const void *bytes, size_t length) {
    const auto *p = static_cast<const uint8_t *>(bytes);
    size_t left = length;
    for (; left >= 64; p += 64, left -= 64)
        block(state, p);
    uint8_t tail[128] = {};
    if (left) std::memcpy(tail, p, left);
    tail[left] = 0x80;
    const size_t end = left < 56 ? 64 : 128;
    const uint64_t bits = static_cast<uint64_t>(length) * 8;
    for (size_t i = 0; i < 8; ++i)
        tail[end - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
    for (size_t i = 0; i < end; i += 64)
        block(state, tail + i);
    std::array<uint8_t, words * 4> out;
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
    return out;
}

} // namespace digest_detail

inline std::array<uint8_t, 20> sha1(const void *bytes, size_t length) {
    return digest_detail::digest<5, digest_detail::sha1_block>(
        {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, bytes, length);
}

inline std::array<uint8_t, 32> sha256(const void *bytes, size_t length) {
    return digest_detail::digest<8, digest_detail::sha256_block>(
        {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, bytes,
        length);
}

} // namespace aicore
