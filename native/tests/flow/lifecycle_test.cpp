// SPDX-License-Identifier: Apache-2.0
// Which events a flow has, in which order, and how it ends.
#include <gtest/gtest.h>

#include "fake_protocol.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
const std::string kKey = "10.0.0.1:40000:6:10.0.0.2:80";

TEST(Lifecycle, fin_close_is_insert_update_remove_with_the_late_ack_in_it) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(0.1, 0, "hello");
    c.data(0.2, 1, "world!");
    c.close(0.3);
    f.push_back(tick(10));
    const Result r = run_quiet(f);
    EXPECT_EQ(r.lines(), (Lines{"insert " + kKey + " 1", "update " + kKey + " 8 fin", "remove " + kKey + " 8 fin"}));
    const Event &e = r.events.back();
    EXPECT_EQ(e.tcp_state, TcpState::closed);
    EXPECT_EQ(e.src_packets, 5u);
    EXPECT_EQ(e.dst_packets, 3u);
    EXPECT_EQ(e.src_payload_bytes, 5u);
    EXPECT_EQ(e.dst_payload_bytes, 6u);
    EXPECT_EQ(e.payload_bytes, 11u);
    EXPECT_EQ(e.bytes, 8u * 40 + 11);
    EXPECT_EQ(e.src_bytes, 5u * 40 + 5);
    EXPECT_EQ(e.src_tcpflags, kSyn | kAck | kPsh | kFin);
    EXPECT_EQ(e.dst_tcpflags, kSyn | kAck | kPsh | kFin);
    EXPECT_EQ(e.first_seen, kStart);
    EXPECT_EQ(e.last_seen, kStart + seconds(0.3));
    EXPECT_EQ(e.duration, seconds(0.3));
    EXPECT_EQ(e.retransmissions, 0u);
    EXPECT_EQ(r.events[0].tcp_state, TcpState::syn_sent); // the state that its packet made
    EXPECT_EQ(r.events[0].is_new, 1);
    EXPECT_EQ(r.events[1].is_new, 0);
}

TEST(Lifecycle, every_flow_has_its_remove_at_the_end_of_the_input) {
    Frames f;
    Connection c(f);
    c.open(0);
    f.push_back(udp_frame(0.5, {"10.0.0.3", "10.0.0.4", 1000, 53}));
    const Result r = run(f);
    EXPECT_EQ(r.lines(),
              (Lines{"insert " + kKey + " 1", "insert 10.0.0.3:1000:17:10.0.0.4:53 1", "update " + kKey + " 3 shutdown",
                     "remove " + kKey + " 3 shutdown", "update 10.0.0.3:1000:17:10.0.0.4:53 1 shutdown",
                     "remove 10.0.0.3:1000:17:10.0.0.4:53 1 shutdown"}));
}

TEST(Lifecycle, sequence_numbers_rise_by_one_and_versions_with_them) {
    Frames f;
    for (uint16_t i = 0; i < 500; ++i)
        f.push_back(udp_frame(i, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}));
    EngineOptions o;
    o.batch_rows = 7;
    o.version_base = 5'000'000;
    const Result r = run(f, o);
    ASSERT_EQ(r.events.size(), 1500u);
    for (size_t i = 0; i < r.events.size(); ++i) {
        EXPECT_EQ(r.events[i].seq, i + 1);
        EXPECT_EQ(r.events[i].version, 5'000'000 + i + 1);
    }
    EXPECT_EQ(r.count("events"), 1500u);
    EXPECT_EQ(r.count("flows_udp"), 500u);
}

TEST(Lifecycle, sampled_updates_come_at_n_and_2n_and_no_final_one_that_says_the_same) {
    Frames f;
    const Endpoints e{"10.0.0.1", "10.0.0.2", 5000, 5001};
    for (int i = 0; i < 6; ++i)
        f.push_back(udp_frame(i, e));
    EngineOptions o;
    o.every_udp = 3;
    const std::string key = e.key(17);
    EXPECT_EQ(run(f, o).lines(), (Lines{"insert " + key + " 1", "update " + key + " 3", "update " + key + " 6",
                                        "remove " + key + " 6 shutdown"}));
    f.push_back(udp_frame(6, e));
    const Result r = run(f, o);
    EXPECT_EQ(r.lines(), (Lines{"insert " + key + " 1", "update " + key + " 3", "update " + key + " 6",
                                "update " + key + " 7 shutdown", "remove " + key + " 7 shutdown"}));
    std::vector<int> sampled;
    for (const Event &event : r.events)
        sampled.push_back(event.sampled);
    EXPECT_EQ(sampled, (std::vector<int>{0, 1, 1, 0, 0}));
    o.every_udp = 0;
    EXPECT_EQ(run(f, o).lines(),
              (Lines{"insert " + key + " 1", "update " + key + " 7 shutdown", "remove " + key + " 7 shutdown"}));
    o.every_udp = 1;
    EXPECT_EQ(run(f, o).events.size(), 9u);
}

TEST(Lifecycle, an_update_that_also_says_something_new_is_no_sample) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data == "known" ? AICORE_YES : AICORE_MORE; });
    EngineOptions o;
    o.every_tcp = 1;
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(1, 0, "known");
    c.data(2, 0, "more");
    const Result r = run(f, o, {&p.p});
    std::map<int64_t, int> sampled; // by packets
    for (const Event &event : r.of(EventKind::update))
        sampled[event.packets] = event.sampled;
    EXPECT_EQ(sampled, (std::map<int64_t, int>{{1, 1}, {2, 1}, {3, 1}, {4, 0}, {5, 1}}));
}

// What a reader that wants an update at every n-th packet takes of a thinned run is what a run with that n makes.
TEST(Lifecycle, a_thinned_run_holds_the_run_of_each_multiple) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data == "known" ? AICORE_YES : AICORE_MORE; });
    Frames f;
    for (uint16_t flow = 0; flow < 26; ++flow) // of 1 to 13 packets, half of them recognised at their last
        for (int i = 0; i <= flow / 2; ++i)
            f.push_back(udp_frame(i, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(5000 + flow), 53},
                                  i == flow / 2 && flow % 2 ? "known" : "other"));
    for (const uint32_t n : {0u, 1u, 2u, 3u, 4u, 6u, 12u, 13u, 24u}) {
        EngineOptions o;
        o.every_udp = n;
        const Lines alone = run(f, o, {&p.p}).lines();
        for (const uint32_t divisor : {1u, 2u, 3u, 6u, 12u, n}) {
            if (divisor == 0 ? n != 0 : n % divisor != 0) continue;
            o.every_udp = divisor;
            o.thinned = true;
            auto registry = std::make_shared<Registry>();
            registry->add(&p.p);
            Engine engine(registry, o);
            engine.open(std::make_unique<FileSource>(std::vector<Frames>{f}, true));
            engine.start();
            std::array<uint32_t, 256> every{};
            every[17] = n;
            Result thinned;
            while (!engine.finished())
                if (const auto batch = engine.pull(1000))
                    collect(thinned.events, *batch->take(batch->rows_at_multiples(every)));
            EXPECT_EQ(thinned.lines(), alone) << n << " of " << divisor;
        }
    }
}

TEST(Lifecycle, only_the_wanted_kinds_are_emitted) {
    Frames f;
    Connection c(f);
    c.open(0);
    EngineOptions o;
    o.events = 1u << static_cast<unsigned>(EventKind::remove);
    EXPECT_EQ(run(f, o).lines(), (Lines{"remove " + kKey + " 3 shutdown"}));
    o.events = 1u << static_cast<unsigned>(EventKind::insert);
    EXPECT_EQ(run(f, o).lines(), (Lines{"insert " + kKey + " 1"}));
    o.events = 1u << static_cast<unsigned>(EventKind::update);
    EXPECT_EQ(run(f, o).lines(), (Lines{"update " + kKey + " 3 shutdown"}));
}

TEST(Lifecycle, reset_ends_also_a_flow_of_two_packets) {
    Frames f;
    Connection c(f);
    c.send(0, 0, kSyn);
    c.send(0.1, 1, kRst | kAck);
    f.push_back(tick(5.2));
    const Result r = run_quiet(f);
    EXPECT_EQ(r.lines(), (Lines{"insert " + kKey + " 1", "update " + kKey + " 2 rst", "remove " + kKey + " 2 rst"}));
    EXPECT_EQ(r.events.back().tcp_state, TcpState::reset);
}

TEST(Lifecycle, lingering_flow_takes_late_packets_and_ends_five_seconds_after_the_last_one) {
    for (const double late : {4.9, 5.1}) {
        Frames f;
        Connection c(f);
        c.open(0);
        c.close(1);
        c.seq[0] -= 1;
        for (const double t : {1.5, 2.5}) // retries, each a second after the one before it
            f.push_back(tcp_frame(t, c.ends, kFin | kAck, c.seq[0], c.seq[1]));
        f.push_back(tick(2.5 + late));
        f.push_back(tcp_frame(2.5 + late, c.ends, kFin | kAck, c.seq[0], c.seq[1]));
        const Result r = run_quiet(f);
        EXPECT_EQ(r.of(EventKind::insert).size(), late < 5 ? 1u : 2u);
        EXPECT_EQ(r.of(EventKind::remove)[0].packets, late < 5 ? 9 : 8);
        EXPECT_EQ(r.of(EventKind::remove)[0].end_reason, EndReason::fin);
    }
}

TEST(Lifecycle, new_syn_of_the_tuple_ends_a_lingering_flow_at_once) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.close(1);
    c.send(1.5, 0, kSyn);
    c.send(1.6, 1, kRst | kAck);
    c.send(1.7, 0, kSyn);
    const Result r = run(f);
    EXPECT_EQ(r.lines(),
              (Lines{"insert " + kKey + " 1", "update " + kKey + " 6 fin", "remove " + kKey + " 6 fin",
                     "insert " + kKey + " 1", "update " + kKey + " 2 rst", "remove " + kKey + " 2 rst",
                     "insert " + kKey + " 1", "update " + kKey + " 1 shutdown", "remove " + kKey + " 1 shutdown"}));
    EXPECT_NE(r.events[0].id(), r.events[3].id());
    EXPECT_NE(r.events[3].id(), r.events[6].id());
}

TEST(Lifecycle, lingering_flow_at_the_end_of_the_input_has_ended_by_itself) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.close(1);
    EXPECT_EQ(run(f).lines().back(), "remove " + kKey + " 6 fin");
}

TEST(Lifecycle, half_close_goes_on) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.send(1, 0, kFin | kAck);
    for (int i = 0; i < 20; ++i)
        c.data(2 + i * 10, 1, "more");
    const Result r = run(f);
    EXPECT_EQ(r.lines().back(), "remove " + kKey + " 24 shutdown");
    EXPECT_EQ(r.events.back().tcp_state, TcpState::closing);
}

TEST(Lifecycle, traffic_from_the_middle_is_one_flow) {
    Frames f;
    Connection c(f);
    for (int i = 0; i < 40; ++i)
        c.send(i, i & 1, kAck, i % 5 ? "data" : "");
    const Result r = run(f);
    EXPECT_EQ(r.of(EventKind::insert).size(), 1u);
    EXPECT_EQ(r.lines().back(), "remove " + kKey + " 40 shutdown");
    EXPECT_EQ(r.events.back().tcp_state, TcpState::established);
    EXPECT_EQ(r.events.back().src_packets, 20u);
}

TEST(Lifecycle, direction_is_right_with_equal_ports_and_addresses_in_either_order) {
    for (const bool swapped : {false, true}) {
        Frames f;
        Endpoints e{"10.0.0.1", "10.0.0.2", 5060, 5060};
        if (swapped) e = e.back();
        Connection c(f, e);
        c.open(0);
        c.data(0.5, 1, "abc");
        c.close(1);
        const Result r = run(f);
        EXPECT_EQ(r.events.back().key, e.key());
        EXPECT_EQ(r.events.back().dst_payload_bytes, 3u);
        EXPECT_EQ(r.events.back().src_payload_bytes, 0u);
        EXPECT_EQ(r.events.back().tcp_state, TcpState::closed);
        EXPECT_EQ(r.events.back().src_packets, 4u);
    }
}

TEST(Lifecycle, flow_to_itself_has_one_direction) {
    Frames f;
    for (int i = 0; i < 4; ++i)
        f.push_back(udp_frame(i, {"127.0.0.1", "127.0.0.1", 7, 7}));
    const Result r = run(f);
    EXPECT_EQ(r.events.back().src_packets, 4u);
}

TEST(Lifecycle, flows_with_equal_address_xor_stay_apart) {
    Frames f;
    for (int i = 0; i < 200; ++i)
        f.push_back(udp_frame(i * 0.01, {"10.0.0." + std::to_string(i), "10.0.1." + std::to_string(i), 5000, 5000}));
    EXPECT_EQ(run(f).of(EventKind::insert).size(), 200u);
}

TEST(Lifecycle, retransmissions_are_counted_and_keep_alives_are_none) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(1, 0, "hello");
    f.push_back(tcp_frame(2, c.ends, kAck | kPsh, c.seq[0] - 5, c.seq[1], "hello"));
    for (int i = 0; i < 3; ++i)
        f.push_back(tcp_frame(3 + i, c.ends, kAck, c.seq[0] - 1, c.seq[1], std::string(1, '\0'))); // keep-alive
    f.push_back(tcp_frame(7, c.ends, kAck, c.seq[0], c.seq[1]));                                   // ACK alone
    c.close(8);
    f.push_back(tcp_frame(9, c.ends, kFin | kAck, c.seq[0] - 1, c.seq[1]));
    const Result r = run(f);
    EXPECT_EQ(r.events.back().retransmissions, 2u);
    EXPECT_EQ(r.count("retransmissions"), 2u);
}

TEST(Lifecycle, counters_are_of_64_bits) {
    Frames f;
    const Endpoints e{"10.0.0.1", "10.0.0.2", 1, 2};
    // 70,000 datagrams of 65,507 bytes on the wire (4.58 GB), of which the capture holds the headers.
    Frame frame{kStart,
                ethernet(kIpv4, ipv4({.src = e.src, .dst = e.dst, .proto = kUdp, .total = 65535},
                                     udp({.src_port = 1, .dst_port = 2, .length = 65515}))),
                65549};
    for (int i = 0; i < 70'000; ++i)
        f.push_back(frame);
    const Result r = run(f);
    EXPECT_EQ(r.events.back().bytes, 70'000ull * 65'535);
    EXPECT_EQ(r.events.back().payload_bytes, 70'000ull * 65'507);
}

TEST(Lifecycle, transport_that_is_off_is_counted_and_moves_the_clock) {
    Frames f;
    Connection c(f);
    c.open(0);
    f.push_back(tick(1000));
    f.push_back(tick(1300));
    EngineOptions o;
    o.udp = false;
    const Result r = run(f, o);
    EXPECT_EQ(r.lines().back(), "remove " + kKey + " 3 idle");
    EXPECT_EQ(r.count("not_selected"), 2u);
}

TEST(Lifecycle, later_fragment_counts_in_its_flow_but_opens_none) {
    const Bytes datagram = udp({.src_port = 9, .dst_port = 10}, Bytes(3000, 'a'));
    Frames f;
    for (const Bytes &b : fragments4({.proto = kUdp}, datagram, 1480))
        f.push_back({kStart, ethernet(kIpv4, b), 0});
    ASSERT_EQ(f.size(), 3u);
    const Result r = run(f);
    EXPECT_EQ(r.lines().back(), "remove 10.0.0.1:9:17:10.0.0.2:10 3 shutdown");
    EXPECT_EQ(r.events.back().bytes, 3 * 20u + datagram.size());
    f[1].time = f[2].time = kStart + seconds(6); // the flow is idle by then
    f.insert(f.begin() + 1, tick(3));
    EngineOptions o;
    o.idle_udp = seconds(5);
    const Result late = run_quiet(f, o);
    EXPECT_EQ(late.of(EventKind::insert).size(), 1u);
    EXPECT_EQ(late.lines().back(), "remove 10.0.0.1:9:17:10.0.0.2:10 1 idle");
    EXPECT_EQ(late.count("orphan_fragments"), 2u);
}

// Whatever comes first: those that wait count with the first one.
TEST(Lifecycle, fragments_in_any_order_are_one_flow) {
    const Bytes datagram = udp({.src_port = 9, .dst_port = 10}, Bytes(3000, 'a'));
    const auto parts = fragments4({.proto = kUdp}, datagram, 1480);
    for (const auto &order : {std::array{2, 1, 0}, {1, 2, 0}, {0, 2, 1}}) {
        Frames f;
        for (const int i : order)
            f.push_back(
                {kStart + seconds(static_cast<double>(f.size())), ethernet(kIpv4, parts[static_cast<size_t>(i)]), 0});
        const Result r = run(f);
        EXPECT_EQ(r.lines().back(), "remove 10.0.0.1:9:17:10.0.0.2:10 3 shutdown");
        EXPECT_EQ(r.events.back().bytes, 3 * 20u + datagram.size());
        EXPECT_EQ(r.events.back().payload_bytes, 3000);
        EXPECT_EQ(r.events.back().first_seen, kStart);
        EXPECT_EQ(r.events.back().last_seen, kStart + seconds(2));
        EXPECT_EQ(r.of(EventKind::insert).size(), 1u);
    }
}

// Of a TCP segment in fragments the flags and numbers count when it is whole.
TEST(Lifecycle, a_connection_that_opens_in_fragments) {
    Frames f;
    for (const Bytes &b : fragments4({}, tcp({.seq = 1, .flags = kSyn}, Bytes(20, 'x')), 24))
        f.push_back({kStart, ethernet(kIpv4, b), 0});
    const Result r = run(f);
    EXPECT_EQ(r.events.back().tcp_state, TcpState::syn_sent);
    EXPECT_EQ(r.events.back().src_tcpflags, kSyn);
    f.pop_back();
    const Result cut = run(f); // as far as it came, at the end of the input
    EXPECT_EQ(cut.events.back().src_tcpflags, kSyn);
    EXPECT_EQ(cut.events.back().packets, 1);
}

TEST(Lifecycle, same_events_from_a_source_that_cannot_be_looked_ahead) {
    Frames f;
    for (int i = 0; i < 300; ++i) {
        Connection c(f, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(2000 + i % 40), 80});
        c.open(i);
        c.data(i + 0.1, 0, "hello");
        c.close(i + 0.2);
    }
    const Result a = run(f, {}, {}, true), b = run(f, {}, {}, false);
    EXPECT_EQ(a.lines(), b.lines());
    EXPECT_EQ(a.of(EventKind::insert).size(), 300u);
}

// Eviction ---------------------------------------------------------------------------------------------------------

TEST(Eviction, takes_lingering_then_half_open_then_the_longest_idle) {
    Frames f;
    const auto ends = [](int i) { return Endpoints{"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 80}; };
    Connection idle(f, ends(0)), busy(f, ends(1)), half(f, ends(2)), closed(f, ends(3));
    idle.open(0);
    busy.open(1);
    half.send(3, 0, kSyn);
    closed.open(4);
    closed.close(4.5);
    idle.data(5, 0, "a");
    busy.data(8, 0, "b");
    for (int i = 4; i < 9; ++i) {
        Connection fresh(f, ends(i));
        fresh.open(9 + 0.1 * i);
    }
    EngineOptions o;
    o.tcp_flows = 4;
    const Result r = run(f, o);
    std::vector<std::string> removed;
    for (const Event &e : r.of(EventKind::remove))
        removed.push_back(std::to_string(e.portsrc) + " " + kEndReasonNames[static_cast<size_t>(e.end_reason)]);
    EXPECT_EQ(removed, (Lines{"1003 fin", "1002 evicted", "1000 evicted", "1001 evicted", "1004 evicted",
                              "1005 shutdown", "1006 shutdown", "1007 shutdown", "1008 shutdown"}));
    EXPECT_EQ(r.count("evicted"), 5u);
    EXPECT_EQ(r.count("not_admitted"), 0u);
}

TEST(Eviction, tables_of_one_flow_work) {
    Frames f;
    for (uint16_t i = 0; i < 50; ++i)
        f.push_back(udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(100 + i), 53}));
    EngineOptions o;
    o.udp_flows = o.tcp_flows = 1;
    const Result r = run(f, o);
    EXPECT_EQ(r.of(EventKind::remove).size(), 50u);
    EXPECT_EQ(r.count("evicted"), 49u);
}

// Identity ---------------------------------------------------------------------------------------------------------

TEST(Identity, same_packets_again_give_the_same_ids_and_other_sensors_others) {
    Frames f;
    for (uint16_t i = 0; i < 100; ++i)
        f.push_back(udp_frame(i / 3, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(100 + i % 50), 53}));
    const auto ids = [&](const std::string &sensor) {
        EngineOptions o;
        o.sensor = sensor;
        std::vector<std::string> out;
        for (const Event &e : run(f, o).of(EventKind::insert)) {
            out.push_back(e.id());
            EXPECT_EQ(e.sensor_name, sensor);
        }
        return out;
    };
    const auto first = ids("");
    EXPECT_EQ(first.size(), 50u);
    EXPECT_EQ(first, ids(""));
    const auto other = ids("tap1");
    EXPECT_EQ(other, ids("tap1"));
    for (size_t i = 0; i < first.size(); ++i)
        EXPECT_NE(first[i], other[i]);
}

TEST(Identity, flows_of_a_key_with_one_first_timestamp_differ_and_are_stable) {
    Frames f;
    Connection c(f);
    for (int i = 0; i < 1000; ++i) {
        c.send(0, 0, kSyn);
        c.send(0, 1, kRst | kAck);
    }
    std::vector<std::string> first;
    for (int again = 0; again < 2; ++again) {
        std::vector<std::string> ids;
        for (const Event &e : run(f).of(EventKind::insert))
            ids.push_back(e.id());
        std::vector<std::string> unique = ids;
        std::sort(unique.begin(), unique.end());
        EXPECT_EQ(std::unique(unique.begin(), unique.end()) - unique.begin(), 1000);
        EXPECT_TRUE(!again || ids == first);
        first = ids;
    }
}

TEST(Identity, many_flows_of_a_key_at_one_time_cost_no_more_than_others) {
    Frames f;
    Connection c(f);
    f.reserve(120'000);
    for (int i = 0; i < 60'000; ++i) {
        c.send(0, 0, kSyn);
        c.send(0, 1, kRst | kAck);
    }
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(run(f).of(EventKind::remove).size(), 60'000u);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)); // quadratic: minutes
}

TEST(Identity, vlan_tells_flows_apart_and_stands_in_the_record) {
    Frames f;
    for (const unsigned id : {7u, 8u}) {
        const Bytes ip = ipv4({.proto = kUdp}, udp({}, text("x")));
        f.push_back({kStart, ethernet(kVlan, vlan(id, kIpv4, ip))});
    }
    const Result apart = run(f);
    ASSERT_EQ(apart.of(EventKind::insert).size(), 2u);
    EXPECT_EQ(apart.events[0].vlan, 7);
    EXPECT_EQ(apart.events[1].vlan, 8);
    EXPECT_NE(apart.events[0].id(), apart.events[1].id());
    EngineOptions o;
    o.vlan_in_key = false;
    const Result one = run(f, o);
    ASSERT_EQ(one.of(EventKind::insert).size(), 1u);
    EXPECT_EQ(one.events[0].vlan, 7);
}

TEST(Identity, tunnel_id_tells_flows_apart) {
    Frames f;
    const Bytes inner = ethernet(kIpv4, ipv4({.src = "192.168.0.1", .dst = "192.168.0.2", .proto = kUdp},
                                             udp({.src_port = 5, .dst_port = 6}, text("x"))));
    for (const uint32_t vni : {100u, 200u})
        f.push_back({kStart, ethernet(kIpv4, ipv4({.proto = kUdp}, udp({.dst_port = 4789}, vxlan(vni, inner))))});
    const Result r = run(f);
    ASSERT_EQ(r.of(EventKind::insert).size(), 2u);
    EXPECT_EQ(r.events[0].key, "192.168.0.1:5:17:192.168.0.2:6");
    EXPECT_EQ(r.events[0].key, r.events[1].key);
    EXPECT_NE(r.events[0].id(), r.events[1].id());
    EXPECT_EQ(r.events[0].tunnel, Tunnel::vxlan);
    EXPECT_EQ(r.events[0].tunnel_id, 100u);

    EngineOptions o;
    o.tunnel_in_key = false;
    const Result one = run(f, o);
    ASSERT_EQ(one.of(EventKind::insert).size(), 1u);
    EXPECT_EQ(one.events[0].tunnel, Tunnel::vxlan);
    EXPECT_EQ(one.events[0].tunnel_id, 100u);
}

// Summary ----------------------------------------------------------------------------------------------------------

TEST(Tops, name_the_talkers_by_bytes) {
    Frames f;
    for (int i = 0; i < 20; ++i)
        f.push_back(udp_frame(i, {"10.0.0.1", "10.0.0.2", 1, 2}, std::string(100, 'x')));
    for (uint16_t i = 0; i < 30; ++i)
        f.push_back(udp_frame(i, {"10.0.0.3", "10.0.0.2", static_cast<uint16_t>(100 + i), 2}, "y"));
    EngineOptions o;
    o.top = true;
    const Result r = run(f, o);
    ASSERT_EQ(r.tops.talkers.size(), 2u);
    EXPECT_EQ(r.tops.talkers[0].name, "10.0.0.1");
    EXPECT_EQ(r.tops.talkers[0].flows, 1u);
    EXPECT_EQ(r.tops.talkers[0].packets, 20u);
    EXPECT_EQ(r.tops.talkers[0].bytes, 20u * 128);
    EXPECT_EQ(r.tops.talkers[1].name, "10.0.0.3");
    EXPECT_EQ(r.tops.talkers[1].flows, 30u);
}

} // namespace
} // namespace aicore::test
