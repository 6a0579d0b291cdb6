// SPDX-License-Identifier: Apache-2.0
// What aicore/dissector.h adds to aicore/protocol.h.
#include "aicore/dissector.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "host.h"

namespace aicore::test {
namespace {

using namespace std::string_literals;

enum Field : uint32_t { kText, kInteger, kTexts, kReal, kFlag, kIntegers, kReals, kTime };
constexpr aicore_field kFields[] = {
    {"atext", AICORE_STRING, 0, 0, nullptr, nullptr, nullptr},
    {"aninteger", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr},
    {"texts", AICORE_STRINGS, 0, 0, nullptr, nullptr, nullptr},
    {"areal", AICORE_REAL, 0, 0, nullptr, nullptr, nullptr},
    {"aflag", AICORE_BOOLEAN, 0, 0, nullptr, nullptr, nullptr},
    {"integers", AICORE_INTEGERS, 0, 0, nullptr, nullptr, nullptr},
    {"reals", AICORE_REALS, 0, 0, nullptr, nullptr, nullptr},
    {"atime", AICORE_TIME, 0, 0, nullptr, nullptr, nullptr},
};
constexpr aicore_prefix kPrefixes[] = {prefix("a\0b")};
constexpr uint16_t kPorts[] = {7, 9};
constexpr const char *kAnomalies[] = {"an_anomaly"};
constexpr const char *kAliases[] = {"other"};

struct State {
    uint64_t calls;
};

int inspect(aicore::Flow flow, aicore_payload &payload, State &state) {
    EXPECT_EQ(text(flow.src()), "\xc0\0\2\1"s);
    EXPECT_EQ(flow.dst().left(), 4u);
    EXPECT_EQ(text(payload), text(bytes(payload)));
    flow.set(kText, "");
    EXPECT_EQ(flow.has(kText), flow.recognised()) << "an empty text is no value";
    flow.set(kText, "one");
    flow.first(kText, "two");
    flow.set(kInteger, uint64_t{INT64_MAX} + 1);
    flow.first(kInteger, 5);
    flow.add(kTexts, "a");
    flow.add(kTexts, "");
    flow.set(kReal, 0.5f);
    flow.set(kFlag, true);
    for (const int value : {3, 3, -4})
        flow.add(kIntegers, value);
    flow.add(kReals, 1.25);
    flow.set(kTime, payload.time);
    flow.anomaly(0);
    flow.set_layer7(0);
    return ++state.calls == 2 ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "mine",
    .help = "An example",
    .transports = AICORE_TCP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
    .aliases = kAliases,
});

TEST(Dissector, ValuesGoToTheFunctionOfTheirType) {
    Flow f(&kProtocol);
    EXPECT_EQ(f.feed("x"), AICORE_YES);
    EXPECT_EQ(f.feed("x"), AICORE_DONE) << "the state is the core's";
    EXPECT_EQ(f.text("atext"), "one");
    EXPECT_EQ(f.integers, (std::map<std::string, int64_t>{{"aninteger", INT64_MAX}, {"aflag", 1}, {"atime", 0}}));
    EXPECT_EQ(f.reals, (std::map<std::string, double>{{"areal", 0.5}}));
    EXPECT_EQ(f.lists["texts"], std::vector<std::string>{"a"});
    EXPECT_EQ(f.lists["integers"], (std::vector<std::string>{"3", "3", "-4", "3", "3", "-4"}));
    EXPECT_EQ(f.lists["reals"].size(), 2u);
    EXPECT_EQ(f.layer7, "other");
}

TEST(Dissector, TheStructureIsThatOfTheAbi) {
    EXPECT_EQ(kProtocol.abi, AICORE_PROTOCOL_ABI);
    EXPECT_EQ(kProtocol.size, sizeof(aicore_protocol));
    EXPECT_EQ(kProtocol.state_size, sizeof(State));
    EXPECT_EQ(kProtocol.field_count, std::size(kFields));
    EXPECT_EQ(kProtocol.field_size, sizeof(aicore_field));
    EXPECT_EQ(kProtocol.prefix_size, sizeof(aicore_prefix));
    EXPECT_EQ(kProtocol.prefixes[0].length, 3u) << "zero bytes count";
    EXPECT_EQ(kProtocol.port_count, 2u);
    EXPECT_EQ(kProtocol.alias_count, 1u);
    EXPECT_EQ(kProtocol.anomaly_count, 1u);
}

TEST(Dissector, ASmallerStructureHasFewerMembers) {
    Flow f(&kProtocol);
    const aicore_host *host = f.flow.host;
    EXPECT_TRUE(AICORE_HAS(host, hand_over));
    aicore_host older = *host;
    older.size -= sizeof older.hand_over;
    EXPECT_FALSE(AICORE_HAS(&older, hand_over));
    EXPECT_TRUE(AICORE_HAS(&older, set_layer7));
}

TEST(Dissector, TheServerIsWhoDidNotOpenOrHasThePort) {
    Flow f(&kProtocol); // 40000 to 9999
    const aicore::Flow flow(&f.flow);
    aicore_payload payload{};
    EXPECT_FALSE(flow.from_server(payload, kPorts));
    payload.reverse = 1;
    EXPECT_TRUE(flow.from_server(payload, kPorts));
    f.flow.src_port = 7; // seen from its middle, the first packet may be the server's
    EXPECT_TRUE(flow.from_server(payload, kPorts)) << "its SYN was seen";
    payload.flags = AICORE_MIDSTREAM;
    EXPECT_FALSE(flow.from_server(payload, kPorts));
    f.flow.dst_port = 9;
    EXPECT_TRUE(flow.from_server(payload, kPorts));
}

TEST(Bytes, BothByteOrders) {
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    Bytes in(data, sizeof data);
    EXPECT_EQ(in.u16(), 0x0102);
    EXPECT_EQ(in.u16le(), 0x0403);
    EXPECT_EQ(in.u32le(), 0x08070605u);
    EXPECT_EQ(in.u32(), 0x090a0b0cu);
    EXPECT_TRUE(in.ok());
    EXPECT_EQ(in.u16le(), 0) << "one byte is left";
    EXPECT_FALSE(in.ok());
}

std::vector<std::string> lines(const std::vector<std::string> &payloads, bool gap = false) {
    std::vector<std::string> out;
    bool skipping = false;
    std::string rest;
    for (const std::string &payload : payloads) {
        rest += payload;
        Lines in(rest, std::exchange(gap, false), skipping);
        for (std::string_view line; in.next(line);)
            out.emplace_back(line);
        rest.erase(0, in.at());
    }
    return out;
}

TEST(Lines, OnlyWholeOnesAndLongOnesCut) {
    using L = std::vector<std::string>;
    EXPECT_EQ(lines({"a\r\nb\n\nhal", "f\n"}), (L{"a", "b", "", "half"}));
    EXPECT_EQ(lines({"end of a line\nnext\n"}, true), L{"next"});
    const std::string bound(Lines::kMaxLine, 'x'), below = bound.substr(1);
    EXPECT_EQ(lines({below}), L{});
    EXPECT_EQ(lines({bound}), L{bound});
    EXPECT_EQ(lines({bound, "more", " and more\nnext\n"}), (L{bound, "next"})) << "its rest is passed over";
    EXPECT_EQ(lines({below + "\n"}), L{below});
}

TEST(Text, ComparesWithoutCaseAndTakesWords) {
    EXPECT_TRUE(starts_nocase("HELO there", "helo"));
    EXPECT_FALSE(starts_nocase("HEL", "helo"));
    EXPECT_TRUE(equal_nocase("WebSocket", "websocket"));
    EXPECT_FALSE(equal_nocase("websockets", "websocket"));
    EXPECT_FALSE(equal_nocase("@", "`")) << "only letters have case";
    EXPECT_TRUE(contains_nocase("a STARTTLS", "starttls"));
    EXPECT_FALSE(contains_nocase("", "a"));
    std::string_view in = " \tone\ttwo  three\r\n";
    EXPECT_EQ(take_word(in), "one");
    EXPECT_EQ(take_word(in), "two");
    EXPECT_EQ(take_word(in), "three");
    EXPECT_EQ(take_word(in), "");
    EXPECT_EQ(decimal("999999999"), 999'999'999);
    EXPECT_EQ(decimal("1000000000"), -1);
    for (const char *bad : {"", "-1", "1a", " 1"})
        EXPECT_EQ(decimal(bad), -1) << bad;
    EXPECT_TRUE(printable("caf\xc3\xa9"));
    EXPECT_FALSE(printable("a\x7f"));
}

TEST(AddressText, AsRfc5952AndTheCLibrarySay) {
    const auto v6 = [](const char *text) {
        uint8_t a[16];
        inet_pton(AF_INET6, text, a);
        return std::string(AddressText({a, sizeof a}).view());
    };
    // RFC 5952 sections 4 and 5.
    EXPECT_EQ(v6("2001:0DB8:0:0:0:0:0:1"), "2001:db8::1");
    EXPECT_EQ(v6("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");
    EXPECT_EQ(v6("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");
    EXPECT_EQ(v6("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");
    EXPECT_EQ(v6("::"), "::");
    EXPECT_EQ(v6("::1"), "::1");
    EXPECT_EQ(v6("1::"), "1::");
    EXPECT_EQ(v6("0:0:1:0:0:0:0:0"), "0:0:1::");
    EXPECT_EQ(v6("::ffff:192.0.2.128"), "::ffff:192.0.2.128");
    EXPECT_EQ(v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    const uint8_t v4[] = {192, 0, 2, 255};
    EXPECT_EQ(AddressText({v4, 4}).view(), "192.0.2.255");
    EXPECT_EQ(AddressText({v4, 3}).view(), "");
    uint32_t x = 1; // the C library agrees, but for the deprecated ::192.0.2.1 (IPv4-compatible)
    for (int i = 0; i < 20000; ++i) {
        uint8_t a[16];
        for (uint8_t &b : a) {
            x = x * 1664525 + 1013904223;
            b = x >> 30 ? 0 : static_cast<uint8_t>(x >> 16);
        }
        a[0] = 0x20;
        char want[INET6_ADDRSTRLEN];
        inet_ntop(AF_INET6, a, want, sizeof want);
        ASSERT_EQ(AddressText({a, sizeof a}).view(), want);
    }
}

} // namespace
} // namespace aicore::test
