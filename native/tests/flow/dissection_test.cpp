// SPDX-License-Identifier: Apache-2.0
// Recognition and ownership, as aicore/protocol.h promises them to a dissector.
#include <gtest/gtest.h>

#include <algorithm>

#include "fake_protocol.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
using Fields = std::map<std::string, std::string>;
const Endpoints kUdpEnds{"10.0.0.1", "10.0.0.2", 5000, 53};

int no(const Shown &) {
    return AICORE_NO;
}
int yes(const Shown &) {
    return AICORE_YES;
}

Result run_tcp(const std::function<void(Connection &)> &script, const std::vector<const aicore_protocol *> &protocols,
               const EngineOptions &o = {}) {
    Frames f;
    Connection c(f);
    c.open(0);
    script(c);
    return run(f, o, protocols, false); // packets whose memory is gone behind the call
}

TEST(Recognition, datagram_is_recognised_and_told_at_once) {
    Fake<0> p("alpha", [](const Shown &s) {
        s.set(0, "name:" + s.data);
        s.host().set_integer(s.flow, 1, -7);
        return AICORE_DONE;
    });
    p.field("anamefield", AICORE_STRING, AICORE_NOTIFY).field("anumber", AICORE_INTEGER);
    const Result r = run({udp_frame(0, kUdpEnds, "abc"), udp_frame(1, kUdpEnds, "def")}, {}, {&p.p});
    const std::string key = kUdpEnds.key(17);
    EXPECT_EQ(r.lines(), (Lines{"insert " + key + " 1", "update " + key + " 1", "update " + key + " 2 shutdown",
                                "remove " + key + " 2 shutdown"}));
    EXPECT_EQ(r.events[0].layer7_name, "");
    for (size_t i = 1; i < 4; ++i) {
        EXPECT_EQ(r.events[i].layer7_name, "alpha");
        EXPECT_EQ(r.events[i].layer7_by, Layer7By::payload);
        EXPECT_EQ(r.events[i].fields, (Fields{{"anamefield", "name:abc"}, {"anumber", "-7"}}));
    }
    ASSERT_EQ(p.shown.size(), 1u); // done
    EXPECT_FALSE(p.shown[0].recognised);
    EXPECT_EQ(p.shown[0].flags, 0u);
}

TEST(Recognition, flow_is_shown_as_it_is) {
    Fake<0> p("alpha", [](const Shown &s) {
        EXPECT_EQ(0, std::memcmp(s.flow->src, "\x0a\0\0\2", 4)) << "src is the sender of the first packet";
        EXPECT_EQ(0, std::memcmp(s.flow->dst, "\x0a\0\0\1", 4));
        EXPECT_EQ(s.flow->src_port, 53);
        EXPECT_EQ(s.flow->dst_port, 5000);
        EXPECT_EQ(s.flow->ip_version, 4);
        EXPECT_EQ(s.flow->transport, AICORE_UDP);
        EXPECT_EQ(s.flow->packets, s.reverse ? 2u : 1u);
        EXPECT_EQ(s.payload->time, kStart + seconds(s.reverse ? 2 : 1));
        EXPECT_EQ(s.payload->consumed, SIZE_MAX);
        return AICORE_YES;
    });
    run({udp_frame(1, kUdpEnds.back(), "abc"), udp_frame(2, kUdpEnds, "def")}, {}, {&p.p});
    ASSERT_EQ(p.shown.size(), 2u);
    EXPECT_FALSE(p.shown[0].reverse);
    EXPECT_TRUE(p.shown[1].reverse);
    EXPECT_TRUE(p.shown[1].recognised);
}

TEST(Recognition, more_shows_the_stream_from_its_start) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data.size() < 6 && !s.recognised ? AICORE_MORE : AICORE_YES; });
    run_tcp(
        [](Connection &c) {
            for (const char *piece : {"ab", "cd", "ef", "gh", "ij"})
                c.data(1, 0, piece);
        },
        {&p.p});
    EXPECT_EQ(p.data(), (Lines{"ab", "abcd", "abcdef", "gh", "ij"}));
}

TEST(Recognition, what_is_not_consumed_is_shown_again) {
    Fake<0> p("alpha", [](const Shown &s) {
        if (s.data == "abcd") s.payload->consumed = 1;  // recognising
        if (s.data == "bcdef") s.payload->consumed = 4; // owner, from the buffer
        if (s.data == "fg") return int{AICORE_MORE};    // consumes nothing
        if (s.data == "fgh") {
            s.payload->consumed = 2;
            return int{AICORE_MORE};
        }
        if (s.data == "hi") s.payload->consumed = 3; // more than there is
        return int{AICORE_YES};
    });
    run_tcp(
        [](Connection &c) {
            for (const char *piece : {"abcd", "ef", "g", "h", "i", "jk"})
                c.data(1, 0, piece);
        },
        {&p.p});
    EXPECT_EQ(p.data(), (Lines{"abcd", "bcdef", "fg", "fgh", "hi", "k"}));
}

TEST(Recognition, no_of_an_owner_is_ignored) {
    Fake<0> p("alpha", [](const Shown &s) { return s.recognised ? AICORE_NO : AICORE_YES; });
    const Result r = run_tcp(
        [](Connection &c) {
            for (const char *piece : {"a", "b", "c"})
                c.data(1, 0, piece);
        },
        {&p.p});
    EXPECT_EQ(p.data(), (Lines{"a", "b", "c"}));
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
}

TEST(Recognition, no_drops_a_candidate_of_that_direction_only) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data[0] == 'R' ? AICORE_DONE : AICORE_NO; });
    const Result r = run_tcp(
        [](Connection &c) {
            c.data(1, 0, "x");
            c.data(1, 0, "y");
            c.data(1, 1, "R");
        },
        {&p.p});
    EXPECT_EQ(p.data(), (Lines{"x", "R"}));
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
}

TEST(Recognition, both_directions_no_and_nobody_asks_again) {
    Fake<0> p("alpha", no);
    const Result r = run_tcp(
        [](Connection &c) {
            for (int i = 0; i < 50; ++i)
                c.data(1, i & 1, "x");
        },
        {&p.p});
    EXPECT_EQ(p.shown.size(), 2u);
    EXPECT_EQ(r.events.back().layer7_by, Layer7By::none);
}

TEST(Recognition, lower_rank_is_asked_first_and_the_winner_drops_the_others) {
    std::vector<std::string> order;
    Fake<0> late("alate", [&](const Shown &) { return order.push_back("late"), AICORE_YES; });
    Fake<1> early(
        "early", [&](const Shown &s) { return order.push_back("early"), s.data.size() > 1 ? AICORE_NO : AICORE_MORE; });
    late.rank(90);
    early.rank(10);
    const Result r = run_tcp(
        [](Connection &c) {
            c.data(1, 0, "x");
            c.data(1, 0, "y");
        },
        {&late.p, &early.p});
    EXPECT_EQ(order, (Lines{"early", "late", "late"}));
    EXPECT_EQ(r.events.back().layer7_name, "alate");
}

TEST(Recognition, prefixes_and_ports_select) {
    Fake<0> prefixed("prefixed", no);
    Fake<1> ported("ported", no);
    Fake<2> any("any", no);
    prefixed.prefixes({"GET ", "POST"});
    ported.ports({8080, 25});
    Frames f;
    const auto send = [&](uint16_t src_port, uint16_t dst_port, const char *payload) {
        f.push_back(udp_frame(0, {"10.0.0.1", "10.0.0.2", src_port, dst_port}, payload));
    };
    send(1, 2, "GET /");
    send(1, 3, "GE");  // fits as far as it goes
    send(1, 4, "GEX"); // does not
    send(1, 5, "POST /");
    send(1, 6, "PUT /");
    send(25, 7, "hello"); // a port of either end
    send(7, 8080, "hello");
    run(f, {}, {&prefixed.p, &ported.p, &any.p});
    EXPECT_EQ(prefixed.data(), (Lines{"GET /", "GE", "POST /"}));
    EXPECT_EQ(ported.shown.size(), 2u);
    EXPECT_EQ(any.shown.size(), 7u);
}

TEST(Recognition, transport_selects) {
    Fake<0> tcp("onlytcp", yes);
    Fake<1> udp("onlyudp", yes);
    tcp.p.transports = AICORE_TCP;
    udp.p.transports = AICORE_UDP;
    const Result t = run_tcp([](Connection &c) { c.data(1, 0, "x"); }, {&tcp.p, &udp.p});
    EXPECT_EQ(t.events.back().layer7_name, "onlytcp");
    const Result u = run({udp_frame(0, kUdpEnds)}, {}, {&tcp.p, &udp.p});
    EXPECT_EQ(u.events.back().layer7_name, "onlyudp");
}

TEST(Recognition, what_is_set_without_recognition_is_discarded) {
    Fake<0> p("alpha", [](const Shown &s) {
        EXPECT_FALSE(s.host().has(s.flow, 0)) << s.data;
        s.set(0, s.data);
        s.host().anomaly(s.flow, 0);
        s.host().set_layer7(s.flow, 0);
        if (s.data.size() < 2) return AICORE_MORE;
        return s.data[0] == 'n' ? AICORE_NO : AICORE_YES;
    });
    p.field("afield", AICORE_STRING, AICORE_NOTIFY).anomalies({"abroken"}).aliases({"alias"});
    const Result never = run_tcp(
        [](Connection &c) {
            c.data(1, 0, "n");
            c.data(1, 0, "n");
            c.data(1, 1, "nn");
        },
        {&p.p});
    EXPECT_TRUE(never.events.back().fields.empty());
    EXPECT_EQ(never.events.back().anomaly_name, "");
    EXPECT_EQ(never.count("abroken"), 0u);
    EXPECT_EQ(never.events.back().layer7_name, "");
}

TEST(Recognition, state_is_zeroed_before_recognition_and_kept_behind_it) {
    std::vector<int> seen;
    Fake<0> p("alpha", [&](const Shown &s) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(s.state) % 8, 0u);
        seen.push_back(s.state[0]);
        EXPECT_TRUE(s.recognised || std::all_of(s.state, s.state + 13, [](uint8_t b) { return b == 0; }));
        std::memset(s.state, static_cast<int>(s.data.size()), 13);
        return s.data.size() < 3 && !s.recognised ? AICORE_MORE : AICORE_YES;
    });
    p.state(13);
    run_tcp(
        [](Connection &c) {
            for (const char *piece : {"a", "b", "cc", "d", "e"})
                c.data(1, 0, piece);
        },
        {&p.p});
    EXPECT_EQ(seen, (std::vector<int>{0, 0, 0, 4, 1}));
}

TEST(Recognition, state_of_flows_is_apart) {
    Fake<0> p("alpha", [&](const Shown &s) {
        EXPECT_EQ(s.state[AICORE_STATE_MAX - 1], s.recognised ? s.flow->src_port % 251 : 0);
        s.state[AICORE_STATE_MAX - 1] = static_cast<uint8_t>(s.flow->src_port % 251);
        return AICORE_YES;
    });
    p.state(AICORE_STATE_MAX);
    Frames f;
    for (int round = 0; round < 5; ++round)
        for (uint16_t i = 0; i < 300; ++i)
            f.push_back(udp_frame(round, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}));
    run(f, {}, {&p.p});
    EXPECT_EQ(p.shown.size(), 1500u);
}

TEST(Recognition, other_is_what_the_other_direction_sent) {
    Fake<0> p("alpha", [](const Shown &s) { return s.reverse ? AICORE_YES : AICORE_MORE; });
    run_tcp(
        [](Connection &c) {
            c.data(1, 0, "req");
            c.data(1, 0, "uest");
            c.data(1, 1, "answer");
            c.data(1, 0, "!");
            c.data(1, 1, "?");
        },
        {&p.p});
    EXPECT_EQ(p.data(), (Lines{"req", "request", "answer", "request!", "?"}));
    EXPECT_FALSE(p.shown[0].has_other);
    EXPECT_EQ(p.shown[2].other, "request");
    EXPECT_FALSE(p.shown[3].has_other); // owned
}

TEST(Recognition, other_is_there_also_if_its_direction_had_no_candidate) {
    Fake<0> p("alpha", yes);
    p.prefixes({"220 "});
    run_tcp(
        [](Connection &c) {
            c.data(1, 0, "hel");
            c.data(1, 0, "lo");
            c.data(1, 1, "220 welcome");
            c.data(1, 0, "!");
        },
        {&p.p});
    EXPECT_EQ(p.data(), (Lines{"220 welcome", "hello!"}));
    EXPECT_EQ(p.shown[0].other, "hello");
}

TEST(Recognition, a_direction_without_candidates_is_kept_while_the_other_one_is_undecided) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data.ends_with("!") ? AICORE_YES : AICORE_MORE; });
    p.prefixes({"220 "});
    run_tcp(
        [](Connection &c) {
            c.data(1, 1, "220 ");
            for (int i = 0; i < 40; ++i)
                c.data(1, 0, "x");
            c.data(2, 1, "!");
            c.data(3, 0, "y");
        },
        {&p.p});
    ASSERT_FALSE(p.shown.empty());
    EXPECT_EQ(p.shown.back().data, std::string(40, 'x') + "y");
    EXPECT_EQ(p.shown.back().flags, 0u);
}

TEST(Recognition, bound_of_the_buffer_gives_up) {
    Fake<0> p("alpha", [](const Shown &) { return AICORE_MORE; });
    p.ports({80});
    EngineOptions o;
    o.stream_bytes = 256;
    const Result r = run_tcp(
        [](Connection &c) {
            for (int i = 0; i < 20; ++i)
                c.data(1, 0, std::string(100, 'x'));
        },
        {&p.p}, o);
    EXPECT_EQ(p.shown.size(), 3u);
    EXPECT_EQ(r.count("reassembly_full"), 1u);
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
    EXPECT_EQ(r.events.back().layer7_by, Layer7By::port);
}

TEST(Recognition, the_bound_of_the_buffer_is_as_it_is_named) {
    for (const size_t size : {999u, 1000u}) {
        Fake<0> p("alpha", [](const Shown &s) { return s.data.back() == 'z' ? AICORE_DONE : AICORE_MORE; });
        EngineOptions o;
        o.stream_bytes = 1000;
        const Result r = run_tcp(
            [&](Connection &c) {
                c.data(1, 0, std::string(size, 'x'));
                c.data(1, 0, "z");
            },
            {&p.p}, o);
        EXPECT_EQ(p.shown.size(), size < 1000 ? 2u : 1u);
        EXPECT_EQ(r.count("reassembly_full"), size < 1000 ? 0u : 1u);
    }
}

TEST(Recognition, a_full_direction_is_given_up_alone_and_stays_what_the_other_one_sees) {
    for (const int k : {0, 3, 4, 5, 50}) {
        Fake<0> p("alpha", [](const Shown &s) { return s.reverse ? AICORE_YES : AICORE_MORE; });
        const Result r = run_tcp(
            [&](Connection &c) {
                c.data(1, 0, "ask");
                for (int i = 0; i < k; ++i)
                    c.data(1, 0, std::string(4096, 'x'));
                c.data(1, 1, "answer");
                c.data(1, 0, "last");
            },
            {&p.p});
        EXPECT_EQ(r.events.back().layer7_name, "alpha") << k;
        const Shown &answer = p.shown[p.shown.size() - 2], &last = p.shown.back();
        EXPECT_EQ(answer.data, "answer");
        EXPECT_EQ(answer.other, ("ask" + std::string(static_cast<size_t>(k) * 4096, 'x')).substr(0, 16 << 10));
        if (k < 4) {
            EXPECT_EQ(last.data, "ask" + std::string(static_cast<size_t>(k) * 4096, 'x') + "last");
            EXPECT_EQ(last.flags, 0u);
        } else {
            EXPECT_EQ(last.data, "last");
            EXPECT_EQ(last.flags, AICORE_GAP);
        }
    }
}

TEST(Recognition, the_first_payload_of_a_direction_is_looked_at_whatever_the_other_one_has_sent) {
    for (const int before : {1, 15, 16, 17, 200}) {
        for (const size_t size : {10u, 1400u}) {
            Fake<0> p("alpha", [](const Shown &) { return AICORE_YES; });
            p.prefixes({"220 "});
            const Result r = run_tcp(
                [&](Connection &c) {
                    for (int i = 0; i < before; ++i)
                        c.data(1, 0, std::string(size, 'x'));
                    c.data(2, 1, "220 hello");
                    c.data(3, 0, "more");
                    c.data(3, 0, "and more");
                    c.data(3, 1, "221");
                },
                {&p.p});
            EXPECT_EQ(r.events.back().layer7_name, "alpha");
            ASSERT_EQ(p.shown.size(), 4u) << before;
            EXPECT_EQ(p.shown[0].data, "220 hello");
            EXPECT_EQ(p.shown[1].data.substr(p.shown[1].data.size() - 4), "more");
            EXPECT_EQ(p.shown[1].flags,
                      before < 16 && size * static_cast<size_t>(before) < (16 << 10) ? 0u : unsigned{AICORE_GAP});
            EXPECT_EQ(p.shown[2].data, "and more");
            EXPECT_EQ(p.shown[3].data, "221");
        }
    }
    Fake<0> p("alpha", [](const Shown &s) { return s.data == "answer" ? AICORE_DONE : AICORE_NO; });
    Frames f;
    for (int i = 0; i < 20; ++i)
        f.push_back(udp_frame(i, kUdpEnds, "junk"));
    f.push_back(udp_frame(20, kUdpEnds.back(), "answer"));
    EXPECT_EQ(run(f, {}, {&p.p}).events.back().layer7_name, "alpha");
}

TEST(Recognition, a_connection_of_one_direction_is_given_up) {
    Fake<0> p("alpha", no);
    run_tcp(
        [](Connection &c) {
            for (int i = 0; i < 50; ++i)
                c.data(1, 0, "x");
        },
        {&p.p});
    EXPECT_EQ(p.shown.size(), 1u);
}

TEST(Recognition, owner_that_asks_for_more_than_the_bound_goes_on_behind_a_gap) {
    Fake<0> p("alpha", [](const Shown &s) { return s.recognised ? AICORE_MORE : AICORE_YES; });
    EngineOptions o;
    o.stream_bytes = 256;
    run_tcp(
        [](Connection &c) {
            c.data(1, 0, "start");
            for (int i = 0; i < 6; ++i)
                c.data(1, 0, std::string(100, static_cast<char>('a' + i)));
        },
        {&p.p}, o);
    ASSERT_EQ(p.shown.size(), 7u);
    EXPECT_EQ(p.shown[3].data.size(), 300u);
    EXPECT_EQ(p.shown[4].data, std::string(100, 'd'));
    EXPECT_EQ(p.shown[4].flags, AICORE_GAP);
    EXPECT_EQ(p.shown[5].data, std::string(100, 'd') + std::string(100, 'e'));
    EXPECT_EQ(p.shown[5].flags, 0u);
    for (const size_t size : {255u, 256u}) {
        Fake<0> at("at", [](const Shown &s) { return s.recognised ? AICORE_MORE : AICORE_YES; });
        run_tcp(
            [&](Connection &c) {
                c.data(1, 0, "start");
                c.data(1, 0, std::string(size, 'a'));
                c.data(1, 0, "b");
            },
            {&at.p}, o);
        EXPECT_EQ(at.shown.back().flags, size < 256 ? 0u : unsigned{AICORE_GAP});
    }
}

TEST(Recognition, udp_is_tried_at_each_of_the_first_datagrams) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data == "real" ? AICORE_DONE : AICORE_NO; });
    Frames f;
    for (int i = 0; i < 5; ++i)
        f.push_back(udp_frame(i, kUdpEnds, "keep"));
    f.push_back(udp_frame(5, kUdpEnds, "real"));
    EXPECT_EQ(run(f, {}, {&p.p}).events.back().layer7_name, "alpha");
    Fake<1> never("never", no);
    f.clear();
    for (int i = 0; i < 100; ++i)
        f.push_back(udp_frame(i, kUdpEnds, "junk"));
    run(f, {}, {&never.p});
    EXPECT_EQ(never.shown.size(), 8u);
}

TEST(Recognition, udp_asks_who_needs_more_thirty_two_times) {
    for (const int n : {31, 32}) {
        Fake<0> p("alpha", [](const Shown &s) { return s.data == "last" ? AICORE_DONE : AICORE_MORE; });
        Frames f;
        for (int i = 0; i < n; ++i)
            f.push_back(udp_frame(i, kUdpEnds, "x"));
        f.push_back(udp_frame(n, kUdpEnds, "last"));
        EXPECT_EQ(run(f, {}, {&p.p}).events.back().layer7_name, n < 32 ? "alpha" : "");
        EXPECT_EQ(p.shown.size(), 32u);
    }
}

TEST(Recognition, udp_has_no_buffer) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data == "c" ? AICORE_YES : AICORE_MORE; });
    run({udp_frame(0, kUdpEnds, "a"), udp_frame(1, kUdpEnds, "b"), udp_frame(2, kUdpEnds, "c"),
         udp_frame(3, kUdpEnds, "d")},
        {}, {&p.p});
    EXPECT_EQ(p.data(), (Lines{"a", "b", "c", "d"}));
}

TEST(Recognition, udp_state_of_the_first_that_needs_more_is_kept) {
    std::vector<int> first, second;
    const auto count = [](std::vector<int> &seen, const Shown &s) {
        seen.push_back(s.state[0]++);
        return s.data == "no" ? AICORE_NO : s.data == "yes" ? AICORE_YES : AICORE_MORE;
    };
    Fake<0> p("alpha", [&](const Shown &s) { return count(first, s); });
    Fake<1> q("beta", [&](const Shown &s) { return s.data == "yes" ? AICORE_NO : count(second, s); });
    p.state(8).rank(1);
    q.state(8).rank(2);
    Frames f;
    for (const char *data : {"a", "b", "no", "c", "d", "yes", "e"})
        f.push_back(udp_frame(static_cast<int>(f.size()), kUdpEnds, data));
    const Result r = run(f, {}, {&p.p, &q.p});
    EXPECT_EQ(first, (std::vector<int>{0, 1, 2, 0, 1, 2, 3})); // the answer NO forgets
    EXPECT_EQ(second, (std::vector<int>{0, 0, 0, 0, 0}));
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
}

// Names by port ----------------------------------------------------------------------------------------------------

TEST(NameByPort, only_when_payload_recognised_nothing) {
    Fake<0> p("alpha", no);
    p.ports({80, 81});
    const auto last = [&](const std::function<void(Connection &)> &script) {
        return run_tcp(script, {&p.p}).events.back();
    };
    EXPECT_EQ(last([](Connection &) {}).layer7_name, ""); // no payload: a scan is no alpha
    const Event e = last([](Connection &c) { c.data(1, 0, "?"); });
    EXPECT_EQ(e.layer7_name, "alpha");
    EXPECT_EQ(e.layer7_by, Layer7By::port);
    Fake<1> q("beta", yes);
    q.rank(99);
    const Event by_payload = run_tcp([](Connection &c) { c.data(1, 0, "?"); }, {&p.p, &q.p}).events.back();
    EXPECT_EQ(by_payload.layer7_name, "beta");
    EXPECT_EQ(by_payload.layer7_by, Layer7By::payload);
}

// Names and hand-over ----------------------------------------------------------------------------------------------

TEST(Names, alias_given_at_recognition_stays) {
    Fake<0> p("alpha", [](const Shown &s) {
        if (!s.recognised) s.host().set_layer7(s.flow, 1);
        if (s.data == "c") s.host().set_layer7(s.flow, 0);
        s.host().set_layer7(s.flow, 99); // no such alias
        return AICORE_YES;
    });
    p.aliases({"first", "second"});
    const Result r = run_tcp(
        [](Connection &c) {
            for (const char *piece : {"a", "b", "c", "d"})
                c.data(1, 0, piece);
        },
        {&p.p});
    Lines names;
    for (const Event &e : r.events)
        names.push_back(e.layer7_name);
    EXPECT_EQ(names, (Lines{"", "second", "first", "first", "first"}));
}

TEST(HandOver, to_a_named_protocol_with_what_both_directions_did_not_consume) {
    for (const bool at_recognition : {true, false}) {
        Fake<0> from("from", [&](const Shown &s) {
            if (at_recognition || s.recognised) {
                s.host().hand_over(s.flow, "to");
                s.payload->consumed = 2;
            }
            s.set(0, "kept");
            return AICORE_YES;
        });
        from.field("ffield").prefixes({"12"});
        Fake<1> to("to", [](const Shown &s) {
            EXPECT_EQ(s.state[0], s.reverse ? 0 : s.state[0]);
            EXPECT_TRUE(s.host().has(s.flow, 0) == 0);
            s.set(0, s.data);
            return AICORE_YES;
        });
        to.field("tfield").prefixes({"never"}).state(8);
        const Result r = run_tcp(
            [&](Connection &c) {
                if (!at_recognition) c.data(1, 0, "12");
                c.data(1, 0, "12abc");
                c.data(1, 0, "def");
            },
            {&from.p, &to.p});
        EXPECT_EQ(to.data(), (Lines{"abcdef"})) << at_recognition;
        EXPECT_TRUE(to.shown[0].recognised);
        EXPECT_EQ(r.events.back().layer7_name, "to");
        EXPECT_EQ(r.events.back().fields, (Fields{{"ffield", "kept"}, {"tfield", "abcdef"}}));
    }
}

TEST(HandOver, successor_gives_its_name_when_it_knows_the_traffic) {
    Fake<0> from("from", [](const Shown &s) { return s.host().hand_over(s.flow, "to"), AICORE_YES; });
    from.prefixes({"1"});
    Fake<1> to("to", [](const Shown &s) {
        return s.data == "x" ? AICORE_NO : s.data == "y" ? AICORE_MORE : AICORE_YES;
    });
    to.prefixes({"never"});
    const Result r = run_tcp(
        [&](Connection &c) {
            for (const char *piece : {"1", "x", "y", "z"})
                c.data(1, 0, piece);
        },
        {&from.p, &to.p},
        [] {
            EngineOptions o;
            o.every_tcp = 1;
            return o;
        }());
    std::vector<std::string> names; // one a packet, the last
    for (const Event &e : r.of(EventKind::update))
        if (e.packets >= 4) {
            names.resize(e.packets - 3);
            names.back() = e.layer7_name;
        }
    EXPECT_EQ(names, (Lines{"from", "from", "from", "to"}));
    EXPECT_EQ(to.data(), (Lines{"x", "y", "yz"}));
}

TEST(HandOver, to_nobody_by_name_ends_the_search_and_the_name_stays) {
    Fake<0> from("from", [](const Shown &s) { return s.host().hand_over(s.flow, "absent"), AICORE_YES; });
    Fake<1> any("any", yes);
    any.rank(99);
    const Result r = run_tcp(
        [](Connection &c) {
            c.data(1, 0, "1");
            c.data(1, 0, "2");
        },
        {&from.p, &any.p});
    EXPECT_EQ(from.shown.size(), 1u);
    EXPECT_TRUE(any.shown.empty());
    EXPECT_EQ(r.events.back().layer7_name, "from");
}

TEST(HandOver, to_whoever_recognises_it) {
    Fake<0> from("from", [](const Shown &s) {
        if (s.data.substr(0, 3) != "UPG") return int{AICORE_NO};
        s.payload->consumed = 3;
        s.host().hand_over(s.flow, nullptr);
        return int{AICORE_YES};
    });
    Fake<1> next("next", [](const Shown &s) { return s.data == "REST+" ? AICORE_YES : AICORE_NO; });
    next.rank(99);
    const auto script = [](Connection &c) {
        c.data(1, 0, "UPGREST");
        c.data(1, 0, "+");
        c.data(1, 0, "on");
    };
    const Result r = run_tcp(script, {&from.p, &next.p});
    EXPECT_EQ(from.data(), (Lines{"UPGREST", "REST+"}));
    EXPECT_EQ(next.data(), (Lines{"REST+", "on"}));
    EXPECT_EQ(r.events.back().layer7_name, "next");
    const Result alone = run_tcp(script, {&from.p});
    EXPECT_EQ(alone.events.back().layer7_name, "from");
    EXPECT_EQ(alone.events.back().layer7_by, Layer7By::payload);
}

// Fields -----------------------------------------------------------------------------------------------------------

TEST(FieldsOfProtocols, last_string_wins_lists_hold_each_once) {
    Fake<0> p("alpha", [](const Shown &s) {
        s.set(0, "one");
        s.set(0, "two");
        for (const char *item : {"x", "y", "x", "z", "y"})
            s.add(1, item);
        s.host().set_integer(s.flow, 2, 1);
        s.host().set_integer(s.flow, 2, INT64_MIN);
        EXPECT_TRUE(s.host().has(s.flow, 0));
        EXPECT_FALSE(s.host().has(s.flow, 3));
        return AICORE_YES;
    });
    p.field("zfirst").field("alist", AICORE_STRINGS).field("anumber", AICORE_INTEGER).field("unset");
    const Result r = run({udp_frame(0, kUdpEnds)}, {}, {&p.p});
    EXPECT_EQ(r.events.back().fields,
              (Fields{{"zfirst", "two"}, {"alist", "x,y,z"}, {"anumber", std::to_string(INT64_MIN)}}));
}

TEST(FieldsOfProtocols, numbers_of_every_type) {
    Fake<0> p("alpha", [](const Shown &s) {
        const aicore_host &host = s.host();
        for (const double value : {-1.5, 0.25})
            host.set_real(s.flow, 0, value);
        host.set_integer(s.flow, 1, s.data == "x" ? 256 : 0);
        for (const int64_t value : {INT64_MAX, int64_t{-3}, int64_t{-3}})
            host.add_integer(s.flow, 2, value);
        host.add_real(s.flow, 3, 0.5);
        host.set_integer(s.flow, 4, 1'700'000'000'123'456'789);
        host.add_integer(s.flow, 1, 9); // none of these has the type asked for
        host.add_real(s.flow, 0, 9);
        host.set_integer(s.flow, 2, 9);
        host.set_real(s.flow, 4, 9);
        return s.data == "x" ? AICORE_YES : AICORE_DONE;
    });
    p.field("real", AICORE_REAL).field("flag", AICORE_BOOLEAN).field("integers", AICORE_INTEGERS);
    p.field("reals", AICORE_REALS).field("time", AICORE_TIME);
    const Fields once{{"real", "0.250000"},
                      {"flag", "1"},
                      {"integers", "9223372036854775807,-3,-3"},
                      {"reals", "0.500000"},
                      {"time", "1700000000123456789"}};
    EXPECT_EQ(run({udp_frame(0, kUdpEnds, "x")}, {}, {&p.p}).events.back().fields, once);
    Fields twice = once;
    twice["flag"] = "0";
    twice["integers"] += "," + once.at("integers");
    twice["reals"] += ",0.500000";
    EXPECT_EQ(run({udp_frame(0, kUdpEnds, "x"), udp_frame(1, kUdpEnds, "y")}, {}, {&p.p}).events.back().fields, twice);
}

TEST(FieldsOfProtocols, wrong_index_or_type_harms_nothing) {
    Fake<0> p("alpha", [](const Shown &s) {
        for (const uint32_t f : {3u, 4u, 1000u, UINT32_MAX}) {
            s.set(f, "x");
            s.add(f, "x");
            s.host().set_integer(s.flow, f, 1);
            EXPECT_FALSE(s.host().has(s.flow, f));
            s.host().anomaly(s.flow, f);
            s.host().set_layer7(s.flow, f);
        }
        s.set(1, "x");
        s.set(2, "x");
        s.add(0, "x");
        s.add(2, "x");
        s.host().set_integer(s.flow, 0, 1);
        s.host().set_integer(s.flow, 1, 1);
        return AICORE_YES;
    });
    p.field("astring").field("alist", AICORE_STRINGS).field("anumber", AICORE_INTEGER);
    const Result r = run({udp_frame(0, kUdpEnds), udp_frame(1, kUdpEnds)}, {}, {&p.p});
    EXPECT_TRUE(r.events.back().fields.empty());
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
    EXPECT_EQ(r.events.back().anomaly_name, "");
}

TEST(FieldsOfProtocols, learning_a_name_the_first_time_is_told) {
    Fake<0> p("alpha", [](const Shown &s) {
        if (s.data == "host") s.set(0, "example.com");
        if (s.data == "other") s.set(0, "example.org");
        if (s.data == "path") s.set(1, "/x");
        return AICORE_YES;
    });
    p.field("ahost", AICORE_STRING, AICORE_NOTIFY).field("apath");
    const Result r = run_tcp(
        [](Connection &c) {
            for (const char *piece : {"hello", "path", "host", "host", "other"})
                c.data(1, 0, piece);
        },
        {&p.p});
    std::vector<uint64_t> updates;
    for (const Event &e : r.of(EventKind::update))
        updates.push_back(e.packets);
    EXPECT_EQ(updates, (std::vector<uint64_t>{4, 6, 8}));
    EXPECT_EQ(r.of(EventKind::update)[0].fields, (Fields{}));
    EXPECT_EQ(r.of(EventKind::update)[1].fields, (Fields{{"ahost", "example.com"}, {"apath", "/x"}}));
    EXPECT_EQ(r.events.back().fields, (Fields{{"ahost", "example.org"}, {"apath", "/x"}}));
}

TEST(FieldsOfProtocols, strings_are_bounded_and_valid) {
    Fake<0> p("alpha", [](const Shown &s) {
        s.set(0, std::string(5000, 'x'));
        s.set(1, std::string("a\0\xff\xc3\xa4", 5));
        for (int i = 0; i < 300; ++i)
            s.add(2, std::to_string(i));
        return AICORE_YES;
    });
    p.field("along").field("abad").field("alist", AICORE_STRINGS);
    const Result r = run({udp_frame(0, kUdpEnds)}, {}, {&p.p});
    Fields fields = r.events.back().fields;
    EXPECT_EQ(fields["along"], std::string(1024, 'x'));
    EXPECT_EQ(fields["abad"], "a\\x00\\xff\xc3\xa4");
    EXPECT_EQ(r.events.back().attribute_count, 256u);
    EXPECT_EQ(r.count("strings_cut"), 1u + (300 - 254));
}

TEST(FieldsOfProtocols, values_for_no_field_or_one_of_another_type_are_refused_and_counted) {
    Fake<0> p("alpha", [](const Shown &s) {
        s.host().set_integer(s.flow, 0, 1); // another type
        s.host().add_string(s.flow, 0, "x", 1);
        s.set(1, "x"); // behind the last one
        return AICORE_DONE;
    });
    p.field("alphatext");
    const Result r = run_tcp([](Connection &c) { c.data(1, 0, "x"); }, {&p.p});
    EXPECT_TRUE(r.events.back().fields.empty());
    EXPECT_EQ(r.counters.at("values_refused"), 3u);
}

TEST(FieldsOfProtocols, a_string_that_changes_ever_again_does_not_fill_the_record) {
    int n = 0;
    Fake<0> p("alpha", [&](const Shown &s) {
        s.set(0, std::string(1000, static_cast<char>('a' + n % 26)) + std::to_string(n));
        ++n;
        return AICORE_YES;
    });
    p.field("along");
    Frames f;
    for (int i = 0; i < 200; ++i)
        f.push_back(udp_frame(i, kUdpEnds));
    const Result r = run(f, {}, {&p.p});
    EXPECT_EQ(r.events.back().fields.at("along"), std::string(1000, 'a' + 199 % 26) + "199");
    EXPECT_EQ(r.count("strings_cut"), 0u);
}

TEST(FieldsOfProtocols, anomaly_of_an_owner_is_counted_each_time_and_the_first_stands) {
    Fake<0> p("alpha", [](const Shown &s) {
        if (s.data == "b") s.host().anomaly(s.flow, 1);
        if (s.data == "a") s.host().anomaly(s.flow, 0);
        return AICORE_YES;
    });
    p.anomalies({"afirst", "asecond"});
    const Result r = run_tcp(
        [](Connection &c) {
            for (const char *piece : {"x", "b", "a", "a"})
                c.data(1, 0, piece);
        },
        {&p.p});
    EXPECT_EQ(r.events.back().anomaly_name, "asecond");
    EXPECT_EQ(r.count("afirst"), 2u);
    EXPECT_EQ(r.count("asecond"), 1u);
}

TEST(FieldsOfProtocols, rows_of_a_flow_in_one_batch_share_what_did_not_change) {
    Fake<0> p("alpha", [](const Shown &s) {
        s.set(0, s.data);
        return s.data == "last" ? AICORE_DONE : AICORE_YES;
    });
    p.field("afield");
    Frames f;
    for (const char *piece : {"one", "one", "two"})
        f.push_back(udp_frame(1, kUdpEnds, piece));
    EngineOptions o;
    o.every_udp = 1;
    const Result r = run(f, o, {&p.p});
    std::vector<std::string> values;
    for (Event e : r.of(EventKind::update))
        values.push_back(e.fields["afield"]);
    EXPECT_EQ(values, (Lines{"one", "one", "two"}));
    EXPECT_EQ(r.events.back().fields.at("afield"), "two");
    EXPECT_EQ(r.events.back().attribute_first, r.events[r.events.size() - 2].attribute_first);
}

TEST(FieldsOfProtocols, tops_name_protocols_and_hosts) {
    Fake<0> p("alpha", [](const Shown &s) { return s.set(0, s.data), AICORE_DONE; });
    p.field("ahost", AICORE_STRING, AICORE_NOTIFY);
    Frames f;
    for (uint16_t i = 0; i < 10; ++i)
        f.push_back(udp_frame(0, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1 + i), 53}, i < 3 ? "rare" : "often"));
    EngineOptions o;
    o.top = true;
    const Tops tops = run(f, o, {&p.p}).tops;
    ASSERT_EQ(tops.protocols.size(), 1u);
    EXPECT_EQ(tops.protocols[0].name, "alpha");
    EXPECT_EQ(tops.protocols[0].flows, 10u);
    ASSERT_EQ(tops.hosts.size(), 2u);
    EXPECT_EQ(tops.hosts[0].name, "often");
    EXPECT_EQ(tops.hosts[0].flows, 7u);
}

} // namespace
} // namespace aicore::test
