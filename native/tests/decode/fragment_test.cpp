// SPDX-License-Identifier: Apache-2.0
// Fragments in decoding, and the table that remembers them.
#include "decoding.h"
#include "fragments.h"

#include <algorithm>
#include <random>

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

// What a flow counts of the fragments that were fed, and what came of them.
struct Sum {
    uint64_t packets = 0, bytes = 0, payload = 0;
    std::vector<std::string> whole;

    void add(const Decoding &d) {
        ASSERT_NE(d.packet.fragment, nullptr);
        const Fragmented &part = *d.packet.fragment;
        packets += part.packets;
        bytes += part.bytes;
        payload += part.payload_bytes;
        if (part.whole)
            whole.emplace_back(reinterpret_cast<const char *>(part.whole->payload), part.whole->payload_length);
    }
    void feed(Decoding &d, const std::vector<Bytes> &parts, int64_t time = 0) {
        for (const Bytes &part : parts)
            if (test::feed(d, part, time)) add(d);
    }
};

uint64_t bytes_of(const std::vector<Bytes> &parts) {
    uint64_t n = 0;
    for (const Bytes &part : parts)
        n += part.size();
    return n;
}

std::string as_text(const Bytes &b) {
    return {b.begin(), b.end()};
}

// A datagram in three fragments is one flow: the later ones, whose first bytes look like ports, are never read as
// headers.
TEST(Fragments, in_order_count_as_they_come_and_are_whole_with_the_last) {
    for (bool six : {false, true}) {
        Bytes datagram = udp({.src_port = 1000, .dst_port = 2000}, pattern(3000));
        std::vector<Bytes> parts = six ? fragments6({.next = kUdp}, 77, datagram, 1200)
                                       : fragments4({.src = "10.0.0.9", .proto = kUdp}, datagram, 1200);
        ASSERT_EQ(parts.size(), 3u);
        Decoding d;
        Sum sum;
        ASSERT_TRUE(feed(d, parts[0]));
        FlowKey key = d.packet.key;
        EXPECT_EQ(key.port_a + key.port_b, 3000);
        EXPECT_NE(d.packet.transport, nullptr);
        EXPECT_EQ(d.packet.fragment->payload_bytes, 1192u);
        EXPECT_EQ(d.packet.fragment->whole, nullptr);
        sum.add(d);
        bool reversed = d.packet.reversed;
        EXPECT_EQ(reversed, !six);
        for (size_t i : {1u, 2u}) {
            ASSERT_TRUE(feed(d, parts[i], 9));
            EXPECT_TRUE(d.packet.key == key);
            EXPECT_EQ(d.packet.reversed, reversed);
            EXPECT_EQ(d.packet.ip_bytes, parts[i].size());
            EXPECT_EQ(d.packet.transport, nullptr);
            EXPECT_EQ(d.packet.time, 9);
            EXPECT_EQ(d.anomaly(), Counter::none);
            sum.add(d);
        }
        ASSERT_NE(d.packet.fragment->whole, nullptr);
        EXPECT_TRUE(d.packet.fragment->whole->key == key);
        EXPECT_EQ(d.packet.fragment->whole->payload_bytes, 3000u);
        EXPECT_EQ(sum.whole, std::vector{as_text(pattern(3000))});
        EXPECT_EQ(sum.packets, 3u);
        EXPECT_EQ(sum.bytes, bytes_of(parts));
        EXPECT_EQ(sum.payload, 3000u);
        EXPECT_EQ(d[Counter::fragments], 3u);
        EXPECT_EQ(d[Counter::udp], 3u);
        EXPECT_EQ(d[Counter::orphan_fragments], 0u);
    }
}

TEST(Fragments, in_any_order_count_the_same) {
    for (bool six : {false, true}) {
        const Bytes datagram = tcp({.seq = 77, .flags = kAck | kPsh}, pattern(3000));
        const std::vector<Bytes> parts = six ? fragments6({}, 77, datagram, 1000) : fragments4({}, datagram, 1000);
        std::vector<size_t> order = {0, 1, 2, 3};
        do {
            Decoding d;
            Sum sum;
            for (size_t n = 0; n < order.size(); ++n)
                if (feed(d, parts[order[n]], static_cast<int64_t>(n))) sum.add(d);
            EXPECT_EQ(sum.packets, 4u);
            EXPECT_EQ(sum.bytes, bytes_of(parts));
            EXPECT_EQ(sum.payload, 3000u);
            EXPECT_EQ(sum.whole, std::vector{as_text(pattern(3000))});
            EXPECT_EQ(d.packet.fragment->whole->seq, 77u);
            EXPECT_EQ(d.packet.fragment->whole->tcp_flags, kAck | kPsh);
            EXPECT_EQ(d[Counter::tcp], 4u);
            EXPECT_EQ(d[Counter::orphan_fragments], 0u);
        } while (std::next_permutation(order.begin(), order.end()));
    }
}

TEST(Fragments, that_waited_for_the_first_tell_their_time) {
    const std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(3000)), 1000);
    Decoding d;
    EXPECT_FALSE(feed(d, parts[3], 50));
    EXPECT_FALSE(feed(d, parts[1], 40));
    EXPECT_EQ(d[Counter::udp], 0u);
    ASSERT_TRUE(feed(d, parts[0], 60));
    EXPECT_EQ(d.packet.fragment->packets, 3u);
    EXPECT_EQ(d.packet.fragment->earliest, 40);
    EXPECT_EQ(d.packet.time, 60);
    EXPECT_EQ(d.packet.ip_bytes, parts[0].size());
    EXPECT_EQ(d.packet.fragment->bytes, parts[0].size() + parts[1].size() + parts[3].size());
}

TEST(Fragments, without_their_first_are_orphans_at_last) {
    const std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(3000)), 1000);
    Decoding d;
    EXPECT_FALSE(feed(d, parts[2], seconds(1)));
    EXPECT_FALSE(feed(d, parts[3], seconds(1)));
    Packet late;
    EXPECT_FALSE(d.decoder.overdue(seconds(31), late));
    EXPECT_EQ(d[Counter::orphan_fragments], 0u);
    EXPECT_FALSE(d.decoder.overdue(seconds(31) + 1, late));
    EXPECT_EQ(d[Counter::orphan_fragments], 2u);
    EXPECT_FALSE(feed(d, parts[1], seconds(40)));
    EXPECT_FALSE(d.decoder.overdue(INT64_MAX, late));
    EXPECT_EQ(d[Counter::orphan_fragments], 3u);
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
    EXPECT_TRUE(d(later({.proto = kUdp, .id = 5})));
    EXPECT_EQ(d.packet.vlan, 3);
    EXPECT_EQ(d.packet.fragment->packets, 1u);
    Packet late;
    while (d.decoder.overdue(INT64_MAX, late))
        continue;
    EXPECT_EQ(d[Counter::orphan_fragments], 5u);
}

// The bytes that came from the begin on are not lost with the others.
TEST(Fragments, not_whole_after_30_seconds_of_packet_time) {
    std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(4000)), 1000);
    Decoding d;
    ASSERT_TRUE(feed(d, parts[0], seconds(100)));
    ASSERT_TRUE(feed(d, parts[1], seconds(130)));
    ASSERT_TRUE(feed(d, parts[3], seconds(101))); // time may go back
    const FlowKey key = d.packet.key;
    Packet late;
    EXPECT_FALSE(d.decoder.overdue(seconds(131), late));
    ASSERT_TRUE(d.decoder.overdue(seconds(131) + 1, late));
    EXPECT_TRUE(late.key == key);
    EXPECT_EQ(late.time, seconds(101));
    const Bytes shown(late.payload, late.payload + late.payload_length);
    EXPECT_EQ(shown, cut(pattern(4000), 0, 1992));
    EXPECT_EQ(late.payload_bytes, 4000u); // so that it is known to be cut
    EXPECT_EQ(d[Counter::udp], 3u);
    EXPECT_FALSE(d.decoder.overdue(INT64_MAX, late));
    EXPECT_FALSE(feed(d, parts[2], seconds(135)));
    for (auto [first, second] : {std::pair(seconds(100), seconds(69)), {INT64_MIN, INT64_MAX}}) {
        ASSERT_TRUE(feed(d, parts[0], first));
        EXPECT_FALSE(feed(d, parts[1], second)); // that far off it is another capture
    }
}

TEST(Fragments, again_are_counted_but_their_payload_is_not) {
    const std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(3000)), 1000);
    for (const std::vector<size_t> &order :
         {std::vector<size_t>{0, 0, 1, 1, 2, 2, 3, 3}, {3, 3, 2, 2, 1, 1, 0, 0}, {0, 1, 2, 3, 0, 1, 2, 3}}) {
        Decoding d;
        Sum sum;
        for (size_t i : order)
            if (feed(d, parts[i])) sum.add(d);
        EXPECT_EQ(sum.packets, 8u);
        EXPECT_EQ(sum.bytes, 2 * bytes_of(parts));
        EXPECT_EQ(sum.payload, 3000u);
        EXPECT_EQ(sum.whole.size(), 1u);
        EXPECT_EQ(d[Counter::duplicate_fragments], 4u);
        EXPECT_EQ(d[Counter::fragment_overlaps], 0u);
    }
}

TEST(Fragments, that_overlap_are_counted_and_not_put_together) {
    const Bytes datagram = udp({}, pattern(3000));
    const std::vector<Bytes> parts = fragments4({.proto = kUdp}, datagram, 1000);
    const auto piece = [](unsigned at, bool more, const Bytes &b) {
        return ipv4({.proto = kUdp, .offset = at, .more = more}, b);
    };
    const std::vector<Bytes> bad = {
        piece(1000, true, zeros(1000)),                // other bytes
        piece(1992, true, cut(datagram, 1992, 2992)),  // the same bytes, and others
        piece(1000, false, cut(datagram, 1000, 1992)), // another end, before what is known
        piece(4000, false, zeros(80)),                 // and behind it
        piece(3008, true, zeros(8)),                   // bytes behind the end
    };
    for (const Bytes &b : bad) {
        Decoding d;
        Sum sum;
        sum.feed(d, {parts[0], parts[1], parts[3], b, parts[2]});
        EXPECT_EQ(sum.packets, 5u);
        EXPECT_TRUE(sum.whole.empty());
        EXPECT_EQ(d[Counter::fragment_overlaps], 1u);
        EXPECT_EQ(d[Counter::bad_fragment], 0u);
        EXPECT_EQ(d[Counter::orphan_fragments], 0u);
        Packet late;
        EXPECT_FALSE(d.decoder.overdue(INT64_MAX, late));
    }
}

TEST(Fragments, an_identification_used_again_is_the_newer_datagram) {
    Ipv4 h = {.proto = kUdp, .id = 5};
    const std::vector<Bytes> older = fragments4(h, udp({.dst_port = 1}, pattern(2000)), 1000),
                             newer = fragments4(h, udp({.dst_port = 2}, zeros(2000)), 1000);
    { // the older one was whole
        Decoding d;
        Sum sum;
        sum.feed(d, older);
        sum.feed(d, newer);
        EXPECT_EQ(sum.whole, (std::vector{as_text(pattern(2000)), as_text(zeros(2000))}));
        EXPECT_EQ(d.flow(), "10.0.0.1 40000 > 10.0.0.2 2");
    }
    { // it was not, a second before
        Decoding d;
        ASSERT_TRUE(feed(d, older[0]));
        Sum sum;
        sum.feed(d, newer, FragmentTable::kReuse + 1);
        EXPECT_EQ(sum.whole, std::vector{as_text(zeros(2000))});
        EXPECT_EQ(d[Counter::fragment_overlaps], 0u);
    }
    { // within that second they contradict each other; the newer one's header still tells whose it is
        Decoding d;
        ASSERT_TRUE(feed(d, older[0]));
        Sum sum;
        sum.feed(d, newer, FragmentTable::kReuse);
        EXPECT_TRUE(sum.whole.empty());
        EXPECT_EQ(d[Counter::fragment_overlaps], 1u);
        EXPECT_EQ(d.flow(), "10.0.0.1 40000 > 10.0.0.2 2");
    }
}

TEST(Fragments, of_an_untracked_protocol_are_counted_as_it) {
    std::vector<Bytes> parts = fragments4({.proto = kIcmp}, pattern(2500), 1000);
    Decoding d;
    EXPECT_FALSE(feed(d, parts[1]));
    EXPECT_EQ(d[Counter::icmp], 0u);
    EXPECT_FALSE(feed(d, parts[0]));
    EXPECT_EQ(d[Counter::icmp], 2u);
    EXPECT_FALSE(feed(d, parts[2]));
    EXPECT_EQ(d[Counter::icmp], 3u);
    EXPECT_EQ(d[Counter::orphan_fragments], 0u);
}

std::vector<Bytes> carried_in_fragments(const Bytes &inner, size_t size = 1000) {
    return fragments4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp, .id = 9},
                      udp({.src_port = 2152, .dst_port = 2152}, gtpu(1, inner)), size);
}

// What a tunnel carries is one packet of its flow, in however many fragments it comes.
TEST(Fragments, of_a_tunnel_carry_one_packet) {
    Bytes inner = ipv4({}, tcp({}, pattern(2400)));
    const std::vector<Bytes> parts = carried_in_fragments(inner);
    std::vector<size_t> order = {0, 1, 2};
    do {
        Decoding d;
        Sum sum;
        for (size_t i : order)
            if (feed(d, parts[i])) {
                EXPECT_EQ(d.flow(), kWebFlow);
                EXPECT_EQ(d.packet.tunnel, Tunnel::gtpu);
                EXPECT_EQ(d.anomaly(), Counter::none);
                sum.add(d);
            }
        EXPECT_EQ(sum.packets, 1u);
        EXPECT_EQ(sum.bytes, inner.size());
        EXPECT_EQ(sum.payload, 2400u);
        EXPECT_EQ(sum.whole, std::vector{as_text(pattern(2400))});
        EXPECT_EQ(d[Counter::tunnel_fragments], 2u);
        EXPECT_EQ(d[Counter::orphan_fragments], 0u);
        EXPECT_EQ(d[Counter::tcp], 1u);
        EXPECT_EQ(d[Counter::udp], 0u);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Fragments, inside_a_tunnel) {
    std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(2000)), 1000);
    auto wrap = [](uint32_t vni, const Bytes &ip) {
        return ipv4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp},
                    udp({.dst_port = 4789}, vxlan(vni, ethernet(kIpv4, ip))));
    };
    Decoding d;
    Sum sum;
    ASSERT_TRUE(feed(d, wrap(7, parts[0])));
    FlowKey key = d.packet.key;
    sum.add(d);
    EXPECT_FALSE(feed(d, wrap(8, parts[1])));
    EXPECT_FALSE(feed(d, parts[2]));
    for (size_t i : {1u, 2u}) {
        ASSERT_TRUE(feed(d, wrap(7, parts[i])));
        EXPECT_TRUE(d.packet.key == key);
        EXPECT_EQ(d.packet.tunnel, Tunnel::vxlan);
        EXPECT_EQ(d.packet.ip_bytes, parts[i].size());
        sum.add(d);
    }
    EXPECT_EQ(sum.packets, 3u);
    EXPECT_EQ(sum.payload, 2000u);
    EXPECT_EQ(sum.whole, std::vector{as_text(pattern(2000))});
}

// Each inner fragment comes in two outer ones.
TEST(Fragments, inside_a_tunnel_in_fragments) {
    const Bytes datagram = udp({}, pattern(2000));
    const std::vector<Bytes> inner = fragments4({.proto = kUdp}, datagram, 1000);
    Decoding d;
    Sum sum;
    uint16_t id = 1;
    size_t frames = 0;
    for (const Bytes &part : inner) {
        for (const Bytes &outer : fragments4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp, .id = id++},
                                             udp({.dst_port = 2152}, gtpu(1, part)), 800)) {
            ++frames;
            if (feed(d, outer)) sum.add(d);
        }
    }
    EXPECT_EQ(sum.packets, inner.size());
    EXPECT_EQ(sum.bytes, bytes_of(inner));
    EXPECT_EQ(sum.payload, 2000u);
    EXPECT_EQ(sum.whole, std::vector{as_text(pattern(2000))});
    EXPECT_EQ(sum.packets + d[Counter::tunnel_fragments], frames);
}

TEST(Fragments, ipv6_atomic_fragment_is_a_whole_packet) {
    Decoding d;
    ASSERT_TRUE(feed(d, ipv6({.next = 44}, fragment_header(kUdp, 0, false, 5) + udp({}, text("query")))));
    EXPECT_EQ(d.payload(), "query");
    EXPECT_EQ(d.packet.fragment, nullptr);
    EXPECT_EQ(d[Counter::fragments], 0u);
    EXPECT_FALSE(feed(d, ipv6({.next = 44}, fragment_header(kUdp, 1000, false, 5) + zeros(8))));
}

TEST(Fragments, ipv6_first_one_may_begin_with_extension_headers) {
    Bytes body = extension(kUdp) + udp({}, pattern(1000));
    std::vector<Bytes> parts = fragments6({.next = 60}, 5, body, 504);
    Decoding d;
    Sum sum;
    sum.feed(d, parts);
    EXPECT_EQ(sum.packets, 3u);
    EXPECT_EQ(sum.payload, 1000u);
    EXPECT_EQ(sum.whole, std::vector{as_text(pattern(1000))});
}

// RFC 7112 forbids it, and hosts take it.
TEST(Fragments, ipv6_header_chain_may_reach_into_the_second_one) {
    const std::vector<Bytes> parts = fragments6({.next = 60}, 5, extension(kUdp, 64) + udp({}, pattern(100)), 48);
    Decoding d;
    Sum sum;
    EXPECT_FALSE(feed(d, parts[0]));
    sum.feed(d, {parts.begin() + 1, parts.end()});
    EXPECT_EQ(sum.packets, parts.size());
    EXPECT_EQ(sum.bytes, bytes_of(parts));
    EXPECT_EQ(sum.payload, 100u);
    EXPECT_EQ(sum.whole, std::vector{as_text(pattern(100))});
}

TEST(Fragments, ipv6_fragment_of_a_fragment_is_refused) {
    const Bytes inner = fragment_header(kUdp, 0, true, 5) + udp({}, pattern(40));
    Decoding d;
    for (const Bytes &part : fragments6({.next = 44}, 5, inner, 24))
        EXPECT_FALSE(feed(d, part));
    EXPECT_EQ(d[Counter::bad_ipv6_extension], 3u);
}

// RFC 1858: a first fragment without the whole TCP header hides the flags from filters.
TEST(Fragments, tiny_first_one) {
    for (size_t size : {8u, 16u})
        for (bool backwards : {false, true}) {
            std::vector<Bytes> parts = fragments4({}, tcp({.flags = kSyn}, pattern(24)), size);
            if (backwards) std::reverse(parts.begin(), parts.end());
            Decoding d;
            Sum sum;
            sum.feed(d, parts);
            EXPECT_EQ(d.flow(), kWebFlow); // the ports are there: it counts, and says why it is odd
            EXPECT_EQ(d.packet.tcp_flags, 0);
            EXPECT_GE(d[Counter::bad_fragment], 1u);
            EXPECT_EQ(d[Counter::short_transport], 0u);
            EXPECT_EQ(sum.packets, parts.size());
            EXPECT_EQ(sum.payload, 24u);
            EXPECT_EQ(sum.whole, std::vector{as_text(pattern(24))});
            EXPECT_EQ(d.packet.fragment->whole->tcp_flags, kSyn);
        }
}

// RFC 3128: a later fragment that would overwrite the header of the first.
TEST(Fragments, overlapping_the_transport_header) {
    Decoding d;
    ASSERT_TRUE(feed(d, ipv4({.more = true}, tcp({}, pattern(20)))));
    ASSERT_TRUE(feed(d, ipv4({.offset = 8, .more = true}, zeros(40))));
    EXPECT_EQ(d[Counter::fragment_overlaps], 1u);
    EXPECT_EQ(d.anomaly(), Counter::fragment_overlaps);
    ASSERT_TRUE(feed(d, ipv4({.offset = 40}, zeros(40))));
    EXPECT_EQ(d.packet.fragment->whole, nullptr);
}

TEST(Fragments, that_fit_nowhere) {
    Decoding d;
    EXPECT_FALSE(feed(d, ipv4({.proto = kUdp, .offset = 65528}, zeros(100)))); // behind the largest datagram
    EXPECT_FALSE(feed(d, ipv4({.proto = kUdp, .offset = 800, .more = true}, zeros(13))));
    EXPECT_FALSE(feed(d, ipv4({.proto = kUdp, .offset = 800}, {})));
    EXPECT_EQ(d[Counter::bad_fragment], 3u);
    ASSERT_TRUE(feed(d, ipv4({.proto = kUdp, .more = true}, udp({}, zeros(8)))));
    EXPECT_EQ(d.packet.fragment->packets, 4u); // they count in the flow of the datagram that they claim
    EXPECT_EQ(d.packet.fragment->payload_bytes, 8u);
}

// It counts where its datagram does; once what was left of an earlier packet counted in its place.
TEST(Fragments, a_further_first_one_that_cannot_be_decoded) {
    const Bytes none(3); // no ports
    Decoding d;
    ASSERT_TRUE(feed(d, ipv4({.proto = kUdp, .more = true}, udp({}, zeros(8)))));
    const FlowKey key = d.packet.key;
    std::memset(static_cast<void *>(&d.packet), 0x55, sizeof d.packet);
    const Bytes further = ipv4({.proto = kUdp, .more = true}, none);
    ASSERT_TRUE(feed(d, further));
    EXPECT_TRUE(d.packet.key == key);
    EXPECT_EQ(d.packet.ip_bytes, further.size());
    EXPECT_EQ(d.packet.transport, nullptr);

    Decoding tunnel;
    ASSERT_TRUE(feed(tunnel, carried_in_fragments(ipv4({.proto = kUdp}, udp({}, pattern(2000))))[0]));
    EXPECT_FALSE(
        feed(tunnel, ipv4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp, .id = 9, .more = true}, none)));
    EXPECT_EQ(tunnel[Counter::tunnel_fragments], 1u);
}

TEST(Fragments, the_largest_datagram) {
    const Bytes datagram = udp({}, pattern(65535 - 8));
    Decoding d;
    Sum sum;
    sum.feed(d, fragments4({.proto = kUdp}, datagram, 65528 / 16 / 8 * 8));
    EXPECT_EQ(sum.whole, std::vector{as_text(pattern(65535 - 8))});
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

TEST(Fragments, cut_by_the_capture_are_counted_and_shown_as_far_as_they_go) {
    const std::vector<Bytes> parts = fragments4({.proto = kUdp}, udp({}, pattern(3000)), 1480);
    Decoding d;
    Sum sum;
    for (const Bytes &part : parts) {
        ASSERT_TRUE(d(cut(part, 0, std::min<size_t>(part.size(), 96)), 0, DLT_RAW, static_cast<uint32_t>(part.size())));
        sum.add(d);
    }
    EXPECT_EQ(sum.packets, 3u);
    EXPECT_EQ(sum.payload, 3000u);
    EXPECT_TRUE(sum.whole.empty());
}

// Random datagrams in random pieces and orders, with copies, several at a time: each comes out whole and counts right.
TEST(Fragments, random_pieces_of_several_datagrams) {
    std::mt19937 random(7);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    for (int round = 0; round < 300; ++round) {
        struct Piece {
            size_t datagram;
            Bytes ip;
        };
        std::vector<Piece> pieces;
        std::vector<Bytes> payloads;
        for (uint16_t id = 0; id < 3; ++id) {
            const bool six = below(2) != 0;
            payloads.push_back(pattern(20 + below(round % 10 == 0 ? 60000 : 4000)));
            const Bytes datagram = udp({.dst_port = static_cast<uint16_t>(1000 + id)}, payloads.back());
            for (size_t at = 0; at < datagram.size();) {
                const size_t end = std::min(datagram.size(), at + 8 * (1 + below(datagram.size() / 16 + 1)));
                const auto offset = static_cast<unsigned>(at);
                const bool more = end < datagram.size();
                const Bytes b = cut(datagram, at, end);
                pieces.push_back({id, six ? ipv6({.next = 44}, fragment_header(kUdp, offset, more, id) + b)
                                          : ipv4({.proto = kUdp, .id = id, .offset = offset, .more = more}, b)});
                if (below(8) == 0) pieces.push_back(pieces.back());
                at = end;
            }
        }
        std::shuffle(pieces.begin(), pieces.end(), random);
        Decoding d;
        Sum sums[3];
        uint64_t bytes[3] = {};
        for (const Piece &piece : pieces) {
            bytes[piece.datagram] += piece.ip.size();
            if (!feed(d, piece.ip)) continue;
            sums[d.packet.key.port_a + d.packet.key.port_b - 41000].add(d);
        }
        for (size_t i = 0; i < 3; ++i) {
            EXPECT_EQ(sums[i].whole, std::vector{as_text(payloads[i])});
            EXPECT_EQ(sums[i].payload, payloads[i].size());
            EXPECT_EQ(sums[i].bytes, bytes[i]);
        }
    }
}

FragmentKey key(uint32_t id) {
    FragmentKey k{};
    k.id = id;
    k.version = 4;
    return k;
}

TEST(FragmentTable, full_forgets_the_least_recently_used_and_counts_it) {
    Counters counters;
    FragmentTable table(3, counters);
    for (uint32_t i = 0; i < 3; ++i)
        table.at(key(i), 0).protocol = static_cast<Counter>(i + 1);
    table.at(key(0), 1); // now 1 is the oldest
    table.at(key(1), 1).waiting = 5;
    table.at(key(0), 1), table.at(key(2), 1);
    table.at(key(3), 1);
    EXPECT_EQ(counters[Counter::fragment_table_full], 1u);
    EXPECT_EQ(counters[Counter::orphan_fragments], 5u);
    EXPECT_EQ(table.find(key(1)), nullptr);
    for (uint32_t i : {0u, 2u})
        EXPECT_EQ(table.find(key(i))->protocol, static_cast<Counter>(i + 1)) << i;
    EXPECT_EQ(table.size(), 3u);
    // one that had timed out is no loss
    table.at(key(4), FragmentTable::kTimeout + 2);
    EXPECT_EQ(counters[Counter::fragment_table_full], 1u);
    EXPECT_EQ(table.size(), 3u);
}

TEST(FragmentTable, without_room_for_bytes_gives_up_the_least_recently_used) {
    Counters counters;
    FragmentTable table(4096, counters);
    const Bytes data = pattern(65528);
    const auto fill = [&](uint32_t id) {
        return table.add(table.at(key(id), 0), {0, 65528, true, data.data(), 65528}, 0);
    };
    const uint32_t fit = FragmentTable::kBlocks / 32;
    for (uint32_t id = 0; id <= fit; ++id)
        EXPECT_EQ(fill(id), FragmentTable::Place::fresh);
    EXPECT_EQ(table.find(key(0))->state, FragmentedDatagram::given_up);
    EXPECT_EQ(table.find(key(1))->state, FragmentedDatagram::collecting);
    EXPECT_EQ(counters[Counter::fragment_table_full], 1u);
    EXPECT_EQ(table.free_blocks(), 0u);
    FragmentTable::Overdue late;
    size_t shown = 0;
    while (table.overdue(INT64_MAX, late)) {
        if (late.length == 0) continue;
        EXPECT_EQ(Bytes(late.data, late.data + late.length), data);
        ++shown;
    }
    EXPECT_EQ(shown, fit);
    EXPECT_EQ(table.size(), 0u);
    EXPECT_EQ(table.free_blocks(), FragmentTable::kBlocks);
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
