// SPDX-License-Identifier: Apache-2.0
#include "decoding.h"

namespace aicore::test {
namespace {

void expect_web(Decoding &d) {
    EXPECT_EQ(d.flow(), kWebFlow);
    EXPECT_EQ(d.payload(), "GET / HTTP/1.1");
    EXPECT_EQ(d.packet.payload_bytes, 14u);
    EXPECT_EQ(d.packet.ip_bytes, kWeb.size());
    EXPECT_EQ(d.anomaly(), Counter::none);
    EXPECT_EQ(d.packet.tunnel, Tunnel::none);
}

struct Case {
    std::string name;
    int linktype;
    Bytes head; // in front of kWeb
};
void PrintTo(const Case &c, std::ostream *os) {
    *os << c.name;
}

class Link : public testing::TestWithParam<Case> {};

TEST_P(Link, carries_ipv4) {
    Decoding d;
    ASSERT_TRUE(Decoder::supports(GetParam().linktype));
    ASSERT_TRUE(d(GetParam().head + kWeb, 5, GetParam().linktype));
    expect_web(d);
    EXPECT_EQ(d.packet.time, 5);
    EXPECT_EQ(d[Counter::ipv4], 1u);
    EXPECT_EQ(d[Counter::tcp], 1u);
    EXPECT_EQ(d[Counter::wire_bytes], GetParam().head.size() + kWeb.size());
}

TEST_P(Link, header_cut_anywhere_is_no_packet) {
    for (size_t n = 0; n < GetParam().head.size(); ++n) {
        Decoding d;
        EXPECT_FALSE(d(cut(GetParam().head, 0, n), 0, GetParam().linktype)) << n;
        EXPECT_EQ(d[Counter::ipv4], 0u) << n;
        EXPECT_EQ(d[Counter::packets], 1u);
    }
}

const Bytes kWifiData = Bytes{0x08, 0x02} + zeros(22), kWifiQos = Bytes{0x88, 0x02} + zeros(24),
            kWifiBridge = Bytes{0x08, 0x03} + zeros(28);

INSTANTIATE_TEST_SUITE_P(
    All, Link,
    testing::Values(
        Case{"ethernet", DLT_EN10MB, ethernet(kIpv4, {})},
        Case{"vlan", DLT_EN10MB, ethernet(kVlan, vlan(5, kIpv4, {}))},
        Case{"qinq", DLT_EN10MB, ethernet(kQinq, vlan(5, kVlan, vlan(6, kIpv4, {})))},
        Case{"qinq_9100", DLT_EN10MB, ethernet(0x9100, vlan(5, kVlan, vlan(6, kIpv4, {})))},
        Case{"four_tags", DLT_EN10MB,
             ethernet(kVlan, vlan(1, kVlan, vlan(2, kVlan, vlan(3, kVlan, vlan(4, kIpv4, {})))))},
        Case{"snap", DLT_EN10MB, ethernet(static_cast<unsigned>(8 + kWeb.size()), snap(kIpv4, {}))},
        Case{"mpls", DLT_EN10MB, ethernet(kMpls, mpls({16, 17}, {}))},
        Case{"mpls_multicast", DLT_EN10MB, ethernet(0x8848, mpls({16}, {}))},
        Case{"pseudowire", DLT_EN10MB, ethernet(kMpls, mpls({16}, ethernet(kIpv4, {})))},
        Case{"pseudowire_control_word", DLT_EN10MB, ethernet(kMpls, mpls({16}, zeros(4) + ethernet(kIpv4, {})))},
        Case{"vlan_mpls", DLT_EN10MB, ethernet(kVlan, vlan(5, kMpls, mpls({16}, {})))},
        Case{"ppp", DLT_PPP, ppp(0x21, {})}, Case{"ppp_hdlc", DLT_PPP, Bytes{0xff, 3} + ppp(0x21, {})},
        Case{"ppp_serial", DLT_PPP_SERIAL, Bytes{0xff, 3} + ppp(0x21, {})}, Case{"ppp_short_protocol", DLT_PPP, {0x21}},
        Case{"ppp_mpls", DLT_PPP, ppp(0x281, mpls({16}, {}))}, Case{"c_hdlc", DLT_C_HDLC, Bytes{0x0f, 0, 8, 0}},
        Case{"c_hdlc_as_serial", DLT_PPP_SERIAL, Bytes{0x8f, 0, 8, 0}}, Case{"sll", DLT_LINUX_SLL, cooked(kIpv4, {})},
        Case{"sll_vlan", DLT_LINUX_SLL, cooked(kVlan, vlan(5, kIpv4, {}))},
        Case{"sll_llc", DLT_LINUX_SLL, cooked(4, snap(kIpv4, {}))}, Case{"sll2", DLT_LINUX_SLL2, cooked2(kIpv4, {})},
        Case{"sll2_vlan", DLT_LINUX_SLL2, cooked2(kVlan, vlan(5, kIpv4, {}))}, Case{"raw_12", 12, {}},
        Case{"raw_14", 14, {}}, Case{"raw_101", 101, {}}, Case{"ipv4", DLT_IPV4, {}},
        Case{"null_little", DLT_NULL, {2, 0, 0, 0}}, Case{"null_big", DLT_NULL, {0, 0, 0, 2}},
        Case{"loop", DLT_LOOP, {0, 0, 0, 2}}, Case{"wifi", DLT_IEEE802_11, kWifiData + snap(kIpv4, {})},
        Case{"wifi_qos", DLT_IEEE802_11, kWifiQos + snap(kIpv4, {})},
        Case{"wifi_bridge", DLT_IEEE802_11, kWifiBridge + snap(kIpv4, {})},
        Case{"radiotap", DLT_IEEE802_11_RADIO, Bytes{0, 0, 12, 0} + zeros(8) + kWifiQos + snap(kIpv4, {})}),
    [](const auto &info) { return info.param.name; });

TEST(LinkLayer, pppoe_length_bounds_what_it_carries) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kPppoe, pppoe(ppp(0x21, kWeb))) + zeros(9)));
    expect_web(d);
    ASSERT_TRUE(d(pppoe(ppp(0x57, kWeb6)), 0, DLT_PPP_ETHER));
    EXPECT_EQ(d.flow(), kWeb6Flow);
}

TEST(LinkLayer, every_number_of_af_inet6) {
    for (uint8_t family : {10, 23, 24, 28, 30}) {
        Decoding d;
        EXPECT_TRUE(d(Bytes{family, 0, 0, 0} + kWeb6, 0, DLT_NULL)) << int(family);
        EXPECT_TRUE(d(Bytes{0, 0, 0, family} + kWeb6, 0, DLT_LOOP)) << int(family);
        EXPECT_EQ(d.flow(), kWeb6Flow);
        EXPECT_EQ(d[Counter::ipv6], 2u);
    }
    Decoding d;
    EXPECT_FALSE(d(Bytes{7, 0, 0, 0} + kWeb6, 0, DLT_NULL));
    EXPECT_EQ(d[Counter::other_link], 1u);
}

TEST(LinkLayer, raw_tells_the_versions_apart) {
    Decoding d;
    for (int linktype : {12, 14, 101}) {
        ASSERT_TRUE(d(kWeb6, 0, linktype));
        EXPECT_EQ(d.flow(), kWeb6Flow);
        EXPECT_FALSE(d(Bytes{0x50} + zeros(40), 0, linktype));
    }
    EXPECT_EQ(d[Counter::bad_ip_version], 3u);
    ASSERT_TRUE(d(kWeb6, 0, DLT_IPV6));
    EXPECT_FALSE(d(kWeb6, 0, DLT_IPV4));
    EXPECT_EQ(d[Counter::bad_ip_version], 4u);
}

TEST(LinkLayer, what_carries_no_ip_is_counted) {
    Decoding d;
    EXPECT_FALSE(d(ethernet(kArp, zeros(28))));
    EXPECT_FALSE(d(ethernet(kVlan, vlan(5, kArp, zeros(28)))));
    EXPECT_EQ(d[Counter::arp], 2u);
    EXPECT_FALSE(d(ethernet(0x88cc, zeros(40))));                             // LLDP
    EXPECT_FALSE(d(ethernet_llc({0x42, 0x42, 3, 0, 0, 0, 0})));               // spanning tree
    EXPECT_FALSE(d(ethernet(0x8863, zeros(40))));                             // PPPoE discovery
    EXPECT_FALSE(d(ethernet(kPppoe, pppoe(ppp(0xc021, zeros(8))))));          // LCP
    EXPECT_FALSE(d(ethernet(kMpls, mpls({13}, u32(0x10000000) + zeros(8))))); // associated channel
    EXPECT_FALSE(d(Bytes{0x80, 0} + zeros(40), 0, DLT_IEEE802_11));           // beacon
    EXPECT_FALSE(d(Bytes{0x08, 0x42} + zeros(40), 0, DLT_IEEE802_11));        // encrypted
    EXPECT_FALSE(d(ethernet_llc(snap(40, snap(kIpv4, kWeb)))));               // a length where a type must be
    EXPECT_EQ(d[Counter::other_link], 8u);
    EXPECT_EQ(d[Counter::ipv4] + d[Counter::short_link], 0u);
}

TEST(LinkLayer, unknown_link_type) {
    EXPECT_FALSE(Decoder::supports(147)); // DLT_USER0
    Decoding d;
    EXPECT_FALSE(d(kWeb, 0, 147));
    EXPECT_EQ(d[Counter::other_link], 1u);
}

TEST(LinkLayer, a_pseudowire_whose_address_looks_like_a_version) {
    for (uint8_t first : {0x45, 0x60, 0x00}) {
        Bytes frame = ethernet(kIpv4, kWeb);
        frame[0] = first;
        frame[2] = frame[3] = 0xff; // IPv4 total length that cannot be
        frame[4] = frame[5] = 0xff; // IPv6 payload length that cannot be
        Decoding d;
        ASSERT_TRUE(d(ethernet(kMpls, mpls({16}, frame)))) << int(first);
        expect_web(d);
    }
}

TEST(Vlan, outermost_two_tags) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kVlan, vlan(0xe005, kIpv4, kWeb)))); // the upper four bits are priority
    EXPECT_EQ(d.packet.vlan, 5);
    EXPECT_EQ(d.packet.vlan_inner, 0);
    EXPECT_EQ(d.packet.key.vlan, 5);
    ASSERT_TRUE(d(ethernet(kQinq, vlan(5, kVlan, vlan(6, kVlan, vlan(7, kIpv4, kWeb))))));
    EXPECT_EQ(d.packet.vlan, 5);
    EXPECT_EQ(d.packet.vlan_inner, 6);
    EXPECT_EQ(d.packet.key.vlan, 5);
    EXPECT_EQ(d.packet.key.vlan_inner, 6);
}

TEST(Vlan, priority_tag_is_no_vlan) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, kWeb)));
    FlowKey untagged = d.packet.key;
    ASSERT_TRUE(d(ethernet(kVlan, vlan(0xe000, kIpv4, kWeb))));
    EXPECT_TRUE(d.packet.key == untagged);
    ASSERT_TRUE(d(ethernet(kVlan, vlan(0, kVlan, vlan(6, kIpv4, kWeb)))));
    EXPECT_EQ(d.packet.vlan, 6);
}

TEST(Vlan, out_of_the_key_but_in_the_record) {
    Decoding d({.vlan_in_key = false});
    ASSERT_TRUE(d(ethernet(kIpv4, kWeb)));
    FlowKey untagged = d.packet.key;
    ASSERT_TRUE(d(ethernet(kVlan, vlan(5, kIpv4, kWeb))));
    EXPECT_TRUE(d.packet.key == untagged);
    EXPECT_EQ(d.packet.vlan, 5);
    ASSERT_TRUE(d(ethernet(kQinq, vlan(5, kVlan, vlan(6, kIpv4, kWeb)))));
    EXPECT_TRUE(d.packet.key == untagged);
    EXPECT_EQ(d.packet.vlan_inner, 6);
}

TEST(Bounds, five_tags_or_seventeen_labels_are_too_deep) {
    Decoding d;
    EXPECT_FALSE(
        d(ethernet(kVlan, vlan(1, kVlan, vlan(2, kVlan, vlan(3, kVlan, vlan(4, kVlan, vlan(5, kIpv4, kWeb))))))));
    EXPECT_EQ(d[Counter::too_deep], 1u);
    Bytes labels;
    for (int i = 0; i < 16; ++i)
        labels = labels + u32(16 << 12);
    EXPECT_TRUE(d(ethernet(kMpls, cut(labels, 4, 64) + mpls({16}, kWeb))));
    EXPECT_FALSE(d(ethernet(kMpls, labels + mpls({16}, kWeb))));
    EXPECT_EQ(d[Counter::too_deep], 2u);
    Bytes frame = ethernet(kIpv4, kWeb); // a pseudowire in a pseudowire in ...: labels bound that too
    for (int i = 0; i < 3000; ++i)
        frame = ethernet(kMpls, mpls({16}, {})) + frame;
    EXPECT_FALSE(d(frame));
    EXPECT_EQ(d[Counter::too_deep], 3u);
}

} // namespace
} // namespace aicore::test
