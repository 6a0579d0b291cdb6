// SPDX-License-Identifier: Apache-2.0
// Against the vectors of the reference implementation (key 00 01 .. 0f, message 00 01 ..), for whole words.
#include "aicore/siphash.h"

#include <gtest/gtest.h>

namespace aicore::test {
namespace {

constexpr HashKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

uint64_t of_bytes(unsigned first) { // eight of the message's bytes, the first one lowest
    uint64_t w = 0;
    for (unsigned i = 0; i < 8; ++i)
        w |= static_cast<uint64_t>(first + i) << 8 * i;
    return w;
}

TEST(SipHash, is_siphash_2_4_of_64_bits) {
    SipHash<2, 4> empty(kKey), one(kKey), two(kKey);
    one.add(of_bytes(0));
    two.add(of_bytes(0));
    two.add(of_bytes(8));
    EXPECT_EQ(empty.finish64(), 0x726fdb47dd0e0e31u);
    EXPECT_EQ(one.finish64(), 0x93f5f5799a932462u);
    EXPECT_EQ(two.finish64(), 0x3f2acc7f57c29bdbu);
}

TEST(SipHash, is_siphash_2_4_of_128_bits) {
    SipHash<2, 4, 128> empty(kKey), one(kKey), two(kKey);
    one.add(of_bytes(0));
    two.add(of_bytes(0));
    two.add(of_bytes(8));
    using Two = std::array<uint64_t, 2>;
    EXPECT_EQ(empty.finish128(), (Two{0xe6a825ba047f81a3, 0x930255c71472f66d}));
    EXPECT_EQ(one.finish128(), (Two{0x61f55862baa9623b, 0xb49714f364e2830f}));
    EXPECT_EQ(two.finish128(), (Two{0xbb54b067caa4e26e, 0x77052385bf1533fd}));
}

} // namespace
} // namespace aicore::test
