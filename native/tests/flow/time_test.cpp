// SPDX-License-Identifier: Apache-2.0
// The clock of a capture, timeouts, and timestamps that cannot be trusted.
#include <gtest/gtest.h>

#include "scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
const std::string kKey = "10.0.0.1:40000:6:10.0.0.2:80";
const Endpoints kUdpEnds{"10.0.0.1", "10.0.0.2", 5000, 53};
const std::string kUdpKey = kUdpEnds.key(17);

// The time of the ticker's packet before which the flow's remove was emitted, i.e. how late it came.
size_t packets_of_ticker_before_remove(const Result &r, const std::string &key) {
    for (size_t i = 0; i < r.events.size(); ++i)
        if (r.events[i].kind == EventKind::remove && r.events[i].key == key)
            for (size_t j = i; j-- > 0;)
                if (is_tick(r.events[j])) return r.events[j].packets;
    return SIZE_MAX;
}

TEST(Time, idle_flows_end_by_packets_of_the_other_transport) {
    Frames f;
    Connection c(f);
    c.open(0);
    f.push_back(udp_frame(0, kUdpEnds));
    for (int i = 1; i <= 40; ++i)
        f.push_back(tick(i * 10));
    EngineOptions o;
    o.every_udp = 1; // every tick is seen
    const Result r = run(f, o);
    EXPECT_EQ(packets_of_ticker_before_remove(r, kUdpKey), 17u); // at 180 s, before its 18th packet
    EXPECT_EQ(packets_of_ticker_before_remove(r, kKey), 29u);    // at 300 s
    for (const Event &e : r.of(EventKind::remove))
        EXPECT_TRUE(is_tick(e) || e.end_reason == EndReason::idle);
}

TEST(Time, half_open_flows_end_earlier) {
    Frames f;
    Connection syn(f), answered(f, {"10.0.0.1", "10.0.0.2", 40001, 80});
    syn.send(0, 0, kSyn);
    answered.send(0, 0, kSyn);
    answered.send(0, 1, kSyn | kAck);
    for (int i = 1; i <= 80; ++i)
        f.push_back(tick(i));
    EngineOptions o;
    o.every_udp = 1;
    const Result r = run(f, o);
    EXPECT_EQ(packets_of_ticker_before_remove(r, kKey), 69u);
    EXPECT_EQ(packets_of_ticker_before_remove(r, "10.0.0.1:40001:6:10.0.0.2:80"), 69u);
}

TEST(Time, a_long_lived_flow_does_not_keep_others_from_ending) {
    Frames f;
    Connection live(f), idle(f, {"10.0.0.1", "10.0.0.2", 40001, 80});
    live.open(0);
    idle.open(1);
    for (int i = 1; i < 100; ++i)
        live.data(i * 10, i & 1, "data");
    const Result r = run(f);
    EXPECT_EQ(r.of(EventKind::remove)[0].portsrc, 40001);
    EXPECT_EQ(r.of(EventKind::remove)[0].end_reason, EndReason::idle);
    EXPECT_EQ(r.of(EventKind::insert).size(), 2u);
}

TEST(Time, an_idle_flow_ends_before_its_next_packet_which_opens_another) {
    Frames f;
    f.push_back(udp_frame(0, kUdpEnds));
    f.push_back(udp_frame(1, kUdpEnds));
    f.push_back(udp_frame(181, kUdpEnds));
    const Result r = run(f);
    EXPECT_EQ(r.lines(), (Lines{"insert " + kUdpKey + " 1", "update " + kUdpKey + " 2 idle",
                                "remove " + kUdpKey + " 2 idle", "insert " + kUdpKey + " 1",
                                "update " + kUdpKey + " 1 shutdown", "remove " + kUdpKey + " 1 shutdown"}));
    EXPECT_EQ(r.events[2].duration, seconds(1));
    f[2] = udp_frame(180.99, kUdpEnds);
    EXPECT_EQ(run(f).of(EventKind::insert).size(), 1u);
}

TEST(Time, timeouts_are_settable) {
    Frames f;
    f.push_back(udp_frame(0, kUdpEnds));
    f.push_back(udp_frame(2, kUdpEnds));
    EngineOptions o;
    o.idle_udp = seconds(1.5);
    EXPECT_EQ(run(f, o).of(EventKind::insert).size(), 2u);
    Frames g;
    Connection c(g);
    c.open(0);
    c.close(1);
    c.send(1.1, 0, kAck);
    o.linger = 0;
    EXPECT_EQ(run(g, o).of(EventKind::remove).size(), 2u); // the ACK of the last FIN opens a flow of its own
}

TEST(Time, active_timeout_cuts_a_long_flow) {
    Frames f;
    for (int i = 0; i < 10; ++i)
        f.push_back(udp_frame(i, kUdpEnds));
    EngineOptions o;
    o.active = seconds(4);
    EXPECT_EQ(
        run(f, o).lines(),
        (Lines{"insert " + kUdpKey + " 1", "update " + kUdpKey + " 4 active", "remove " + kUdpKey + " 4 active",
               "insert " + kUdpKey + " 1", "update " + kUdpKey + " 4 active", "remove " + kUdpKey + " 4 active",
               "insert " + kUdpKey + " 1", "update " + kUdpKey + " 2 shutdown", "remove " + kUdpKey + " 2 shutdown"}));
}

TEST(Time, first_and_last_seen_are_minimum_and_maximum) {
    Frames f;
    for (const double t : {10.0, 9.5, 12.0, 8.25, 11.0})
        f.push_back(udp_frame(t, kUdpEnds));
    const Result r = run(f);
    const Event &e = r.events.back();
    EXPECT_EQ(e.first_seen, kStart + seconds(8.25));
    for (const Event &each : r.events)
        EXPECT_EQ(each.opened, kStart + seconds(10)) << "the packet that opened it stays the same";
    EXPECT_EQ(e.last_seen, kStart + seconds(12));
    EXPECT_EQ(e.duration, seconds(3.75));
    EXPECT_EQ(r.count("time_backwards"), 3u);
}

TEST(Time, extreme_timestamps_give_no_negative_duration) {
    Frames f;
    for (const int64_t t :
         {int64_t{0}, int64_t{4'294'967'295} * 1'000'000'000, kStart, int64_t{1},
          int64_t{4'294'967'295} * 1'000'000'000 + 999'999'999, kStart - seconds(3600), kStart + seconds(3600)}) {
        Frame frame = udp_frame(0, kUdpEnds);
        frame.time = t;
        f.push_back(frame);
        Frames syn;
        Connection c(syn);
        c.open(0);
        for (Frame &s : syn) {
            s.time = t;
            f.push_back(s);
        }
    }
    const Result r = run(f);
    ASSERT_FALSE(r.events.empty());
    for (const Event &e : r.events) {
        EXPECT_GE(e.duration, 0);
        EXPECT_LE(e.first_seen, e.last_seen);
    }
    EXPECT_EQ(r.of(EventKind::insert).size(), r.of(EventKind::remove).size());
    uint64_t packets = 0;
    for (const Event &e : r.of(EventKind::remove))
        packets += e.packets;
    EXPECT_EQ(packets, f.size());
}

TEST(Time, a_flow_with_old_timestamps_is_idle_by_the_clock_not_by_them) {
    Frames f;
    f.push_back(tick(1000));
    for (int i = 0; i < 20; ++i) { // a source whose clock is 900 s behind; its flow is busy
        f.push_back(udp_frame(100 + i * 10, kUdpEnds));
        f.push_back(tick(1000 + i * 10));
    }
    for (int i = 20; i < 60; ++i)
        f.push_back(tick(1000 + i * 10));
    EngineOptions o;
    o.every_udp = 1;
    const Result r = run(f, o);
    EXPECT_EQ(r.count("flows_udp"), 2u);
    EXPECT_EQ(packets_of_ticker_before_remove(r, kUdpKey),
              37u); // last seen at clock 1180 s: due at 1360 s, the ticker's 38th packet
    for (const Event &e : r.of(EventKind::remove))
        EXPECT_TRUE(is_tick(e) || e.end_reason == EndReason::idle);
}

TEST(Time, one_flow_with_old_timestamps_does_not_keep_others_from_ending) {
    Frames f;
    f.push_back(tick(1000));
    f.push_back(udp_frame(1000, kUdpEnds));
    Connection skewed(f);
    for (int i = 1; i < 100; ++i) {
        skewed.send(i * 10, 0, kSyn); // half-open, always 900 s old and always seen lately
        f.push_back(tick(1000 + i * 10));
    }
    EngineOptions o;
    o.every_udp = 1;
    const Result r = run(f, o);
    EXPECT_EQ(packets_of_ticker_before_remove(r, kUdpKey), 18u);
}

TEST(Time, a_flow_ahead_of_the_clock_is_idle_by_the_clock) {
    Frames f;
    f.push_back(tick(0));
    f.push_back(udp_frame(100'000, kUdpEnds));
    for (int i = 1; i < 60; ++i)
        f.push_back(tick(i * 10));
    EngineOptions o;
    o.every_udp = 1;
    const Result r = run(f, o);
    EXPECT_EQ(r.count("flows_udp"), 2u);
    EXPECT_EQ(packets_of_ticker_before_remove(r, kUdpKey), 18u);
}

TEST(Time, eviction_takes_the_longest_idle_by_the_clock_among_old_timestamps) {
    Frames f;
    const auto ends = [](int i) { return Endpoints{"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}; };
    f = {tick(1000), tick(1000)};
    for (int i = 0; i < 3; ++i)
        f.push_back(udp_frame(i, ends(i)));
    for (int i = 1; i < 20; ++i) {
        Frames tcp;
        Connection c(tcp, {"10.9.9.9", "10.9.9.8", 1, 2});
        c.send(1000 + i, 0, kAck); // moves the clock
        f.push_back(tcp[0]);
        f.push_back(udp_frame(i * 0.01, ends(0))); // busy, but never with a later timestamp than before
    }
    f.push_back(udp_frame(1020, ends(7)));
    f.push_back(udp_frame(1020, ends(8)));
    EngineOptions o;
    o.udp_flows = 4;
    const Result r = run(f, o);
    std::vector<uint16_t> evicted;
    for (const Event &e : r.of(EventKind::remove))
        if (e.end_reason == EndReason::evicted) evicted.push_back(e.portsrc);
    EXPECT_EQ(evicted, (std::vector<uint16_t>{1, 1001})); // the ticker's, then the first of the idle ones
}

// Several files ----------------------------------------------------------------------------------------------------

TEST(Files, are_one_input) {
    Frames a, b;
    Connection c(a);
    c.open(0);
    c.data(1, 0, "one");
    Connection d(b);
    d.seq[0] = c.seq[0], d.seq[1] = c.seq[1];
    d.data(2, 1, "two");
    d.close(3);
    const Result r = run(std::vector<Frames>{a, b});
    EXPECT_EQ(r.lines(), (Lines{"insert " + kKey + " 1", "update " + kKey + " 8 fin", "remove " + kKey + " 8 fin"}));
}

TEST(Files, a_file_from_much_earlier_ends_all_flows_and_restarts_the_clock) {
    Frames a, b;
    a.push_back(udp_frame(10'000, kUdpEnds));
    Connection c(a);
    c.open(10'000);
    c.close(10'001);
    b.push_back(udp_frame(0, kUdpEnds));
    b.push_back(udp_frame(100, kUdpEnds));
    const Result r = run(std::vector<Frames>{a, b});
    EXPECT_EQ(r.lines(), (Lines{"insert " + kUdpKey + " 1", "insert " + kKey + " 1", "update " + kUdpKey + " 1 idle",
                                "remove " + kUdpKey + " 1 idle", "insert " + kUdpKey + " 1",
                                "update " + kKey + " 6 fin", "remove " + kKey + " 6 fin",
                                "update " + kUdpKey + " 2 shutdown", "remove " + kUdpKey + " 2 shutdown"}));
    EXPECT_EQ(r.count("time_backwards"), 0u);
}

TEST(Files, a_file_from_a_little_earlier_belongs_to_the_same_time) {
    Frames a, b;
    a.push_back(udp_frame(100, kUdpEnds));
    b.push_back(udp_frame(50, kUdpEnds));
    const Result r = run(std::vector<Frames>{a, b});
    EXPECT_EQ(r.of(EventKind::insert).size(), 1u);
    EXPECT_EQ(r.events.back().first_seen, kStart + seconds(50));
}

TEST(Files, hours_may_lie_between_two_files) {
    Frames a, b;
    a.push_back(udp_frame(0, kUdpEnds));
    b.push_back(udp_frame(7200, kUdpEnds));
    b.push_back(udp_frame(7201, kUdpEnds));
    const Result r = run(std::vector<Frames>{a, b});
    EXPECT_EQ(r.of(EventKind::insert).size(), 2u);
    EXPECT_EQ(r.count("time_jumps"), 0u);
}

TEST(Files, empty_files_and_an_empty_list_end_at_once) {
    EXPECT_TRUE(run(std::vector<Frames>{}).events.empty());
    EXPECT_TRUE(run(std::vector<Frames>{{}, {}, {}}).events.empty());
    Frames a{udp_frame(0, kUdpEnds)};
    EXPECT_EQ(run(std::vector<Frames>{{}, a, {}, a}).lines().back(), "remove " + kUdpKey + " 2 shutdown");
    a.push_back(udp_frame(1e9, kUdpEnds)); // a far time is told, but for a file's first packet
    EXPECT_EQ(run(std::vector<Frames>{{}, a}).count("time_jumps"), 1u);
}

} // namespace
} // namespace aicore::test
