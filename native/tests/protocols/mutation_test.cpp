// SPDX-License-Identifier: Apache-2.0
// Messages with random bytes changed, cut and repeated: a dissector may answer anything, but must not read outside its
// input (the host frees a copy of it after each call), break the contract (the host throws), or find names for nothing.
#include <gtest/gtest.h>

#include <random>

#include "aicore/builtin_protocols.h"
#include "host.h"
#include "tls_messages.h"

namespace aicore::test {
namespace {

constexpr int kRounds = 200000;

struct Seed {
    const aicore_protocol *protocol;
    uint8_t transport;
    uint16_t port;
    std::string bytes;
};

std::vector<Seed> seeds() {
    const std::string request = "POST http://a.example:80/x HTTP/1.1\r\nHost: b.example\r\n folded\r\nUser-Agent: "
                                "c\r\nUpgrade: websocket\r\n\r\nbody";
    const std::string hello = client_hello(
        0x0303, {0x1301, 0xc02f},
        {server_name("a.example"), alpn({"h2"}), signatures({0x0403}), versions({0x0304}), {21, std::string(40, 0)}});
    const std::string query("\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x03www\x07"
                            "example\x03"
                            "com\x00\x00\x01\x00\x01\xc0\x0c\x00\x1c\x00\x01",
                            39);
    std::string response = query + std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\xc0\x00\x02\x01", 16) +
                           std::string("\xc0\x10\x00\x1c\x00\x01\x00\x00\x00\x01\x00\x10", 12) + std::string(16, 'a');
    response[2] = '\x81';
    response[7] = 2;
    return {{aicore_http(), AICORE_TCP, 80, request},
            {aicore_http(), AICORE_TCP, 80, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nX: y\r\n\r\nrest"},
            {aicore_http(), AICORE_TCP, 80, "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n"},
            {aicore_tls(), AICORE_TCP, 443, records(hello)},
            {aicore_tls(), AICORE_TCP, 443, records(hello, 11)},
            {aicore_tls(), AICORE_TCP, 443, "EHLO a\r\nSTARTTLS\r\n" + records(hello)},
            {aicore_tls(), AICORE_TCP, 443,
             records(server_hello(0x0303, {alpn({"h2"}), {43, u16(0x0304)}}), 16384, 22, 0x0303)},
            {aicore_tls(), AICORE_TCP, 443, records(std::string(60, 'x'), 20, 23, 0x0303)},
            {aicore_tls(), AICORE_TCP, 443,
             u16(0x8037) + u8(1) + u16(0x0301) + u16(30) + u16(0) + u16(16) + std::string(46, 'c')},
            {aicore_dns(), AICORE_UDP, 53, query},
            {aicore_dns(), AICORE_UDP, 53, response},
            {aicore_dns(), AICORE_UDP, 5353, response},
            {aicore_dns(), AICORE_UDP, 9999, response},
            {aicore_dns(), AICORE_TCP, 53, u16(response.size()) + response + u16(query.size()) + query}};
}

TEST(Mutation, NothingIsReadOutsideTheInput) {
    std::mt19937 random(20240229);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    const std::vector<Seed> all = seeds();
    size_t recognised = 0;
    for (int round = 0; round < kRounds; ++round) {
        const Seed &seed = all[below(all.size())];
        std::string bytes = seed.bytes;
        for (size_t n = below(6); n > 0; --n) {
            const size_t at = below(bytes.size());
            switch (below(5)) {
            case 0:
                bytes[at] = static_cast<char>(random());
                break;
            case 1:
                bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
                break;
            case 2:
                bytes[at] = static_cast<char>(below(2) ? 0xff : 0x00);
                break;
            case 3:
                bytes.resize(at + 1);
                break;
            default:
                bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(30)));
                break;
            }
        }
        Flow f(seed.protocol, seed.transport);
        f.flow.dst_port = seed.port;
        const uint8_t flags =
            static_cast<uint8_t>(below(3) ? 0 : random() & (AICORE_GAP | AICORE_MIDSTREAM | AICORE_TRUNCATED));
        const size_t cut = seed.transport == AICORE_TCP ? below(bytes.size()) : 0;
        if (cut) f.feed(bytes.substr(0, cut), false, flags & ~AICORE_GAP);
        f.feed(bytes.substr(cut), false, flags);
        f.feed(all[below(all.size())].bytes, true, flags);
        recognised += f.flow.recognised;
        for (const auto &[name, value] : f.strings)
            ASSERT_FALSE(value.empty()) << name;
        for (const auto &[name, list] : f.lists)
            ASSERT_LE(list.size(), 16u) << name;
        ASSERT_TRUE(f.flow.recognised || (f.strings.empty() && f.anomalies.empty()));
    }
    EXPECT_GT(recognised, static_cast<size_t>(kRounds) / 4) << "mutations must get behind the first checks";
    EXPECT_LT(recognised, static_cast<size_t>(kRounds)) << "and some must fail them";
}

// Random bytes are nobody's protocol, on any port but their own.
TEST(Mutation, NoiseIsNotRecognised) {
    std::mt19937 random(7);
    for (int round = 0; round < 100000; ++round) {
        std::string bytes(1 + random() % 200, 0);
        for (char &c : bytes)
            c = static_cast<char>(random());
        for (const uint8_t transport : {AICORE_TCP, AICORE_UDP})
            for (const aicore_protocol *p : {aicore_http(), aicore_tls(), aicore_dns()}) {
                if (!(p->transports & transport)) continue;
                Flow f(p, transport);
                f.feed(bytes, false, AICORE_MIDSTREAM);
                ASSERT_FALSE(f.flow.recognised) << p->name << " in round " << round;
            }
    }
}

} // namespace
} // namespace aicore::test
