// SPDX-License-Identifier: Apache-2.0
// External protocols: payloads go out with a batch, answers come back to the live flow. The test is the
// reader.
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "fake_protocol.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
using Fields = std::map<std::string, std::string>;

struct Reply {
    int answer;
    std::string layer7 = {};
    std::vector<std::pair<std::string, std::string>> strings = {};
};

ExternalProtocol protocol(const std::string &name, std::vector<std::string> prefixes = {}) {
    ExternalProtocol p;
    p.name = name;
    p.transports = AICORE_TCP | AICORE_UDP;
    p.prefixes = std::move(prefixes);
    p.fields = {{name + "field", FieldType::string, true, 64, "", "", "", ""},
                {name + "list", FieldType::strings, false, 64, "", "", "", ""},
                {name + "number", FieldType::integer, false, 64, "", "", "", ""}};
    return p;
}

struct Bench {
    std::shared_ptr<Registry> registry = std::make_shared<Registry>();
    EngineOptions options;
    LiveSource *source = nullptr;
    std::unique_ptr<Engine> engine;
    Result result;
    Lines asked; // "name>data", "<" for the other direction, "name>data|other"
    std::function<Reply(const Question &)> reply = [](const Question &) { return Reply{AICORE_NO}; };

    void start() {
        options.flush = 0;
        engine = std::make_unique<Engine>(registry, options);
        auto s = std::make_unique<LiveSource>(1);
        source = s.get();
        engine->open(std::move(s));
        engine->start();
    }
    void give(Frames &frames) { // each batch of packets is read and answered before the next
        given += frames.size();
        source->give(std::exchange(frames, {}));
        while (source->given() < given)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        pull_until_quiet();
    }
    void pull_until_quiet() {
        // Behind a packet or an answer: one read until it is taken, one until its batch is handed over.
        for (size_t reads = source->reads(); source->reads() < reads + 4;) {
            const auto batch = engine->pull(2);
            if (!batch) continue;
            take(*batch);
            reads = source->reads();
        }
    }
    void take(const Batch &batch) {
        collect(result.events, batch);
        for (const Question &q : batch.questions) {
            asked.push_back(q.protocol + (q.reverse ? "<" : ">") + q.data + (q.has_other ? "|" + q.other : ""));
            const Reply r = reply(q);
            if (r.answer >= 0) engine->answer({q.id, r.answer, r.layer7, {}, r.strings, {}});
        }
    }
    void finish() {
        source->end();
        while (!engine->finished())
            if (const auto batch = engine->pull(100)) take(*batch);
        for (const auto &[name, value] : engine->counters())
            result.counters[name] = value;
    }
    size_t given = 0;
};

int64_t wall() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// As scenario.h's, at the wall clock's time.
struct LiveConnection : Connection {
    LiveConnection(Frames &f, Endpoints e = {}) : Connection(f, std::move(e)) {}
    void data(int d, std::string_view payload) {
        Connection::data(0, d, payload);
        out.back().time = wall();
    }
    void open() {
        Connection::open(0);
        for (size_t i = out.size() - 3; i < out.size(); ++i)
            out[i].time = wall();
    }
};

TEST(ExternalProtocols, are_asked_and_answers_reach_the_live_flow) {
    Bench b;
    b.registry->add_external(protocol("alpha", {"HELO"}));
    b.reply = [](const Question &q) {
        return q.data.size() < 8
                   ? Reply{AICORE_MORE}
                   : Reply{AICORE_DONE, "", {{"alphafield", q.data}, {"nosuch", "x"}, {"alphalist", "wrong type"}}};
    };
    b.start();
    Frames f;
    LiveConnection c(f);
    c.open();
    c.data(0, "HELO");
    b.give(f);
    c.data(0, " you");
    b.give(f);
    EXPECT_EQ(b.asked, (Lines{"alpha>HELO", "alpha>HELO you"}));
    ASSERT_EQ(b.result.events.size(), 2u); // the answer was told at once
    EXPECT_EQ(b.result.events[1].layer7_name, "alpha");
    EXPECT_EQ(b.result.events[1].fields, (Fields{{"alphafield", "HELO you"}}));
    c.data(0, " and so on");
    b.give(f);
    b.finish();
    EXPECT_EQ(b.asked.size(), 2u);
    EXPECT_EQ(b.result.events.back().fields, (Fields{{"alphafield", "HELO you"}}));
}

TEST(ExternalProtocols, what_comes_while_a_question_is_out_is_asked_behind_it) {
    for (const int owner_says : {AICORE_YES, AICORE_NO, AICORE_MORE}) {
        Bench b;
        b.registry->add_external(protocol("alpha"));
        int n = 0;
        b.reply = [&](const Question &) { return Reply{n++ == 0 ? int{AICORE_YES} : owner_says}; };
        b.start();
        Frames f;
        LiveConnection c(f);
        c.open();
        for (const char *piece : {"a", "b", "c"})
            c.data(0, piece);
        b.give(f);
        c.data(0, "d");
        b.give(f);
        b.finish();
        // An owner's NO means as much as YES: it has seen the bytes.
        EXPECT_EQ(b.asked, owner_says == AICORE_MORE ? (Lines{"alpha>a", "alpha>bc", "alpha>bcd"})
                                                     : (Lines{"alpha>a", "alpha>bc", "alpha>d"}));
    }
}

TEST(ExternalProtocols, an_answer_consumes_what_it_has_seen_whoever_else_was_asked_since) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.registry->add_external(protocol("beta"));
    std::vector<uint64_t> held;
    b.reply = [&](const Question &q) {
        if (q.protocol == "beta" && held.empty()) {
            held.push_back(q.id);
            return Reply{-1}; // later
        }
        return Reply{q.protocol == "alpha" ? AICORE_MORE : AICORE_YES};
    };
    b.start();
    Frames f;
    LiveConnection c(f);
    c.open();
    c.data(0, "abc");
    b.give(f);
    c.data(0, "def"); // alpha is asked about all six, beta's answer is about three
    b.give(f);
    ASSERT_EQ(held.size(), 1u);
    b.engine->answer({held[0], AICORE_YES, "", {}, {}, {}});
    b.pull_until_quiet();
    b.finish();
    EXPECT_EQ(b.asked, (Lines{"alpha>abc", "beta>abc", "alpha>abcdef", "beta>def"}));
    EXPECT_EQ(b.result.events.back().layer7_name, "beta");
}

TEST(ExternalProtocols, see_the_other_direction_until_recognition) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.reply = [](const Question &q) { return Reply{q.reverse ? AICORE_YES : AICORE_MORE}; };
    b.start();
    Frames f;
    LiveConnection c(f);
    c.open();
    c.data(0, "ask");
    b.give(f);
    c.data(1, "answer");
    b.give(f);
    c.data(0, "!");
    b.give(f);
    b.finish();
    EXPECT_EQ(b.asked, (Lines{"alpha>ask", "alpha<answer|ask", "alpha>ask!"}));
}

TEST(ExternalProtocols, native_ones_may_win_meanwhile_and_late_answers_harm_nothing) {
    Bench b;
    Fake<0> native("native", [](const Shown &s) { return s.data == "ab" ? AICORE_YES : AICORE_MORE; });
    b.registry->add_external(protocol("alpha"));
    b.registry->add(&native.p);
    std::vector<uint64_t> held;
    b.reply = [&](const Question &q) { return held.push_back(q.id), Reply{-1}; };
    b.start();
    Frames f;
    LiveConnection c(f);
    c.open();
    c.data(0, "a");
    b.give(f);
    c.data(0, "b");
    b.give(f);
    ASSERT_EQ(held.size(), 1u);
    for (const uint64_t id : {held[0], held[0], uint64_t{0}, uint64_t{12345}})
        b.engine->answer({id, AICORE_YES, "", {}, {{"alphafield", "late"}}, {}});
    b.pull_until_quiet();
    b.finish();
    EXPECT_EQ(b.result.events.back().layer7_name, "native");
    EXPECT_TRUE(b.result.events.back().fields.empty());
}

TEST(ExternalProtocols, give_other_names_also_ones_that_nobody_declared) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    int n = 0;
    b.reply = [&](const Question &) {
        return Reply{AICORE_YES, n++ == 0 ? "first" : n == 2 ? "second" : n == 3 ? "" : "Not Valid"};
    };
    b.start();
    Frames f;
    LiveConnection c(f);
    c.open();
    for (int i = 0; i < 4; ++i) {
        c.data(0, "x");
        b.give(f);
    }
    b.finish();
    Lines names;
    for (const Event &e : b.result.events)
        names.push_back(e.layer7_name);
    EXPECT_EQ(names, (Lines{"", "first", "second", "second", "second"}));
}

TEST(ExternalProtocols, all_say_no_and_a_port_names_the_flow) {
    Bench b;
    ExternalProtocol p = protocol("alpha");
    p.ports = {80};
    b.registry->add_external(p);
    b.start();
    Frames f;
    LiveConnection c(f);
    c.open();
    c.data(0, "x");
    c.data(1, "y");
    b.give(f);
    c.data(0, "z");
    b.give(f);
    b.finish();
    EXPECT_EQ(b.asked, (Lines{"alpha>x", "alpha<y|x"}));
    EXPECT_EQ(b.result.events.back().layer7_name, "alpha");
    EXPECT_EQ(b.result.events.back().layer7_by, Layer7By::port);
}

// From a file everything is read before the first answer.
Result run_file(Bench &b, Frames frames) {
    b.engine = std::make_unique<Engine>(b.registry, b.options);
    b.engine->open(std::make_unique<FileSource>(std::vector<Frames>{std::move(frames)}, false));
    b.engine->start();
    while (!b.engine->finished())
        if (const auto batch = b.engine->pull(100)) b.take(*batch);
    for (const auto &[name, value] : b.engine->counters())
        b.result.counters[name] = value;
    return b.result;
}

TEST(ExternalProtocols, short_flows_of_a_file_are_classified_too) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.reply = [](const Question &q) { return Reply{AICORE_DONE, "", {{"alphafield", q.data}}}; };
    Frames f;
    for (uint16_t i = 0; i < 500; ++i)
        f.push_back(
            udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}, std::to_string(i)));
    const Result r = run_file(b, f);
    const auto removed = r.of(EventKind::remove);
    ASSERT_EQ(removed.size(), 500u);
    for (const Event &e : removed) {
        EXPECT_EQ(e.layer7_name, "alpha");
        EXPECT_EQ(e.fields.at("alphafield"), std::to_string(e.portsrc - 1000));
    }
}

TEST(ExternalProtocols, a_table_full_of_flows_that_wait_for_answers_still_admits) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.options.udp_flows = 10;
    Frames f;
    for (uint16_t i = 0; i < 500; ++i)
        f.push_back(udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}, "x"));
    const Result r = run_file(b, f);
    EXPECT_EQ(r.count("not_admitted"), 0u);
    EXPECT_EQ(r.of(EventKind::insert).size(), 500u);
    EXPECT_EQ(r.of(EventKind::remove).size(), 500u);
}

TEST(ExternalProtocols, a_tuple_used_again_does_not_wait_for_an_answer) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    Frames f;
    for (int i = 0; i < 100; ++i) {
        Connection c(f);
        c.open(i);
        c.data(i + 0.1, 0, "hello");
        c.send(i + 0.2, 1, kRst);
    }
    const Result r = run_file(b, f);
    EXPECT_EQ(r.count("not_admitted"), 0u);
    uint64_t packets = 0;
    for (const Event &e : r.of(EventKind::remove))
        packets += e.packets;
    EXPECT_EQ(packets, f.size());
}

TEST(ExternalProtocols, answers_that_never_come_end_with_a_bound) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.reply = [](const Question &) { return Reply{-1}; };
    const auto begin = std::chrono::steady_clock::now();
    const Result r = run_file(b, {udp_frame(0, {}, "x")});
    EXPECT_EQ(r.of(EventKind::remove).size(), 1u);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(ExternalProtocols, questions_go_on_behind_a_megabyte_that_was_handed_over) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.start();
    Frames f;
    const auto send = [&](uint16_t port, size_t bytes) {
        f.push_back(udp_frame(0, {"10.0.0.1", "10.0.0.2", port, 53}, std::string(bytes, 'x')));
        f.back().time = wall();
    };
    for (uint16_t i = 0; i < 17; ++i)
        send(static_cast<uint16_t>(1000 + i), 61'000);
    b.give(f);
    ASSERT_EQ(b.asked.size(), 17u);
    send(1000, 20'000); // no event comes with it: the question alone opens a batch
    b.give(f);
    EXPECT_EQ(b.asked.size(), 18u);
    b.finish();
}

TEST(ExternalProtocols, questions_go_on_behind_a_megabyte_of_them) {
    Bench b;
    b.registry->add_external(protocol("alpha"));
    b.reply = [](const Question &) { return Reply{AICORE_DONE}; };
    Frames f;
    for (uint16_t i = 0; i < 3000; ++i)
        f.push_back(udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53},
                              std::string(1200, 'x')));
    const Result r = run_file(b, f);
    EXPECT_EQ(b.asked.size(), 3000u);
    for (const Event &e : r.of(EventKind::remove))
        EXPECT_EQ(e.layer7_name, "alpha");
}

} // namespace
} // namespace aicore::test
