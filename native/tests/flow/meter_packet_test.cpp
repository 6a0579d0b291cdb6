// SPDX-License-Identifier: Apache-2.0
// What a meter is shown of a packet.
#include <gtest/gtest.h>

#include "fake_meter.h"
#include "fake_protocol.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
const Endpoints kEnds;

TEST(MeterPacket, a_packet_of_tcp) {
    Frames f;
    const Bytes segment = tcp({.src_port = 40000,
                               .dst_port = 80,
                               .seq = 7,
                               .ack = 9,
                               .flags = kAck | kPsh,
                               .window = 500,
                               .options = {2, 4, 5, 0xb4}},
                              text("abcdef"));
    f.push_back({kStart, ethernet(kIpv4, ipv4({.proto = kTcp, .tos = 0xb9, .ttl = 57}, segment))});
    f[0].bytes.resize(f[0].bytes.size() - 2); // two bytes were not captured
    f[0].wire = static_cast<uint32_t>(f[0].bytes.size() + 2);
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            const aicore_packet &p = *x.packet;
            EXPECT_EQ(p.size, sizeof p);
            EXPECT_EQ(p.flags, 0);
            EXPECT_EQ(p.reverse, 0);
            EXPECT_EQ(p.tunnel, AICORE_NO_TUNNEL);
            EXPECT_EQ(p.time, kStart);
            EXPECT_EQ(x.flow->packets[0] + x.flow->packets[1], 1u);
            EXPECT_EQ(p.frame_captured, f[0].bytes.size());
            EXPECT_EQ(p.frame_length, f[0].wire);
            EXPECT_EQ(std::memcmp(p.frame, f[0].bytes.data(), p.frame_captured), 0);
            EXPECT_EQ(p.ip, p.frame + 14);
            EXPECT_EQ(aicore_ip_header(&p), 20u);
            EXPECT_EQ(p.ip_length, 20u + 24 + 6);
            EXPECT_EQ(p.transport, p.ip + 20);
            EXPECT_EQ(aicore_transport_header(&p), 24u);
            EXPECT_EQ(std::memcmp(p.transport + 20, "\2\4\5\xb4", 4), 0); // the options
            EXPECT_EQ(p.payload, p.transport + 24);
            EXPECT_EQ(p.payload_captured, 4u);
            EXPECT_EQ(p.payload_length, 6u);
            EXPECT_EQ(p.seq, 7u);
            EXPECT_EQ(p.ack, 9u);
            EXPECT_EQ(p.window, 500);
            EXPECT_EQ(p.tcp_flags, kAck | kPsh);
            EXPECT_EQ(aicore_ttl(&p), 57);
            EXPECT_EQ(aicore_tos(&p), 0xb9);
            EXPECT_EQ(p.link_type, 1);
        },
        "packet");
    Metering{{&m.m}}.run(f);
    EXPECT_EQ(m.log, Lines{"packet 1"});
}

TEST(MeterPacket, a_packet_of_udp_over_ipv6_behind_an_extension_header) {
    Frames f;
    const Bytes inner = extension(kUdp) + udp({.src_port = 1, .dst_port = 2}, text("xyz"));
    f.push_back({kStart, ethernet(kIpv6, ipv6({.next = 0, .traffic_class = 0x2d, .hop_limit = 3}, inner))});
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            const aicore_packet &p = *x.packet;
            EXPECT_EQ(x.flow->ip_version, 6);
            EXPECT_EQ(x.flow->proto, 17);
            EXPECT_EQ(p.ip, p.frame + 14);
            EXPECT_EQ(aicore_ip_header(&p), 48u);
            EXPECT_EQ(p.transport, p.ip + 48);
            EXPECT_EQ(aicore_transport_header(&p), 8u);
            EXPECT_EQ(std::string(reinterpret_cast<const char *>(p.payload), p.payload_captured), "xyz");
            EXPECT_EQ(p.tcp_flags, 0);
            EXPECT_EQ(aicore_ttl(&p), 3);
            EXPECT_EQ(aicore_tos(&p), 0x2d);
        },
        "packet");
    Metering{{&m.m}}.run(f);
    EXPECT_EQ(m.log, Lines{"packet 1"});
}

TEST(MeterPacket, headers_that_are_cut_or_broken_are_given_as_far_as_they_go) {
    Frames f;
    const Endpoints e;
    Frame cut_short = tcp_frame(0, e, kSyn, 1, 0); // 6 bytes of the TCP header
    cut_short.wire = static_cast<uint32_t>(cut_short.bytes.size());
    cut_short.bytes.resize(14 + 20 + 6);
    f.push_back(cut_short);
    Bytes wrong = tcp({.flags = kAck, .offset = 15}, text("abc")); // its options would reach behind the packet
    f.push_back({kStart + 1, ethernet(kIpv4, ipv4({.proto = kTcp}, wrong))});
    std::vector<uint32_t> headers;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            const aicore_packet &p = *x.packet;
            ASSERT_NE(p.transport, nullptr);
            EXPECT_EQ(p.payload_captured, 0u);
            EXPECT_LE(p.payload, p.frame + p.frame_captured);
            headers.push_back(aicore_transport_header(&p));
        },
        "packet");
    Metering{{&m.m}}.run(f);
    EXPECT_EQ(headers, (std::vector<uint32_t>{6, 20}));
}

TEST(MeterPacket, fragments_and_tunnels_are_marked) {
    Frames f;
    const auto parts = fragments4({.proto = kUdp}, udp({.src_port = 7, .dst_port = 8}, text(std::string(40, 'x'))), 24);
    for (const Bytes &part : parts)
        f.push_back({kStart, ethernet(kIpv4, part)});
    f.push_back(
        {kStart, ethernet(kIpv4, ipv4({.proto = kIpIp}, ipv4({.src = "10.1.0.1", .proto = kUdp},
                                                             udp({.src_port = 7, .dst_port = 8}, text("y")))))});
    std::vector<std::string> seen;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            const aicore_packet &p = *x.packet;
            seen.push_back(std::to_string(p.flags) + (p.transport ? " headed " : " bare ") + std::to_string(p.tunnel) +
                           " " + std::to_string(p.ip - p.frame) + " " + std::to_string(p.payload_length));
        },
        "packet");
    Metering{{&m.m}}.run(f);
    EXPECT_EQ(seen, (Lines{"4 headed 0 14 16", "4 bare 0 14 24", "0 headed 1 34 1"}));
}

TEST(MeterPacket, retransmitted_and_out_of_order_segments_are_marked) {
    Frames f;
    Connection c(f);
    c.open(0);
    const uint32_t at = c.seq[0];
    const auto send = [&](uint32_t offset, std::string_view data) {
        f.push_back(tcp_frame(1, kEnds, kAck, at + offset, c.seq[1], data));
    };
    send(0, "abc");
    send(0, "abc"); // again
    send(6, "ghi"); // "def" is missing
    send(3, "def"); // late, but seen for the first time
    send(9, "jkl");
    send(10, "klm"); // partly new
    std::vector<int> flags;
    FakeMeter<0> m(
        "m", [&](const Metered &x) { flags.push_back(x.packet->flags); }, "packet");
    const Result r = Metering{{&m.m}}.run(f);
    EXPECT_EQ(flags, (std::vector<int>{0, 0, 0, 0, AICORE_RETRANSMISSION, AICORE_OUT_OF_ORDER, 0, 0, 0}));
    EXPECT_EQ(r.events.back().retransmissions, 1u);
}

} // namespace
} // namespace aicore::test
