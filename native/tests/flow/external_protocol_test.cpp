// SPDX-License-Identifier: Apache-2.0
// External protocols: payloads go out with the batches, findings come back to the live flow. What is asked, and what
// the record says at last, depends on the packets alone.
#include <gtest/gtest.h>

#include <numeric>

#include "external_scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
using Fields = std::map<std::string, std::string>;

Frames script(const std::function<void(Connection &)> &talk) {
    Frames f;
    Connection c(f);
    c.open(0);
    talk(c);
    return f;
}

TEST(ExternalProtocols, are_asked_and_findings_reach_the_live_flow) {
    Bench b;
    b.registry->add_external(external("alpha", {"HELO"}));
    b.answers.reply = [](const Asked &a) {
        return a.data.size() < 8
                   ? Reply{AICORE_MORE}
                   : Reply{AICORE_DONE, "", {{"alphafield", a.data}, {"nosuch", "x"}, {"alphalist", "wrong type"}}};
    };
    b.start();
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(0, 0, "HELO");
    b.give(f);
    c.data(0, 0, " you");
    b.give(f);
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>HELO", "alpha>HELO you"}));
    ASSERT_EQ(b.result.events.size(), 2u); // the finding was told at once
    EXPECT_EQ(b.result.events[1].layer7_name, "alpha");
    EXPECT_EQ(b.result.events[1].layer7_by, Layer7By::payload);
    EXPECT_EQ(b.result.events[1].fields, (Fields{{"alphafield", "HELO you"}}));
    EXPECT_EQ(b.answers.asked[0].packets, 4u);
    c.data(0, 0, " and so on");
    b.give(f);
    b.finish();
    EXPECT_EQ(b.answers.asked.size(), 2u);
    EXPECT_EQ(b.result.events.back().fields, (Fields{{"alphafield", "HELO you"}}));
}

// The same questions whether the reader looks at each batch at once, or at all of them when everything is over.
class Pace : public testing::TestWithParam<const char *> {
  protected:
    const Result &run(Bench &b, Frames frames) {
        if (std::string(GetParam()) == "file") return b.run_file(std::move(frames));
        b.start();
        if (std::string(GetParam()) == "late") {
            b.late = true;
            b.give(frames);
            b.look();
        } else {
            for (const Frame &frame : frames) {
                Frames one{frame};
                b.give(one);
            }
        }
        b.finish();
        return b.result;
    }
};
INSTANTIATE_TEST_SUITE_P(ExternalProtocols, Pace, testing::Values("file", "late", "prompt"),
                         [](const auto &info) { return std::string(info.param); });

TEST_P(Pace, each_payload_is_asked_about_in_order) {
    for (const int owner_says : {AICORE_YES, AICORE_NO, AICORE_MORE}) {
        Bench b;
        b.registry->add_external(external("alpha"));
        b.answers.reply = [&](const Asked &a) { return Reply{a.recognised ? owner_says : int{AICORE_YES}}; };
        run(b, script([](Connection &c) {
                for (const char *piece : {"a", "b", "c", "d"})
                    c.data(1, 0, piece);
            }));
        // An owner's NO means as much as YES: it has seen the bytes.
        EXPECT_EQ(b.answers.lines(), owner_says == AICORE_MORE ? (Lines{"alpha>a", "alpha>b", "alpha>bc", "alpha>bcd"})
                                                               : (Lines{"alpha>a", "alpha>b", "alpha>c", "alpha>d"}));
        EXPECT_TRUE(b.answers.live.empty());
    }
}

TEST_P(Pace, what_is_not_consumed_is_shown_again) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [&](const Asked &a) { return Reply{AICORE_YES, "", {}, a.data == "abcd" ? 1 : SIZE_MAX}; };
    run(b, script([](Connection &c) {
            for (const char *piece : {"abcd", "ef", "g"})
                c.data(1, 0, piece);
        }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>abcd", "alpha>bcdef", "alpha>g"}));
}

TEST_P(Pace, the_first_by_rank_wins_and_the_others_are_dropped) {
    Bench b;
    ExternalProtocol early = external("zeta");
    early.rank = 10;
    b.registry->add_external(external("alpha"));
    b.registry->add_external(early);
    b.answers.reply = [](const Asked &a) {
        return Reply{a.protocol == "zeta" && a.data.size() < 2 ? AICORE_MORE : AICORE_YES};
    };
    b.answers.reply = [](const Asked &a) { return Reply{a.data.size() < 2 ? AICORE_MORE : AICORE_YES}; };
    const Result &r = run(b, script([](Connection &c) {
                              for (const char *piece : {"a", "b", "c"})
                                  c.data(1, 0, piece);
                          }));
    EXPECT_EQ(b.answers.lines(), (Lines{"zeta>a", "alpha>a", "zeta>ab", "zeta>c"}));
    EXPECT_EQ(r.events.back().layer7_name, "zeta");
}

TEST_P(Pace, both_directions_are_shown_and_the_other_one_until_recognition) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &a) { return Reply{a.reverse ? AICORE_YES : AICORE_MORE}; };
    run(b, script([](Connection &c) {
            c.data(1, 0, "ask");
            c.data(1, 1, "answer");
            c.data(1, 0, "!");
            c.data(1, 1, "?");
        }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>ask", "alpha<answer|ask", "alpha>ask!", "alpha<?"}));
}

TEST_P(Pace, what_the_other_direction_sent_before_there_was_a_candidate_is_other) {
    Bench b;
    b.registry->add_external(external("alpha", {"220 "}));
    b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
    run(b, script([](Connection &c) {
            c.data(1, 0, "early ");
            c.data(1, 0, "bird");
            c.data(1, 1, "220 hello");
            c.data(1, 0, "!");
        }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha<220 hello|early bird", "alpha>early bird!"}));
}

TEST_P(Pace, datagrams_are_shown_each_in_either_direction) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &a) { return Reply{a.data == "c" ? AICORE_DONE : AICORE_MORE}; };
    const Endpoints e;
    const Result &r =
        run(b, {udp_frame(0, e, "a"), udp_frame(1, e.back(), "b"), udp_frame(2, e, "c"), udp_frame(3, e, "d")});
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>a", "alpha<b", "alpha>c"}));
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
    EXPECT_TRUE(b.answers.live.empty());
}

TEST_P(Pace, datagrams_that_nobody_knows_are_shown_eight_times) {
    Bench b;
    b.registry->add_external(external("alpha"));
    const Endpoints e;
    Frames f;
    for (int i = 0; i < 30; ++i)
        f.push_back(udp_frame(i, e, "x"));
    const Result &r = run(b, f);
    EXPECT_EQ(b.answers.asked.size(), 8u);
    EXPECT_EQ(r.events.back().layer7_by, Layer7By::none);
}

TEST_P(Pace, who_asks_for_more_datagrams_sees_thirty_two) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &) { return Reply{AICORE_MORE}; };
    Frames f;
    for (int i = 0; i < 40; ++i)
        f.push_back(udp_frame(i, {}, "x"));
    run(b, f);
    EXPECT_EQ(b.answers.asked.size(), 32u);
}

TEST_P(Pace, all_say_no_and_a_port_names_the_flow) {
    Bench b;
    ExternalProtocol p = external("alpha");
    p.ports = {80};
    b.registry->add_external(p);
    const Result &r = run(b, script([](Connection &c) {
                              c.data(1, 0, "x");
                              c.data(1, 1, "y");
                              c.data(1, 0, "z");
                          }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>x", "alpha<y|x"}));
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
    EXPECT_EQ(r.events.back().layer7_by, Layer7By::port);
}

TEST_P(Pace, a_hole_is_marked) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
    run(b, script([](Connection &c) {
            c.data(1, 0, "a");
            c.seq[0] += 1000; // the capture lacks them
            c.data(1, 0, "b");
            c.send(1, 1, kAck);
            c.data(1, 0, "c");
        }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>a", "gap alpha>b", "alpha>c"}));
}

TEST_P(Pace, a_connection_caught_in_its_middle_is_tried_at_each_segment) {
    Bench b;
    b.registry->add_external(external("alpha", {"HI"}));
    b.answers.reply = [](const Asked &a) { return Reply{a.data == "HI there" ? AICORE_DONE : AICORE_NO}; };
    Frames f;
    Connection c(f);
    for (const char *piece : {"end of something", "HI end of it", "HI there", "more"})
        c.data(1, 0, piece);
    const Result &r = run(b, f);
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>HI end of it", "alpha>HI there"}));
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
}

// k segments follow the first payload before anybody looks at it.
constexpr size_t kSegment = 4096;

TEST_P(Pace, done_at_the_first_payload_is_right_whatever_follows) {
    for (const int k : {0, 2, 3, 4, 5, 50}) {
        for (const int side : {0, 1}) {
            Bench b;
            b.registry->add_external(external("alpha", {"HI "}));
            b.answers.reply = [](const Asked &a) { return Reply{AICORE_DONE, "", {{"alphafield", a.data}}}; };
            const Result &r = run(b, script([&](Connection &c) {
                                      c.data(1, side, "HI eve");
                                      for (int i = 0; i < k; ++i)
                                          c.data(1.02, side, std::string(kSegment, 'x'));
                                      c.data(1.04, side ^ 1, "fine");
                                  }));
            EXPECT_EQ(b.answers.lines(), Lines{side ? "alpha<HI eve" : "alpha>HI eve"}) << k;
            EXPECT_EQ(r.events.back().layer7_name, "alpha") << k;
            EXPECT_EQ(r.events.back().fields, (Fields{{"alphafield", "HI eve"}})) << k;
            EXPECT_EQ(r.count("inspection_lost"), 0u) << k;
            EXPECT_TRUE(b.answers.live.empty());
        }
    }
}

TEST_P(Pace, after_yes_all_of_both_directions_is_shown_in_order) {
    for (const int k : {0, 2, 3, 4, 5, 50}) {
        Bench b;
        b.registry->add_external(external("alpha", {"HI "}));
        b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
        std::string sent;
        const Result &r = run(b, script([&](Connection &c) {
                                  c.data(1, 0, "HI eve");
                                  for (int i = 0; i < k; ++i) {
                                      const std::string piece(kSegment, static_cast<char>('a' + i % 26));
                                      c.data(1.02, 0, piece);
                                      sent += piece;
                                  }
                                  c.data(1.04, 1, "fine");
                              }));
        std::string seen, back;
        for (const Asked &a : b.answers.asked) {
            EXPECT_EQ(a.flags & AICORE_GAP, 0u);
            (a.reverse ? back : seen) += a.data;
        }
        EXPECT_EQ(seen, "HI eve" + sent) << k;
        EXPECT_EQ(back, "fine") << k;
        EXPECT_EQ(r.events.back().layer7_name, "alpha") << k;
        EXPECT_EQ(r.count("inspection_lost"), 0u) << k;
    }
}

TEST_P(Pace, who_waits_for_the_other_direction_sees_it_whatever_comes_between) {
    for (const int k : {0, 2, 3, 4, 5, 50}) {
        Bench b;
        b.registry->add_external(external("alpha"));
        b.answers.reply = [](const Asked &a) {
            return a.reverse && a.data == "fine" && a.other.rfind("HI eve", 0) == 0 ? Reply{AICORE_YES}
                                                                                    : Reply{AICORE_MORE};
        };
        const Result &r = run(b, script([&](Connection &c) {
                                  c.data(1, 0, "HI eve");
                                  for (int i = 0; i < k; ++i)
                                      c.data(1.02, 0, std::string(kSegment, 'x'));
                                  c.data(1.04, 1, "fine");
                                  c.data(1.05, 0, "last");
                              }));
        EXPECT_EQ(r.events.back().layer7_name, "alpha") << k;
        const Asked &last = b.answers.asked.back();
        if (k <= 3) { // all of it is there
            EXPECT_EQ(last.data, "HI eve" + std::string(static_cast<size_t>(k) * kSegment, 'x') + "last");
        } else {
            EXPECT_EQ(last.data, "last");
            EXPECT_TRUE(last.flags & AICORE_GAP);
        }
    }
}

// Bounds ----------------------------------------------------------------------------------------------------------

TEST_P(Pace, a_direction_that_cannot_be_told_is_given_up_at_the_bound) {
    for (const int missing : {1, 0}) {
        Bench b;
        b.options.stream_bytes = 1000;
        b.registry->add_external(external("alpha"));
        b.answers.reply = [](const Asked &) { return Reply{AICORE_MORE}; };
        const Result &r = run(b, script([&](Connection &c) {
                                  c.data(1, 0, std::string(600, 'a'));
                                  c.data(1, 0, std::string(static_cast<size_t>(400 - missing), 'b'));
                                  c.data(1, 0, "c");
                              }));
        EXPECT_EQ(b.answers.asked.size(), missing ? 3u : 2u);
        EXPECT_EQ(r.count("reassembly_full"), 1u);
    }
}

TEST(ExternalProtocols, live_so_much_of_a_flow_may_be_out_and_no_more) {
    for (const size_t over : {0u, 1u}) {
        Bench b;
        b.options.stream_bytes = 256; // times 16
        b.registry->add_external(external("alpha"));
        b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
        b.start();
        b.late = true;
        Frames f;
        Connection c(f);
        c.open(0);
        c.data(0, 0, std::string(2000, 'a'));
        c.data(0, 0, std::string(2096 + over, 'b'));
        b.give(f);
        b.look();
        c.data(0, 0, "c");
        b.give(f);
        b.finish();
        Lines lines{"alpha>" + std::string(2000, 'a'), "alpha>" + std::string(2096, 'b'), "alpha>c"};
        if (over) lines = {"alpha>" + std::string(2000, 'a'), "gap alpha>c"};
        EXPECT_EQ(b.answers.lines(), lines);
        EXPECT_EQ(b.result.count("inspection_lost"), over);
        EXPECT_EQ(b.result.events.back().layer7_name, "alpha");
    }
}

TEST(ExternalProtocols, live_the_bound_of_a_flow_is_of_what_is_out) {
    Bench b;
    b.options.stream_bytes = 256;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
    b.start();
    Frames f;
    Connection c(f);
    c.open(0);
    b.give(f);
    for (int i = 0; i < 20; ++i) {
        c.data(0, 0, std::string(1400, 'a'));
        b.give(f);
    }
    b.finish();
    EXPECT_EQ(b.answers.asked.size(), 20u);
    EXPECT_EQ(b.result.count("inspection_lost"), 0u);
}

TEST(ExternalProtocols, live_half_of_the_queue_is_for_events) {
    Bench b;
    b.options.queue_batches = 4;
    b.options.batch_rows = 64;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
    b.start();
    const auto ends = [](uint16_t i) { return Endpoints{"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}; };
    Frames f; // 6 MB before anything is pulled, and then flows that have nothing to show
    for (uint16_t i = 0; i < 100; ++i)
        f.push_back(udp_frame(0, ends(i), std::string(60'000, 'x')));
    for (uint16_t i = 0; i < 60; ++i)
        f.push_back(tcp_frame(0, ends(i), kSyn, 1, 0));
    b.give(f);
    b.finish();
    EXPECT_GT(b.result.count("inspection_lost"), 0u);
    EXPECT_EQ(b.result.count("not_admitted"), 0u);
    EXPECT_EQ(b.result.count("updates_shed"), 0u);
    EXPECT_EQ(b.result.of(EventKind::remove).size(), 160u);
    EXPECT_EQ(b.answers.asked.size() + b.result.count("inspection_lost"), 100u);
    EXPECT_TRUE(b.answers.live.empty());
}

TEST_P(Pace, so_many_flows_are_shown_at_once_and_no_more) {
    Bench b;
    b.options.inspected_flows = 3;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &a) { return Reply{a.data == "bye" ? AICORE_DONE : AICORE_YES}; };
    const auto ends = [](uint16_t i) { return Endpoints{"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}; };
    Frames f;
    for (uint16_t i = 0; i < 4; ++i)
        f.push_back(udp_frame(0, ends(i), std::to_string(i)));
    f.push_back(udp_frame(1, ends(3), "again")); // stays out
    const Result &r = run(b, f);
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>0", "alpha>1", "alpha>2"}));
    EXPECT_EQ(r.count("inspection_full"), 1u);
    EXPECT_TRUE(b.answers.live.empty());
}

TEST(ExternalProtocols, a_flow_that_is_over_makes_room_for_another) {
    Bench b;
    b.options.inspected_flows = 1;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &a) { return Reply{a.data == "no" ? AICORE_NO : AICORE_DONE}; };
    b.start();
    for (uint16_t i = 0; i < 20; ++i) { // by an answer, by a native protocol's absence, by its end
        Frames f;
        Connection c(f, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 80});
        c.open(0);
        c.data(0, 0, i % 3 == 0 ? "yes" : "no");
        if (i % 3 == 1) c.data(0, 1, "no");
        if (i % 3 == 2) {
            c.send(0, 1, kRst);
            b.give(f);
            c.send(0, 0, kSyn);
        }
        b.give(f);
    }
    b.finish();
    EXPECT_EQ(b.result.count("inspection_full"), 0u);
    EXPECT_TRUE(b.answers.live.empty());
}

// Beside native protocols -----------------------------------------------------------------------------------------

TEST(ExternalProtocols, a_native_one_may_win_meanwhile_and_late_findings_harm_nothing) {
    Bench b;
    Fake<0> native("native", [](const Shown &s) { return s.data == "ab" ? AICORE_YES : AICORE_MORE; });
    b.registry->add_external(external("alpha"));
    b.registry->add(&native.p);
    b.answers.reply = [](const Asked &) { return Reply{AICORE_YES, "", {{"alphafield", "late"}}}; };
    b.start();
    b.late = true;
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(0, 0, "a");
    c.data(0, 0, "b");
    b.give(f);
    b.look();
    b.finish();
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>a"}));
    EXPECT_EQ(b.result.events.back().layer7_name, "native");
    EXPECT_TRUE(b.result.events.back().fields.empty());
    EXPECT_TRUE(b.answers.live.empty());
}

TEST_P(Pace, wait_for_none_of_the_native_ones) {
    Bench b;
    Fake<0> native("native", [](const Shown &) { return AICORE_MORE; });
    b.registry->add_external(external("alpha"));
    b.registry->add(&native.p);
    b.options.stream_bytes = 256;
    b.answers.reply = [](const Asked &a) { return Reply{a.data == "z" ? AICORE_DONE : AICORE_YES}; };
    const Result &r = run(b, script([](Connection &c) {
                              for (int i = 0; i < 20; ++i)
                                  c.data(1, 0, std::string(100, 'x'));
                              c.data(1, 1, "z");
                          }));
    EXPECT_EQ(b.answers.asked.size(), 21u);
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
}

TEST_P(Pace, native_ones_outlive_them) {
    Bench b;
    Fake<0> native("native", [](const Shown &s) { return s.data.size() > 2 ? AICORE_DONE : AICORE_MORE; });
    b.registry->add_external(external("alpha"));
    b.registry->add(&native.p);
    const Result &r = run(b, script([](Connection &c) {
                              c.data(1, 0, "a");
                              c.data(1, 1, "b");
                              c.data(1, 0, "c");
                              c.data(1, 0, "d");
                          }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha>a", "alpha<b|a"}));
    EXPECT_EQ(r.events.back().layer7_name, "native");
}

TEST_P(Pace, are_handed_a_flow_with_what_was_not_consumed) {
    Bench b;
    Fake<0> native("native", [](const Shown &s) {
        if (s.reverse) return int{AICORE_MORE};
        s.host().hand_over(s.flow, "alpha");
        s.payload->consumed = 3;
        return int{AICORE_YES};
    });
    native.prefixes({"GO ", "well"});
    b.registry->add_external(external("alpha", {"never"}));
    b.registry->add(&native.p);
    b.answers.reply = [](const Asked &a) {
        return Reply{a.reverse ? AICORE_YES : AICORE_MORE, "", {{"alphafield", a.data}}};
    };
    const Result &r = run(b, script([](Connection &c) {
                              c.data(1, 1, "well");
                              c.data(1, 0, "GO on");
                              c.data(1, 0, " and");
                              c.data(1, 1, "!");
                          }));
    EXPECT_EQ(b.answers.lines(), (Lines{"alpha<well", "alpha>on and", "alpha<!"}));
    EXPECT_TRUE(b.answers.asked[0].recognised);
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
    EXPECT_EQ(r.events.back().fields, (Fields{{"alphafield", "!"}}));
    EXPECT_TRUE(b.answers.live.empty());
}

TEST(ExternalProtocols, give_other_names_also_ones_that_nobody_declared) {
    Bench b;
    b.registry->add_external(external("alpha"));
    int n = 0;
    b.answers.reply = [&](const Asked &) {
        return Reply{AICORE_YES, n++ == 0 ? "first" : n == 2 ? "second" : n == 3 ? "" : "Not Valid"};
    };
    b.start();
    Frames f;
    Connection c(f);
    c.open(0);
    for (int i = 0; i < 4; ++i) {
        c.data(0, 0, "x");
        b.give(f);
    }
    b.finish();
    Lines names;
    for (const Event &e : b.result.events)
        names.push_back(e.layer7_name);
    EXPECT_EQ(names, (Lines{"", "first", "second", "second", "second"}));
}

TEST(ExternalProtocols, a_field_with_notify_is_an_update_when_it_is_learnt_another_is_not) {
    Bench b;
    ExternalProtocol p = external("alpha");
    p.fields.push_back({"quiet", FieldType::string, false, 64, "", "", "", ""});
    b.registry->add_external(p);
    b.answers.reply = [&](const Asked &a) {
        Reply r{AICORE_YES};
        if (a.data == "loud" || a.data == "again") r.strings = {{"alphafield", a.data}};
        if (a.data == "quiet") r.strings = {{"quiet", a.data}};
        return r;
    };
    b.start();
    Lines seen;
    for (const char *data : {"first", "quiet", "loud", "again"}) {
        Frames f{udp_frame(0, {}, data)};
        const size_t before = b.result.of(EventKind::update).size();
        b.give(f);
        if (b.result.of(EventKind::update).size() > before) seen.push_back(data);
    }
    b.finish();
    EXPECT_EQ(seen, (Lines{"first", "loud"}));
    EXPECT_EQ(b.result.events.back().fields, (Fields{{"alphafield", "again"}, {"quiet", "quiet"}}));
}

// Ends ------------------------------------------------------------------------------------------------------------

Result short_flows(uint32_t table, int flows) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.options.udp_flows = table;
    b.answers.reply = [](const Asked &a) { return Reply{AICORE_DONE, "", {{"alphafield", a.data}}}; };
    Frames f;
    for (int i = 0; i < flows; ++i)
        f.push_back(
            udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}, std::to_string(i)));
    b.run_file(std::move(f));
    EXPECT_TRUE(b.answers.live.empty());
    return b.result;
}

TEST(ExternalProtocols, short_flows_of_a_file_are_classified_also_with_a_full_table) {
    for (const uint32_t table : {1000u, 10u}) {
        const Result r = short_flows(table, 500);
        const auto removed = r.of(EventKind::remove);
        ASSERT_EQ(removed.size(), 500u);
        for (const Event &e : removed) {
            EXPECT_EQ(e.layer7_name, "alpha");
            EXPECT_EQ(e.fields.at("alphafield"), std::to_string(e.portsrc - 1000));
        }
        EXPECT_EQ(r.count("not_admitted"), 0u);
        EXPECT_EQ(r.count("inspection_late"), 0u);
    }
}

TEST(ExternalProtocols, a_tuple_used_again_waits_for_the_findings_of_a_file) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &a) { return Reply{AICORE_DONE, "", {{"alphafield", a.data}}}; };
    Frames f;
    for (int i = 0; i < 100; ++i) {
        Connection c(f);
        c.open(i);
        c.data(i + 0.1, 0, "hello " + std::to_string(i));
        c.send(i + 0.2, 1, kRst);
    }
    const size_t packets = f.size();
    const Result &r = b.run_file(std::move(f));
    uint64_t counted = 0;
    int i = 0;
    for (const Event &e : r.of(EventKind::remove)) {
        EXPECT_EQ(e.fields.at("alphafield"), "hello " + std::to_string(i++));
        counted += e.packets;
    }
    EXPECT_EQ(i, 100);
    EXPECT_EQ(counted, packets);
    EXPECT_EQ(r.count("not_admitted") + r.count("inspection_late"), 0u);
}

TEST(ExternalProtocols, live_an_ended_flow_keeps_its_slot_for_the_findings) {
    for (const bool again : {false, true}) {
        Bench b;
        b.options.linger = 0;
        b.registry->add_external(external("alpha"));
        b.answers.reply = [](const Asked &) { return Reply{AICORE_DONE}; };
        b.start();
        b.late = true;
        Frames f;
        Connection c(f);
        c.open(0);
        c.data(0, 0, "hello");
        c.send(0, 1, kRst);
        b.give(f);
        b.pull_until_quiet();
        EXPECT_EQ(b.result.of(EventKind::remove).size(), 0u);
        if (again) { // live nothing waits: the tuple is used again, and its findings come too late
            c.send(0, 0, kSyn);
            b.give(f);
        }
        b.look();
        b.finish();
        EXPECT_EQ(b.result.of(EventKind::remove).at(0).layer7_name, again ? "" : "alpha");
        EXPECT_EQ(b.result.count("inspection_late"), again ? 1u : 0u);
    }
}

TEST(ExternalProtocols, a_reader_that_inspects_nothing_is_not_waited_for_long) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.late = true;
    const auto begin = std::chrono::steady_clock::now();
    const Result &r = b.run_file({udp_frame(0, {}, "x")});
    EXPECT_EQ(r.of(EventKind::remove).size(), 1u);
    EXPECT_EQ(r.count("inspection_late"), 1u);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(ExternalProtocols, megabytes_of_payload_of_a_file_are_shown_whole) {
    Bench b;
    b.registry->add_external(external("alpha"));
    b.answers.reply = [](const Asked &) { return Reply{AICORE_YES}; };
    Frames f;
    Connection c(f);
    c.open(0);
    for (int i = 0; i < 500; ++i)
        c.data(1 + i * 0.001, i % 3 == 0, std::string(40'000, 'x'));
    b.run_file(std::move(f));
    size_t seen = 0;
    for (const Asked &a : b.answers.asked) {
        EXPECT_EQ(a.flags, 0u);
        seen += a.data.size();
    }
    EXPECT_EQ(seen, 500u * 40'000);
}

} // namespace
} // namespace aicore::test
