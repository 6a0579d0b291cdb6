// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "aicore/bytes.h"
#include "aicore/digest.h"

namespace aicore {
namespace {

template <size_t n> std::string hex(const std::array<uint8_t, n> &bytes) {
    std::string out;
    for (const uint8_t b : bytes) {
        out += "0123456789abcdef"[b >> 4];
        out += "0123456789abcdef"[b & 15];
    }
    return out;
}

// Examples of FIPS 180-2, appendices A and B, and of RFC 3174 section 7.3.
TEST(Digest, PublishedVectors) {
    EXPECT_EQ(hex(sha1("", 0)), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    EXPECT_EQ(hex(sha1("abc", 3)), "a9993e364706816aba3e25717850c26c9cd0d89d");
    EXPECT_EQ(hex(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56)),
              "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    EXPECT_EQ(hex(sha256("", 0)), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(sha256("abc", 3)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56)),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    const std::string million(1000000, 'a');
    EXPECT_EQ(hex(sha1(million.data(), million.size())), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    EXPECT_EQ(hex(sha256(million.data(), million.size())),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Around the places where padding takes another block; sums made with Python's hashlib.
TEST(Digest, LengthsAroundABlock) {
    const std::string a(128, 'a');
    EXPECT_EQ(hex(sha1(a.data(), 55)), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    EXPECT_EQ(hex(sha1(a.data(), 63)), "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    EXPECT_EQ(hex(sha1(a.data(), 64)), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    EXPECT_EQ(hex(sha256(a.data(), 55)), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    EXPECT_EQ(hex(sha256(a.data(), 119)), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
    EXPECT_EQ(hex(sha256(a.data(), 128)), "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e");
}

#ifdef AICORE_SHA_INSTRUCTIONS
TEST(Digest, InstructionsGiveWhatThePortableCodeGives) {
    if (!digest_detail::has_sha_instructions()) GTEST_SKIP() << "this processor has none";
    std::array<uint32_t, 8> portable = {1, 2, 3, 4, 5, 6, 7, 8}, native = portable;
    uint8_t block[128];
    for (size_t i = 0; i < sizeof block; ++i)
        block[i] = static_cast<uint8_t>(i * 37);
    for (size_t i = 0; i < 1000; ++i) {
        digest_detail::sha256_block_portable(portable, block + i % 64);
        digest_detail::sha256_block_native(native, block + i % 64);
        ASSERT_EQ(native, portable) << i;
    }
}
#endif

TEST(Bytes, ReadsNumbersAndStopsAtTheEnd) {
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    Bytes in(data, sizeof data);
    EXPECT_EQ(in.u8(), 0x01);
    EXPECT_EQ(in.u16(), 0x0203);
    EXPECT_EQ(in.u24(), 0x040506u);
    EXPECT_EQ(in.take(2).u16(), 0x0708);
    EXPECT_EQ(in.left(), 2u);
    EXPECT_TRUE(in.ok());
    EXPECT_EQ(in.u24(), 0u);
    EXPECT_FALSE(in.ok());
    EXPECT_EQ(in.u8(), 0) << "once failed, nothing more is read";
}

TEST(Bytes, TakeSomeGivesWhatThereIs) {
    const uint8_t data[] = {1, 2, 3};
    Bytes in(data, sizeof data);
    EXPECT_EQ(in.take_some(5).left(), 3u);
    EXPECT_FALSE(in.ok());
    Bytes huge(data, sizeof data);
    EXPECT_EQ(huge.take(SIZE_MAX).left(), 0u);
    EXPECT_FALSE(huge.ok());
}

} // namespace
} // namespace aicore
