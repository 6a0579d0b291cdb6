// SPDX-License-Identifier: Apache-2.0
// TCP segments to streams: whatever the capture does to them, a dissector sees each direction's bytes in order, once.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "fake_protocol.h"
#include "scenario.h"
#include "segments.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;

std::vector<std::string> pieces(const std::vector<Shown> &shown, bool reverse = false) { // "!" stands for a gap before
    std::vector<std::string> out;
    for (const Shown &s : shown)
        if (s.reverse == reverse) out.push_back((s.flags & AICORE_GAP ? "!" : "") + s.data);
    return out;
}

struct Streamed {
    std::vector<Shown> shown;
    Result result;
};

// An owner that takes everything.
Streamed stream(const Frames &frames, const EngineOptions &o = {}) {
    Fake<0> p("alpha", [](const Shown &) { return AICORE_YES; });
    Result r = run(frames, o, {&p.p}, false);
    return {p.shown, std::move(r)};
}
std::vector<std::string> streamed(const Frames &frames) {
    return pieces(stream(frames).shown);
}

TEST(Stream, in_order) {
    EXPECT_EQ(streamed(Segments().send(0, "abc").send(3, "de").frames), (Lines{"abc", "de"}));
}

TEST(Stream, out_of_order_waits) {
    EXPECT_EQ(streamed(Segments().send(3, "de").send(0, "abc").frames), (Lines{"abc", "de"}));
    EXPECT_EQ(streamed(Segments().send(5, "f").send(3, "de").send(6, "g").send(0, "abc").frames),
              (Lines{"abc", "de", "f", "g"}));
}

TEST(Stream, retransmissions_are_shown_once_and_the_first_bytes_count) {
    EXPECT_EQ(streamed(Segments().send(0, "abc").send(0, "abc").send(3, "d").frames), (Lines{"abc", "d"}));
    EXPECT_EQ(streamed(Segments().send(0, "abc").send(0, "XYZ").send(1, "XY").send(3, "d").frames),
              (Lines{"abc", "d"}));
    EXPECT_EQ(streamed(Segments().send(0, "abc").send(1, "XYde").frames), (Lines{"abc", "de"})); // a longer one
    EXPECT_EQ(streamed(Segments().send(3, "de").send(3, "de").send(0, "abc").frames), (Lines{"abc", "de"}));
}

TEST(Stream, overlaps_of_waiting_segments_are_trimmed) {
    EXPECT_EQ(streamed(Segments().send(2, "cdef").send(4, "efgh").send(0, "abc").frames), (Lines{"abc", "def", "gh"}));
    EXPECT_EQ(streamed(Segments().send(1, "bc").send(1, "bcdef").send(0, "a").frames), (Lines{"a", "bcdef"}));
    EXPECT_EQ(streamed(Segments().send(4, "ef").send(2, "cdefgh").send(0, "ab").frames), (Lines{"ab", "cdefgh"}));
    EXPECT_EQ(streamed(Segments().send(1, "b").send(0, "abcd").frames), (Lines{"abcd"}));
}

TEST(Stream, sequence_numbers_wrap_around) {
    for (uint32_t isn : {0xfffffff0u, 0xfffffffeu, 0xffffffffu, 0x7fffffffu, 0x7ffffff8u})
        EXPECT_EQ(streamed(Segments(isn)
                               .send(0, "0123456789")
                               .send(20, "klmno")
                               .send(10, "abcdefghij")
                               .send(5, "56789a")
                               .send(25, "!")
                               .frames),
                  (Lines{"0123456789", "abcdefghij", "klmno", "!"}));
}

TEST(Stream, four_gigabytes_wrap_twice) {
    Fake<0> p("alpha", [](const Shown &) { return AICORE_YES; });
    Frames f;
    Connection c(f);
    c.open(0);
    // 65,000 bytes on the wire, of which the capture holds the first: 140,000 of them are 9.1 GB.
    Frame frame = tcp_frame(1, c.ends, kAck, 0, 5001, "x");
    frame.bytes[16] = static_cast<uint8_t>(65'040 >> 8); // IPv4 total length
    frame.bytes[17] = static_cast<uint8_t>(65'040 & 255);
    frame.wire = 14 + 65'040;
    for (uint32_t i = 0; i < 140'000; ++i) {
        const uint32_t seq = c.seq[0] + i * 65'000;
        for (int b = 0; b < 4; ++b)
            frame.bytes[14 + 20 + 4 + static_cast<size_t>(b)] = static_cast<uint8_t>(seq >> (24 - 8 * b));
        f.push_back(frame);
    }
    const Result r = run(f, {}, {&p.p});
    EXPECT_EQ(p.shown.size(), 140'000u);
    EXPECT_EQ(r.events.back().payload_bytes, 140'000ull * 65'000);
    EXPECT_EQ(r.events.back().retransmissions, 0u);
    EXPECT_EQ(p.shown[0].flags, AICORE_TRUNCATED);
    EXPECT_EQ(p.shown[1].flags, AICORE_TRUNCATED | AICORE_GAP);
}

TEST(Stream, data_of_syn_and_fin_belongs_to_it) {
    Frames f;
    f.push_back(tcp_frame(0, kEnds, kSyn, 1000, 0, "open")); // TCP Fast Open
    f.push_back(tcp_frame(0, kEnds.back(), kSyn | kAck, 7000, 1005));
    f.push_back(tcp_frame(0, kEnds, kAck, 1005, 7001, "more"));
    f.push_back(tcp_frame(0, kEnds, kAck | kFin, 1009, 7001, "last"));
    EXPECT_EQ(streamed(f), (Lines{"open", "more", "last"}));
    f[1] = tcp_frame(0, kEnds.back(), kSyn | kAck, 7000, 1001); // its data was not taken: sent again
    f.insert(f.begin() + 2, tcp_frame(0, kEnds, kAck, 1001, 7001, "open"));
    EXPECT_EQ(streamed(f), (Lines{"open", "more", "last"}));
}

TEST(Stream, data_of_a_reset_does_not) {
    EXPECT_EQ(streamed(Segments().send(0, "abc").send(3, "go away", kRst | kAck).frames), (Lines{"abc"}));
}

TEST(Stream, keep_alive_is_no_data) {
    EXPECT_EQ(streamed(Segments().send(0, "abc").send(2, std::string(1, '\0'), kAck).send(3, "d").frames),
              (Lines{"abc", "d"}));
}

TEST(Stream, late_data_of_a_closed_connection_is_shown) {
    Segments s;
    s.send(0, "ab").send(4, "ef");
    s.send(6, "", kFin | kAck);
    s.frames.push_back(tcp_frame(1.5, kEnds.back(), kFin | kAck, 7001, s.isn + 3));
    s.t = 2;
    s.send(2, "cd");
    EXPECT_EQ(streamed(s.frames), (Lines{"ab", "cd", "ef"}));
}

// Holes ------------------------------------------------------------------------------------------------------------

TEST(Stream, what_was_acknowledged_is_not_waited_for) {
    EXPECT_EQ(streamed(Segments().send(0, "a").send(3, "de").ack(5).send(5, "f").frames), (Lines{"a", "!de", "f"}));
    EXPECT_EQ(streamed(Segments().send(0, "a").send(3, "de").ack(1).send(1, "bc").frames), (Lines{"a", "bc", "de"}));
}

TEST(Stream, an_acknowledgment_gives_up_no_more_than_it_names) {
    EXPECT_EQ(streamed(Segments().send(0, "a").send(5, "f").ack(3).send(3, "de").frames), (Lines{"a", "!de", "f"}));
}

TEST(Stream, a_hole_is_given_up_behind_32_segments) {
    Segments s;
    for (uint32_t i = 1; i <= 40; ++i)
        s.send(i, std::string(1, static_cast<char>('A' + i)));
    const auto got = streamed(s.frames);
    ASSERT_EQ(got.size(), 40u);
    EXPECT_EQ(got[0], "!B");
    EXPECT_EQ(got[1], "C");
    const Streamed r = stream(s.frames);
    EXPECT_EQ(r.result.count("reassembly_gaps"), 1u);
}

// The missing byte comes at last: the hole was waited for, or given up.
uint64_t gaps_behind(uint32_t segments, uint32_t bytes, size_t bound) {
    Segments s;
    s.send(0, "a");
    for (uint32_t i = 0; i < segments; ++i)
        s.send(2 + i * bytes, std::string(bytes, 'x'));
    s.send(1, "b");
    EngineOptions o;
    o.stream_bytes = bound;
    return stream(s.frames, o).result.count("reassembly_gaps");
}

TEST(Stream, the_bounds_of_waiting_are_as_they_are_named) {
    EXPECT_EQ(gaps_behind(32, 1, 16 << 10), 0u);
    EXPECT_EQ(gaps_behind(33, 1, 16 << 10), 1u);
    EXPECT_EQ(gaps_behind(3, 333, 1000), 0u);
    EXPECT_EQ(gaps_behind(4, 250, 1000), 1u);
}

TEST(Stream, a_hole_is_given_up_behind_the_bound_of_bytes) {
    Segments s;
    for (uint32_t i = 0; i < 20; ++i)
        s.send(10 + i * 1000, std::string(1000, static_cast<char>('A' + i)));
    EngineOptions o;
    o.stream_bytes = 4000;
    const auto got = pieces(stream(s.frames, o).shown);
    ASSERT_EQ(got.size(), 20u);
    EXPECT_EQ(got[0], "!" + std::string(1000, 'A'));
    EXPECT_EQ(got[19], std::string(1000, 'T'));
}

TEST(Stream, capture_that_cuts_packets) {
    const auto cut_frame = [](Frame f, uint32_t bytes) {
        f.wire = static_cast<uint32_t>(f.bytes.size());
        f.bytes = cut(f.bytes, 0, f.bytes.size() - bytes);
        return f;
    };
    Segments s;
    s.send(0, "abcdef").send(6, "ghi");
    s.frames[3] = cut_frame(s.frames[3], 2);
    const Streamed in_order = stream(s.frames);
    EXPECT_EQ(pieces(in_order.shown), (Lines{"abcd", "!ghi"}));
    EXPECT_EQ(in_order.shown[0].flags, AICORE_TRUNCATED);
    EXPECT_EQ(in_order.result.events.back().payload_bytes, 9u);
    Segments later; // the cut one waits first
    later.send(6, "ghijkl").send(0, "abcdef").send(12, "mno");
    later.frames[3] = cut_frame(later.frames[3], 4);
    const Streamed waited = stream(later.frames);
    EXPECT_EQ(pieces(waited.shown), (Lines{"abcdef", "gh", "!mno"}));
    EXPECT_EQ(waited.shown[1].flags, AICORE_TRUNCATED);
}

TEST(Stream, gap_drops_what_was_not_consumed) {
    Fake<0> p("alpha", [](const Shown &s) { return s.recognised ? AICORE_MORE : AICORE_YES; });
    run(Segments().send(0, "a").send(1, "bc").send(5, "fg").ack(7).send(7, "h").frames, {}, {&p.p}, false);
    EXPECT_EQ(pieces(p.shown), (Lines{"a", "bc", "!fg", "fgh"}));
    Fake<1> q("beta", [](const Shown &) { return AICORE_MORE; }); // before recognition
    run(Segments().send(0, "a").send(1, "bc").send(5, "fg").ack(7).send(7, "h").frames, {}, {&q.p}, false);
    EXPECT_EQ(pieces(q.shown), (Lines{"a", "abc", "!fg", "fgh"}));
}

TEST(Stream, from_the_middle_each_segment_may_be_a_start) {
    Fake<0> p("alpha", [](const Shown &s) {
        EXPECT_EQ(s.flags & AICORE_MIDSTREAM, unsigned{AICORE_MIDSTREAM});
        return s.data.substr(0, 3) == "GET" ? AICORE_YES : AICORE_NO;
    });
    p.prefixes({"GET"});
    Frames f;
    Connection c(f);
    for (const char *piece : {"tail of", " something", "GET /", "next"})
        c.data(0, 0, piece);
    const Result r = run(f, {}, {&p.p}, false);
    EXPECT_EQ(p.shown.size(), 2u);
    EXPECT_EQ(r.events.back().layer7_name, "alpha");
    Fake<1> never("never", [](const Shown &) { return AICORE_NO; });
    for (int i = 0; i < 100; ++i)
        c.data(1, 0, "junk");
    run(f, {}, {&never.p}, false);
    EXPECT_EQ(never.shown.size(), 16u);
}

// Chance -----------------------------------------------------------------------------------------------------------

std::string content(size_t n) {
    std::string s(n, 0);
    for (size_t i = 0; i < n; ++i) {
        uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15u;
        x ^= x >> 29;
        s[i] = static_cast<char>(x >> 8 * (i % 8));
    }
    return s;
}

struct Piece {
    uint32_t offset;
    size_t length;
    int direction;
};

class RandomStreams : public testing::Test {
  protected:
    std::mt19937_64 random{20240607};
    size_t below(size_t n) { return random() % n; }

    // Both streams in pieces with overlaps and duplicates, displaced by a few places.
    std::vector<Piece> chopped(size_t n0, size_t n1) {
        std::vector<std::pair<size_t, Piece>> order;
        for (const int d : {0, 1}) {
            const size_t n = d ? n1 : n0;
            for (size_t at = 0; at < n;) {
                const size_t back = at ? below(std::min<size_t>(at, 20) + 1) * (below(4) == 0) : 0; // overlap
                const size_t length = std::min(n - at, 1 + below(60));
                const Piece piece{static_cast<uint32_t>(at - back), length + back, d};
                const size_t place = order.size() * 4 + below(24);
                order.push_back({place, piece});
                if (below(5) == 0) order.push_back({place + below(24), piece});
                at += length;
            }
        }
        std::stable_sort(order.begin(), order.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
        std::vector<Piece> out;
        for (const auto &[place, piece] : order)
            out.push_back(piece);
        return out;
    }
};

TEST_F(RandomStreams, any_segmentation_order_and_duplication_gives_exactly_the_streams) {
    const std::string bytes[2] = {content(3000), content(6000).substr(3000)};
    for (int round = 0; round < 2000; ++round) {
        const size_t n0 = 1 + below(1500), n1 = below(1500);
        const uint32_t isn[2] = {static_cast<uint32_t>(below(3) ? random() : 0 - below(2000)),
                                 static_cast<uint32_t>(random())};
        Frames f;
        f.push_back(tcp_frame(0, kEnds, kSyn, isn[0], 0));
        f.push_back(tcp_frame(0, kEnds.back(), kSyn | kAck, isn[1], isn[0] + 1));
        for (const Piece &p : chopped(n0, n1)) // ACK alone never set: nothing is given up
            f.push_back(tcp_frame(1, p.direction ? kEnds.back() : kEnds, kPsh, isn[p.direction] + 1 + p.offset, 0,
                                  std::string_view(bytes[p.direction]).substr(p.offset, p.length)));
        // Recognised after a random number of bytes; before and behind, a random part is left.
        const size_t decide = 1 + below(100);
        std::string got[2];
        Fake<0> p("alpha", [&](const Shown &s) {
            EXPECT_EQ(s.flags, 0u);
            if (!s.recognised && s.data.size() < decide) return int{AICORE_MORE};
            const size_t eat = below(3) ? s.data.size() : below(s.data.size() + 1);
            s.payload->consumed = eat;
            got[s.reverse] += s.data.substr(0, eat);
            return s.recognised && below(2) ? int{AICORE_MORE} : int{AICORE_YES};
        });
        const Result r = run(f, {}, {&p.p}, false);
        ASSERT_EQ(r.count("reassembly_gaps"), 0u) << round;
        if (p.shown.empty() || !p.shown.back().recognised) continue;
        // What was consumed and what the last call of a direction still showed is a prefix of the stream; with what
        // was never shown again it is all of it: the last call's rest.
        for (const int d : {0, 1}) {
            const std::string want = bytes[d].substr(0, d ? n1 : n0);
            ASSERT_EQ(got[d], want.substr(0, got[d].size())) << round << " direction " << d;
            for (size_t i = p.shown.size(); i-- > 0;) {
                if (p.shown[i].reverse != (d == 1)) continue;
                const std::string &shown = p.shown[i].data; // ends where the stream ends
                ASSERT_EQ(shown, want.substr(want.size() - shown.size())) << round << " direction " << d;
                break;
            }
        }
    }
}

TEST_F(RandomStreams, losses_are_told_and_nothing_else_is_missing) {
    const std::string bytes = content(4000);
    size_t gaps = 0;
    for (int round = 0; round < 1000; ++round) {
        const size_t n = 500 + below(2500);
        Segments s(static_cast<uint32_t>(random()));
        std::vector<bool> captured(n, false);
        std::vector<Piece> all = chopped(n, 0);
        size_t missing = 0;
        for (const Piece &p : all) {
            if (below(10) == 0) { // not in the capture
                ++missing;
                continue;
            }
            for (size_t i = p.offset; i < p.offset + p.length; ++i)
                captured[i] = true;
            s.send(p.offset, std::string_view(bytes).substr(p.offset, p.length));
        }
        s.ack(static_cast<uint32_t>(n));
        for (size_t i = 0; i < missing; ++i)
            s.ack(static_cast<uint32_t>(n)); // each passes one hole
        const Streamed r = stream(s.frames);
        size_t at = 0;
        for (const Shown &shown : r.shown) {
            if (shown.flags & AICORE_GAP) {
                ++gaps;
                ASSERT_FALSE(captured[at]) << round;
                while (at < n && !captured[at])
                    ++at;
            }
            ASSERT_EQ(shown.data, bytes.substr(at, shown.data.size())) << round << " at " << at;
            at += shown.data.size();
            ASSERT_LE(at, n);
        }
        for (size_t i = at; i < n; ++i)
            ASSERT_FALSE(captured[i]) << round << " byte " << i << " at the end";
    }
    EXPECT_GT(gaps, 1000u);
}

// Bounds -----------------------------------------------------------------------------------------------------------

TEST(StreamBounds, all_buffers_together_are_bounded_and_the_longest_unused_is_given_up) {
    constexpr uint16_t kFlows = 200;
    Fake<0> p("alpha", [](const Shown &s) { return s.data.size() < 900 ? AICORE_MORE : AICORE_YES; });
    EngineOptions o;
    o.stream_bytes = 1024;
    o.streams_bytes = 20'000;
    Frames f;
    std::vector<Connection> c;
    for (uint16_t i = 0; i < kFlows; ++i)
        c.push_back({f, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 80}});
    for (auto &each : c)
        each.open(0);
    for (int part = 0; part < 9; ++part)
        for (auto &each : c)
            each.data(1 + part, 0, std::string(100, static_cast<char>('a' + part)));
    const Result r = run(f, o, {&p.p}, false);
    EXPECT_GT(r.count("reassembly_evicted"), 1000u);
    size_t behind_gap = 0;
    for (const Shown &s : p.shown)
        behind_gap += (s.flags & AICORE_GAP) != 0;
    EXPECT_LE(behind_gap, r.count("reassembly_evicted"));
    EXPECT_GE(behind_gap + kFlows, r.count("reassembly_evicted")); // those given up last are not shown any more
    EXPECT_EQ(r.of(EventKind::remove).size(), kFlows);
}

TEST(StreamBounds, the_bound_of_all_together_is_as_it_is_named) {
    for (const size_t second : {424u, 425u}) {
        Fake<0> p("alpha", [](const Shown &) { return AICORE_MORE; });
        EngineOptions o;
        o.stream_bytes = o.streams_bytes = 1024;
        Frames f;
        Connection a(f), b(f, {"10.0.0.1", "10.0.0.2", 1000, 80});
        a.open(0);
        b.open(0);
        a.data(1, 0, std::string(600, 'a'));
        b.data(1, 0, std::string(second, 'b'));
        EXPECT_EQ(run(f, o, {&p.p}).count("reassembly_evicted"), second - 424);
    }
}

TEST(StreamBounds, a_flow_used_lately_keeps_its_bytes) {
    Fake<0> p("alpha", [](const Shown &s) { return s.data.size() < 900 ? AICORE_MORE : AICORE_YES; });
    EngineOptions o;
    o.stream_bytes = 1024;
    o.streams_bytes = 5'000;
    Frames f;
    Connection used(f);
    used.open(0);
    std::deque<Connection> others;
    for (uint16_t i = 0; i < 90; ++i) {
        if (i % 10 == 0) used.data(1 + i, 0, std::string(100, 'u'));
        Connection &other =
            others.emplace_back(Connection{f, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 80}});
        other.open(1 + i);
        other.data(1 + i, 0, std::string(100, 'o'));
    }
    const Result r = run(f, o, {&p.p}, false);
    const auto removed = r.of(EventKind::remove);
    const auto it = std::find_if(removed.begin(), removed.end(), [](const Event &e) { return e.portsrc == 40000; });
    ASSERT_NE(it, removed.end());
    EXPECT_EQ(it->layer7_name, "alpha"); // saw its 900 bytes
    EXPECT_GT(r.count("reassembly_evicted"), 20u);
}

TEST(StreamBounds, flows_that_end_give_their_bytes_back) {
    Fake<0> p("alpha", [](const Shown &) { return AICORE_MORE; });
    EngineOptions o;
    o.stream_bytes = 1024;
    o.streams_bytes = 5'000;
    Frames f;
    for (uint16_t i = 0; i < 2000; ++i) {
        Connection c(f, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 80});
        c.open(i * 10);
        c.data(i * 10, 0, std::string(500, 'x'));
        c.seq[0] += 10;
        c.data(i * 10, 0, std::string(400, 'y')); // waits for ever
        c.send(i * 10 + 1, 1, kRst);
    }
    EXPECT_EQ(run(f, o, {&p.p}).count("reassembly_evicted"), 0u);
}

TEST(StreamBounds, random_traffic_of_many_flows_under_tight_bounds) {
    std::mt19937 random(7);
    Fake<0> p("alpha", [&](const Shown &s) {
        switch (random() % 12) {
        case 0:
            return AICORE_NO;
        case 1:
            return AICORE_DONE;
        case 2:
            s.host().hand_over(s.flow, random() % 2 ? "beta" : nullptr);
            s.payload->consumed = random() % (s.data.size() + 1);
            return AICORE_YES;
        case 3:
            s.set(0, s.data);
            return AICORE_YES;
        case 4:
            s.payload->consumed = random() % (2 * s.data.size());
            return AICORE_MORE;
        case 5:
            s.payload->consumed = random() % (2 * s.data.size());
            return AICORE_YES;
        case 6:
            return AICORE_YES;
        default:
            return AICORE_MORE;
        }
    });
    p.field("afield", AICORE_STRING, AICORE_NOTIFY).state(100);
    Fake<1> q("beta", [&](const Shown &s) {
        s.state[0] = 1;
        switch (random() % 6) {
        case 0:
            return AICORE_NO;
        case 1:
            s.host().hand_over(s.flow, "absent");
            return AICORE_YES;
        case 2:
            s.host().hand_over(s.flow, "alpha");
            return AICORE_MORE;
        case 3:
            return AICORE_YES;
        default:
            return AICORE_MORE;
        }
    });
    q.state(8);
    EngineOptions o;
    o.stream_bytes = 256;
    o.streams_bytes = 3'000;
    o.tcp_flows = 60;
    o.batch_rows = 16;
    uint64_t sent = 0;
    Frames f;
    for (int i = 0; i < 60'000; ++i) {
        const Endpoints e{"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(random() % 100), 80};
        static constexpr uint8_t kFlags[] = {kAck,        kAck,        kAck, kAck,        kAck,        kAck,
                                             kAck | kPsh, kAck | kPsh, kSyn, kSyn | kAck, kFin | kAck, kRst};
        f.push_back(tcp_frame(i * 0.01, random() % 2 ? e : e.back(), kFlags[random() % std::size(kFlags)],
                              1000 + random() % 400, 1000 + random() % 400, std::string(random() % 120, 'x')));
        ++sent;
    }
    const Result r = run(f, o, {&p.p, &q.p}, false);
    uint64_t packets = 0;
    for (const Event &e : r.of(EventKind::remove))
        packets += e.packets;
    EXPECT_EQ(packets, sent);
    EXPECT_EQ(r.of(EventKind::insert).size(), r.of(EventKind::remove).size());
    EXPECT_GT(p.shown.size(), 1000u);
    EXPECT_GT(q.shown.size(), 100u);
    EXPECT_GT(r.count("reassembly_evicted"), 10u);
}

// Bytes that an owner passes over: the payload "N:..." has N bytes more than it holds.
std::vector<std::string> passed(const Frames &frames, Result *result = nullptr) {
    Fake<0> p("alpha", [](const Shown &s) {
        if (const size_t colon = s.data.find(':'); colon != s.data.npos)
            s.payload->consumed = s.data.size() + std::stoull(s.data);
        return AICORE_YES;
    });
    const Result r = run(frames, {}, {&p.p}, false);
    if (result) *result = r;
    return pieces(p.shown);
}

TEST(Stream, what_is_passed_over_is_not_shown) {
    EXPECT_EQ(passed(Segments().send(0, "5:").send(2, "xxxxx").send(7, "a").frames), (Lines{"5:", "a"}));
    EXPECT_EQ(passed(Segments().send(0, "5:").send(2, "xxx").send(5, "xxab").frames), (Lines{"5:", "ab"}));
    EXPECT_EQ(passed(Segments().send(0, "b").send(1, "0:").send(3, "a").frames), (Lines{"b", "0:", "a"}));
    EXPECT_EQ(passed(Segments().send(0, "5:").send(2, "xxxxx2:").send(9, "xxa").frames), (Lines{"5:", "2:", "a"}));
    EXPECT_EQ(passed(Segments(0xfffffff8u).send(0, "9:").send(2, "xxxxx").send(7, "xxxxab").frames),
              (Lines{"9:", "ab"}));
}

TEST(Stream, no_hole_is_seen_in_what_is_passed_over) {
    const auto lossy = [](const Segments &s) {
        Result r;
        const std::vector<std::string> shown = passed(s.frames, &r);
        EXPECT_EQ(r.count("reassembly_gaps"), 0u);
        return shown;
    };
    EXPECT_EQ(lossy(Segments().send(0, "5:").send(5, "xx").send(7, "a")), (Lines{"5:", "a"}));
    EXPECT_EQ(lossy(Segments().send(0, "5:").send(5, "xxa")), (Lines{"5:", "a"})) << "a segment across its end";
    EXPECT_EQ(lossy(Segments().send(0, "5:").send(7, "a").send(8, "b")), (Lines{"5:", "a", "b"})) << "all of it";
    EXPECT_EQ(lossy(Segments().send(0, "5:").send(8, "b").send(2, "xxx").send(5, "xxa").send(9, "c")),
              (Lines{"5:", "a", "b", "c"}))
        << "behind its end order is kept";
    EXPECT_EQ(lossy(Segments().send(8, "b").send(2, "xx").send(0, "5:").send(7, "a")), (Lines{"5:", "a", "b"}))
        << "some of it came before";
    EXPECT_EQ(lossy(Segments().send(0, "5:").send(4, "xxx").send(2, "xx").send(2, "xxxxx").send(7, "a")),
              (Lines{"5:", "a"}))
        << "out of order, and again";
    EXPECT_EQ(passed(Segments().send(0, "5:").send(8, "b").ack(9).send(9, "c").frames), (Lines{"5:", "!b", "c"}))
        << "a hole behind its end is one";
}

TEST(Stream, what_the_capture_cut_off_may_be_passed_over) {
    const auto cut = [](const std::string &first) {
        Segments s;
        s.send(0, first + "12345"); // of which the capture has not the last 5 bytes
        Frame &frame = s.frames.back();
        frame.wire = static_cast<uint32_t>(frame.bytes.size());
        frame.bytes.resize(frame.bytes.size() - 5);
        return passed(s.send(7, "678").send(10, "9").frames);
    };
    EXPECT_EQ(cut("5:"), (Lines{"5:", "678", "9"}));
    EXPECT_EQ(cut("7:"), (Lines{"7:", "8", "9"}));
    EXPECT_EQ(cut("4:"), (Lines{"4:", "!678", "9"}));
}

TEST(Stream, gigabytes_are_passed_over) {
    const uint64_t size = 9'000'000'000;
    Segments s;
    s.send(0, std::to_string(size) + ":");
    Frame frame = tcp_frame(1, kEnds, kAck, 0, 7001, "x");
    frame.bytes[16] = static_cast<uint8_t>(65'040 >> 8); // IPv4 total length: 65,000 bytes on the wire
    frame.bytes[17] = static_cast<uint8_t>(65'040 & 255);
    frame.wire = 14 + 65'040;
    const auto send = [&](uint64_t offset) {
        const uint32_t seq = s.isn + 1 + 11 + static_cast<uint32_t>(offset);
        for (int b = 0; b < 4; ++b)
            frame.bytes[14 + 20 + 4 + static_cast<size_t>(b)] = static_cast<uint8_t>(seq >> (24 - 8 * b));
        s.frames.push_back(frame);
    };
    for (uint64_t offset = 0; offset + 65'000 <= size; offset += 65'000)
        if (offset % 7 != 3) send(offset); // some are lost
    send(size - 65'000);
    EXPECT_EQ(passed(s.send(static_cast<uint32_t>(size) + 11, "a").frames), (Lines{"9000000000:", "a"}));
}

TEST(Stream, the_rest_of_a_direction_is_passed_over) {
    Segments s;
    s.send(0, std::to_string(SIZE_MAX - 22) + ":").send(21, "a").send(90, "b").send(22, "c");
    s.frames.push_back(tcp_frame(s.t, kEnds.back(), kAck | kPsh, 7001, s.isn, "other"));
    Fake<0> p("alpha", [](const Shown &shown) {
        if (!shown.reverse) shown.payload->consumed = SIZE_MAX - 1;
        return AICORE_YES;
    });
    run(s.frames, {}, {&p.p}, false);
    EXPECT_EQ(p.shown.size(), 2u);
    EXPECT_EQ(pieces(p.shown, true), Lines{"other"});
}

} // namespace
} // namespace aicore::test
