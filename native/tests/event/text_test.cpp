// SPDX-License-Identifier: Apache-2.0
// Text forms: addresses, keys, ids, times, and packet bytes made into text.
#include <gtest/gtest.h>

#include <arpa/inet.h>

#include <random>

#include "aicore/batch.h"
#include "aicore/text.h"
#include "json_checker.h"
#include "packets.h"

namespace aicore::test {
namespace {

Row row_of(const std::string &src, uint16_t src_port, const std::string &dst, uint16_t dst_port, uint8_t proto) {
    Row row{};
    const Bytes s = address(src), d = address(dst);
    std::copy(s.begin(), s.end(), row.ipsrc);
    std::copy(d.begin(), d.end(), row.ipdst);
    row.ip_version = s.size() == 4 ? 4 : 6;
    row.portsrc = src_port;
    row.portdst = dst_port;
    row.proto = proto;
    return row;
}

std::string made(void (*append)(std::string &, const Row &), const Row &row) {
    std::string s = "<";
    append(s, row);
    return s.substr(1);
}

std::string ip(const std::string &text) {
    const Bytes a = address(text);
    std::string s;
    append_address(s, a.data(), a.size() == 4 ? 4 : 6);
    return s;
}

TEST(Address, of_ipv4) {
    for (const char *a : {"0.0.0.0", "255.255.255.255", "10.0.0.1", "192.168.100.9"})
        EXPECT_EQ(ip(a), a);
}

TEST(Address, of_ipv6_as_rfc_5952_says) {
    const std::pair<const char *, const char *> cases[] = {
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"},
        {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, // 4.2.2: not one group alone
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},         // 4.2.3: the longest
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},   // 4.2.3: the first of equals
        {"0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"0:1:1:1:1:1:1:0", "0:1:1:1:1:1:1:0"},
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
        {"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"},
        {"2001:DB8:ABCD:EF01:2345:6789:ABCD:EF01", "2001:db8:abcd:ef01:2345:6789:abcd:ef01"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"}, // section 5
        {"::192.0.2.1", "::c000:201"},
    };
    for (const auto &[in, out] : cases)
        EXPECT_EQ(ip(in), out);
}

TEST(Address, of_ipv6_any_reads_back) {
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
        uint8_t a[16];
        for (auto &b : a)
            b = static_cast<uint8_t>(random() % 3 ? 0 : random());
        std::string s;
        append_address(s, a, 6);
        uint8_t back[16];
        ASSERT_EQ(inet_pton(AF_INET6, s.c_str(), back), 1) << s;
        ASSERT_EQ(0, std::memcmp(a, back, 16)) << s;
        ASSERT_EQ(s.find_first_of("ABCDEF"), std::string::npos);
    }
}

TEST(Key, is_split_one_way_only) {
    EXPECT_EQ(made(append_key, row_of("192.168.1.13", 54737, "89.101.160.5", 53, 17)),
              "192.168.1.13:54737:17:89.101.160.5:53");
    EXPECT_EQ(made(append_key, row_of("2001:db8::1", 1, "::", 65535, 6)), "[2001:db8::1]:1:6:[::]:65535");
    EXPECT_EQ(made(append_key, row_of("0.0.0.0", 0, "255.255.255.255", 0, 255)), "0.0.0.0:0:255:255.255.255.255:0");
}

TEST(FlowId, is_32_hex_digits) {
    Row row{};
    EXPECT_EQ(made(append_flow_id, row), std::string(32, '0'));
    row.flow_id[0] = 0x0123456789abcdef;
    row.flow_id[1] = 0xfedcba9876543210;
    EXPECT_EQ(made(append_flow_id, row), "0123456789abcdeffedcba9876543210");
}

TEST(TunnelText, has_the_id_where_there_is_one) {
    const auto text = [](Tunnel t, uint32_t id) {
        std::string s;
        append_tunnel(s, t, id);
        return s;
    };
    EXPECT_EQ(text(Tunnel::none, 0), "");
    EXPECT_EQ(text(Tunnel::vxlan, 7), "vxlan:7");
    EXPECT_EQ(text(Tunnel::gre, 0), "gre");
    EXPECT_EQ(text(Tunnel::gre, UINT32_MAX), "gre:4294967295");
    EXPECT_EQ(text(Tunnel::teredo, 0), "teredo");
}

// Values that the specification publishes (corelight/community-id-spec, baseline), and some made with Python's hashlib.
TEST(CommunityId, is_that_of_the_specification_in_both_directions) {
    const std::tuple<const char *, uint16_t, const char *, uint16_t, uint8_t, const char *> cases[] = {
        {"128.232.110.120", 34855, "66.35.250.204", 80, 6, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
        {"192.168.1.52", 54585, "8.8.8.8", 53, 17, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
        {"2607:f8b0:400c:c03::1a", 25, "2001:470:e5bf:dead:4957:2174:e82c:4887", 63943, 6,
         "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
        {"10.0.0.1", 9, "10.0.0.1", 7, 17, "1:xASWHUhMb118sbXbjDPqZo32CD8="}, // by port if the addresses are equal
    };
    for (const auto &[src, src_port, dst, dst_port, proto, id] : cases) {
        EXPECT_EQ(made(append_community_id, row_of(src, src_port, dst, dst_port, proto)), id);
        EXPECT_EQ(made(append_community_id, row_of(dst, dst_port, src, src_port, proto)), id);
    }
}

TEST(Time, is_rfc_3339_with_nine_decimals_for_every_int64) {
    const std::pair<int64_t, const char *> cases[] = {
        // made with Python's datetime
        {0, "1970-01-01T00:00:00.000000000Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
        {951'782'400'000'000'000, "2000-02-29T00:00:00.000000000Z"},
        {951'868'799'999'999'999, "2000-02-29T23:59:59.999999999Z"},
        {-2'208'988'800'000'000'000, "1900-01-01T00:00:00.000000000Z"},
        {4'102'444'799'999'999'999, "2099-12-31T23:59:59.999999999Z"},
        {1'700'000'000'123'456'789, "2023-11-14T22:13:20.123456789Z"},
        {4'294'967'295'000'000'000, "2106-02-07T06:28:15.000000000Z"},
    };
    for (const auto &[ns, text] : cases) {
        std::string s;
        append_time(s, ns);
        EXPECT_EQ(s, text);
    }
}

TEST(Time, agrees_with_the_c_library) {
    std::mt19937_64 random(2);
    for (int i = 0; i < 20'000; ++i) {
        const auto ns = static_cast<int64_t>(random());
        int64_t s = ns / 1'000'000'000, rest = ns % 1'000'000'000;
        if (rest < 0) rest += 1'000'000'000, --s;
        const time_t t = s;
        tm broken{};
        gmtime_r(&t, &broken);
        char want[80];
        snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", broken.tm_year + 1900, broken.tm_mon + 1,
                 broken.tm_mday, broken.tm_hour, broken.tm_min, broken.tm_sec, static_cast<long>(rest));
        std::string got;
        append_time(got, ns);
        ASSERT_EQ(got, want) << ns;
    }
}

// Bytes to UTF-8 ---------------------------------------------------------------------------------------------------

std::string utf8(const std::string &bytes, size_t limit = 1024, bool cut = false) {
    std::string out = "<";
    EXPECT_EQ(append_utf8(out, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(), limit), cut) << bytes;
    return out.substr(1);
}

TEST(Utf8, valid_text_stays) {
    for (const char *s : {"", "plain", "\x01\x1b[31m\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                          "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "gr\xc3\xbc\xc3\x9f"})
        EXPECT_EQ(utf8(s), s);
}

TEST(Utf8, nul_is_text) {
    EXPECT_EQ(utf8(std::string("a\0b", 3)), "a\\x00b");
}

TEST(Utf8, each_class_of_what_rfc_3629_forbids_is_text) {
    const std::pair<const char *, const char *> cases[] = {
        {"\x80", "\\x80"}, // a tail alone
        {"\xbf", "\\xbf"},
        {"\xc0\xaf", "\\xc0\\xaf"}, // overlong, two bytes
        {"\xc1\xbf", "\\xc1\\xbf"},
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"}, // overlong, three
        {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},
        {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"}, // overlong, four
        {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, // surrogates
        {"\xed\xbf\xbf", "\\xed\\xbf\\xbf"},
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, // above U+10FFFF
        {"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},
        {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"}, // five bytes
        {"\xfe", "\\xfe"},
        {"\xff", "\\xff"},
        {"\xc2", "\\xc2"}, // ends inside
        {"\xe2\x82", "\\xe2\\x82"},
        {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
        {"\xc3(", "\\xc3("}, // a tail is missing
        {"\xe2\x82(", "\\xe2\\x82("},
        {"\xe2(\x82", "\\xe2(\\x82"},
        {"caf\xe9.com", "caf\\xe9.com"},
    };
    for (const auto &[in, out] : cases)
        EXPECT_EQ(utf8(in), out);
}

TEST(Utf8, cut_never_splits_a_character_or_an_escape) {
    EXPECT_EQ(utf8("abcd", 4), "abcd");
    EXPECT_EQ(utf8("abcde", 4, true), "abcd");
    EXPECT_EQ(utf8("abc\xc3\xa9", 4, true), "abc");
    EXPECT_EQ(utf8("ab\xc3\xa9", 4), "ab\xc3\xa9");
    EXPECT_EQ(utf8("a\xff", 4, true), "a");
    EXPECT_EQ(utf8("\xff", 4), "\\xff");
    EXPECT_EQ(utf8("\xff\xff", 7, true), "\\xff");
    EXPECT_EQ(utf8("x", 0, true), "");
    EXPECT_EQ(utf8("", 0), "");
}

TEST(Utf8, any_bytes_give_valid_text_within_the_limit_and_say_whether_it_was_cut) {
    std::mt19937 random(3);
    for (int i = 0; i < 50'000; ++i) {
        std::string bytes(random() % 40, 0);
        for (char &c : bytes) { // mostly near what is valid
            static constexpr uint8_t kSome[] = {0,    0x41, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0,
                                                0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5};
            c = static_cast<char>(random() % 4 ? kSome[random() % std::size(kSome)] : random());
        }
        const size_t limit = random() % 60;
        std::string out, whole;
        const bool cut = append_utf8(out, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(), limit);
        ASSERT_FALSE(append_utf8(whole, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(), 1000));
        ASSERT_TRUE(JsonReader::utf8(out));
        ASSERT_LE(out.size(), limit);
        ASSERT_EQ(out, whole.substr(0, out.size()));
        ASSERT_EQ(cut, out.size() < whole.size());
        ASSERT_TRUE(!cut || out.size() + 4 > limit);
        ASSERT_EQ(out.find('\0'), std::string::npos);
    }
}

} // namespace
} // namespace aicore::test
