// SPDX-License-Identifier: Apache-2.0
// Streams for meters: in order, each byte once, up to the bound, whether dissectors look at the flow or not.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "fake_meter.h"
#include "fake_protocol.h"
#include "segments.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
constexpr uint32_t kWhole = UINT32_MAX;

// Who looks at the flow beside the meter.
enum class Dissectors { none, done, owner, by_answer, skips };
constexpr Dissectors kAll[] = {Dissectors::none, Dissectors::done, Dissectors::owner, Dissectors::by_answer,
                               Dissectors::skips};

struct Seen {
    Lines chunks; // "<" before those of the other direction, "!" for a gap before
    Result result;
};

Seen see(const Frames &frames, Dissectors who, uint32_t bytes = kWhole, EngineOptions o = {}) {
    FakeMeter<0> m("m", {}, "stream");
    m.streams(bytes);
    const int answer = who == Dissectors::done ? AICORE_DONE : AICORE_YES;
    Fake<0> p("alpha",
              [=](const Shown &x) { return who == Dissectors::by_answer && !x.payload->reverse ? AICORE_NO : answer; });
    std::vector<const aicore_protocol *> protocols;
    if (who != Dissectors::none) protocols.push_back(&p.p);
    Seen seen;
    seen.result = Metering{{&m.m}, protocols, o}.run(frames);
    for (const std::string &line : m.log)
        seen.chunks.push_back(line.substr(7)); // without "stream "
    return seen;
}

void expect_all(const Frames &frames, const Lines &chunks, uint32_t bytes = kWhole) {
    for (const Dissectors who : kAll)
        EXPECT_EQ(see(frames, who, bytes).chunks, chunks) << static_cast<int>(who);
}

TEST(MeterStream, in_order_and_by_direction) {
    expect_all(Segments().send(0, "abc").back(0, "xy").send(3, "de").back(2, "z").frames, {"abc", "<xy", "de", "<z"});
}

TEST(MeterStream, retransmissions_are_given_once) {
    expect_all(Segments().send(0, "abc").send(0, "abc").send(1, "XYde").send(2, "cd").send(5, "f").frames,
               {"abc", "de", "f"});
}

TEST(MeterStream, out_of_order_waits_also_behind_the_dissectors_end) {
    expect_all(Segments().send(0, "a").send(3, "de").send(5, "f").send(1, "bc").send(6, "g").frames,
               {"a", "bc", "de", "f", "g"});
    expect_all(Segments().send(0, "a").send(2, "c").send(1, "b").send(4, "e").send(3, "d").send(5, "f").frames,
               {"a", "b", "c", "d", "e", "f"});
}

// The dissectors leave such a direction alone while somebody may yet tell by the other one.
TEST(MeterStream, a_direction_that_dissectors_gave_up_is_whole_also_when_the_other_one_begins_late) {
    for (const bool hole : {false, true}) {
        Segments s;
        Lines expected;
        for (uint32_t i = 0; i < 20; ++i) {
            s.send(i, "x");
            expected.push_back("x");
        }
        if (hole) s.send(21, "c");
        s.back(0, "answer");
        expected.push_back("<answer");
        if (hole) s.send(20, "b").send(22, "d");
        if (hole) expected.insert(expected.end(), {"b", "c", "d"});
        s.back(6, "more");
        expected.push_back("<more");
        expect_all(s.frames, expected);
        EXPECT_EQ(see(s.frames, Dissectors::by_answer).result.events.back().layer7_name, "alpha");
    }
}

TEST(MeterStream, a_hole_that_was_acknowledged_is_a_gap) {
    expect_all(Segments().send(0, "a").send(3, "de").ack(5).send(5, "f").frames, {"a", "!de", "f"});
    expect_all(Segments().send(0, "a").send(3, "de").ack(3).send(5, "f").frames, {"a", "!de", "f"});
}

TEST(MeterStream, a_hole_is_given_up_at_the_bound_of_waiting_bytes) {
    EngineOptions o;
    o.stream_bytes = 256;
    const std::string x(100, 'x'), y(56, 'y'), z(55, 'z');
    for (const Dissectors who : kAll) {
        EXPECT_EQ(see(Segments().send(0, "a").send(3, x).send(103, x).send(203, z).frames, who, kWhole, o).chunks,
                  Lines{"a"}); // 255 wait
        EXPECT_EQ(see(Segments().send(0, "a").send(3, x).send(103, x).send(203, y).frames, who, kWhole, o).chunks,
                  (Lines{"a", "!" + x, x, y})); // 256
    }
}

TEST(MeterStream, a_hole_is_given_up_when_33_segments_wait) {
    for (const Dissectors who : kAll) {
        Segments s;
        s.send(0, "a");
        for (uint32_t i = 0; i < 32; ++i)
            s.send(2 + i, "x");
        EXPECT_EQ(see(s.frames, who).chunks.size(), 1u);
        s.send(34, "x");
        EXPECT_EQ(see(s.frames, who).chunks.size(), 34u);
    }
}

TEST(MeterStream, bytes_that_were_not_captured_are_a_gap) {
    expect_all(Segments().send(0, "a").cut_short(1, "bcd", 1).send(4, "e").send(5, "f").frames, {"a", "b", "!e", "f"});
    expect_all(Segments().send(0, "a").cut_short(1, "bcd", 0).send(4, "e").send(5, "f").frames, {"a", "!e", "f"});
}

TEST(MeterStream, waiting_bytes_that_were_given_up_for_all_streams_together_leave_a_gap) {
    // Two connections whose out-of-order bytes do not fit together: the first one's are dropped.
    EngineOptions o;
    o.stream_bytes = o.streams_bytes = 256;
    Frames f = Segments().send(0, "a").send(2, std::string(200, 'x')).frames;
    const Endpoints other{"10.0.0.5", "10.0.0.6", 1, 2};
    f.push_back(tcp_frame(2, other, kSyn, 1, 0));
    f.push_back(tcp_frame(2, other, kAck, 2, 0, "A"));
    f.push_back(tcp_frame(2, other, kAck, 4, 0, std::string(100, 'y')));
    f.push_back(tcp_frame(3, kEnds, kAck, 1001 + 1, 7001, "b"));
    f.push_back(tcp_frame(3, kEnds, kAck, 1001 + 202, 7001, "c"));
    f.push_back(tcp_frame(3.1, kEnds.back(), kAck, 7001, 1001 + 203));
    for (const Dissectors who : kAll) {
        const Seen seen = see(f, who, kWhole, o);
        EXPECT_EQ(seen.chunks, (Lines{"a", "A", "b", "!c"})) << static_cast<int>(who);
        EXPECT_EQ(seen.result.count("reassembly_evicted"), 1u);
    }
}

TEST(MeterStream, the_bound_of_bytes_holds_per_direction_and_meter) {
    const Frames f = Segments().send(0, "abc").back(0, "uvwxyz").send(3, "def").send(6, "ghi").frames;
    expect_all(f, {"abc", "<uvwx", "d"}, 4);
    expect_all(f, {"abc", "<uvw"}, 3); // at the end of a segment
    expect_all(f, {"a", "<u"}, 1);
    FakeMeter<0> a("a", {}, "stream");
    FakeMeter<1> b("b", {}, "stream");
    FakeMeter<2> none("none", {}, "stream");
    a.streams(4);
    b.streams(7);
    Metering{{&a.m, &none.m, &b.m}}.run(f);
    EXPECT_EQ(a.log, (Lines{"stream abc", "stream <uvwx", "stream d"}));
    EXPECT_EQ(b.log, (Lines{"stream abc", "stream <uvwxyz", "stream def", "stream g"}));
    EXPECT_EQ(none.log, Lines{});
}

TEST(MeterStream, the_offset_counts_what_was_given) {
    std::vector<uint64_t> offsets;
    FakeMeter<0> m(
        "m", [&](const Metered &x) { offsets.push_back(x.chunk->offset); }, "stream");
    m.streams(kWhole);
    Metering{{&m.m}}.run(Segments().send(0, "abc").back(0, "xy").send(3, "de").send(7, "g").ack(8).send(8, "h").frames);
    EXPECT_EQ(offsets, (std::vector<uint64_t>{0, 0, 3, 5, 6}));
}

TEST(MeterStream, datagrams_are_chunks) {
    const Endpoints e{"10.0.0.1", "10.0.0.2", 5000, 5001};
    Frames f;
    for (int i = 0; i < 50; ++i) // more than any dissector looks at
        f.push_back(udp_frame(i, i % 2 ? e.back() : e, "d" + std::to_string(i)));
    for (const Dissectors who : kAll) {
        const Lines chunks = see(f, who).chunks;
        ASSERT_EQ(chunks.size(), 50u);
        EXPECT_EQ(chunks[49], "<d49");
        EXPECT_EQ(see(f, who, 5).chunks, (Lines{"d0", "<d1", "d2", "<d3", "d", "<d"}));
    }
}

TEST(MeterStream, a_connection_caught_in_its_middle_is_marked) {
    Frames f;
    f.push_back(tcp_frame(0, kEnds, kAck, 500, 9, "abc"));
    f.push_back(tcp_frame(1, kEnds, kAck, 503, 9, "de"));
    std::vector<int> flags;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            flags.push_back(x.chunk->flags);
            EXPECT_EQ(x.flow->midstream, 1);
        },
        "stream");
    m.streams(kWhole);
    Fake<0> p("alpha", [](const Shown &) { return AICORE_DONE; });
    Metering{{&m.m}, {&p.p}}.run(f);
    EXPECT_EQ(flags, (std::vector<int>{AICORE_MIDSTREAM, AICORE_MIDSTREAM}));
}

TEST(MeterStream, payload_of_a_reset_is_left_out) {
    expect_all(Segments().send(0, "abc").send(3, "error text", kRst | kAck).frames, {"abc"});
}

TEST(MeterStream, sequence_numbers_wrap) {
    expect_all(Segments(UINT32_MAX - 3).send(0, "abc").send(6, "gh").send(3, "def").send(8, "i").frames,
               {"abc", "def", "gh", "i"});
}

TEST(MeterStream, data_behind_the_syn_and_before_the_fin) {
    Frames f;
    f.push_back(tcp_frame(0, kEnds, kSyn, 100, 0, "open")); // TCP Fast Open
    f.push_back(tcp_frame(0, kEnds.back(), kSyn | kAck, 7000, 105));
    f.push_back(tcp_frame(1, kEnds, kAck | kFin, 105, 7001, "end"));
    f.push_back(tcp_frame(1, kEnds.back(), kAck, 7001, 109));
    f.push_back(tcp_frame(2, kEnds, kAck, 105, 7001, "end")); // again
    expect_all(f, {"open", "end"});
}

// Whatever arrives in whatever order: the chunks are the stream, with or without dissectors.
TEST(MeterStream, shuffled_segments_give_the_stream) {
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        std::string whole(60, ' ');
        for (char &c : whole)
            c = static_cast<char>('a' + random() % 26);
        struct Piece {
            uint32_t at;
            std::string data;
        };
        std::vector<Piece> pieces;
        for (uint32_t at = 0; at < whole.size();) {
            const uint32_t n = 1 + random() % 7;
            pieces.push_back({at, whole.substr(at, n + random() % 3)}); // some overlap
            at += n;
        }
        for (size_t i = 0; i + 1 < pieces.size(); ++i)
            if (random() % 2)
                std::swap(pieces[i], pieces[i + 1 + random() % std::min<size_t>(4, pieces.size() - i - 1)]);
        Segments s;
        for (const Piece &piece : pieces) {
            s.send(piece.at, piece.data);
            if (random() % 4 == 0) s.send(piece.at, piece.data);
        }
        for (const Dissectors who : kAll) {
            const Lines chunks = see(s.frames, who).chunks;
            EXPECT_EQ(std::accumulate(chunks.begin(), chunks.end(), std::string()), whole) << round;
        }
    }
}

// What dissectors are shown is the same with a meter beside them as without.
TEST(MeterStream, dissectors_see_what_they_see_without_meters) {
    const Frames f = Segments()
                         .send(3, "de")
                         .send(0, "abc")
                         .cut_short(5, "fgh", 1)
                         .back(0, "xyz")
                         .send(10, "k")
                         .ack(11)
                         .send(11, "l")
                         .frames;
    const auto shown = [&](bool metered) {
        Fake<0> p("alpha",
                  [](const Shown &s) { return s.data.size() < 3 && !s.recognised ? AICORE_MORE : AICORE_YES; });
        FakeMeter<0> m("m");
        m.streams(2);
        Metering run{{}, {&p.p}};
        if (metered) run.meters.push_back(&m.m);
        run.run(f);
        Lines out;
        for (const Shown &s : p.shown)
            out.push_back((s.reverse ? "<" : ">") + std::to_string(s.flags) + s.data);
        return out;
    };
    EXPECT_EQ(shown(true), shown(false));
    EXPECT_FALSE(shown(false).empty());
}

} // namespace
} // namespace aicore::test
