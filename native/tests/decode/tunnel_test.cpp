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
        Case{"teredo_trailers", Tunnel::teredo, 0, false, kWeb6Flow,
             over_udp(3544, kWeb6 + Bytes{1, 4, 0, 0, 0, 0, 4, 0})},
        Case{"teredo_from_server", Tunnel::teredo, 0, false, kWeb6Flow,
             outer4(kUdp, udp({.src_port = 3544, .dst_port = 50000}, zeros(8) + kWeb6))},
        Case{"etherip", Tunnel::etherip, 0, false, kWebFlow, outer4(97, u16(0x3000) + kFrame)},
        Case{"gre_wccp_1", Tunnel::gre, 0, false, kWebFlow, outer4(kGre, gre({.type = 0x883e}, kWeb))},
        Case{"gre_wccp_2", Tunnel::gre, 0, false, kWebFlow,
             outer4(kGre, gre({.type = 0x883e}, Bytes{0x40, 1, 2, 3} + kWeb))},
        Case{"gre_wccp_2_ip6", Tunnel::gre, 0, false, kWeb6Flow,
             outer4(kGre, gre({.type = 0x883e}, Bytes{0, 1, 2, 3} + kWeb6))},
        Case{"gre_nsh", Tunnel::gre, 0, false, kWebFlow, outer4(kGre, gre({.type = kNsh}, nsh(3, kFrame)))},
        Case{"gre_cisco_metadata", Tunnel::gre, 0, false, kWebFlow,
             outer4(kGre, gre({.type = kCiscoMetadata}, u16(kIpv4) + Bytes{1, 1, 0, 1, 0, 7} + kWeb))},
        Case{"mpls_in_ip", Tunnel::mpls, 0, false, kWebFlow, outer4(137, mpls({16}, kWeb))},
        Case{"mpls_in_ip6", Tunnel::mpls, 0, false, kWebFlow, outer6(137, mpls({16, 17}, kFrame))},
        Case{"mpls_in_udp", Tunnel::mpls, 0, false, kWebFlow, over_udp(6635, mpls({16, 17}, kWeb))},
        Case{"mpls_in_udp_ip6", Tunnel::mpls, 0, false, kWeb6Flow, over_udp(6635, mpls({16}, kWeb6))},
        Case{"mpls_in_udp_pseudowire", Tunnel::mpls, 0, false, kWebFlow, over_udp(6635, mpls({16}, zeros(4) + kFrame))},
        Case{"vxlan_gpe_ethernet", Tunnel::vxlan, 9, true, kWebFlow, over_udp(4790, vxlan_gpe(9, 3, kTagged))},
        Case{"vxlan_gpe_unsaid", Tunnel::vxlan, 9, true, kWebFlow, over_udp(4790, vxlan_gpe(9, 0, kFrame, 8))},
        Case{"vxlan_gpe_ip4", Tunnel::vxlan, 9, true, kWebFlow, over_udp(4790, vxlan_gpe(9, 1, kWeb))},
        Case{"vxlan_gpe_ip6", Tunnel::vxlan, 0, false, kWeb6Flow, over_udp(4790, vxlan_gpe(0, 2, kWeb6, 4))},
        Case{"vxlan_gpe_nsh", Tunnel::vxlan, 9, true, kWebFlow, over_udp(4790, vxlan_gpe(9, 4, nsh(1, kWeb, 2)))},
        Case{"vxlan_gpe_mpls", Tunnel::vxlan, 9, true, kWebFlow, over_udp(4790, vxlan_gpe(9, 5, mpls({16}, kWeb)))},
        Case{"l2tp", Tunnel::l2tp, 0, false, kWebFlow, over_udp(1701, l2tp(ppp(0x21, kWeb)))},
        Case{"l2tp_reply", Tunnel::l2tp, 0, false, kWeb6Flow,
             outer4(kUdp, udp({.src_port = 1701, .dst_port = 50000}, l2tp(ppp(0x57, kWeb6))))},
        Case{"l2tp_all_fields", Tunnel::l2tp, 0, false, kWebFlow,
             over_udp(1701, l2tp(Bytes{0xff, 3} + ppp(0x21, kWeb), 0x4a00, zeros(4) + u16(3) + zeros(3)) + zeros(9))},
        Case{"l2tp3_udp", Tunnel::l2tp, 0, false, kWebFlow, over_udp(1701, l2tp3(kFrame))},
        Case{"l2tp3_udp_cookie_8", Tunnel::l2tp, 0, false, kWebFlow,
             over_udp(1701, l2tp3(u32(0xdeadbeef) + u32(0x45000041) + kTagged))},
        Case{"l2tp3_ip", Tunnel::l2tp, 0, false, kWeb6Flow, outer4(115, u32(7) + ethernet(kIpv6, kWeb6))},
        Case{"l2tp3_ip_cookie_sublayer", Tunnel::l2tp, 0, false, kWebFlow,
             outer6(115, u32(7) + u32(0x12345678) + u32(0x9abcdef0) + u32(0x40000001) + kFrame)},
        Case{"l2tp3_ip_hdlc", Tunnel::l2tp, 0, false, kWebFlow,
             outer4(115, u32(7) + u32(1) + Bytes{0x0f, 0, 8, 0} + kWeb)},
        Case{"l2tp3_ip_ppp", Tunnel::l2tp, 0, false, kWeb6Flow,
             outer4(115, u32(7) + Bytes{0xff, 3} + ppp(0x57, kWeb6))},
        Case{"l2tp3_ip_ip", Tunnel::l2tp, 0, false, kWebFlow, outer4(115, u32(7) + kWeb)},
        Case{"capwap", Tunnel::capwap, 0, false, kWebFlow, over_udp(5247, capwap(kFrame))},
        Case{"capwap_wifi", Tunnel::capwap, 0, false, kWebFlow,
             over_udp(5247, capwap(Bytes{0x08, 0x01} + zeros(22) + snap(kIpv4, kWeb), zeros(16), 0x130))},
        Case{"capwap_wifi_exchanged", Tunnel::capwap, 0, false, kWebFlow,
             outer4(kUdp, udp({.src_port = 5247, .dst_port = 50000},
                              capwap(Bytes{0x02, 0x88} + zeros(24) + snap(kIpv4, kWeb), {}, 0x100)))},
        Case{"ayiya", Tunnel::ayiya, 0, false, kWeb6Flow, over_udp(5072, ayiya(kIp6, kWeb6))},
        Case{"ayiya_ip4", Tunnel::ayiya, 0, false, kWebFlow,
             outer4(kUdp, udp({.src_port = 5072, .dst_port = 50000}, ayiya(kIpIp, kWeb)))},
        Case{"pim_register", Tunnel::pim, 0, false, kQueryFlow, outer4(103, pim_register(kQuery))},
        Case{"pim_register_ip6", Tunnel::pim, 0, false, kWeb6Flow, outer6(103, pim_register(kWeb6, 0x80000000))},
        Case{"ipcomp_stored_ipip", Tunnel::ipip, 0, false, kWebFlow, outer4(108, ipcomp(kIpIp, 2, stored(kWeb)))},
        Case{"ipcomp_0_gre", Tunnel::gre, 0, false, kWebFlow, outer6(108, ipcomp(kGre, 0, gre({}, kWeb)))},
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
          Plain{2152, gtpu(1, ethernet(kIpv4, kWeb))}, Plain{3544, kWeb6 + Bytes{6, 0}},
          Plain{3544, kWeb6 + Bytes{1, 4, 0, 0, 0}}, Plain{3544, cut(kWeb6, 0, 39)}, Plain{3544, kWeb6 + Bytes{1}},
          Plain{3544, kWeb6 + zeros(9)}, Plain{6081, u8(0) + u8(1) + cut(geneve(7, kIpv4, kWeb), 2, 62)},
          Plain{6081, cut(geneve(7, kIpv4, kWeb), 0, 7) + u8(1) + kWeb},
          // of each kind: what is no tunnel, what is of another kind, what carries no IP
          Plain{4790, text("d1:ad2:id20:abcdefghij0123456789")}, Plain{4790, vxlan_gpe(9, 1, kWeb, 0x1c)},
          Plain{4790, vxlan_gpe(9, 1, kWeb, 0x0d)}, Plain{4790, vxlan_gpe(9, 1, kWeb, 0)},
          Plain{4790, u8(12) + u8(1) + vxlan(9, kFrame)}, Plain{4790, vxlan_gpe(9, 3, ethernet(kArp, zeros(28)))},
          Plain{4790, vxlan_gpe(9, 7, kWeb)}, Plain{1701, l2tp({}, 0xc800, zeros(4))}, // control
          Plain{1701, l2tp(ppp(0xc021, zeros(8)))}, Plain{1701, l2tp(ppp(0x21, kWeb), 0x0400)},
          Plain{1701, cut(l2tp(ppp(0x21, kWeb), 0x4000), 0, 50)}, Plain{1701, u16(0x4002) + u16(7) + zeros(8) + kWeb},
          Plain{1701, l2tp(ppp(0x21, kWeb), 0x0200, u16(999))}, Plain{1701, l2tp3(kFrame, 0)},
          Plain{1701, l2tp3(zeros(16) + kFrame)}, Plain{1701, u16(3) + u16(1) + u32(7) + kFrame},
          Plain{1701, l2tp3(ethernet(kIpv4, ipv4({.total = 500}, tcp({}))))}, Plain{1701, text("plain text, long")},
          Plain{5247, u8(1) + capwap(kFrame)}, Plain{5247, capwap(kFrame, {}, 0x08)}, // DTLS, keep-alive
          Plain{5247, capwap(kFrame, {}, 1)}, Plain{5247, capwap(kFrame, {}, 0x80, 8)},
          Plain{5247, capwap(kFrame, {}, 0x40)}, Plain{5247, capwap(kFrame, {}, 0, 1)},
          Plain{5247, u32(1u << 19) + zeros(4) + kFrame}, Plain{5247, capwap(Bytes{0x80, 0} + zeros(40), {}, 0x100)},
          Plain{5247, u32(31u << 19) + zeros(80)},
          Plain{5247, u32(2u << 19 | 2u << 9 | 0x100) + zeros(4) + Bytes{8, 1} + zeros(22) + snap(kIpv4, kWeb)},
          Plain{5072, ayiya(kIp6, kWeb6, 0)}, Plain{5072, ayiya(kIpIp, kWeb6)}, Plain{5072, ayiya(59, {})},
          Plain{5072, u8(0x61) + ayiya(kIp6, kWeb6)}, Plain{5072, text("plain text, long")},
          Plain{6635, text("GET / HTTP/1.1 and more")}, Plain{6635, mpls({16}, zeros(40))},
          Plain{6635, mpls({16}, kWeb + zeros(1))}, Plain{6635, mpls({16}, ipv4({.total = 500}, tcp({})))},
          Plain{6635, zeros(3)}, Plain{6635, zeros(400)}}) {
        ASSERT_TRUE(d(ethernet(kIpv4, over_udp(p.port, p.payload)))) << p.port;
        EXPECT_EQ(d.flow(), "172.16.0.1 50000 > 172.16.0.2 " + std::to_string(p.port));
        EXPECT_EQ(d.payload(), std::string(p.payload.begin(), p.payload.end()));
        EXPECT_EQ(d.packet.ip_bytes, 28 + p.payload.size());
        EXPECT_EQ(d.packet.tunnel, Tunnel::none);
        EXPECT_EQ(d.packet.key.tunnel_id, 0u);
        EXPECT_EQ(d.packet.vlan, 0);
        EXPECT_EQ(d.anomaly(), Counter::none);
    }
    EXPECT_EQ(d[Counter::udp], 55u);
    EXPECT_EQ(d[Counter::tunnelled] + d[Counter::arp] + d[Counter::other_link], 0u);
}

TEST(Tunnel, teredo_has_eight_trailers_and_no_more) {
    for (const int count : {8, 9}) {
        Bytes datagram = kWeb6;
        for (int n = 0; n < count; ++n)
            datagram = datagram + Bytes{1, 0};
        Decoding d;
        ASSERT_TRUE(d(over_udp(3544, datagram), 0, DLT_RAW));
        EXPECT_EQ(d.packet.tunnel, count == 8 ? Tunnel::teredo : Tunnel::none);
    }
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
    std::vector<Bytes> broken = {
        over_udp(4789, vxlan(7, ethernet(kIpv4, bad))), over_udp(4789, vxlan(7, ethernet(kIpv6, kWeb))),
        over_udp(4789, vxlan(7, zeros(5))), over_udp(6081, u8(63) + cut(geneve(7, kIpv4, kWeb), 1, 62)),
        over_udp(2152, gtpu(1, bad)), over_udp(2152, cut(gtpu(1, kWeb), 0, 30)),
        over_udp(2152, gtpu(1, {}, {0, 0, 0, 0x85, 0, 0}, 0x34)), over_udp(3544, ipv6({.next = 0}, zeros(7))),
        over_udp(4790, vxlan_gpe(7, 1, bad)), over_udp(4790, vxlan_gpe(7, 4, zeros(8) + kWeb)),
        over_udp(1701, l2tp(ppp(0x21, bad))), over_udp(5247, capwap(ethernet(kIpv4, bad))),
        // a packet longer than what would carry it
        over_udp(4789, vxlan(7, ethernet(kIpv4, ipv4({.total = 500}, tcp({}))))),
        over_udp(1701, l2tp(ppp(0x57, ipv6({.length = 500}, tcp({}))))),
        over_udp(2152, gtpu(1, ipv4({.proto = kIcmp, .total = 500}, zeros(8))))};
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
    for (const Bytes &ip : {outer4(97, {0x30}), outer4(103, {}), outer4(103, cut(pim_register(kWeb), 0, 7)),
                            outer4(115, {0, 0, 1}), outer4(kGre, gre({.type = 0x883e}, zeros(3))),
                            outer4(kGre, gre({.type = kCiscoMetadata}, u16(kIpv4) + Bytes{1, 99, 0, 1, 0, 7} + kWeb)),
                            outer4(kGre, gre({.type = kCiscoMetadata}, u16(kIpv4) + Bytes{2, 1, 0, 1, 0, 7} + kWeb)),
                            outer4(kGre, gre({.type = kCiscoMetadata}, zeros(3)))})
        EXPECT_FALSE(d(ip, 0, DLT_RAW));
    EXPECT_EQ(d[Counter::bad_tunnel], broken.size() + 9);
    EXPECT_FALSE(d(outer4(108, {4, 0, 0}), 0, DLT_RAW));
    EXPECT_EQ(d[Counter::bad_ip_length], 2u);
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

TEST(Tunnel, fragments_of_capwap) {
    Decoding d;
    const Bytes frame = cut(kFrame, 0, kFrame.size() - 4);
    ASSERT_TRUE(d(over_udp(5247, capwap(frame, {}, 0x80)), 0, DLT_RAW)); // the first
    EXPECT_EQ(d.flow(), kWebFlow);
    EXPECT_EQ(d.packet.ip_bytes, kWeb.size());
    EXPECT_EQ(d.packet.payload_length, 10u);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(Tunnel, ip_protocols_that_carry_no_ip) {
    Decoding d;
    EXPECT_FALSE(d(outer4(97, u16(0x4000) + kFrame), 0, DLT_RAW)); // EtherIP of another version
    EXPECT_FALSE(d(outer4(97, u16(0x3000) + ethernet(kArp, zeros(28))), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(103, u32(0x20000000) + zeros(8)), 0, DLT_RAW)); // hello
    EXPECT_FALSE(d(outer4(103, pim_register(kWeb, 0x40000000)), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(115, zeros(4) + l2tp({}, 0xc800)), 0, DLT_RAW)); // control
    EXPECT_FALSE(d(outer4(115, u32(7) + zeros(40)), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(137, mpls({16}, zeros(40))), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(108, ipcomp(kIpIp, 2, kWeb)), 0, DLT_RAW)); // compressed
    EXPECT_FALSE(d(outer4(108, ipcomp(kIpIp, 2, u8(3) + cut(stored(kWeb), 1, 59))), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(108, ipcomp(kIpIp, 2, cut(stored(kWeb), 0, 40))), 0, DLT_RAW));
    EXPECT_FALSE(d(outer4(108, {4, 0, 0, 2}), 0, DLT_RAW));
    EXPECT_EQ(d[Counter::other_ip], 11u);
    EXPECT_EQ(d[Counter::ipv4], 11u);
}

TEST(Tunnel, ipcomp_is_no_tunnel) {
    Decoding d;
    const Bytes segment = tcp({}, text("GET / HTTP/1.1"));
    ASSERT_TRUE(d(ipv4({.proto = 108}, ipcomp(kTcp, 2, stored(segment))), 0, DLT_RAW));
    EXPECT_EQ(d.flow(), kWebFlow);
    EXPECT_EQ(d.payload(), "GET / HTTP/1.1");
    EXPECT_EQ(d.packet.tunnel, Tunnel::none);
    EXPECT_EQ(d.packet.ip_bytes, kWeb.size() + 9);
    Bytes chain = segment; // as many as of other headers between IP and TCP
    for (int i = 0; i < 8; ++i)
        chain = ipcomp(i == 0 ? kTcp : 108, 0, chain);
    ASSERT_TRUE(d(ipv4({.proto = 108}, chain), 0, DLT_RAW));
    EXPECT_FALSE(d(ipv4({.proto = 108}, ipcomp(108, 0, chain)), 0, DLT_RAW));
    EXPECT_EQ(d[Counter::bad_ip_length], 1u);
}

// Each kind four times inside itself, where it can be, and once more.
TEST(Tunnel, every_kind_is_bounded) {
    struct Kind {
        const char *name;
        Bytes (*wrap)(const Bytes &ip);
    };
    for (const Kind &kind : {
             Kind{"etherip", [](const Bytes &ip) { return outer4(97, u16(0x3000) + ethernet(kIpv4, ip)); }},
             Kind{"wccp", [](const Bytes &ip) { return outer4(kGre, gre({.type = 0x883e}, ip)); }},
             Kind{"mpls_ip", [](const Bytes &ip) { return outer4(137, mpls({16}, ip)); }},
             Kind{"mpls_udp", [](const Bytes &ip) { return over_udp(6635, mpls({16}, ip)); }},
             Kind{"vxlan_gpe", [](const Bytes &ip) { return over_udp(4790, vxlan_gpe(9, 1, ip)); }},
             Kind{"l2tp", [](const Bytes &ip) { return over_udp(1701, l2tp(ppp(0x21, ip))); }},
             Kind{"l2tp3_udp", [](const Bytes &ip) { return over_udp(1701, l2tp3(ip)); }},
             Kind{"l2tp3_ip", [](const Bytes &ip) { return outer4(115, u32(7) + ip); }},
             Kind{"capwap", [](const Bytes &ip) { return over_udp(5247, capwap(ethernet(kIpv4, ip))); }},
             Kind{"ayiya", [](const Bytes &ip) { return over_udp(5072, ayiya(kIpIp, ip)); }},
             Kind{"pim", [](const Bytes &ip) { return outer4(103, pim_register(ip)); }},
         }) {
        Bytes ip = kWeb;
        for (int i = 0; i < 4; ++i)
            ip = kind.wrap(ip);
        Decoding d;
        ASSERT_TRUE(d(ip, 0, DLT_RAW)) << kind.name;
        EXPECT_EQ(d.flow(), kWebFlow) << kind.name;
        // One more: the innermost UDP datagram that may be reached is the flow, if there is one.
        const bool in_udp = ip[9] == kUdp;
        EXPECT_EQ(d(kind.wrap(ip), 0, DLT_RAW), in_udp) << kind.name;
        EXPECT_EQ(d[Counter::too_deep], 1u) << kind.name;
        if (in_udp) {
            EXPECT_EQ(d.anomaly(), Counter::too_deep) << kind.name;
            EXPECT_EQ(d.flow().substr(0, 10), "172.16.0.1") << kind.name;
        }
    }
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
