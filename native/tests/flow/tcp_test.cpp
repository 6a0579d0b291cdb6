// SPDX-License-Identifier: Apache-2.0
// Who opened a connection, which segments count in it, and where it ends when its endpoints begin another one.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "doubts.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;
const Endpoints kV4, kV6{"2001:db8::1", "2001:db8::2", 40000, 80};
const std::string kData(10, 'd');

Frame tcp_of(double t, const Endpoints &e, uint8_t flags, uint32_t seq, uint32_t ack, std::string_view payload = {},
             const Bytes &options = {}) {
    const Tcp header{
        .src_port = e.src_port, .dst_port = e.dst_port, .seq = seq, .ack = ack, .flags = flags, .options = options};
    const bool v6 = e.src.find(':') != std::string::npos;
    return {kStart + seconds(t),
            v6 ? ethernet(kIpv6, ipv6({.src = e.src, .dst = e.dst, .next = kTcp}, tcp(header, text(payload))))
               : ethernet(kIpv4, ipv4({.src = e.src, .dst = e.dst, .proto = kTcp}, tcp(header, text(payload))))};
}

struct Talk { // as Connection, of both IP versions
    Endpoints ends;
    Frames frames;
    uint32_t seq[2] = {1000, 5000};
    double t = 0;

    explicit Talk(Endpoints e = {}) : ends(std::move(e)) {}
    Talk &at(double time) {
        t = time;
        return *this;
    }
    Talk &raw(int d, uint8_t flags, uint32_t number, uint32_t ack, std::string_view payload = {}) {
        frames.push_back(tcp_of(t, d ? ends.back() : ends, flags, number, ack, payload));
        t += 0.01;
        return *this;
    }
    Talk &send(int d, uint8_t flags, std::string_view payload = {}) {
        raw(d, flags, seq[d], flags & kAck ? seq[d ^ 1] : 0, payload);
        seq[d] += static_cast<uint32_t>(payload.size()) + (flags & kSyn ? 1 : 0) + (flags & kFin ? 1 : 0);
        return *this;
    }
    Talk &open() { return send(0, kSyn).send(1, kSyn | kAck).send(0, kAck); }
    Talk &data(int d, std::string_view payload = kData) { return send(d, kAck | kPsh, payload).send(d ^ 1, kAck); }
    Talk &close() { return send(0, kFin | kAck).send(1, kFin | kAck).send(0, kAck); }
    Talk &numbers(uint32_t a, uint32_t b) {
        seq[0] = a;
        seq[1] = b;
        return *this;
    }
    std::string key() const {
        const auto host = [](const std::string &a) { return a.find(':') == std::string::npos ? a : "[" + a + "]"; };
        return host(ends.src) + ":" + std::to_string(ends.src_port) + ":6:" + host(ends.dst) + ":" +
               std::to_string(ends.dst_port);
    }
};

// "packets reason" of each flow; with the key before it if that is not `talk`'s.
Lines ends(const Result &r, const Talk &talk) {
    Lines out;
    for (const Event &e : r.of(EventKind::remove))
        if (!is_tick(e))
            out.push_back((e.key == talk.key() ? "" : e.key + " ") + std::to_string(e.packets) + " " +
                          kEndReasonNames[static_cast<size_t>(e.end_reason)]);
    return out;
}
Lines ends(const Talk &talk, const EngineOptions &o = {}) {
    return ends(run(talk.frames, o), talk);
}

class TcpFlow : public testing::TestWithParam<Endpoints> {
  protected:
    Talk talk{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(IPv4, TcpFlow, testing::Values(kV4, kV4.back()));
INSTANTIATE_TEST_SUITE_P(IPv6, TcpFlow, testing::Values(kV6, kV6.back()));

// Direction --------------------------------------------------------------------------------------------------------

TEST_P(TcpFlow, the_receiver_of_a_syn_ack_is_the_initiator) {
    talk.open().data(0).data(1).close();
    const Frames whole = talk.frames;
    std::swap(talk.frames[0], talk.frames[1]); // stored in the wrong order
    EXPECT_EQ(ends(talk), (Lines{"10 fin"}));
    EXPECT_EQ(run(talk.frames).events.back().retransmissions, 0);
    talk.frames.assign(whole.begin() + 1, whole.end()); // without the SYN
    EXPECT_EQ(ends(talk), (Lines{"9 fin"}));
    const Result r = run(talk.frames);
    EXPECT_EQ(r.events.back().src_packets, 5);
    EXPECT_EQ(r.events[0].tcp_state, TcpState::syn_received);
    talk.frames.push_back(whole[0]); // last
    EXPECT_EQ(ends(talk), (Lines{"10 fin"}));
    EXPECT_EQ(run(talk.frames).events.back().first_seen, kStart);
}

TEST_P(TcpFlow, a_syn_ack_alone_is_an_answer) {
    EXPECT_EQ(ends(Talk(talk).send(1, kSyn | kAck)), (Lines{"1 shutdown"}));
}

TEST_P(TcpFlow, both_sides_may_open_at_once) {
    talk.send(0, kSyn).send(1, kSyn);
    talk.raw(0, kSyn | kAck, 1000, 5001).raw(1, kSyn | kAck, 5000, 1001);
    talk.data(0).data(1).close();
    EXPECT_EQ(ends(talk), (Lines{"11 fin"}));
    EXPECT_EQ(run(talk.frames).count("outside_window"), 0u);
}

TEST_P(TcpFlow, data_in_the_syn_counts_in_its_numbers) {
    talk.send(0, kSyn, kData).send(1, kSyn | kAck).send(0, kAck).data(1).close();
    EXPECT_EQ(ends(talk), (Lines{"8 fin"}));
    Talk refused(GetParam());
    refused.send(0, kSyn, kData).raw(1, kRst | kAck, 0, 1001); // the data is not acknowledged
    EXPECT_EQ(ends(refused), (Lines{"2 rst"}));
}

// Retries ----------------------------------------------------------------------------------------------------------

TEST_P(TcpFlow, retries_of_a_syn_are_one_attempt) {
    for (const double t : {0, 1, 3, 7, 15, 31, 63})
        talk.at(t).raw(0, kSyn, 1000, 0);
    EXPECT_EQ(ends(talk), (Lines{"7 shutdown"}));
    talk.at(63 + 69.9).raw(1, kSyn | kAck, 5000, 1001); // just before the bound
    EXPECT_EQ(ends(talk), (Lines{"8 shutdown"}));
    talk.frames.pop_back();
    talk.at(63 + 70).raw(1, kSyn | kAck, 5000, 1001);
    EXPECT_EQ(ends(talk), (Lines{"7 idle", "1 shutdown"}));
}

TEST_P(TcpFlow, a_syn_that_is_sent_again_after_a_reset_is_the_same_attempt) {
    for (int i = 0; i < 3; ++i)
        talk.at(i * 0.5).raw(0, kSyn, 1000, 0).raw(1, kRst | kAck, 0, 1001);
    EXPECT_EQ(ends(talk), (Lines{"6 rst"}));
    talk.at(1.5).raw(0, kSyn, 1000, 0).numbers(1001, 5000).send(1, kSyn | kAck).send(0, kAck).data(0);
    EXPECT_EQ(ends(talk), (Lines{"11 shutdown"})) << "and may succeed";
}

TEST_P(TcpFlow, a_syn_that_comes_twice_belongs_to_its_flow) {
    talk.open().data(0).close();
    Talk late = talk;
    late.at(1).raw(0, kSyn, 1000, 0);
    EXPECT_EQ(ends(late), (Lines{"9 fin"}));
    late.raw(1, kSyn | kAck, 5000, 1001).raw(0, kAck, 1001, 5001); // all of it comes twice: another connection
    EXPECT_EQ(ends(late), (Lines{"8 fin", "3 shutdown"}));
    Talk other = talk;
    other.at(1).raw(0, kSyn, 9000, 0);
    EXPECT_EQ(ends(other), (Lines{"8 fin", "1 shutdown"}));
}

TEST_P(TcpFlow, retries_of_the_last_fin_belong_to_the_flow) {
    talk.open().data(0).send(0, kFin | kAck).send(1, kFin | kAck);
    for (const double t : {.2, .6, 1.4, 3.0, 6.2, 12.6, 25.4, 51.0})
        talk.at(0.1 + t).raw(1, kFin | kAck, talk.seq[1] - 1, talk.seq[0]);
    EXPECT_EQ(ends(talk), (Lines{"15 fin"}));
    EXPECT_EQ(run(talk.frames).events.back().retransmissions, 8);
}

// The window -------------------------------------------------------------------------------------------------------

TEST_P(TcpFlow, segments_outside_the_window_change_nothing) {
    for (const uint8_t flags : {uint8_t{kRst}, uint8_t{kRst | kAck}, uint8_t{kFin | kAck}, uint8_t{kAck | kPsh}})
        for (const int d : {0, 1})
            for (const int64_t off :
                 {int64_t{65536 + 20}, int64_t{0x20000000}, int64_t{-0x20000000}, int64_t{0x7fffff00}}) {
                Talk t(GetParam());
                t.open().data(0).data(1);
                t.raw(d, flags, static_cast<uint32_t>(t.seq[d] + off), t.seq[d ^ 1], flags & kPsh ? "forged" : "");
                for (int i = 0; i < 40; ++i)
                    t.at(1 + i).data(i & 1);
                t.close();
                const Result r = run(t.frames);
                EXPECT_EQ(ends(r, t), (Lines{"91 fin"})) << int{flags} << " " << d << " " << off;
                EXPECT_EQ(r.count("outside_window"), 1u);
                EXPECT_EQ(r.events.back().anomaly_name, "outside_window");
                EXPECT_EQ(r.events.back().retransmissions, 0);
            }
}

TEST_P(TcpFlow, the_window_scale_of_the_syns_is_that_of_the_window) {
    const auto outside = [&](uint8_t shift, uint32_t off) {
        Talk t(GetParam());
        const Bytes scale{1, 3, 3, shift};
        t.open();
        t.frames[0] = tcp_of(0, t.ends, kSyn, 1000, 0, {}, scale);
        t.frames[1] = tcp_of(0, t.ends.back(), kSyn | kAck, 5000, 1001, {}, scale);
        t.raw(0, kAck | kPsh, 1001 + off, 5001, kData);
        return run(t.frames).count("outside_window");
    };
    EXPECT_EQ(outside(0, 65535), 0u);
    EXPECT_EQ(outside(0, 65536), 1u);
    EXPECT_EQ(outside(7, 65535 << 7), 0u);
    EXPECT_EQ(outside(7, (65535 << 7) + 1), 1u);
    EXPECT_EQ(outside(14, 65535 << 14), 0u);
    EXPECT_EQ(outside(200, (65535 << 14) + 1), 1u) << "RFC 7323 section 2.3";
}

TEST_P(TcpFlow, a_reset_counts_where_its_receiver_waits_for_it) {
    for (const int d : {0, 1}) {
        Talk t(GetParam());
        t.open().data(0).data(1);
        EXPECT_EQ(ends(Talk(t).raw(d, kRst, t.seq[d], 0)), (Lines{"8 rst"}));
        EXPECT_EQ(ends(Talk(t).raw(d, kRst | kAck, t.seq[d], t.seq[d ^ 1])), (Lines{"8 rst"}));
        EXPECT_EQ(ends(Talk(t).raw(d, kRst, t.seq[d] - 10, 0)), (Lines{"8 rst"})) << "what the other side acknowledged";
        EXPECT_EQ(ends(Talk(t).raw(d, kRst, t.seq[d] + 1000, 0)), (Lines{"8 rst"})) << "behind what was not captured";
    }
}

TEST_P(TcpFlow, a_reset_that_was_asked_about_and_not_sent_again_was_forged) { // RFC 5961 section 3.2
    for (const int d : {0, 1}) {
        Talk t(GetParam());
        t.open().data(0).data(1);
        t.raw(d, kRst, t.seq[d] + 1000, 0).send(d ^ 1, kAck);
        Talk reset = t;
        EXPECT_EQ(ends(reset.raw(d, kRst, t.seq[d], 0)), (Lines{"10 rst"}));
        for (int i = 0; i < 20; ++i)
            t.at(7 + 7 * i).data(d);
        EXPECT_EQ(ends(t), (Lines{"49 shutdown"}));
        EXPECT_EQ(run(t.frames).events.back().tcp_state, TcpState::established);
    }
}

TEST_P(TcpFlow, a_reset_that_its_receiver_did_not_take_ends_nothing) {
    for (const int d : {0, 1}) {
        Talk t(GetParam());
        t.open().data(0).data(1).raw(d, kRst, t.seq[d], 0);
        for (int i = 0; i < 20; ++i)
            t.at(1 + 4 * i).data(d);
        EXPECT_EQ(ends(t), (Lines{"48 shutdown"}));
    }
}

TEST_P(TcpFlow, an_attempt_is_refused_only_by_who_acknowledges_its_syn) { // RFC 9293 section 3.10.7.3
    EXPECT_EQ(ends(Talk(talk).send(0, kSyn).raw(1, kRst | kAck, 0, 1001)), (Lines{"2 rst"}));
    EXPECT_EQ(ends(Talk(talk).send(0, kSyn).raw(1, kRst | kAck, 0, 1002)), (Lines{"2 shutdown"}));
    EXPECT_EQ(ends(Talk(talk).send(0, kSyn).raw(1, kRst, 0, 0)), (Lines{"2 shutdown"}));
    EXPECT_EQ(ends(Talk(talk).send(0, kSyn).send(0, kRst)), (Lines{"2 rst"})) << "given up";
}

TEST_P(TcpFlow, a_fin_before_further_data_was_none) {
    talk.open().data(0).raw(0, kFin | kAck, talk.seq[0] + 10, talk.seq[1]).send(1, kFin | kAck);
    for (int i = 0; i < 10; ++i)
        talk.at(1 + i * 4).data(0);
    EXPECT_EQ(ends(talk), (Lines{"27 shutdown"}));
    EXPECT_EQ(run(talk.frames).events.back().tcp_state, TcpState::closing);
}

TEST_P(TcpFlow, behind_more_than_a_window_that_was_not_captured_it_goes_on) {
    for (const bool acknowledged : {true, false}) {
        Talk t(GetParam());
        t.open().data(0).data(1);
        t.seq[0] += 10'000'000;
        for (int i = 0; i < 20; ++i)
            acknowledged ? t.data(0) : t.send(0, kAck | kPsh, kData);
        const Result r = run(t.frames);
        EXPECT_EQ(ends(r, t).size(), 1u);
        EXPECT_EQ(r.count("outside_window"), acknowledged ? 1u : 7u);
    }
}

// Retransmissions --------------------------------------------------------------------------------------------------

int64_t retransmissions(const Endpoints &ends, std::initializer_list<std::pair<uint32_t, size_t>> segments) {
    Talk t(ends);
    t.open();
    for (const auto &[offset, length] : segments)
        t.raw(0, kAck | kPsh, 1001 + offset, 5001, std::string(length, 'x'));
    return run(t.frames).events.back().retransmissions;
}

TEST_P(TcpFlow, overtaken_segments_are_no_retransmissions) {
    const auto count = [&](auto... segments) { return retransmissions(GetParam(), {segments...}); };
    using S = std::pair<uint32_t, size_t>;
    EXPECT_EQ(count(S{100, 100}, S{0, 100}, S{300, 100}, S{200, 100}), 0);
    EXPECT_EQ(count(S{100, 100}, S{0, 100}, S{0, 100}), 1) << "twice";
    EXPECT_EQ(count(S{0, 100}, S{0, 100}, S{50, 20}), 2);
    EXPECT_EQ(count(S{300, 100}, S{200, 100}, S{100, 100}, S{0, 100}, S{200, 100}), 1) << "last first";
    EXPECT_EQ(count(S{300, 100}, S{100, 100}, S{0, 100}, S{200, 100}, S{100, 100}), 1) << "a hole split in two";
    EXPECT_EQ(count(S{0, 100}, S{200, 100}, S{50, 150}), 0) << "partly new";
    EXPECT_EQ(count(S{0, 100}, S{200, 100}, S{50, 150}, S{100, 100}), 1);
}

TEST(Holes, random_ranges_agree_with_a_list_of_numbers) {
    std::minstd_rand random(1);
    const auto next = [&](uint32_t most) { return static_cast<uint32_t>(random() % most); };
    for (int round = 0; round < 200; ++round) {
        Holes holes;
        const uint32_t base = 0xffffffe0; // numbers wrap
        std::vector<bool> missing(120);
        for (uint32_t at = 0, i = 0; i < 2; ++i, at += 50) { // few enough that no splitting drops one
            holes.add(base + at + 10, base + at + 40);
            std::fill_n(missing.begin() + at + 10, 30, true);
        }
        for (int i = 0; i < 2; ++i) { // two more ranges than that at most
            const uint32_t begin = next(100), end = begin + 1 + next(15);
            bool any = false;
            for (uint32_t n = begin; n < end; ++n) {
                any = any || missing[n];
                missing[n] = false;
            }
            EXPECT_EQ(holes.fill(base + begin, base + end), any) << round << " " << begin << " " << end;
        }
    }
}

// The next connection of the endpoints -----------------------------------------------------------------------------

TEST_P(TcpFlow, a_new_handshake_ends_the_old_flow) {
    const auto again = [&](Talk t, double at) { return t.at(at).numbers(900'000, 700'000).open().data(0).close(); };
    Talk open_(GetParam()), half(GetParam()), other_half(GetParam()), middle(GetParam());
    open_.open().data(0);
    half.open().data(0).send(0, kFin | kAck);
    other_half.open().data(0).send(1, kFin | kAck);
    middle.data(0).data(1);
    for (const double at : {1.0, 60.0, 299.0}) {
        EXPECT_EQ(ends(again(open_, at)), (Lines{"5 reused", "8 fin"})) << at;
        EXPECT_EQ(ends(again(half, at)), (Lines{"6 reused", "8 fin"})) << at;
        EXPECT_EQ(ends(again(other_half, at)), (Lines{"6 reused", "8 fin"})) << at;
        EXPECT_EQ(ends(again(middle, at)), (Lines{"4 reused", "8 fin"})) << at;
    }
    const Result r = run(again(open_, 60).frames);
    EXPECT_EQ(r.of(EventKind::insert)[1].opened, kStart + seconds(60)) << "the SYN's time";
    EXPECT_EQ(r.events.back().anomaly_name, "");
}

TEST_P(TcpFlow, the_next_connection_may_be_opened_by_the_other_side) {
    talk.open().data(0);
    Talk back(talk.ends.back());
    back.at(10).numbers(900'000, 700'000).open().data(0).close();
    talk.frames.insert(talk.frames.end(), back.frames.begin(), back.frames.end());
    EXPECT_EQ(ends(talk), (Lines{"5 reused", back.key() + " 8 fin"}));
}

TEST_P(TcpFlow, handshakes_of_the_next_connection_in_other_forms) {
    talk.open().data(0);
    const auto with = [&](auto &&...send) {
        Talk t = talk;
        t.at(10).numbers(900'000, 700'000);
        (send(t), ...);
        return ends(t);
    };
    const auto syn = [](Talk &t) { t.send(0, kSyn); };
    const auto syn_again = [](Talk &t) { t.at(t.t + 1).raw(0, kSyn, 900'000, 0); };
    const auto answer = [](Talk &t) { t.send(1, kSyn | kAck); };
    const auto rest = [](Talk &t) { t.send(0, kAck).data(0); };
    const auto refused = [](Talk &t) { t.raw(1, kRst | kAck, 0, 900'001); };
    EXPECT_EQ(with(syn, syn_again, syn_again, answer, rest), (Lines{"5 reused", "7 shutdown"})) << "retries";
    EXPECT_EQ(with(syn, refused), (Lines{"5 reused", "2 rst"})) << "refused";
    EXPECT_EQ(with(syn, rest), (Lines{"5 reused", "4 shutdown"})) << "one direction captured";
    EXPECT_EQ(
        with(
            [](Talk &t) { t.raw(1, kSyn | kAck, 700'000, 900'001).raw(0, kSyn, 900'000, 0).numbers(900'001, 700'001); },
            rest),
        (Lines{"5 reused", "5 shutdown"}))
        << "SYN+ACK first";
    EXPECT_EQ(with(
                  syn, [](Talk &t) { t.raw(1, kAck, 5001, 1011).raw(0, kRst, 1011, 0); }, syn_again, answer, rest),
              (Lines{"7 rst", "6 shutdown"}))
        << "RFC 5961 section 4: a challenge ACK, and a reset of the old connection";
}

TEST_P(TcpFlow, a_syn_that_nobody_answers_ends_nothing) {
    talk.open().data(0);
    for (const int d : {0, 1}) {
        Talk t = talk;
        t.raw(d, kSyn, 900'000, 0);
        EXPECT_EQ(ends(t), (Lines{"6 shutdown"})) << "forged";
        t.raw(d ^ 1, kAck, t.seq[d ^ 1], t.seq[d]); // a challenge ACK (RFC 5961 section 4)
        t.data(0).data(1).close();
        EXPECT_EQ(ends(t), (Lines{"14 fin"}));
        EXPECT_EQ(run(t.frames).events.back().retransmissions, 0);
    }
    for (int i = 0; i < 20; ++i) // each of another number
        talk.raw(0, kSyn, 900'000 + static_cast<uint32_t>(i) * 1000, 0);
    EXPECT_EQ(ends(talk), (Lines{"25 shutdown"}));
}

TEST_P(TcpFlow, held_syns_are_bounded) {
    talk.open().data(0);
    for (int i = 0; i < 100; ++i)
        talk.raw(0, kSyn, 900'000, 0);
    EXPECT_EQ(ends(talk), (Lines{"105 shutdown"}));
    Frames f;
    for (int round = 0; round < 2; ++round)
        for (int i = 0; i < 1500; ++i) {
            Talk t({"10.0." + std::to_string(i >> 8) + "." + std::to_string(i & 255), "10.1.0.1", 40000, 80});
            round == 0 ? t.open() : t.raw(0, kSyn, 900'000, 0);
            f.insert(f.end(), t.frames.begin(), t.frames.end());
        }
    const Result r = run(f);
    EXPECT_EQ(r.count("flows_tcp"), 1500u);
    for (const Event &e : r.of(EventKind::remove))
        EXPECT_EQ(e.packets, 4);
}

// The active timeout -----------------------------------------------------------------------------------------------

TEST_P(TcpFlow, a_flow_continued_after_the_active_timeout_is_the_same_flow) {
    talk.open();
    for (int i = 0; i < 40; ++i)
        talk.at(1 + 5 * i).data(1);
    EngineOptions o;
    o.active = seconds(60);
    const Result r = run(talk.frames, o);
    EXPECT_EQ(ends(r, talk), (Lines{"27 active", "24 active", "24 active", "8 shutdown"}));
    int n = 0;
    for (const Event &e : r.of(EventKind::remove)) {
        EXPECT_EQ(e.continued, n > 0);
        EXPECT_EQ(e.retransmissions, 0);
        EXPECT_EQ(e.tcp_state, TcpState::established);
        EXPECT_EQ(e.src_packets - e.dst_packets, n == 0 ? 1 : 0);
        ++n;
    }
    std::set<std::string> ids;
    for (const Event &e : r.of(EventKind::insert))
        EXPECT_TRUE(ids.insert(e.id()).second);
    EXPECT_EQ(ids.size(), 4u);
}

} // namespace
} // namespace aicore::test
