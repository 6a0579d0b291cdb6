// SPDX-License-Identifier: Apache-2.0
// Every name that a client sends is in an update: lists hold the latest, repetitions cost nothing.
#include <gtest/gtest.h>

#include <set>

#include "aicore/builtin_protocols.h"
#include "fake_protocol.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
const Endpoints kUdpEnds{"10.0.0.1", "10.0.0.2", 5000, 53};

std::string name(size_t i) {
    return "n" + std::to_string(i) + ".example";
}
std::string query(const std::string &name) {
    std::string out("\x12\x34\1\0\0\1\0\0\0\0\0\0", 12);
    for (size_t i = 0; i < name.size();) {
        const size_t dot = std::min(name.find('.', i), name.size());
        out += static_cast<char>(dot - i) + name.substr(i, dot - i);
        i = dot + 1;
    }
    return out + std::string("\0\0\1\0\1", 5);
}

Lines split(const std::string &list) {
    Lines out;
    for (size_t i = 0; i < list.size();) {
        const size_t comma = std::min(list.find(',', i), list.size());
        out.push_back(list.substr(i, comma - i));
        i = comma + 1;
    }
    return out;
}
Lines last_of(const std::vector<Event> &events, const std::string &field) { // of each update's list
    Lines out;
    for (const Event &e : events)
        if (e.kind == EventKind::update && e.end_reason == EndReason::none)
            out.push_back(split(e.fields.at(field)).back());
    return out;
}
Lines names(size_t from, size_t to) {
    Lines out;
    for (size_t i = from; i < to; ++i)
        out.push_back(name(i));
    return out;
}

EngineOptions unsampled() {
    EngineOptions o;
    o.every_tcp = o.every_udp = 0;
    return o;
}

Result ask(const std::vector<size_t> &questions) {
    Frames f;
    for (const size_t q : questions)
        f.push_back(udp_frame(1 + 0.0001 * static_cast<double>(f.size()), kUdpEnds, query(name(q))));
    return run(f, unsampled(), {aicore_dns()});
}
std::vector<size_t> numbers(size_t from, size_t to) {
    std::vector<size_t> out;
    for (size_t i = from; i < to; ++i)
        out.push_back(i);
    return out;
}

TEST(Names, each_question_is_in_an_update_and_the_list_holds_the_latest) {
    const Result r = ask(numbers(0, 25));
    EXPECT_EQ(last_of(r.events, "dnsdomains"), names(0, 25));
    for (const Event &e : r.of(EventKind::update))
        EXPECT_LE(split(e.fields.at("dnsdomains")).size(), 16u);
    EXPECT_EQ(split(r.events.back().fields.at("dnsdomains")), names(9, 25));
    EXPECT_EQ(r.events.back().fields.at("dnsdomain"), name(0));
    EXPECT_EQ(r.count("names_beyond_list"), 9u);
}

TEST(Names, sixteen_fit) {
    const Result r = ask(numbers(0, 16));
    EXPECT_EQ(split(r.events.back().fields.at("dnsdomains")), names(0, 16));
    EXPECT_EQ(r.count("names_beyond_list"), 0u);
}

TEST(Names, a_repetition_makes_no_update) {
    std::vector<size_t> twice = numbers(0, 200);
    for (size_t i = 0; i < 200; ++i)
        twice.push_back(i);
    const Result r = ask(twice);
    // The past names are kept in sets of four: of 184, a few fall out of a set that got more.
    const Lines shown = last_of(r.events, "dnsdomains");
    EXPECT_EQ(Lines(shown.begin(), shown.begin() + 200), names(0, 200));
    EXPECT_LT(shown.size(), 290u);
    const Result few = ask({0, 1, 0, 0, 1, 2, 1, 0});
    EXPECT_EQ(last_of(few.events, "dnsdomains"), names(0, 3));
}

TEST(Names, ten_thousand_cost_no_more_memory_than_sixteen) {
    const Result r = ask(numbers(0, 10'000));
    EXPECT_EQ(last_of(r.events, "dnsdomains"), names(0, 10'000));
    EXPECT_EQ(r.count("names_beyond_list"), 10'000u - 16);
    EXPECT_EQ(r.count("strings_cut"), 0u) << "names that are gone do not fill the record";
}

// One payload with more names than the list holds: while the flow is recognised, and later.
TEST(Names, many_in_a_payload_are_all_shown) {
    for (const size_t n : {16u, 17u, 40u, 250u}) {
        size_t next = 0;
        Fake<0> p("alpha", [&](const Shown &s) {
            s.set(0, "first");
            for (size_t i = 0; i < n; ++i)
                s.add(1, name(next++));
            s.add(1, name(next - 1));
            return AICORE_YES;
        });
        p.field("one", AICORE_STRING, AICORE_NOTIFY).field("several", AICORE_STRINGS, AICORE_NOTIFY);
        const Result r = run({udp_frame(1, kUdpEnds, "a"), udp_frame(2, kUdpEnds, "b")}, unsampled(), {&p.p});
        std::set<std::string> shown;
        for (const Event &e : r.of(EventKind::update)) {
            EXPECT_EQ(e.layer7_name, "alpha");
            const Lines list = split(e.fields.at("several"));
            EXPECT_LE(list.size(), 16u);
            shown.insert(list.begin(), list.end());
        }
        EXPECT_EQ(shown.size(), 2 * n);
        EXPECT_LE(r.of(EventKind::update).size(), 2 * (n / 16 + 1) + 1) << "no more updates than it takes";
        EXPECT_EQ(split(r.events.back().fields.at("several")), names(2 * n - 16, 2 * n));
        EXPECT_EQ(r.count("strings_cut"), 0u);
    }
}

TEST(Names, of_two_lists_none_is_missed) {
    size_t next = 0;
    Fake<0> p("alpha", [&](const Shown &s) {
        for (size_t i = 0; i < 40; ++i)
            s.add(i % 2, name(next++));
        return AICORE_YES;
    });
    p.field("even", AICORE_STRINGS, AICORE_NOTIFY).field("odd", AICORE_STRINGS, AICORE_NOTIFY);
    const Result r = run({udp_frame(1, kUdpEnds, "a"), udp_frame(2, kUdpEnds, "b")}, unsampled(), {&p.p});
    std::set<std::string> shown;
    for (const Event &e : r.of(EventKind::update))
        for (const char *field : {"even", "odd"})
            if (const auto it = e.fields.find(field); it != e.fields.end())
                for (const std::string &item : split(it->second))
                    shown.insert(item);
    EXPECT_EQ(shown.size(), 80u);
}

TEST(Names, a_list_without_the_flag_makes_no_updates_and_keeps_all) {
    size_t next = 0;
    Fake<0> p("alpha", [&](const Shown &s) {
        s.add(0, name(next++));
        return AICORE_YES;
    });
    p.field("several", AICORE_STRINGS);
    Frames f;
    for (int i = 0; i < 40; ++i)
        f.push_back(udp_frame(1 + i, kUdpEnds, "a"));
    const Result r = run(f, unsampled(), {&p.p});
    EXPECT_EQ(r.lines().size(), 4u); // insert, recognised, last, remove
    EXPECT_EQ(split(r.events.back().fields.at("several")), names(0, 40));
}

TEST(Names, every_host_of_a_connection) {
    Frames f;
    Connection c(f);
    c.open(0);
    for (size_t i = 0; i < 40; ++i) {
        c.data(1, 0, "POST / HTTP/1.1\r\nHost: " + name(i) + "\r\nContent-Length: 3000\r\n\r\n");
        c.data(1, 0, std::string(1400, 'x'));
        c.seq[0] += 1400; // lost by the capture
        c.data(1, 0, std::string(200, 'x'));
        c.data(1, 1, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
        for (int k = 0; k < 20; ++k)
            c.data(1, 1, std::string(1000, 'y'));
    }
    const Result r = run(f, unsampled(), {aicore_http()}, false);
    EXPECT_EQ(last_of(r.events, "httphosts"), names(0, 40));
    EXPECT_EQ(r.events.back().fields.at("httphost"), name(0));
    EXPECT_EQ(r.count("names_beyond_list"), 24u);
    EXPECT_EQ(r.count("reassembly_gaps") + r.count("reassembly_full") + r.count("http_bad_start_line"), 0u);
    EXPECT_EQ(r.events.back().anomaly_name, "");
}

// Two requests in one packet, then one cut by every segment; both ways of capturing one direction alone.
TEST(Names, pipelined_split_and_of_one_direction) {
    for (const bool server : {true, false}) {
        Frames f;
        Connection c(f);
        if (server) c.open(0);
        c.data(1, 0, "GET / HTTP/1.1\r\nHost: n0.example\r\n\r\nGET / HTTP/1.1\r\nHost: n1.example\r\n\r\n");
        if (server) c.data(1, 1, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 304 OK\r\n\r\n");
        for (const char byte : std::string("GET / HTTP/1.1\r\nHost: n2.example\r\n\r\n"))
            c.data(2, 0, std::string(1, byte));
        const Result r = run(f, unsampled(), {aicore_http()}, false);
        EXPECT_EQ(split(r.events.back().fields.at("httphosts")), names(0, 3));
        EXPECT_EQ(last_of(r.events, "httphosts"), (Lines{name(1), name(2)}));
    }
}

TEST(Names, live_what_updates_lose_is_still_in_the_list) {
    EngineOptions o = unsampled();
    o.events = 1u << static_cast<unsigned>(EventKind::remove);
    Frames f;
    for (size_t i = 0; i < 20; ++i)
        f.push_back(udp_frame(1 + 0.1 * static_cast<double>(i), kUdpEnds, query(name(i))));
    const Result r = run(f, o, {aicore_dns()});
    ASSERT_EQ(r.events.size(), 1u);
    EXPECT_EQ(split(r.events[0].fields.at("dnsdomains")), names(4, 20));
}

} // namespace
} // namespace aicore::test
