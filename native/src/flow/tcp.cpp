// SPDX-License-Identifier: Apache-2.0
// One segment in its flow: its place in the sequence numbers of its direction, and what it does to the connection's
// state, as far as a host would accept it (RFC 9293 section 3.10.7, RFC 5961).
#include <algorithm>

#include "tracker.h"

namespace aicore {

namespace {

constexpr uint32_t kLargestWindow = 65535;               // unscaled (RFC 9293 section 3.1)
constexpr uint32_t kAssumedWindow = kLargestWindow << 7; // where no SYN told the scale
constexpr uint32_t kStraysAgree = 8;                     // segments in a row that are outside the window alike
constexpr int kRetryShare = 4; // a packet later than this part of the linger time is a retry: the next takes longer

int32_t distance(uint32_t from, uint32_t to) {
    return static_cast<int32_t>(to - from);
}

uint32_t sequence_length(const Packet &p) {
    return p.payload_bytes + (p.tcp_flags & kSyn ? 1u : 0u) + (p.tcp_flags & kFin ? 1u : 0u);
}

// The window scale option of a SYN (RFC 7323 section 2.2) and 1; 1 if it has none, 0 if its header is cut.
uint8_t window_scale(const Packet &p) {
    const uint8_t *at = p.transport + 20, *const end = p.payload;
    while (at < end && *at != 0) {
        if (*at == 1) {
            ++at;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || end - at < at[1]) break;
        if (at[0] == 3 && at[1] == 3) return static_cast<uint8_t>(std::min<uint8_t>(at[2], 14) + 1);
        at += at[1];
    }
    return p.transport + (p.transport[12] >> 4) * 4 > end ? 0 : 1;
}

} // namespace

// The largest window that the receiver of a direction may have offered.
uint32_t Tracker::window(FlowRef flow, uint8_t d) {
    const unsigned scale = d == 0 ? flow.warm.window_scale >> 4 : flow.warm.window_scale & 15;
    return scale == 0 ? kAssumedWindow : kLargestWindow << (scale - 1);
}

Doubts &Tracker::doubts_of(FlowRef flow) {
    if (flow.warm.doubts == kNoSlot) flow.warm.doubts = doubts_.take();
    return doubts_[flow.warm.doubts];
}

Tracker::Place Tracker::segment(FlowRef flow, const Packet &p, uint8_t d) {
    Hot &hot = flow.hot;
    // Nearly all: the next segment of an open connection of which all was seen in order.
    if (hot.state == TcpState::established && p.seq == hot.next_seq[d] && hot.bits & kSeqValid0 << d &&
        (p.tcp_flags & (kSyn | kFin | kRst | kAck)) == kAck && flow.warm.doubts == kNoSlot) [[likely]] {
        hot.flags[d] |= p.tcp_flags;
        hot.next_seq[d] += p.payload_bytes;
        return {.expected = p.seq, .known = true, .advanced = p.payload_bytes > 0};
    }
    return other_segment(flow, p, d);
}

Tracker::Place Tracker::other_segment(FlowRef flow, const Packet &p, uint8_t d) {
    Hot &hot = flow.hot;
    const bool first_syn = p.tcp_flags & kSyn && !(hot.flags[d] & kSyn);
    hot.flags[d] |= p.tcp_flags;
    if (p.tcp_flags == 0) { // its header is cut, or no host made it
        if (hot.state == TcpState::none) hot.state = TcpState::established;
        return {};
    }
    if (first_syn) flow.warm.window_scale |= static_cast<uint8_t>(window_scale(p) << (d == 0 ? 0 : 4));
    const Place at = place(flow, p, d, first_syn);
    if (at.outside) {
        ++counters_[Counter::outside_window];
        if (flow.warm.anomaly == 0)
            flow.warm.anomaly = registry_.counter_name(static_cast<uint16_t>(Counter::outside_window));
    } else {
        tcp_state(flow, p, d, at);
    }
    return at;
}

Tracker::Place Tracker::place(FlowRef flow, const Packet &p, uint8_t d, bool first_syn) {
    Hot &hot = flow.hot;
    const auto valid = static_cast<uint8_t>(kSeqValid0 << d);
    Place at{.expected = hot.next_seq[d], .known = (hot.bits & valid) != 0};
    if (p.tcp_flags & kRst) {
        at.outside = !accepts_reset(flow, p, d);
        return at;
    }
    const uint32_t length = sequence_length(p), behind = p.seq + length;
    if (!at.known) {
        hot.next_seq[d] = behind;
        hot.bits |= valid;
        at.advanced = length > 0;
        return at;
    }
    const int32_t ahead = distance(at.expected, p.seq), past = distance(at.expected, behind);
    const auto most = static_cast<int32_t>(window(flow, d));
    Doubts *const doubts = flow.warm.doubts == kNoSlot ? nullptr : &doubts_[flow.warm.doubts];
    if (ahead > most || past < -most) {
        at.outside = !follow_strays(flow, p, d, behind);
        return at;
    }
    if (doubts) {
        doubts->strays[d] = 0;
        trust_acknowledged(flow, p, d, *doubts);
    }
    if (past > 0) {
        if (ahead > 0)
            doubts_of(flow).holes[d].add(at.expected, p.seq);
        else if (doubts && ahead < 0)
            doubts->holes[d].fill(p.seq, at.expected);
        hot.next_seq[d] = behind;
        at.advanced = length > 0;
        const auto fin = static_cast<uint8_t>(kFin0 << d);
        if (hot.bits & fin && p.payload_bytes > 0 && hot.state != TcpState::reset) { // that FIN was not its sender's
            hot.bits &= static_cast<uint8_t>(~fin);
            reopen(flow);
        }
    } else if (length > 0 && !first_syn && !(doubts && doubts->holes[d].fill(p.seq, behind)) &&
               !(p.payload_bytes <= 1 && ahead == -1 && !(p.tcp_flags & (kSyn | kFin)))) {
        // Not a keep-alive, which repeats one byte on purpose.
        ++flow.warm.retransmissions;
        ++counters_[Counter::retransmissions];
        at.retransmission = true;
    }
    return at;
}

// A segment outside the window is forged, or what came before it was not captured. Segments in a row that agree, and
// the other side's acknowledgment (below), say that it was not forged.
bool Tracker::follow_strays(FlowRef flow, const Packet &p, uint8_t d, uint32_t behind) {
    Doubts &doubts = doubts_of(flow);
    const bool agrees = static_cast<uint32_t>(std::abs(distance(doubts.stray_end[d], p.seq))) <= window(flow, d);
    doubts.strays[d] = agrees && doubts.strays[d] > 0 ? doubts.strays[d] + 1 : 1;
    doubts.stray_end[d] = behind;
    if (doubts.strays[d] < kStraysAgree) return false;
    doubts.strays[d] = 0;
    doubts.holes[d].clear();
    flow.hot.next_seq[d] = behind;
    return true;
}

void Tracker::trust_acknowledged(FlowRef flow, const Packet &p, uint8_t d, Doubts &doubts) {
    const uint8_t other = d ^ 1;
    if (doubts.strays[other] == 0 || !(p.tcp_flags & kAck)) return;
    if (distance(flow.hot.next_seq[other], p.ack) == 0 ||
        static_cast<uint32_t>(std::abs(distance(doubts.stray_end[other], p.ack))) > window(flow, other))
        return;
    doubts.strays[other] = 0;
    doubts.holes[other].clear();
    flow.hot.next_seq[other] = doubts.stray_end[other];
}

// RFC 9293 sections 3.10.7.3 and 3.10.7.4. A receiver wants exactly the number that it waits for (RFC 5961 section
// 3.2), which is not beyond what was seen of its sender; a RST further ahead may follow segments that were not
// captured.
bool Tracker::accepts_reset(FlowRef flow, const Packet &p, uint8_t d) {
    const Hot &hot = flow.hot;
    if (hot.bits & kSeqValid0 << d)
        return static_cast<uint32_t>(std::abs(distance(hot.next_seq[d], p.seq))) <= window(flow, d);
    const uint8_t other = d ^ 1;
    if (!(hot.bits & kSeqValid0 << other)) return true;
    const uint32_t unacknowledged = hot.next_seq[other] - p.ack;
    if (hot.state == TcpState::syn_sent) return p.tcp_flags & kAck && unacknowledged <= hot.payload[other];
    return !(p.tcp_flags & kAck) ||
           static_cast<uint32_t>(std::abs(static_cast<int32_t>(unacknowledged))) <= window(flow, other);
}

void Tracker::tcp_state(FlowRef flow, const Packet &p, uint8_t d, const Place &at) {
    Hot &hot = flow.hot;
    if (hot.state == TcpState::reset) return after_reset(flow, p, d, at);
    if (hot.state == TcpState::closed) {
        if (!(p.tcp_flags & kRst)) stay(flow, p);
        return;
    }
    if (p.tcp_flags & kRst) {
        const bool doubt = at.known && distance(at.expected, p.seq) > 0;
        hot.state = TcpState::reset;
        flow.warm.bits =
            static_cast<uint8_t>((flow.warm.bits & kContinued) | (d ? kResetByDst : 0) | (doubt ? kResetDoubt : 0));
        flow.warm.touched = clock_;
        tables_[0].to_tail(flow.slot, doubt ? List::half_open : List::lingering);
        return;
    }
    if (p.tcp_flags & kSyn) {
        if (hot.state <= TcpState::syn_sent)
            hot.state = p.tcp_flags & kAck ? TcpState::syn_received : TcpState::syn_sent;
    } else if (hot.state < TcpState::established) {
        hot.state = TcpState::established;
        if (flow.warm.list == List::half_open) tables_[0].to_tail(flow.slot, List::open);
    }
    if (p.tcp_flags & kFin) {
        hot.bits |= static_cast<uint8_t>(kFin0 << d);
        hot.state = (hot.bits & (kFin0 | kFin1)) == (kFin0 | kFin1) ? TcpState::closed : TcpState::closing;
        if (hot.state == TcpState::closed) { // late ACKs, retransmissions and data still belong to it
            flow.warm.touched = clock_;
            tables_[0].to_tail(flow.slot, List::lingering);
        }
    }
}

// The connection goes on if its RST was forged and its receiver did not take it.
void Tracker::after_reset(FlowRef flow, const Packet &p, uint8_t d, const Place &at) {
    Hot &hot = flow.hot;
    Warm &warm = flow.warm;
    const bool by = warm.bits & kResetByDst, doubt = warm.bits & kResetDoubt;
    if (p.tcp_flags & kRst) {
        if (!doubt || d != by || distance(at.expected, p.seq) > 0) return;
        warm.bits &= static_cast<uint8_t>(~kResetDoubt);
        warm.touched = clock_;
        tables_[0].to_tail(flow.slot, List::lingering);
        return;
    }
    if (d != by && warm.bits & kResetPassed && p.tcp_flags & kAck && p.ack == hot.next_seq[by]) return reopen(flow);
    if (d == by) {
        if ((p.tcp_flags & (kSyn | kAck)) == (kSyn | kAck) && !(hot.bits & (kFin0 | kFin1))) { // a further try succeeds
            hot.state = TcpState::syn_received;
            warm.bits &= kContinued;
            tables_[0].to_tail(flow.slot, List::half_open);
            return;
        }
        if (doubt && at.known && p.seq == at.expected) return reopen(flow);
        if (at.advanced && p.payload_bytes > 0) warm.bits |= kResetPassed;
    }
    stay(flow, p);
}

void Tracker::reopen(FlowRef flow) {
    flow.hot.state = flow.hot.bits & (kFin0 | kFin1) ? TcpState::closing : TcpState::established;
    flow.warm.bits &= kContinued;
    tables_[0].to_tail(flow.slot, List::open);
}

// A packet of a flow that has ended prolongs its lingering. One that comes late is a retry, and the next takes twice as
// long (RFC 6298 section 5.5): the flow waits for it as for one that is half open.
void Tracker::stay(FlowRef flow, const Packet &p) {
    if (flow.warm.list != List::lingering || sequence_length(p) == 0) return;
    const bool late = clock_ - flow.warm.touched >= options_.linger / kRetryShare;
    flow.warm.touched = clock_;
    tables_[0].to_tail(flow.slot, late ? List::half_open : List::lingering);
}

} // namespace aicore
