// SPDX-License-Identifier: Apache-2.0
// Time stamps that are far from all others, and what they must not do to flows; ids of flows that begin at one time.
#include <gtest/gtest.h>

#include <set>

#include "given_ids.h"
#include "packet_clock.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Step = PacketClock::Step;
const Endpoints kAsking{"10.0.0.1", "10.0.0.2", 5000, 123}, kOther{"10.9.9.9", "10.9.9.8", 1, 2};
constexpr double kFarFuture = 4e8, kDay = 86400;

Frame at(double t, const Endpoints &e = kOther) {
    return udp_frame(t, e);
}

// Removes of a key: packets and reason.
std::vector<std::string> ends(const Result &r, const Endpoints &e) {
    std::vector<std::string> out;
    for (const Event &event : r.of(EventKind::remove))
        if (event.key == e.key(17))
            out.push_back(std::to_string(event.packets) + " " + kEndReasonNames[static_cast<size_t>(event.end_reason)]);
    return out;
}

TEST(PacketClock, moves_when_128_packets_in_a_row_agree) {
    for (const int64_t sign : {1, -1}) {
        PacketClock clock(180);
        const int64_t start = int64_t{1} << 60, far = start + sign * (PacketClock::kFar + 1);
        clock.see(start);
        clock.see(start);
        for (int i = 0; i < 127; ++i)
            EXPECT_EQ(clock.see(far + sign * i), Step::far);
        clock.see(start); // one that does not
        for (int i = 0; i < 127; ++i) {
            EXPECT_EQ(clock.see(far + sign * i), Step::far);
            EXPECT_EQ(clock.now(), start);
        }
        EXPECT_EQ(clock.see(far + sign * 127), Step::moved);
        EXPECT_EQ(clock.now(), far) << "what all of them say at least";
        EXPECT_EQ(clock.see(far), Step::near);
    }
}

TEST(PacketClock, follows_packets_that_are_all_far_from_each_other) {
    PacketClock clock(180);
    for (int64_t i = 0; i < 1000; ++i) {
        clock.see(i * 2 * PacketClock::kFar);
        EXPECT_GE(clock.now(), std::max<int64_t>(0, i - 192) * 2 * PacketClock::kFar) << i;
    }
}

TEST(PacketClock, both_sides_in_turn_agree_on_nothing) {
    PacketClock clock(180);
    const int64_t start = int64_t{1} << 60;
    clock.see(start);
    clock.see(start);
    for (int i = 0; i < 1000; ++i)
        EXPECT_EQ(clock.see(start + (i % 2 ? 1 : -1) * 2 * PacketClock::kFar), Step::far);
    EXPECT_EQ(clock.now(), start);
    for (const int64_t t : {INT64_MAX, INT64_MIN, int64_t{0}, INT64_MAX})
        EXPECT_EQ(clock.see(t), Step::far);
}

TEST(PacketClock, two_packets_decide_at_the_beginning_of_a_file) {
    PacketClock clock(180);
    constexpr int64_t kHour = 3600'000'000'000;
    clock.see(10 * kHour); // broken
    EXPECT_EQ(clock.see(kHour), Step::far);
    EXPECT_EQ(clock.see(kHour + 1), Step::restarted);
    EXPECT_EQ(clock.now(), kHour + 1);
    EXPECT_EQ(clock.see(kHour + 2), Step::near);
    clock.begin_file();
    EXPECT_EQ(clock.see(5 * kHour), Step::near);
    EXPECT_EQ(clock.now(), kHour + 2) << "that one may be broken";
    EXPECT_EQ(clock.see(5 * kHour + 1), Step::moved);
    EXPECT_EQ(clock.now(), 5 * kHour);
    clock.begin_file();
    EXPECT_EQ(clock.see(20 * kHour), Step::near);
    EXPECT_EQ(clock.see(5 * kHour + 2), Step::near);
    EXPECT_EQ(clock.see(20 * kHour), Step::far);
    EXPECT_EQ(clock.see(20 * kHour), Step::far) << "the freedom ends with the first packet that agrees with the clock";
}

// A query every 400 s from one port is a flow each, whatever came before or between.
TEST(Clock, far_time_stamps_do_not_freeze_ends) {
    Frames queries;
    for (int i = 0; i < 20; ++i)
        queries.push_back(at(400 * i, kAsking));
    const auto with = [&](Frames before, Frames between) {
        Frames f = std::move(before);
        f.push_back(queries[0]);
        f.insert(f.end(), between.begin(), between.end());
        f.insert(f.end(), queries.begin() + 1, queries.end());
        return f;
    };
    Frames day_ahead;
    for (int i = 0; i < 300; ++i)
        day_ahead.push_back(at(kDay + i));
    const std::pair<const char *, Frames> all[] = {
        {"none", with({}, {})},
        {"the first", with({at(kFarFuture)}, {})},
        {"one between", with({}, {at(kFarFuture)})},
        {"two between", with({}, {at(kFarFuture), at(kFarFuture)})},
        {"one in the past", with({}, {at(-kFarFuture)})},
        {"two in the past", with({}, {at(-kFarFuture), at(-kFarFuture + 1)})},
        {"set back by three hours", with({at(3 * 3600)}, {})},
        {"a part that is a day older", with(Frames(day_ahead.begin(), day_ahead.begin() + 30), {})},
        {"a long part that is a day older", with(day_ahead, {})},
        {"a day ahead for 300 packets, and back", with({}, day_ahead)},
    };
    for (const auto &[name, frames] : all) {
        const std::vector<std::string> got = ends(run(frames), kAsking);
        ASSERT_EQ(got.size(), 20u) << name;
        for (size_t i = 0; i + 1 < got.size(); ++i)
            EXPECT_EQ(got[i], "1 idle") << name;
    }
}

// The same the other way round: flows that are busy go on.
TEST(Clock, far_time_stamps_end_no_busy_flow) {
    for (const double far : {301.0, 4000.0, kFarFuture, -301.0, -4000.0, -kFarFuture})
        for (const int many : {1, 2, 30, 100}) {
            Frames f;
            Connection c(f);
            c.open(0);
            for (int i = 1; i <= 100; ++i) {
                if (i == 50)
                    for (int k = 0; k < many; ++k)
                        f.push_back(at(far + 50 + k * 0.001));
                c.data(i, 0, "abcd");
                f.push_back(at(i + 0.5, kAsking));
            }
            const Result r = run(f);
            EXPECT_EQ(ends(r, kAsking), std::vector<std::string>{"100 shutdown"}) << far << " " << many;
            EXPECT_EQ(r.count("flows_tcp"), 1u) << far << " " << many;
            EXPECT_EQ(r.count("time_jumps"), static_cast<uint64_t>(many));
        }
}

TEST(Clock, idle_times_of_hours_are_kept) {
    for (const double gap : {600.0, 3600.0}) {
        for (const double idle : {180.0, 599.0, 600.0, 3599.0, 3600.0, 4000.0}) {
            Frames f;
            for (int i = 0; i < 10; ++i)
                f.push_back(at(gap * i, kAsking));
            EngineOptions o;
            o.idle_udp = seconds(idle);
            EXPECT_EQ(ends(run(f, o), kAsking).size(), gap >= idle ? 10u : 1u) << gap << " " << idle;
            f.clear();
            Connection c(f);
            for (int i = 0; i < 10; ++i)
                c.send(gap * i, i & 1, kAck | kPsh, "k");
            o.idle_tcp = seconds(idle);
            EXPECT_EQ(run(f, o).count("flows_tcp"), gap >= idle ? 10u : 1u) << gap << " " << idle;
        }
    }
}

TEST(Clock, behind_a_pause_what_was_before_it_ends) {
    Frames f;
    f.push_back(at(0, kAsking));
    for (int i = 0; i < 300; ++i)
        f.push_back(tick(7200 + i * 0.001));
    const Result r = run(f);
    EXPECT_EQ(ends(r, kAsking), std::vector<std::string>{"1 idle"});
    EXPECT_TRUE(is_tick(r.events.back())) << "at once, not at the end of the input";
    f.resize(3); // too few to believe, enough to say why it ended
    EXPECT_EQ(ends(run(f), kAsking), std::vector<std::string>{"1 idle"});
}

TEST(Clock, a_broken_time_at_the_beginning_of_a_file_ends_nothing) {
    for (const double far : {kFarFuture, -kFarFuture}) {
        Frames a{at(0, kAsking)}, b{at(far), at(1, kAsking), at(2, kAsking)};
        const Result r = run(std::vector<Frames>{a, b});
        EXPECT_EQ(ends(r, kAsking), std::vector<std::string>{"3 shutdown"});
    }
}

TEST(Clock, files_in_the_wrong_order_are_of_two_times) {
    Frames a, b;
    for (int i = 0; i < 3; ++i) {
        a.push_back(at(7200 + i, kAsking));
        b.push_back(at(i, kAsking));
    }
    EXPECT_EQ(ends(run(std::vector<Frames>{a, b}), kAsking), (std::vector<std::string>{"3 idle", "3 shutdown"}));
    EXPECT_EQ(ends(run(std::vector<Frames>{b, a}), kAsking), (std::vector<std::string>{"3 idle", "3 shutdown"}));
}

// Ids --------------------------------------------------------------------------------------------------------------

std::set<std::string> ids(const Result &r) {
    std::set<std::string> out;
    for (const Event &e : r.of(EventKind::insert))
        EXPECT_TRUE(out.insert(e.id()).second) << e.key << " twice";
    return out;
}

TEST(FlowId, is_unique_without_times) {
    Frames f;
    for (int i = 0; i < 70'000; ++i)
        f.push_back(
            at(0, {"10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." + std::to_string(i & 255),
                   "10.0.0.2", 1000, 53}));
    for (int i = 0; i < 3; ++i) {
        Connection c(f);
        c.seq[0] += 1'000'000u * static_cast<unsigned>(i);
        c.open(0);
        c.close(0);
    }
    for (Frame &frame : f)
        frame.time = 0;
    const Result r = run(f);
    EXPECT_EQ(ids(r).size(), 70'003u);
    EXPECT_EQ(ids(run(f)), ids(r)) << "read again";
    uint64_t packets = 0;
    for (const Event &e : r.of(EventKind::remove))
        packets += static_cast<uint64_t>(e.packets);
    EXPECT_EQ(packets, f.size());
}

TEST(FlowId, is_unique_when_a_time_comes_again) {
    const Endpoints one{"10.0.0.1", "10.0.0.2", 1111, 53}, two{"10.0.0.1", "10.0.0.2", 2222, 53};
    Frames f{at(0, one), at(0, two), at(0, one)};
    f[0].time = f[2].time = 0;
    ids(run(f));
    Frames file{at(5000, one), at(5001, two)};
    EXPECT_EQ(ids(run(std::vector<Frames>{file, {at(9000), at(9001)}, file, file})).size(), 5u) << "a file read twice";
}

TEST(FlowId, depends_on_the_flows_of_its_key_alone) {
    const Endpoints one{"10.0.0.1", "10.0.0.2", 1111, 53};
    EngineOptions o;
    o.idle_udp = seconds(10);
    const auto own = [&](Frames f) {
        std::vector<std::string> out;
        for (const Event &e : run(f, o).of(EventKind::insert))
            if (e.portsrc == 1111) out.push_back(e.id());
        return out;
    };
    const std::vector<std::string> alone = own({at(0, one), at(100, one), at(0, one), at(100, one), at(0, one)});
    ASSERT_EQ(alone.size(), 5u);
    Frames f;
    for (const double t : {0.0, 100.0, 0.0, 100.0, 0.0}) {
        for (int i = 0; i < 50; ++i)
            f.push_back(at(t + i % 3, {"10.0.0.1", "10.0.0.3", static_cast<uint16_t>(2000 + i), 53}));
        f.push_back(at(t, one));
    }
    EXPECT_EQ(own(f), alone);
}

TEST(GivenIds, are_unique_beyond_what_is_remembered) {
    GivenIds ids;
    std::set<std::pair<uint64_t, uint64_t>> given; // hash, ordinal, of one time
    constexpr uint64_t kKeys = 300'000;
    for (int round = 0; round < 2; ++round)
        for (uint64_t key = 0; key < kKeys; ++key)
            EXPECT_TRUE(given.emplace(key, ids.ordinal(key, 7)).second);
    EXPECT_EQ(ids.ordinal(1, 8), 0u) << "a time of which nothing is forgotten";
    EXPECT_EQ(ids.ordinal(1, 8), 1u);
    EXPECT_EQ(ids.ordinal(1, 8), 2u);
    EXPECT_EQ(ids.ordinal(2, 8), 0u);
}

} // namespace
} // namespace aicore::test
