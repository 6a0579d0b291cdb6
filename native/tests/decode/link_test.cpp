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

// An attribute of NFLOG, in the byte order that `big` says.
Bytes attribute(uint16_t type, const Bytes &value, bool big = false) {
    unsigned size = static_cast<unsigned>(value.size()) + 4;
    Bytes head = big ? u16(size) + u16(type) : Bytes{static_cast<uint8_t>(size), static_cast<uint8_t>(size >> 8)};
    if (!big) head = head + Bytes{static_cast<uint8_t>(type), 0};
    return head + value + zeros((4 - size % 4) % 4);
}
// Up to kWeb, with its attribute's header.
Bytes nflog(uint8_t family, bool big = false) {
    unsigned size = static_cast<unsigned>(kWeb.size()) + 4;
    Bytes payload = big ? u16(size) + u16(9) : Bytes{static_cast<uint8_t>(size), 0, 9, 0};
    return Bytes{family, 0, 0, 5} + attribute(1, u16(kIpv4) + zeros(2), big) + attribute(10, text("ab"), big) + payload;
}
Bytes pflog(uint8_t length, uint8_t family) {
    return Bytes{length, family} + zeros((length + 3u) / 4 * 4 - 2);
}
Bytes pktap(uint8_t linktype, uint8_t record = 1) {
    return Bytes{108, 0, 0, 0, record, 0, 0, 0, linktype, 0, 0, 0} + zeros(96);
}
Bytes ppi(uint8_t linktype, uint8_t length = 8) {
    return Bytes{0, 0, length, 0, linktype, 0, 0, 0} + zeros(length - 8u);
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
        Case{"vn_tag", DLT_EN10MB, ethernet(kVnTag, vn_tag(kIpv4, {}))},
        Case{"vn_tag_vlan", DLT_EN10MB, ethernet(kVnTag, vn_tag(kVlan, vlan(5, kIpv4, {})))},
        Case{"e_tag", DLT_EN10MB, ethernet(kETag, e_tag(kIpv4, {}))},
        Case{"cisco_metadata", DLT_EN10MB, ethernet(kCiscoMetadata, cisco_metadata(kIpv4, {}))},
        Case{"cisco_metadata_vlan", DLT_EN10MB,
             ethernet(kVlan, vlan(5, kCiscoMetadata, u16(0x0102) + zeros(8) + u16(kIpv4)))},
        Case{"hsr", DLT_EN10MB, ethernet(kHsr, hsr(kIpv4, {}))},
        Case{"hsr_vlan", DLT_EN10MB, ethernet(kVlan, vlan(5, kHsr, hsr(kIpv4, {})))},
        Case{"macsec", DLT_EN10MB, ethernet(kMacsec, macsec(kIpv4, {}))},
        Case{"macsec_channel", DLT_EN10MB, ethernet(kMacsec, macsec(kIpv4, {}, 0x20))},
        Case{"pbb", DLT_EN10MB, ethernet(kQinq, vlan(5, kPbb, pbb(0x123456, ethernet(kIpv4, {}))))},
        Case{"trill", DLT_EN10MB, ethernet(kTrill, trill(ethernet(kIpv4, {})))},
        Case{"trill_options_labels", DLT_EN10MB,
             ethernet(kTrill, trill(ethernet(kTrillLabel, vlan(1, kTrillLabel, vlan(2, kIpv4, {}))), 2))},
        Case{"nsh", DLT_EN10MB, ethernet(kNsh, nsh(1, {}))},
        Case{"nsh_ethernet", DLT_EN10MB, ethernet(kNsh, nsh(3, ethernet(kIpv4, {}), 2))},
        Case{"nsh_mpls", DLT_EN10MB, ethernet(kNsh, nsh(5, mpls({16}, {}), 2))},
        Case{"nsh_nsh", DLT_EN10MB, ethernet(kNsh, nsh(4, nsh(1, {}), 2))}, Case{"nflog", DLT_NFLOG, nflog(2)},
        Case{"nflog_big", DLT_NFLOG, nflog(2, true)}, Case{"nflog_bridge", DLT_NFLOG, nflog(7)},
        Case{"pflog_openbsd", DLT_PFLOG, pflog(61, 2)}, Case{"pflog_new", DLT_PFLOG, pflog(100, 2)},
        Case{"pflog_old", DLT_PFLOG, pflog(45, 2)}, Case{"pktap_ethernet", DLT_PKTAP, pktap(1) + ethernet(kIpv4, {})},
        Case{"pktap_raw", DLT_PKTAP, pktap(12)}, Case{"pktap_null", DLT_PKTAP, pktap(0) + Bytes{2, 0, 0, 0}},
        Case{"ppi_ethernet", DLT_PPI, ppi(1, 24) + ethernet(kIpv4, {})},
        Case{"ppi_wifi", DLT_PPI, ppi(105, 32) + kWifiQos + snap(kIpv4, {})}, Case{"ppi_raw", DLT_PPI, ppi(101)},
        Case{"frame_relay", DLT_FRELAY, {0x18, 0x41, 3, 0xcc}},
        Case{"frame_relay_4", DLT_FRELAY, {0x18, 0x40, 0, 1, 3, 0xcc}},
        Case{"frame_relay_snap", DLT_FRELAY, Bytes{0x18, 0x41, 3, 0, 0x80, 0, 0, 0} + u16(kIpv4)},
        Case{"frame_relay_bridged", DLT_FRELAY,
             Bytes{0x18, 0x41, 3, 0, 0x80, 0, 0x80, 0xc2, 0, 7} + ethernet(kIpv4, {})},
        Case{"frame_relay_ppp", DLT_FRELAY, Bytes{0x18, 0x41, 3, 0xcf} + ppp(0x21, {})},
        Case{"frame_relay_cisco", DLT_FRELAY, Bytes{0x18, 0x41} + u16(kIpv4)},
        Case{"slip", DLT_SLIP, Bytes{1, 0x45} + zeros(14)}, Case{"arcnet_1051", DLT_ARCNET, {1, 2, 240}},
        Case{"arcnet_1201", DLT_ARCNET, {1, 2, 212, 0, 0, 7}},
        Case{"arcnet_exception", DLT_ARCNET, {1, 2, 212, 0xff, 0xff, 0xff, 212, 0, 0, 7}},
        Case{"arcnet_linux", DLT_ARCNET_LINUX, {1, 2, 0, 0, 212, 0, 0, 7}}, Case{"ppp", DLT_PPP, ppp(0x21, {})},
        Case{"ppp_hdlc", DLT_PPP, Bytes{0xff, 3} + ppp(0x21, {})},
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

TEST(LinkLayer, carries_ipv6) {
    struct Frame {
        int linktype;
        Bytes head;
    };
    const unsigned size = static_cast<unsigned>(kWeb6.size()) + 4;
    for (const Frame &f :
         {Frame{DLT_EN10MB, ethernet(kNsh, nsh(2, {}))}, Frame{DLT_FRELAY, {0x18, 0x41, 3, 0x8e}},
          Frame{DLT_ARCNET, {1, 2, 196, 0, 0, 7}}, Frame{DLT_SLIP, zeros(16)},
          Frame{DLT_NFLOG, Bytes{10, 0, 0, 5, static_cast<uint8_t>(size), 0, 9, 0}}, Frame{DLT_PFLOG, pflog(61, 24)},
          Frame{DLT_PFLOG, pflog(64, 28)}, Frame{DLT_PFLOG, pflog(61, 30)}, Frame{DLT_PPI, ppi(229)}}) {
        Decoding d;
        EXPECT_TRUE(d(f.head + kWeb6, 0, f.linktype)) << f.linktype;
        EXPECT_EQ(d.flow(), kWeb6Flow);
    }
}

TEST(LinkLayer, impossible_headers_are_counted) {
    struct Frame {
        Counter why;
        int linktype;
        Bytes bytes;
    };
    const Bytes none = attribute(0x10, {});
    Bytes attributes;
    for (int n = 0; n < 31; ++n)
        attributes = attributes + none;
    const Bytes payload = attribute(9, kWeb);
    Decoding good;
    EXPECT_TRUE(good(Bytes{2, 0, 0, 0} + attributes + payload, 0, DLT_NFLOG)) << "32 attributes";
    for (const Frame &f :
         {Frame{Counter::bad_link, DLT_EN10MB, ethernet(kCiscoMetadata, u16(0x0201) + zeros(4) + u16(kIpv4) + kWeb)},
          Frame{Counter::bad_link, DLT_EN10MB, ethernet(kCiscoMetadata, u16(0x0100) + u16(kIpv4) + kWeb)},
          Frame{Counter::bad_link, DLT_EN10MB, ethernet(kNsh, u16(1) + u16(0x0101) + zeros(4) + kWeb)},
          Frame{Counter::bad_link, DLT_PFLOG, pflog(44, 2) + kWeb},
          Frame{Counter::bad_link, DLT_PKTAP, Bytes{11, 0, 0, 0} + zeros(200)},
          Frame{Counter::bad_link, DLT_PPI, Bytes{0, 0, 7, 0, 1, 0, 0, 0} + ethernet(kIpv4, kWeb)},
          Frame{Counter::bad_link, DLT_NFLOG, Bytes{2, 0, 0, 0, 3, 0, 9, 0} + kWeb},
          Frame{Counter::too_deep, DLT_NFLOG, Bytes{2, 0, 0, 0} + attributes + none + payload},
          Frame{Counter::bad_link, DLT_FRELAY, Bytes{0x18, 0x40, 0, 0, 3, 0xcc} + kWeb},
          Frame{Counter::other_link, DLT_NFLOG, Bytes{2, 1, 0, 0} + payload}, // a version to come
          Frame{Counter::other_link, DLT_NFLOG, Bytes{7, 0, 0, 0} + payload}, // of a bridge, without a type
          Frame{Counter::other_link, DLT_PFLOG, pflog(61, 3) + kWeb},
          Frame{Counter::other_link, DLT_PPI, Bytes{1, 0, 8, 0, 101, 0, 0, 0} + kWeb},
          Frame{Counter::other_link, DLT_PPI, ppi(192) + ppi(101) + kWeb}, // in itself
          Frame{Counter::other_link, DLT_PPI, Bytes{0, 0, 8, 0, 101, 0, 0, 0x80} + kWeb},
          Frame{Counter::other_link, DLT_PKTAP, pktap(192) + ppi(101) + kWeb},
          Frame{Counter::other_link, DLT_PKTAP, pktap(12, 0) + kWeb},
          Frame{Counter::other_link, DLT_FRELAY, Bytes{0x18, 0x41, 3, 0x81} + kWeb}, // CLNP
          Frame{Counter::other_link, DLT_FRELAY, Bytes{0, 1, 3, 0, 0x80, 0, 0x80, 0xc2, 0, 8} + kWeb},
          Frame{Counter::other_link, DLT_ARCNET, Bytes{1, 2, 250, 0, 0, 7} + kWeb},
          Frame{Counter::other_link, DLT_ARCNET, Bytes{1, 2, 212, 2, 0, 7} + kWeb}, // a second part
          Frame{Counter::arp, DLT_ARCNET, Bytes{1, 2, 213, 0, 0, 7} + zeros(20)},
          Frame{Counter::other_link, DLT_EN10MB, ethernet(kMacsec, macsec(kIpv4, kWeb, 0x08))}, // encrypted
          Frame{Counter::other_link, DLT_EN10MB, ethernet(kMacsec, macsec(kIpv4, kWeb, 0x04))},
          Frame{Counter::other_link, DLT_EN10MB, ethernet(kTrill, u16(0x4000) + zeros(4) + ethernet(kIpv4, kWeb))},
          Frame{Counter::other_link, DLT_EN10MB, ethernet(kNsh, u16(0x2002) + u16(0x0201) + zeros(4) + kWeb)}, // OAM
          Frame{Counter::other_link, DLT_EN10MB, ethernet(kNsh, nsh(9, kWeb))},
          Frame{Counter::other_link, DLT_EN10MB, ethernet(0x88fb, zeros(40))}}) { // supervision of HSR and PRP
        Decoding d;
        EXPECT_FALSE(d(f.bytes, 0, f.linktype));
        EXPECT_EQ(d[f.why], 1u) << kCounterInfo[static_cast<size_t>(f.why)].name << " " << f.linktype << " "
                                << &f.bytes;
        EXPECT_EQ(d[Counter::ipv4], 0u);
    }
}

TEST(LinkLayer, a_trailer_is_no_part_of_the_packet) {
    Decoding d;
    ASSERT_TRUE(d(ethernet(kIpv4, kWeb) + u16(7) + u16(0xa000 | 60) + u16(0x88fb))); // PRP
    expect_web(d);
    ASSERT_TRUE(d(ethernet(kMacsec, macsec(kIpv4, kWeb)) + zeros(16)));
    expect_web(d);
}

TEST(LinkLayer, the_first_part_of_a_split_arcnet_packet_counts_as_a_whole) {
    Decoding d;
    ASSERT_TRUE(d(Bytes{1, 2, 212, 1, 0, 7} + cut(kWeb, 0, kWeb.size() - 4), 0, DLT_ARCNET));
    EXPECT_EQ(d.packet.ip_bytes, kWeb.size());
    EXPECT_EQ(d.packet.payload_length, 10u);
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(LinkLayer, provider_backbone_service_is_a_tunnel_with_an_id) {
    Decoding d;
    const Bytes customer = ethernet(kVlan, vlan(9, kIpv4, kWeb));
    ASSERT_TRUE(d(ethernet(kQinq, vlan(5, kPbb, pbb(0x123456, customer)))));
    EXPECT_EQ(d.packet.tunnel, Tunnel::pbb);
    EXPECT_EQ(d.packet.key.tunnel_id, 0x123456u);
    EXPECT_EQ(d.packet.tunnel_id, 0x123456u);
    EXPECT_EQ(d.packet.vlan, 5);
    EXPECT_EQ(d.packet.vlan_inner, 0);
    ASSERT_TRUE(d(ethernet(kTrill, trill(customer))));
    EXPECT_EQ(d.packet.tunnel, Tunnel::trill);
    EXPECT_EQ(d.packet.key.tunnel, 0);
    EXPECT_EQ(d.packet.vlan, 9);
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

TEST(Bounds, seventeen_tags_or_labels_are_too_deep) {
    Decoding d;
    Bytes tagged = kWeb; // behind the type of the outermost tag
    for (unsigned i = 0; i < 16; ++i)
        tagged = vlan(i, i == 0 ? kIpv4 : kVlan, tagged);
    EXPECT_TRUE(d(ethernet(kVlan, tagged)));
    EXPECT_FALSE(d(ethernet(kVlan, vlan(1, kVlan, tagged))));
    EXPECT_EQ(d[Counter::too_deep], 1u);
    // those behind all Ethernet headers together
    Bytes inside = ethernet(kIpv4, kWeb);
    for (int i = 0; i < 8; ++i)
        inside = ethernet(kHsr, hsr(kNsh, nsh(3, inside)));
    EXPECT_TRUE(d(inside));
    EXPECT_FALSE(d(ethernet(kNsh, nsh(3, inside))));
    for (int i = 0; i < 3000; ++i)
        inside = ethernet(kNsh, nsh(3, {})) + inside;
    EXPECT_FALSE(d(inside));
    EXPECT_EQ(d[Counter::too_deep], 3u);
    Bytes backbone = ethernet(kIpv4, kWeb);
    for (int i = 0; i < 4; ++i)
        backbone = i % 2 == 0 ? ethernet(kPbb, pbb(1, backbone)) : ethernet(kTrill, trill(backbone));
    EXPECT_TRUE(d(backbone));
    EXPECT_FALSE(d(ethernet(kPbb, pbb(1, backbone))));
    EXPECT_FALSE(d(ethernet(kTrill, trill(backbone))));
    EXPECT_EQ(d[Counter::too_deep], 5u);
    Bytes labels;
    for (int i = 0; i < 16; ++i)
        labels = labels + u32(16 << 12);
    EXPECT_TRUE(d(ethernet(kMpls, cut(labels, 4, 64) + mpls({16}, kWeb))));
    EXPECT_FALSE(d(ethernet(kMpls, labels + mpls({16}, kWeb))));
    EXPECT_EQ(d[Counter::too_deep], 6u);
    Bytes frame = ethernet(kIpv4, kWeb); // a pseudowire in a pseudowire in ...: labels bound that too
    for (int i = 0; i < 3000; ++i)
        frame = ethernet(kMpls, mpls({16}, {})) + frame;
    EXPECT_FALSE(d(frame));
    EXPECT_EQ(d[Counter::too_deep], 7u);
}

} // namespace
} // namespace aicore::test
