// SPDX-License-Identifier: Apache-2.0
// Fragments in decoding, and the table that remembers them.
#include "decoding.h"
#include "fragments.h"

namespace aicore::test {
namespace {

Bytes pattern(size_t n) {
    Bytes out(n);
    for (size_t i = 0; i < n; ++i)
        out[i] = static_cast<uint8_t>(i * 7 + 1);
    return out;
}

bool feed(Decoding &d, const Bytes &ip, int64_t time = 0) {
    return d(ip, time, DLT_RAW);
}

// A datagram in three fragments is one flow: the later ones, whose first bytes look like ports, are never read as
// headers.
TEST(Fragments, later_ones_belong_to_the_flow_of_the_first) {
    for (bool six : {false, true}) {
        Bytes datagram = udp({.src_port = 1000, .dst_port = 2000}, pattern(3000));
        std::vector<Bytes> parts = six ? fragments6({.next = kUdp}, 77, datagram, 1200)
                                       : fragments4({.src = "10.0.0.9", .proto = kUdp}, datagram, 1200);
        ASSERT_EQ(parts.size(), 3u);
        Decoding d;
        ASSERT_TRUE(feed(d, parts[0]));
        FlowKey key = d.packet.key;
        EXPECT_EQ(key.port_a + key.port_b, 3000);
        EXPECT_TRUE(d.packet.first_fragment);
        EXPECT_FALSE(d.packet.later_fragment);
        EXPECT_EQ(d.packet.payload_length, 1192u);
        EXPECT_EQ(d.packet.payload_bytes, 1192u);
        bool reversed = d.packet.reversed;
        EXPECT_EQ(reversed, !six);
        for (size_t i : {1u, 2u}) {
            ASSERT_TRUE(feed(d, parts[i], 9));
            EXPECT_TRUE(d.packet.key == key);
            EXPECT_EQ(d.packet.reversed, reversed);
            EXPECT_EQ(d.packet.ip_bytes, parts[i].size());
            EXPECT_EQ(d.packet.payload_length, 0u);
            EXPECT_EQ(d.packet.payload_bytes, 0u);
            EXPECT_EQ(d.packet.time, 9);
            EXPECT_TRUE(d.packet.later_fragment);
            EXPECT_FALSE(d.packet.first_fragment);
            EXPECT_EQ(d.anomaly(), Counter::none);
        }
        EXPECT_EQ(d[Counter::fragments], 3u);
        EXPECT_EQ(d[Counter::udp], 3u);
        EXPECT_EQ(d[Counter::orphan_fragments], 0u);
    }
}

TEST(Fragments, before_the_first_or_without_it_are_orphans) {
    std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(3000)), 1000);
    Decoding d;
    EXPECT_FALSE(feed(d, parts[2]));
    EXPECT_EQ(d[Counter::orphan_fragments], 1u);
    ASSERT_TRUE(feed(d, parts[0]));
    EXPECT_TRUE(feed(d, parts[1]));
    EXPECT_EQ(d[Counter::orphan_fragments], 1u);
    EXPECT_EQ(d[Counter::udp], 2u);
}

TEST(Fragments, of_another_datagram_direction_protocol_or_vlan) {
    std::vector<Bytes> parts = fragments4({.proto = kUdp, .id = 5}, udp({}, pattern(2000)), 1000);
    Decoding d;
    ASSERT_TRUE(d(ethernet(kVlan, vlan(3, kIpv4, parts[0]))));
    EXPECT_FALSE(d(ethernet(kIpv4, parts[1])));
    EXPECT_FALSE(d(ethernet(kVlan, vlan(4, kIpv4, parts[1]))));
    auto later = [](Ipv4 h) {
        h.offset = 1000;
        return ethernet(kVlan, vlan(3, kIpv4, ipv4(h, zeros(8))));
    };
    EXPECT_FALSE(d(later({.proto = kUdp, .id = 6})));
    EXPECT_FALSE(d(later({.proto = kTcp, .id = 5})));
    EXPECT_FALSE(d(later({.src = "10.0.0.2", .dst = "10.0.0.1", .proto = kUdp, .id = 5})));
    EXPECT_EQ(d[Counter::orphan_fragments], 5u);
    EXPECT_TRUE(d(later({.proto = kUdp, .id = 5})));
    EXPECT_EQ(d.packet.vlan, 3);
}

TEST(Fragments, forgotten_after_30_seconds_of_packet_time) {
    std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(2000)), 1000);
    Decoding d;
    ASSERT_TRUE(feed(d, parts[0], seconds(100)));
    EXPECT_TRUE(feed(d, parts[1], seconds(130)));
    EXPECT_TRUE(feed(d, parts[1], seconds(70))); // time may go back
    EXPECT_FALSE(feed(d, parts[1], seconds(130) + 1));
    EXPECT_FALSE(feed(d, parts[1], seconds(100)));
    ASSERT_TRUE(feed(d, parts[0], seconds(100)));
    EXPECT_FALSE(feed(d, parts[1], seconds(69))); // that far back it is another capture
    EXPECT_EQ(d[Counter::orphan_fragments], 3u);
    ASSERT_TRUE(feed(d, parts[0], INT64_MIN));
    EXPECT_FALSE(feed(d, parts[1], INT64_MAX));
}

TEST(Fragments, an_identification_used_again_is_the_newer_datagram) {
    Ipv4 h = {.proto = kUdp, .id = 5};
    Decoding d;
    ASSERT_TRUE(feed(d, fragments4(h, udp({.dst_port = 1}, pattern(2000)), 1000)[0]));
    std::vector<Bytes> newer = fragments4(h, udp({.dst_port = 2}, pattern(2000)), 1000);
    ASSERT_TRUE(feed(d, newer[0]));
    ASSERT_TRUE(feed(d, newer[1]));
    EXPECT_EQ(d.flow(), "10.0.0.1 40000 > 10.0.0.2 2");
}

TEST(Fragments, of_an_untracked_protocol_are_counted_as_it) {
    std::vector<Bytes> parts = fragments4({.proto = kIcmp}, pattern(2000), 1000);
    Decoding d;
    EXPECT_FALSE(feed(d, parts[0]));
    EXPECT_FALSE(feed(d, parts[1]));
    EXPECT_EQ(d[Counter::icmp], 2u);
    EXPECT_EQ(d[Counter::orphan_fragments], 0u);
}

// The inner IP length was counted whole with the first outer fragment: the later ones add nothing to the flow.
TEST(Fragments, of_a_tunnel_count_once) {
    Bytes inner = ipv4({}, tcp({}, pattern(1400)));
    std::vector<Bytes> parts = fragments4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp},
                                          udp({.src_port = 2152, .dst_port = 2152}, gtpu(1, inner)), 1000);
    Decoding d;
    ASSERT_TRUE(feed(d, parts[0]));
    EXPECT_EQ(d.flow(), kWebFlow);
    EXPECT_EQ(d.packet.ip_bytes, inner.size());
    EXPECT_EQ(d.packet.payload_bytes, 1400u);
    EXPECT_EQ(d.packet.payload_length, 1000u - 8 - 8 - 40);
    EXPECT_EQ(d.anomaly(), Counter::none);
    EXPECT_FALSE(feed(d, parts[1]));
    EXPECT_EQ(d[Counter::orphan_fragments], 0u);
    EXPECT_EQ(d[Counter::tunnelled], 2u);
    EXPECT_EQ(d[Counter::udp], 0u);
}

TEST(Fragments, inside_a_tunnel) {
    std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(2000)), 1000);
    auto wrap = [](uint32_t vni, const Bytes &ip) {
        return ipv4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp},
                    udp({.dst_port = 4789}, vxlan(vni, ethernet(kIpv4, ip))));
    };
    Decoding d;
    ASSERT_TRUE(feed(d, wrap(7, parts[0])));
    FlowKey key = d.packet.key;
    EXPECT_FALSE(feed(d, wrap(8, parts[1])));
    ASSERT_TRUE(feed(d, wrap(7, parts[1])));
    EXPECT_TRUE(d.packet.key == key);
    EXPECT_TRUE(d.packet.later_fragment);
    EXPECT_EQ(d.packet.tunnel, Tunnel::vxlan);
    EXPECT_EQ(d.packet.ip_bytes, parts[1].size());
}

TEST(Fragments, ipv6_atomic_fragment_is_a_whole_packet) {
    Decoding d;
    ASSERT_TRUE(feed(d, ipv6({.next = 44}, fragment_header(kUdp, 0, false, 5) + udp({}, text("query")))));
    EXPECT_EQ(d.payload(), "query");
    EXPECT_FALSE(d.packet.first_fragment);
    EXPECT_EQ(d[Counter::fragments], 0u);
    EXPECT_FALSE(feed(d, ipv6({.next = 44}, fragment_header(kUdp, 1000, false, 5) + zeros(8))));
    EXPECT_EQ(d[Counter::orphan_fragments], 1u);
}

TEST(Fragments, ipv6_first_one_may_begin_with_extension_headers) {
    Bytes body = extension(kUdp) + udp({}, pattern(1000));
    std::vector<Bytes> parts = fragments6({.next = 60}, 5, body, 504);
    Decoding d;
    ASSERT_TRUE(feed(d, parts[0]));
    EXPECT_TRUE(d.packet.first_fragment);
    EXPECT_EQ(d.packet.payload_bytes, 504u - 16);
    ASSERT_TRUE(feed(d, parts[1]));
    EXPECT_EQ(d.packet.ip_bytes, parts[1].size());
}

// RFC 1858: a first fragment without the whole TCP header hides the flags from filters.
TEST(Fragments, tiny_first_one) {
    for (size_t size : {8u, 16u}) {
        std::vector<Bytes> parts = fragments4({}, tcp({.flags = kSyn}, pattern(24)), size);
        Decoding d;
        ASSERT_TRUE(feed(d, parts[0]));
        EXPECT_EQ(d.flow(), kWebFlow); // the ports are there: it counts, and says why it is odd
        EXPECT_EQ(d.anomaly(), Counter::bad_fragment);
        EXPECT_EQ(d.packet.tcp_flags, 0);
        EXPECT_EQ(d.packet.payload_length, 0u);
        ASSERT_TRUE(feed(d, parts[1]));
        EXPECT_EQ(d.anomaly(), Counter::bad_fragment);
        EXPECT_EQ(d[Counter::bad_fragment], 2u);
        EXPECT_EQ(d[Counter::short_transport], 0u);
    }
}

// RFC 3128: a later fragment that would overwrite the header of the first.
TEST(Fragments, overlapping_the_transport_header) {
    Decoding d;
    ASSERT_TRUE(feed(d, ipv4({.more = true}, tcp({}, pattern(20)))));
    ASSERT_TRUE(feed(d, ipv4({.offset = 8}, zeros(40))));
    EXPECT_TRUE(d.packet.later_fragment);
    EXPECT_EQ(d.anomaly(), Counter::bad_fragment);
    ASSERT_TRUE(feed(d, ipv4({.offset = 40}, zeros(40))));
    EXPECT_EQ(d.anomaly(), Counter::none);
}

TEST(Fragments, that_fit_nowhere) {
    Decoding d;
    EXPECT_FALSE(feed(d, ipv4({.proto = kIcmp, .offset = 65528}, zeros(100)))); // behind the largest datagram
    EXPECT_FALSE(feed(d, ipv4({.proto = kIcmp, .offset = 800, .more = true}, zeros(13))));
    EXPECT_EQ(d[Counter::bad_fragment], 2u);
    EXPECT_EQ(d[Counter::orphan_fragments], 2u);
}

TEST(Fragments, cut_at_every_length) {
    std::vector<Bytes> parts = fragments6({.next = kUdp}, 5, udp({}, pattern(64)), 48);
    for (const Bytes &part : parts)
        for (size_t n = 0; n < part.size(); ++n) {
            Decoding d;
            feed(d, parts[0]);
            d(cut(part, 0, n), 0, DLT_RAW, static_cast<uint32_t>(part.size()));
            EXPECT_EQ(d[Counter::bad_fragment] + d[Counter::bad_ipv6_extension], 0u) << n;
        }
}

FragmentKey key(uint32_t id) {
    FragmentKey k{};
    k.id = id;
    k.version = 4;
    return k;
}
FragmentedDatagram datagram(uint16_t port) {
    FragmentedDatagram d;
    d.kind = FragmentedDatagram::flow;
    d.key.port_a = port;
    return d;
}

TEST(FragmentTable, full_forgets_the_least_recently_used_and_counts_it) {
    Counters counters;
    FragmentTable table(3, counters);
    for (uint16_t i = 0; i < 3; ++i)
        table.remember(key(i), 0, datagram(i));
    ASSERT_NE(table.find(key(0), 1), nullptr); // now 1 is the oldest
    table.remember(key(3), 1, datagram(3));
    EXPECT_EQ(counters[Counter::fragment_table_full], 1u);
    EXPECT_EQ(table.find(key(1), 1), nullptr);
    for (uint32_t i : {0u, 2u, 3u}) {
        ASSERT_NE(table.find(key(i), 1), nullptr) << i;
        EXPECT_EQ(table.find(key(i), 1)->key.port_a, i);
    }
    EXPECT_EQ(table.size(), 3u);
    // one that had timed out is no loss
    table.remember(key(4), FragmentTable::kTimeout + 2, datagram(4));
    EXPECT_EQ(counters[Counter::fragment_table_full], 1u);
    EXPECT_EQ(table.size(), 3u);
}

TEST(FragmentTable, random_use_agrees_with_a_plain_map) {
    Counters counters;
    FragmentTable table(64, counters);
    std::vector<std::pair<uint32_t, uint16_t>> model; // by last use, oldest first
    auto seek = [&model](uint32_t id) {
        size_t i = 0;
        while (i < model.size() && model[i].first != id)
            ++i;
        return i;
    };
    uint32_t state = 1;
    for (int step = 0; step < 20000; ++step) {
        state = state * 1664525 + 1013904223;
        uint32_t id = (state >> 16) % 100;
        size_t i = seek(id);
        if (state >> 31) {
            const FragmentedDatagram *found = table.find(key(id), 0);
            ASSERT_EQ(found != nullptr, i < model.size());
            if (!found) continue;
            ASSERT_EQ(found->key.port_a, model[i].second);
            model.push_back(model[i]);
            model.erase(model.begin() + static_cast<long>(i));
        } else {
            if (i < model.size())
                model.erase(model.begin() + static_cast<long>(i));
            else if (model.size() == 64)
                model.erase(model.begin());
            uint16_t value = static_cast<uint16_t>(step);
            table.remember(key(id), 0, datagram(value));
            model.emplace_back(id, value);
        }
        ASSERT_EQ(table.size(), model.size());
    }
    EXPECT_GT(counters[Counter::fragment_table_full], 0u);
}

TEST(FragmentTable, of_no_capacity_remembers_nothing) {
    Counters counters;
    FragmentTable table(0, counters);
    table.remember(key(1), 0, datagram(1));
    EXPECT_EQ(table.find(key(1), 0), nullptr);
    EXPECT_EQ(counters[Counter::fragment_table_full], 1u);
}

// Key 00..0f, inputs 00..07 and 00..0f: from an independent implementation that gives the published SipHash-2-4 values.
TEST(SipHash, known_answers) {
    SipHash<1, 3> hash({0x0706050403020100, 0x0f0e0d0c0b0a0908});
    hash.add(0x0706050403020100);
    SipHash<1, 3> longer = hash;
    longer.add(0x0f0e0d0c0b0a0908);
    EXPECT_EQ(hash.finish64(), 0x369095118d299a8eu);
    EXPECT_EQ(longer.finish64(), 0xcc4fdd1a7d908b66u);
}

} // namespace
} // namespace aicore::test
