// SPDX-License-Identifier: Apache-2.0
// Each broken header is one counter, and nothing is read behind the captured bytes whatever the lengths say.
#include "decoding.h"

namespace aicore::test {
namespace {

Counter no_flow(const Bytes &frame, int linktype = DLT_EN10MB) {
    Decoding d;
    EXPECT_FALSE(d(frame, 0, linktype));
    Counter why = Counter::none;
    for (size_t i = static_cast<size_t>(Counter::short_link); i <= static_cast<size_t>(Counter::bad_tunnel); ++i) {
        if (d.counters.value[i] == 0) continue;
        EXPECT_EQ(d.counters.value[i], 1u);
        EXPECT_EQ(why, Counter::none) << "counted twice";
        why = static_cast<Counter>(i);
    }
    return why;
}

Bytes frame4(const Bytes &ip) {
    return ethernet(kIpv4, ip);
}
Bytes frame6(const Bytes &ip) {
    return ethernet(kIpv6, ip);
}

TEST(Broken, one_counter_each) {
    EXPECT_EQ(no_flow(zeros(13)), Counter::short_link);
    EXPECT_EQ(no_flow(ethernet(kVlan, zeros(3))), Counter::short_link);
    EXPECT_EQ(no_flow(frame4(cut(kWeb, 0, 19))), Counter::short_ip);
    EXPECT_EQ(no_flow(frame6(cut(kWeb6, 0, 39))), Counter::short_ip);
    EXPECT_EQ(no_flow(frame4(cut(ipv4({.options = zeros(8)}, {}), 0, 24))), Counter::short_ip);
    EXPECT_EQ(no_flow(frame4(ipv4({.version = 5}, tcp({})))), Counter::bad_ip_version);
    EXPECT_EQ(no_flow(frame6(ipv6({.version = 4}, tcp({})))), Counter::bad_ip_version);
    EXPECT_EQ(no_flow(frame4(ipv4({.words = 4}, tcp({})))), Counter::bad_ip_length);
    EXPECT_EQ(no_flow(frame4(ipv4({.total = 19}, tcp({})))), Counter::bad_ip_length);
    EXPECT_EQ(no_flow(frame4(ipv4({.proto = kAh}, cut(authentication(kTcp), 0, 20)))), Counter::bad_ip_length);
    EXPECT_EQ(no_flow(frame6(ipv6({.next = 0}, zeros(7)))), Counter::bad_ipv6_extension);
    EXPECT_EQ(no_flow(frame6(ipv6({.next = 60}, u8(kTcp) + u8(9) + zeros(30)))), Counter::bad_ipv6_extension);
    EXPECT_EQ(no_flow(frame4(ipv4({}, zeros(3)))), Counter::short_transport);
    EXPECT_EQ(no_flow(frame4(ipv4({.proto = kUdp}, {}))), Counter::short_transport);
    EXPECT_EQ(no_flow(frame6(ipv6({}, {})) + zeros(6)), Counter::short_transport); // padding is no TCP header
    EXPECT_EQ(no_flow(frame4(ipv4({.more = true}, {}))), Counter::bad_fragment);
}

TEST(Broken, nine_extension_headers_are_too_many) {
    Bytes chain;
    for (int i = 0; i < 7; ++i)
        chain = chain + extension(60);
    Decoding d;
    EXPECT_TRUE(d(frame6(ipv6({.next = 60}, chain + extension(kTcp) + tcp({})))));
    EXPECT_EQ(no_flow(frame6(ipv6({.next = 60}, chain + extension(60) + extension(kTcp) + tcp({})))),
              Counter::bad_ipv6_extension);
    Bytes endless;
    for (int i = 0; i < 4000; ++i)
        endless = endless + fragment_header(44, 0, true, 1);
    EXPECT_EQ(no_flow(frame6(ipv6({.next = 44}, endless))), Counter::bad_ipv6_extension);
    endless.clear();
    for (int i = 0; i < 2000; ++i)
        endless = endless + authentication(kAh, 12);
    EXPECT_EQ(no_flow(frame4(ipv4({.proto = kAh}, endless))), Counter::bad_ip_length);
}

// Wrong, but the ports can be read: the packet counts in its flow, and says what is wrong.
TEST(Anomaly, does_not_stop_the_packet) {
    struct Case {
        Counter anomaly;
        Bytes frame;
        uint32_t ip_bytes, payload_bytes;
    };
    for (const Case &c : {
             Case{Counter::bad_ip_length, frame4(ipv4({.total = 500}, tcp({}, zeros(10)))), 500, 460},
             Case{Counter::bad_ip_length, frame6(ipv6({.length = 500}, tcp({}, zeros(10)))), 540, 480},
             Case{Counter::bad_tcp_offset, frame4(ipv4({}, tcp({.flags = kRst, .offset = 4}, zeros(10)))), 50, 0},
             Case{Counter::bad_tcp_offset, frame4(ipv4({}, tcp({.flags = kRst, .offset = 15}, zeros(10)))), 50, 0},
             Case{Counter::short_transport, frame4(ipv4({}, cut(tcp({}), 0, 19))), 39, 0},
             Case{Counter::bad_udp_length, frame4(ipv4({.proto = kUdp}, udp({.length = 0}, zeros(10)))), 38, 10},
             Case{Counter::bad_udp_length, frame4(ipv4({.proto = kUdp}, udp({.length = 7}, zeros(10)))), 38, 0},
             Case{Counter::bad_udp_length, frame4(ipv4({.proto = kUdp}, udp({.length = 99}, zeros(10)))), 38, 10},
             Case{Counter::short_transport, frame4(ipv4({.proto = kUdp}, cut(udp({}), 0, 7))), 27, 0},
         }) {
        Decoding d;
        ASSERT_TRUE(d(c.frame)) << kCounterInfo[static_cast<size_t>(c.anomaly)].name;
        EXPECT_STREQ(kCounterInfo[d.packet.anomaly].name, kCounterInfo[static_cast<size_t>(c.anomaly)].name);
        EXPECT_EQ(d[c.anomaly], 1u);
        EXPECT_EQ(d.packet.ip_bytes, c.ip_bytes);
        EXPECT_EQ(d.packet.payload_bytes, c.payload_bytes);
        EXPECT_LE(d.packet.payload_length, 10u);
        EXPECT_EQ(d.packet.tcp_flags & kRst, 0); // a header no host accepts does not end the connection
        EXPECT_EQ(d[Counter::tcp] + d[Counter::udp], 1u);
    }
}

// UDP may be shorter than its IP packet (RFC 9868 puts options there).
TEST(Anomaly, none_for_a_udp_length_below_the_ip_length) {
    Decoding d;
    ASSERT_TRUE(d(frame4(ipv4({.proto = kUdp}, udp({.length = 12}, zeros(10))))));
    EXPECT_EQ(d.packet.payload_bytes, 4u);
    EXPECT_EQ(d.packet.payload_length, 4u);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(Truncated, headers_of_tcp_and_udp) {
    for (bool six : {false, true}) {
        uint32_t ip = six ? 40 : 20;
        Bytes frame = six ? frame6(kWeb6) : frame4(kWeb);
        for (uint32_t n = 0; n < frame.size(); ++n) {
            Decoding d;
            bool ok = d(cut(frame, 0, n), 0, DLT_EN10MB, static_cast<uint32_t>(frame.size()));
            EXPECT_EQ(ok, n >= 14 + ip + 4) << n; // the ports
            if (!ok) continue;
            EXPECT_EQ(d.packet.ip_bytes, frame.size() - 14);
            EXPECT_EQ(d.packet.payload_bytes, 14u) << n;
            EXPECT_EQ(d.packet.payload_length, n > 34 + ip ? n - 34 - ip : 0) << n;
            EXPECT_EQ(d.packet.tcp_flags, n >= 34 + ip ? kAck : 0) << n;
            EXPECT_EQ(d.anomaly(), n >= 34 + ip ? Counter::none : Counter::short_transport) << n;
        }
    }
}

// Bytes at random, and good packets with bytes changed at random, at every link type: nothing is read behind the end
// (AddressSanitizer watches), lengths stay within the frame, keys stay canonical.
TEST(Hostile, random_bytes_and_random_changes) {
    struct Seed {
        int linktype;
        Bytes bytes;
    };
    auto over_udp = [](uint16_t port, const Bytes &payload) {
        return frame4(ipv4({.proto = kUdp}, udp({.dst_port = port}, payload)));
    };
    std::vector<Seed> seeds;
    for (const Bytes &b : {frame4(kWeb),
                           frame6(kWeb6),
                           ethernet(kQinq, vlan(5, kVlan, vlan(6, kIpv4, kQuery))),
                           ethernet(kMpls, mpls({16}, zeros(4) + ethernet(kIpv4, kWeb))),
                           ethernet(kPppoe, pppoe(ppp(0x57, kWeb6))),
                           frame6(ipv6({.next = 0}, extension(43) + extension(44) + fragment_header(kUdp, 0, true, 1) +
                                                        udp({}, zeros(16)))),
                           frame6(ipv6({.next = 44}, fragment_header(kUdp, 1000, false, 1) + zeros(16))),
                           over_udp(4789, vxlan(1, ethernet(kIpv4, kWeb))),
                           over_udp(6081, geneve(1, kTeb, ethernet(kIpv6, kWeb6), zeros(8))),
                           over_udp(2152, gtpu(1, kWeb, {0, 0, 0, 0x85, 1, 0, 0, 0}, 0x34)),
                           over_udp(3544, Bytes{0, 1, 0, 0} + zeros(17) + kWeb6),
                           frame4(ipv4({.proto = kGre}, gre({.type = 0x22eb, .sequence = true, .key = 1},
                                                            zeros(12) + ethernet(kIpv4, kWeb)))),
                           frame4(ipv4({.proto = kGre}, pptp(ppp(0x21, kWeb)))),
                           frame4(ipv4({.proto = kIp6}, ipv6({.next = kIpIp}, kWeb))),
                           over_udp(4790, vxlan_gpe(1, 4, nsh(3, frame4(kWeb)))),
                           over_udp(1701, l2tp(ppp(0x21, kWeb), 0x4800, zeros(4))),
                           over_udp(1701, l2tp3(zeros(8) + frame4(kWeb))),
                           over_udp(5247, capwap(frame4(kWeb))),
                           over_udp(5247, capwap(Bytes{2, 8} + zeros(22) + snap(kIpv4, kWeb), zeros(8), 0x110)),
                           over_udp(5072, ayiya(kIp6, kWeb6)),
                           over_udp(6635, mpls({16, 17}, zeros(4) + frame4(kWeb))),
                           frame4(ipv4({.proto = 97}, u16(0x3000) + frame4(kWeb))),
                           frame4(ipv4({.proto = 115}, u32(7) + frame4(kWeb))),
                           frame4(ipv4({.proto = 103}, pim_register(kWeb))),
                           frame4(ipv4({.proto = 137}, mpls({16}, kWeb))),
                           frame4(ipv4({.proto = kGre}, gre({.type = 0x883e}, Bytes{0x40, 0, 0, 0} + kWeb))),
                           frame6(ipv6({.next = 108}, ipcomp(kTcp, 2, stored(tcp({}, zeros(9))))))})
        seeds.push_back({DLT_EN10MB, b});
    seeds.push_back({DLT_LINUX_SLL, cooked(kVlan, vlan(5, kIpv4, kWeb))});
    seeds.push_back({DLT_LINUX_SLL2, cooked2(kIpv6, kWeb6)});
    seeds.push_back({DLT_RAW, kWeb});
    seeds.push_back({DLT_RAW, kWeb6});
    seeds.push_back({DLT_NULL, Bytes{30, 0, 0, 0} + kWeb6});
    seeds.push_back({DLT_PPP_SERIAL, Bytes{0xff, 3} + ppp(0x21, kQuery)});
    for (const Bytes &b : {ethernet(kVnTag, vn_tag(kVlan, vlan(5, kIpv4, kWeb))), ethernet(kETag, e_tag(kIpv6, kWeb6)),
                           ethernet(kCiscoMetadata, cisco_metadata(kIpv4, kWeb)), ethernet(kHsr, hsr(kIpv4, kQuery)),
                           ethernet(kMacsec, macsec(kIpv4, kWeb, 0x20)), ethernet(kPbb, pbb(1, ethernet(kIpv4, kWeb))),
                           ethernet(kTrill, trill(ethernet(kIpv6, kWeb6), 1)), ethernet(kNsh, nsh(3, frame4(kWeb)))})
        seeds.push_back({DLT_EN10MB, b});
    seeds.push_back({DLT_PPI, Bytes{0, 0, 8, 0, 101, 0, 0, 0} + kWeb});
    seeds.push_back({DLT_PKTAP, Bytes{12, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0} + kWeb});
    seeds.push_back({DLT_NFLOG, Bytes{2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 0, 0, 58, 0, 9, 0} + kWeb});
    seeds.push_back({DLT_PFLOG, Bytes{45, 2} + zeros(46) + kWeb});
    seeds.push_back({DLT_FRELAY, Bytes{0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0} + kWeb});
    seeds.push_back({DLT_SLIP, zeros(16) + kWeb});
    seeds.push_back({DLT_ARCNET, Bytes{1, 2, 212, 0xff, 0, 0, 212, 0, 0, 1} + kWeb});
    seeds.push_back({DLT_ARCNET_LINUX, Bytes{1, 2, 0, 0, 240} + kWeb});
    seeds.push_back({DLT_C_HDLC, Bytes{0x0f, 0, 8, 0} + kWeb});
    seeds.push_back({DLT_IEEE802_11_RADIO, Bytes{0, 0, 8, 0, 0, 0, 0, 0, 0x88, 2} + zeros(24) + snap(kIpv4, kWeb)});
    uint64_t state = 0x9e3779b97f4a7c15;
    auto next = [&state](uint64_t below) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state % below;
    };
    Decoding d({.max_fragments = 16});
    uint64_t flows = 0, rounds = 60000;
    for (uint64_t round = 0; round < rounds; ++round) {
        Seed seed = seeds[next(seeds.size())];
        Bytes &frame = seed.bytes;
        if (round % 8 == 0) {
            frame.resize(next(120));
            for (uint8_t &b : frame)
                b = static_cast<uint8_t>(next(256));
        } else {
            for (uint64_t n = next(5); n > 0; --n)
                frame[next(frame.size())] = static_cast<uint8_t>(next(256));
            if (next(4) == 0) frame.resize(next(frame.size() + 1));
        }
        uint32_t wire = next(8) == 0 ? static_cast<uint32_t>(next(3000)) : 0;
        if (!d(frame, static_cast<int64_t>(next(1'000'000'000)) * 1000, seed.linktype, wire)) continue;
        flows += d.packet.fragment ? d.packet.fragment->packets : 1;
        const Packet &p = d.packet;
        const uint8_t *begin = d.frame.get(), *end = begin + frame.size();
        ASSERT_TRUE(p.payload >= begin && p.payload <= end && p.payload_length <= static_cast<size_t>(end - p.payload));
        ASSERT_LE(p.payload_length, p.payload_bytes);
        ASSERT_LT(p.payload_bytes, p.ip_bytes);
        int order = std::memcmp(p.key.a, p.key.b, 16);
        ASSERT_TRUE(order < 0 || (order == 0 && p.key.port_a <= p.key.port_b));
        ASSERT_TRUE((p.key.version == 4 || p.key.version == 6) &&
                    (p.key.proto == kProtoTcp || p.key.proto == kProtoUdp));
        ASSERT_LT(p.anomaly, kCounterCount);
        ASSERT_LT(p.key.vlan, 4096);
        ASSERT_EQ(p.key.zero, 0);
    }
    EXPECT_EQ(d[Counter::packets], rounds);
    EXPECT_EQ(d[Counter::tcp] + d[Counter::udp], flows);
    EXPECT_GT(flows, rounds / 2);
}

} // namespace
} // namespace aicore::test
