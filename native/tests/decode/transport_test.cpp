// SPDX-License-Identifier: Apache-2.0
// TCP and UDP in plain IPv4 and IPv6: fields, key, direction, lengths.
#include "decoding.h"

namespace aicore::test {
namespace {

// The same IP packet by the fast path and by the walk: all fields must agree.
void expect_same_both_ways(const Bytes &ip, unsigned type, uint32_t cut_off = 0) {
    Decoding fast, walk;
    Bytes captured = cut(ip, 0, ip.size() - cut_off);
    uint32_t wire = static_cast<uint32_t>(ip.size());
    ASSERT_TRUE(fast(ethernet(type, captured), 7, DLT_EN10MB, wire + 14));
    ASSERT_TRUE(walk(cooked(type, captured), 7, DLT_LINUX_SLL, wire + 16));
    const Packet &a = fast.packet, &b = walk.packet;
    EXPECT_TRUE(a.key == b.key);
    EXPECT_EQ(fast.payload(), walk.payload());
    EXPECT_EQ(a.time, b.time);
    EXPECT_EQ(a.payload_bytes, b.payload_bytes);
    EXPECT_EQ(a.ip_bytes, b.ip_bytes);
    EXPECT_EQ(a.seq, b.seq);
    EXPECT_EQ(a.ack, b.ack);
    EXPECT_EQ(a.window, b.window);
    EXPECT_EQ(a.vlan, b.vlan);
    EXPECT_EQ(a.vlan_inner, b.vlan_inner);
    EXPECT_EQ(a.anomaly, b.anomaly);
    EXPECT_EQ(a.tcp_flags, b.tcp_flags);
    EXPECT_EQ(a.tunnel, b.tunnel);
    EXPECT_EQ(a.reversed, b.reversed);
    EXPECT_EQ(a.fragment, b.fragment);
    for (size_t i = 0; i < kCounterCount; ++i) {
        if (i == static_cast<size_t>(Counter::wire_bytes)) continue; // the link headers differ
        EXPECT_EQ(fast.counters.value[i], walk.counters.value[i]) << kCounterInfo[i].name;
    }
}

TEST(FastPath, agrees_with_the_walk) {
    Bytes segment =
        tcp({.src_port = 80, .dst_port = 1, .seq = 0x81828384, .ack = 0xf1f2f3f4, .flags = 0xd2, .window = 513},
            text("payload"));
    Bytes options = tcp({.options = zeros(12)}, text("payload"));
    Bytes datagram = udp({}, text("payload"));
    for (const Bytes &body : {segment, options, tcp({}), tcp({.flags = kSyn, .options = zeros(40)})}) {
        expect_same_both_ways(ipv4({}, body), kIpv4);
        expect_same_both_ways(ipv6({}, body), kIpv6);
        expect_same_both_ways(ipv4({.src = "200.1.2.3", .dst = "100.1.2.3"}, body), kIpv4);
        expect_same_both_ways(ipv6({.src = "fe80::9", .dst = "fe80::8"}, body), kIpv6);
    }
    for (uint32_t cut_off : {0u, 3u, 7u}) {
        expect_same_both_ways(ipv4({.proto = kUdp}, datagram), kIpv4, cut_off);
        expect_same_both_ways(ipv6({.next = kUdp}, datagram), kIpv6, cut_off);
        expect_same_both_ways(ipv4({}, segment), kIpv4, cut_off);
        expect_same_both_ways(ipv6({}, segment), kIpv6, cut_off);
    }
}

TEST(Tcp, fields) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(
        kIpv4,
        ipv4({}, tcp({.seq = 0x81828384, .ack = 0xf1f2f3f4, .flags = kSyn | kAck, .window = 513, .options = zeros(8)},
                     text("hello"))))));
    EXPECT_EQ(d.packet.seq, 0x81828384u);
    EXPECT_EQ(d.packet.ack, 0xf1f2f3f4u);
    EXPECT_EQ(d.packet.tcp_flags, kSyn | kAck);
    EXPECT_EQ(d.packet.window, 513);
    EXPECT_EQ(d.payload(), "hello");
    EXPECT_EQ(d.packet.ip_bytes, 53u);
    EXPECT_EQ(d[Counter::tcp], 1u);
    EXPECT_EQ(d[Counter::udp], 0u);
}

TEST(Key, every_byte_is_set_and_padding_is_zero) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, kWeb)));
    FlowKey want{};
    std::memcpy(want.a, address("10.0.0.1").data(), 4);
    std::memcpy(want.b, address("10.0.0.2").data(), 4);
    want.port_a = 40000;
    want.port_b = 80;
    want.proto = kProtoTcp;
    want.version = 4;
    EXPECT_TRUE(d.packet.key == want);
    ASSERT_TRUE(d(cooked(kIpv4, kWeb), 0, DLT_LINUX_SLL));
    EXPECT_TRUE(d.packet.key == want);
}

// One key for both directions, and a direction also where addresses or ports are equal (a tracker that goes by the
// source port alone sees one direction only).
TEST(Key, direction_is_a_bit) {
    struct Ends {
        const char *src, *dst;
        uint16_t src_port, dst_port;
    };
    for (const Ends &e : {Ends{"10.0.0.1", "10.0.0.2", 123, 123}, Ends{"10.0.0.2", "10.0.0.1", 123, 123},
                          Ends{"10.0.0.1", "10.0.0.1", 5, 6}, Ends{"1.0.0.2", "2.0.0.1", 9, 7},
                          Ends{"2001:db8::1", "2001:db8::2", 123, 123}, Ends{"2001:db8::1", "2001:db8::1", 5, 6},
                          Ends{"2001:db8::1:0", "2001:db8:0:1::", 9, 7}, Ends{"::2", "1::", 9, 7}}) {
        Decoding there, back;
        Udp forth = {.src_port = e.src_port, .dst_port = e.dst_port},
            reply = {.src_port = e.dst_port, .dst_port = e.src_port};
        bool six = std::string(e.src).find(':') != std::string::npos;
        auto frame = [&](const char *src, const char *dst, const Udp &h) {
            return six ? ethernet(kIpv6, ipv6({.src = src, .dst = dst, .next = kUdp}, udp(h)))
                       : ethernet(kIpv4, ipv4({.src = src, .dst = dst, .proto = kUdp}, udp(h)));
        };
        ASSERT_TRUE(there(frame(e.src, e.dst, forth)));
        ASSERT_TRUE(back(frame(e.dst, e.src, reply)));
        EXPECT_TRUE(there.packet.key == back.packet.key) << e.src;
        EXPECT_NE(there.packet.reversed, back.packet.reversed) << e.src;
        const FlowKey &k = there.packet.key;
        int order = std::memcmp(k.a, k.b, 16);
        EXPECT_TRUE(order < 0 || (order == 0 && k.port_a <= k.port_b)) << e.src;
        EXPECT_EQ(there.flow(), std::string(e.src) + " " + std::to_string(e.src_port) + " > " + e.dst + " " +
                                    std::to_string(e.dst_port));
    }
}

TEST(Key, both_endpoints_equal) {
    Decoding d;
    ASSERT_TRUE(
        d(ethernet(kIpv4, ipv4({.src = "10.0.0.1", .dst = "10.0.0.1"}, tcp({.src_port = 80, .dst_port = 80})))));
    EXPECT_FALSE(d.packet.reversed);
    ASSERT_TRUE(d(ethernet(kIpv6, ipv6({.src = "::1", .dst = "::1"}, tcp({.src_port = 80, .dst_port = 80})))));
    EXPECT_FALSE(d.packet.reversed);
}

TEST(Length, ethernet_padding_is_no_payload) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, ipv4({}, tcp({}))) + zeros(6)));
    EXPECT_EQ(d.packet.payload_length, 0u);
    EXPECT_EQ(d.packet.payload_bytes, 0u);
    EXPECT_EQ(d.packet.ip_bytes, 40u);
    ASSERT_TRUE(d(ethernet(kIpv6, ipv6({.next = kUdp}, udp({}, text("x")))) + zeros(6)));
    EXPECT_EQ(d.payload(), "x");
    EXPECT_EQ(d.packet.ip_bytes, 49u);
}

// Large sends (TSO/GRO) and jumbo frames are ordinary packets.
TEST(Length, frames_over_1518_bytes) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, ipv4({}, tcp({}, zeros(9000))))));
    EXPECT_EQ(d.packet.payload_length, 9000u);
    ASSERT_TRUE(d(ethernet(kIpv4, ipv4({}, tcp({}, zeros(65000))))));
    EXPECT_EQ(d.packet.payload_length, 65000u);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(Length, zero_total_length_is_what_the_frame_holds) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, ipv4({.total = 0}, tcp({}, zeros(70000))))));
    EXPECT_EQ(d.packet.ip_bytes, 70040u);
    EXPECT_EQ(d.packet.payload_length, 70000u);
    EXPECT_EQ(d.anomaly(), Counter::none);
    ASSERT_TRUE(d(ethernet(kIpv6, ipv6({.length = 0}, tcp({}, zeros(70000))))));
    EXPECT_EQ(d.packet.ip_bytes, 70060u);
    EXPECT_EQ(d.packet.payload_bytes, 70000u);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(Length, jumbogram) {
    Bytes option = Bytes{kUdp, 0, 0xc2, 4} + u32(70016);
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv6, ipv6({.next = 0, .length = 0}, option + udp({.length = 0}, zeros(70000))))));
    EXPECT_EQ(d.packet.ip_bytes, 70056u);
    EXPECT_EQ(d.packet.payload_bytes, 70000u);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

// Only what was captured is read; what was on the wire is counted, from the lengths in the IP header.
TEST(Length, captured_less_than_sent) {
    Decoding d;
    Bytes frame = ethernet(kIpv4, ipv4({}, tcp({}, zeros(1000))));
    ASSERT_TRUE(d(cut(frame, 0, 96), 0, DLT_EN10MB, 1054));
    EXPECT_EQ(d.packet.payload_length, 96u - 54);
    EXPECT_EQ(d.packet.payload_bytes, 1000u);
    EXPECT_EQ(d.packet.ip_bytes, 1040u);
    EXPECT_EQ(d.anomaly(), Counter::none);
    EXPECT_EQ(d[Counter::truncated_packets], 1u);
    EXPECT_EQ(d[Counter::wire_bytes], 1054u);
}

TEST(Length, options_of_tcp_not_captured) {
    Decoding d;
    Bytes frame = ethernet(kIpv4, ipv4({}, tcp({.options = zeros(12)}, zeros(100))));
    ASSERT_TRUE(d(cut(frame, 0, 14 + 20 + 24), 0, DLT_EN10MB, static_cast<uint32_t>(frame.size())));
    EXPECT_EQ(d.packet.payload_length, 0u);
    EXPECT_EQ(d.packet.payload_bytes, 100u);
    EXPECT_EQ(d.packet.tcp_flags, kAck);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

// A capture file may claim that less was on the wire than it holds.
TEST(Length, wire_length_below_captured) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, kWeb), 0, DLT_EN10MB, 3));
    EXPECT_EQ(d.payload(), "GET / HTTP/1.1");
    ASSERT_TRUE(d(cooked(kIpv4, kWeb), 0, DLT_LINUX_SLL, 3));
    EXPECT_EQ(d.payload(), "GET / HTTP/1.1");
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(Ip, options_and_extension_headers_are_skipped) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, ipv4({.options = zeros(40)}, tcp({}, text("x"))))));
    EXPECT_EQ(d.payload(), "x");
    EXPECT_EQ(d.packet.ip_bytes, 81u);
    // hop-by-hop, routing, destination options, mobility, authentication, fragment (whole packet), then UDP
    Bytes body = extension(43) + extension(60, 24) + extension(135) + extension(kAh, 16) + authentication(44) +
                 fragment_header(kUdp, 0, false, 9) + udp({}, text("x"));
    ASSERT_TRUE(d(ethernet(kIpv6, ipv6({.next = 0}, body))));
    EXPECT_EQ(d.payload(), "x");
    EXPECT_EQ(d.packet.ip_bytes, 40 + body.size());
    EXPECT_EQ(d.anomaly(), Counter::none);
    EXPECT_EQ(d.packet.fragment, nullptr);
    EXPECT_EQ(d[Counter::fragments], 0u);
}

TEST(Ip, authentication_header_is_skipped) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, ipv4({.proto = kAh}, authentication(kTcp) + tcp({}, text("x"))))));
    EXPECT_EQ(d.payload(), "x");
    ASSERT_TRUE(d(ethernet(kIpv6, ipv6({.next = kAh}, authentication(kTcp, 16) + tcp({}, text("y"))))));
    EXPECT_EQ(d.payload(), "y");
}

TEST(Ip, other_protocols_are_counted_not_tracked) {
    Decoding d;
    for (uint8_t proto : {1, 2, 50, 132, 89, 103})
        EXPECT_FALSE(d(ethernet(kIpv4, ipv4({.proto = proto}, zeros(20)))));
    EXPECT_FALSE(d(ethernet(kIpv6, ipv6({.next = kIcmp6}, zeros(20)))));
    EXPECT_FALSE(d(ethernet(kIpv6, ipv6({.next = 59}, {}))));
    EXPECT_FALSE(d(ethernet(kIpv4, ipv4({.proto = 43}, extension(kTcp) + tcp({}))))); // no extension headers in IPv4
    EXPECT_EQ(d[Counter::icmp], 2u);
    EXPECT_EQ(d[Counter::igmp], 1u);
    EXPECT_EQ(d[Counter::esp], 1u);
    EXPECT_EQ(d[Counter::sctp], 1u);
    EXPECT_EQ(d[Counter::other_ip], 4u);
    EXPECT_EQ(d[Counter::ipv4], 7u);
    EXPECT_EQ(d[Counter::ipv6], 2u);
    EXPECT_EQ(d[Counter::tcp] + d[Counter::udp], 0u);
}

} // namespace
} // namespace aicore::test
