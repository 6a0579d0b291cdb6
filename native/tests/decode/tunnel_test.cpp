// SPDX-License-Identifier: Apache-2.0
#include "decoding.h"

namespace aicore::test {
namespace {

Bytes outer4(uint8_t proto, const Bytes &payload) {
    return ipv4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = proto}, payload);
}
Bytes outer6(uint8_t proto, const Bytes &payload) {
    return ipv6({.src = "fd00::1", .dst = "fd00::2", .next = proto}, payload);
}
Bytes over_udp(uint16_t port, const Bytes &payload) {
    return outer4(kUdp, udp({.src_port = 50000, .dst_port = port}, payload));
}

struct Case {
    std::string name;
    Tunnel tunnel;
    uint32_t id;      // in the key
    bool in_key;      // whether the key names the tunnel
    std::string flow; // that is found
    Bytes ip;
};
void PrintTo(const Case &c, std::ostream *os) {
    *os << c.name;
}

class Tunnels : public testing::TestWithParam<Case> {};

TEST_P(Tunnels, innermost_packet_makes_the_flow) {
    const Case &c = GetParam();
    Decoding d;
    ASSERT_TRUE(d(c.ip, 0, DLT_RAW));
    EXPECT_EQ(d.flow(), c.flow);
    EXPECT_EQ(d.payload(), c.flow == kQueryFlow ? "query" : "GET / HTTP/1.1");
    EXPECT_EQ(d.packet.tunnel, c.tunnel);
    EXPECT_EQ(d.packet.key.tunnel_id, c.id);
    EXPECT_EQ(d.packet.key.tunnel, c.in_key ? static_cast<uint8_t>(c.tunnel) : 0);
    EXPECT_EQ(d.anomaly(), Counter::none);
    EXPECT_EQ(d.packet.ip_bytes, c.flow == kWeb6Flow ? kWeb6.size() : c.flow == kWebFlow ? kWeb.size() : kQuery.size());
    EXPECT_EQ(d[Counter::tunnelled], 1u);
    EXPECT_EQ(d[Counter::ipv4] + d[Counter::ipv6], 1u);
    EXPECT_EQ(d[Counter::ipv6], c.flow == kWeb6Flow ? 1u : 0u);
    EXPECT_EQ(d[Counter::tcp] + d[Counter::udp], 1u);
    // the same over Ethernet, where the fast path must not take the outer packet for the flow
    FlowKey key = d.packet.key;
    ASSERT_TRUE(d(ethernet(c.ip[0] >> 4 == 4 ? kIpv4 : kIpv6, c.ip)));
    EXPECT_TRUE(d.packet.key == key);
}

// A packet cut by the capture: whatever is found, nothing is read behind the end, and no flow is made up.
TEST_P(Tunnels, cut_at_every_length) {
    const Case &c = GetParam();
    Decoding whole;
    ASSERT_TRUE(whole(c.ip, 0, DLT_RAW));
    for (size_t n = 0; n < c.ip.size(); ++n) {
        Decoding d;
        if (!d(cut(c.ip, 0, n), 0, DLT_RAW, static_cast<uint32_t>(c.ip.size()))) continue;
        bool inner = d.packet.key == whole.packet.key, outer = d.packet.tunnel == Tunnel::none;
        EXPECT_TRUE(inner || outer) << n << " " << d.flow();
        EXPECT_TRUE(outer || d.packet.ip_bytes == whole.packet.ip_bytes) << n;
        EXPECT_EQ(d[Counter::bad_tunnel] + d[Counter::bad_ip_length] + d[Counter::bad_udp_length], 0u) << n;
    }
}

const Bytes kFrame = ethernet(kIpv4, kWeb), kTagged = ethernet(kVlan, vlan(9, kIpv4, kWeb));

INSTANTIATE_TEST_SUITE_P(
    All, Tunnels,
    testing::Values(
        Case{"ip4_in_ip4", Tunnel::ipip, 0, false, kWebFlow, outer4(kIpIp, kWeb)},
        Case{"ip6_in_ip4", Tunnel::ipip, 0, false, kWeb6Flow, outer4(kIp6, kWeb6)},
        Case{"ip4_in_ip6", Tunnel::ipip, 0, false, kWebFlow, outer6(kIpIp, kWeb)},
        Case{"ip6_in_ip6", Tunnel::ipip, 0, false, kWeb6Flow, outer6(kIp6, kWeb6)},
        Case{"gre", Tunnel::gre, 0, false, kWebFlow, outer4(kGre, gre({}, kWeb))},
        Case{"gre_over_ip6", Tunnel::gre, 0, false, kWeb6Flow, outer6(kGre, gre({.type = kIpv6}, kWeb6))},
        Case{"gre_all_fields", Tunnel::gre, 77, true, kWebFlow,
             outer4(kGre, gre({.checksum = true, .sequence = true, .key = 77}, kWeb))},
        Case{"gre_ethernet", Tunnel::gre, 0, false, kWebFlow, outer4(kGre, gre({.type = kTeb}, kTagged))},
        Case{"gre_mpls", Tunnel::gre, 0, false, kWebFlow, outer4(kGre, gre({.type = kMpls}, mpls({16}, kWeb)))},
        Case{"pptp", Tunnel::gre, 0, false, kWebFlow, outer4(kGre, pptp(Bytes{0xff, 3} + ppp(0x21, kWeb)))},
        Case{"erspan_1", Tunnel::erspan, 0, false, kWebFlow, outer4(kGre, gre({.type = 0x88be}, kFrame))},
        Case{"erspan_2", Tunnel::erspan, 0, false, kWebFlow,
             outer4(kGre, gre({.type = 0x88be, .sequence = true}, u16(0x1000) + zeros(6) + kFrame))},
        Case{"erspan_3", Tunnel::erspan, 0, false, kWebFlow,
             outer4(kGre, gre({.type = 0x22eb, .sequence = true}, u16(0x2000) + zeros(10) + kFrame))},
        Case{
            "erspan_3_subheader", Tunnel::erspan, 0, false, kWebFlow,
            outer4(kGre, gre({.type = 0x22eb, .sequence = true}, u16(0x2000) + zeros(8) + u16(1) + zeros(8) + kFrame))},
        Case{"erspan_3_ip", Tunnel::erspan, 0, false, kWebFlow,
             outer4(kGre, gre({.type = 0x22eb, .sequence = true}, u16(0x2000) + zeros(8) + u16(2 << 10) + kWeb))},
        Case{"vxlan", Tunnel::vxlan, 0xabcdef, true, kWebFlow, over_udp(4789, vxlan(0xabcdef, kFrame))},
        Case{"vxlan_linux_port", Tunnel::vxlan, 5, true, kWebFlow, over_udp(8472, vxlan(5, kTagged))},
        Case{"geneve", Tunnel::geneve, 6, true, kWebFlow, over_udp(6081, geneve(6, kTeb, kFrame))},
        Case{"geneve_ip_options", Tunnel::geneve, 6, true, kWeb6Flow,
             over_udp(6081, geneve(6, kIpv6, kWeb6, zeros(12)))},
        Case{"gtpu", Tunnel::gtpu, 0, false, kWebFlow, over_udp(2152, gtpu(99, kWeb))},
        Case{"gtpu_ip6", Tunnel::gtpu, 0, false, kWeb6Flow, over_udp(2152, gtpu(99, kWeb6))},
        Case{"gtpu_sequence", Tunnel::gtpu, 0, false, kWebFlow, over_udp(2152, gtpu(99, kWeb, {0, 1, 0, 0}, 0x32))},
        Case{"gtpu_extensions", Tunnel::gtpu, 0, false, kWebFlow,
             over_udp(2152, gtpu(99, kWeb, {0, 0, 0, 0x85, 1, 0x10, 1, 0xc0, 2, 0, 0, 0, 0, 0, 0, 0}, 0x34))},
        Case{"gtpu_reply", Tunnel::gtpu, 0, false, kWebFlow,
             outer4(kUdp, udp({.src_port = 2152, .dst_port = 50000}, gtpu(99, kWeb)))},
        Case{"teredo", Tunnel::teredo, 0, false, kWeb6Flow, over_udp(3544, kWeb6)},
        Case{"teredo_headers", Tunnel::teredo, 0, false, kWeb6Flow,
             over_udp(3544, Bytes{0, 1, 2, 3} + zeros(14) + zeros(8) + kWeb6)},
        Case{"teredo_from_server", Tunnel::teredo, 0, false, kWeb6Flow,
             outer4(kUdp, udp({.src_port = 3544, .dst_port = 50000}, zeros(8) + kWeb6))},
        Case{"udp_inside", Tunnel::vxlan, 1, true, kQueryFlow, over_udp(4789, vxlan(1, ethernet(kIpv4, kQuery)))}),
    [](const auto &info) { return info.param.name; });

TEST(Tunnel, id_is_of_the_tunnel_that_has_one_and_the_record_names_the_innermost) {
    Decoding d;
    ASSERT_TRUE(d(over_udp(4789, vxlan(7, ethernet(kIpv4, outer4(kIpIp, kWeb)))), 0, DLT_RAW));
    EXPECT_EQ(d.packet.tunnel, Tunnel::ipip);
    EXPECT_EQ(d.packet.key.tunnel_id, 7u);
    EXPECT_EQ(d.packet.key.tunnel, static_cast<uint8_t>(Tunnel::vxlan));
    // a TEID names one direction and is no part of the identity
    ASSERT_TRUE(d(over_udp(2152, gtpu(1, kWeb)), 0, DLT_RAW));
    FlowKey key = d.packet.key;
    ASSERT_TRUE(d(over_udp(2152, gtpu(2, kWeb)), 0, DLT_RAW));
    EXPECT_TRUE(d.packet.key == key);
    ASSERT_TRUE(d(kWeb, 0, DLT_RAW));
    EXPECT_TRUE(d.packet.key == key);
}

TEST(Tunnel, id_out_of_the_key_but_in_the_record) {
    Decoding d({.tunnel_in_key = false});
    ASSERT_TRUE(d(kWeb, 0, DLT_RAW));
    FlowKey bare = d.packet.key;
    ASSERT_TRUE(d(over_udp(4789, vxlan(7, kFrame)), 0, DLT_RAW));
    EXPECT_TRUE(d.packet.key == bare);
    EXPECT_EQ(d.packet.tunnel, Tunnel::vxlan);
    EXPECT_EQ(d.packet.tunnel_id, 7u);
}

TEST(Tunnel, vlan_of_the_outer_frame_or_else_of_the_inner) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, over_udp(4789, vxlan(7, kTagged)))));
    EXPECT_EQ(d.packet.vlan, 9);
    ASSERT_TRUE(d(ethernet(kVlan, vlan(3, kIpv4, over_udp(4789, vxlan(7, kTagged))))));
    EXPECT_EQ(d.packet.vlan, 3);
    EXPECT_EQ(d.packet.vlan_inner, 0);
}

TEST(Tunnel, four_inside_each_other_but_not_five) {
    Bytes ip = kWeb;
    for (int i = 0; i < 4; ++i)
        ip = outer4(kIpIp, ip);
    Decoding d;
    ASSERT_TRUE(d(ip, 0, DLT_RAW));
    EXPECT_EQ(d.flow(), kWebFlow);
    EXPECT_FALSE(d(outer4(kIpIp, ip), 0, DLT_RAW));
    EXPECT_EQ(d[Counter::too_deep], 1u);
    // a UDP datagram is a flow also where its tunnel is one too many
    ASSERT_TRUE(d(over_udp(2152, gtpu(1, ip)), 0, DLT_RAW));
    EXPECT_EQ(d.flow(), "172.16.0.1 50000 > 172.16.0.2 2152");
    EXPECT_EQ(d.anomaly(), Counter::too_deep);
    EXPECT_EQ(d.packet.tunnel, Tunnel::none);
    for (int i = 0; i < 3000; ++i)
        ip = outer4(kIpIp, {}) + ip;
    EXPECT_FALSE(d(ip, 0, DLT_RAW));
}

// What is no IP, or no tunnel at all, leaves the outer datagram as the flow.
TEST(Tunnel, without_ip_the_outer_udp_is_the_flow) {
    struct Plain {
        uint16_t port;
        Bytes payload;
    };
    Decoding d;
    for (const Plain &p :
         {Plain{4789, vxlan(7, ethernet(kArp, zeros(28)))}, Plain{4789, text("plain")}, Plain{4789, {}},
          Plain{6081, geneve(7, kTeb, ethernet(0x88cc, zeros(20)))}, Plain{6081, text("\xc0 version 3")},
          Plain{2152, gtpu(0, zeros(6), {}, 0x32, 1)}, Plain{2152, text("GET /")}, Plain{3544, text("plain")},
          Plain{2152, gtpu(1, ethernet(kIpv4, kWeb))}}) {
        ASSERT_TRUE(d(ethernet(kIpv4, over_udp(p.port, p.payload)))) << p.port;
        EXPECT_EQ(d.flow(), "172.16.0.1 50000 > 172.16.0.2 " + std::to_string(p.port));
        EXPECT_EQ(d.payload(), std::string(p.payload.begin(), p.payload.end()));
        EXPECT_EQ(d.packet.ip_bytes, 28 + p.payload.size());
        EXPECT_EQ(d.packet.tunnel, Tunnel::none);
        EXPECT_EQ(d.packet.key.tunnel_id, 0u);
        EXPECT_EQ(d.packet.vlan, 0);
        EXPECT_EQ(d.anomaly(), Counter::none);
    }
    EXPECT_EQ(d[Counter::udp], 9u);
    EXPECT_EQ(d[Counter::tunnelled] + d[Counter::arp] + d[Counter::other_link], 0u);
}

TEST(Tunnel, gtpu_has_eight_extension_headers_and_no_more) {
    for (const int count : {8, 9}) {
        Bytes headers = {0, 0, 0, 0x85};
        for (int i = 1; i <= count; ++i)
            headers = headers + Bytes{1, 0, 0, static_cast<uint8_t>(i < count ? 0x85 : 0)};
        Decoding d;
        ASSERT_TRUE(d(over_udp(2152, gtpu(99, kWeb, headers, 0x34)), 0, DLT_RAW));
        EXPECT_EQ(d.packet.tunnel, count == 8 ? Tunnel::gtpu : Tunnel::none);
        EXPECT_EQ(d[Counter::bad_tunnel], count == 8 ? 0u : 1u);
    }
}

TEST(Tunnel, broken_inside_is_an_anomaly_of_the_outer_flow) {
    Bytes bad = kWeb;
    bad[0] = 0x41; // header length 4
    Decoding d;
    std::vector<Bytes> broken = {over_udp(4789, vxlan(7, ethernet(kIpv4, bad))),
                                 over_udp(4789, vxlan(7, ethernet(kIpv6, kWeb))),
                                 over_udp(4789, vxlan(7, zeros(5))),
                                 over_udp(6081, u8(63) + geneve(7, kIpv4, kWeb)),
                                 over_udp(2152, gtpu(1, bad)),
                                 over_udp(2152, cut(gtpu(1, kWeb), 0, 30)),
                                 over_udp(2152, gtpu(1, {}, {0, 0, 0, 0x85, 0, 0}, 0x34)),
                                 over_udp(3544, cut(kWeb6, 0, 39))};
    for (const Bytes &ip : broken) {
        ASSERT_TRUE(d(ip, 0, DLT_RAW));
        EXPECT_EQ(d.anomaly(), Counter::bad_tunnel);
        EXPECT_EQ(d.packet.key.proto, kProtoUdp);
        EXPECT_EQ(d.packet.ip_bytes, ip.size());
    }
    EXPECT_EQ(d[Counter::bad_tunnel], broken.size());
    EXPECT_EQ(d[Counter::udp], broken.size());
    EXPECT_EQ(d[Counter::bad_ip_length] + d[Counter::short_ip] + d[Counter::bad_ip_version] + d[Counter::tunnelled],
              0u);
    // without UDP around it there is no flow left
    EXPECT_FALSE(d(outer4(kIpIp, bad), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(kGre, {0, 0, 8}), 0, DLT_RAW));
    EXPECT_EQ(d[Counter::bad_ip_length], 1u);
    EXPECT_EQ(d[Counter::bad_tunnel], broken.size() + 1);
}

TEST(Tunnel, untracked_protocol_inside_is_counted_and_no_flow) {
    Decoding d;
    Bytes ping = ipv4({.proto = kIcmp}, zeros(8)), bubble = ipv6({.next = 59}, {});
    EXPECT_FALSE(d(over_udp(4789, vxlan(7, ethernet(kIpv4, ping))), 0, DLT_RAW));
    EXPECT_FALSE(d(over_udp(2152, gtpu(7, ping)), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(kGre, gre({}, ping)), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(kIpIp, ping), 0, DLT_RAW));
    EXPECT_FALSE(d(over_udp(3544, bubble), 0, DLT_RAW));
    EXPECT_EQ(d[Counter::icmp], 4u);
    EXPECT_EQ(d[Counter::other_ip], 1u);
    EXPECT_EQ(d[Counter::udp], 0u);
    EXPECT_EQ(d[Counter::tunnelled], 5u);
}

TEST(Tunnel, gre_that_carries_no_ip) {
    Decoding d;
    EXPECT_FALSE(d(outer4(kGre, gre({.type = 0}, {})), 0, DLT_RAW)); // keep-alive
    EXPECT_FALSE(d(outer4(kGre, gre({.type = kTeb}, ethernet(kArp, zeros(28)))), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(kGre, u16(0x4000) + u16(kIpv4) + zeros(8) + kWeb), 0, DLT_RAW)); // source route
    EXPECT_FALSE(d(outer4(kGre, u16(0x2081) + u16(0x880b) + zeros(8)), 0, DLT_RAW));       // acknowledgement
    EXPECT_FALSE(d(outer4(kGre, pptp(ppp(0xfd, zeros(8)))), 0, DLT_RAW));                  // encrypted
    EXPECT_FALSE(d(outer4(kGre, u16(2) + u16(kIpv4) + kWeb), 0, DLT_RAW));                 // version 2
    EXPECT_EQ(d[Counter::other_ip], 6u);
    EXPECT_EQ(d[Counter::ipv4], 6u);
}

} // namespace
} // namespace aicore::test
