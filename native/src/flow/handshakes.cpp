// SPDX-License-Identifier: Apache-2.0
// Endpoints that open a connection anew while the old one was not seen to end. A SYN with another number may be forged
// or late, so it is held until the other side answers it: then the old flow ends before it.
#include <algorithm>
#include <cstdlib>

#include "tracker.h"

namespace aicore {

namespace {

constexpr size_t kMostHeld = 8;         // packets of a flow: a SYN is sent again after 1, 3, 7, 15, 31 and 63 s
constexpr uint32_t kMostHolding = 1024; // flows

bool is_syn(const Packet &p) {
    return (p.tcp_flags & (kSyn | kAck | kRst)) == kSyn;
}
bool is_syn_ack(const Packet &p) {
    return (p.tcp_flags & (kSyn | kAck | kRst)) == (kSyn | kAck);
}
// Whether `ack` acknowledges the SYN, with none or all of the data in it (RFC 7413).
bool acknowledges(uint32_t ack, const Packet &syn) {
    return ack - syn.seq - 1 <= syn.payload_bytes;
}

} // namespace

// Whether a SYN of that direction is not the one that the flow knows.
bool Tracker::other_number(const FlowRef &flow, const Packet &p, uint8_t d) const {
    const Hot &hot = flow.hot;
    if (!(hot.bits & kSeqValid0 << d)) return hot.state >= TcpState::closed; // else both sides open at once
    if (d == 0 && !(hot.bits & kMidstream)) return p.seq != flow.warm.isn;
    return hot.next_seq[d] - p.seq - 1 > hot.payload[d] + 1; // not before the bytes that were seen
}

Tracker::Opening Tracker::opening(FlowRef flow, const Packet &p, const RawPacket &raw, uint8_t d) {
    if (flow.warm.doubts != kNoSlot && !doubts_[flow.warm.doubts].held.empty()) {
        std::vector<HeldPacket> &held = doubts_[flow.warm.doubts].held;
        const Packet &first = held.front().packet;
        if (first.reversed != p.reversed) {
            if (is_syn_ack(p) && is_syn(first) && acknowledges(p.ack, first)) return Opening::answered;
            if (is_syn(p) && is_syn_ack(first) && acknowledges(first.ack, p)) return Opening::answered;
            if (p.tcp_flags & kRst && p.tcp_flags & kAck && is_syn(first) && flow.hot.state < TcpState::closed &&
                acknowledges(p.ack, first))
                return Opening::answered; // refused: there is no old connection any more
        } else if (!(p.tcp_flags & (kSyn | kRst))) {
            const bool old =
                static_cast<uint32_t>(std::abs(static_cast<int32_t>(p.seq - flow.hot.next_seq[d]))) <= window(flow, d);
            if (p.seq == first.seq + 1 + first.payload_bytes && !old)
                return Opening::answered; // the answer was not captured
            if (old) release_held(flow);  // its sender goes on as before
        } else if (p.tcp_flags & kSyn && p.seq == first.seq) {
            if (held.size() < kMostHeld && held.emplace_back().keep(p, raw)) return Opening::held;
            if (held.size() < kMostHeld) held.pop_back();
            return Opening::none;
        }
    }
    if (is_syn(p)) {
        if (flow.hot.state < TcpState::closed ? !other_number(flow, p, d) : !(flow.hot.flags[1] & kSyn))
            return Opening::none; // sent again; or of an attempt that was refused
    } else if (is_syn_ack(p)) {
        const uint8_t both = kSeqValid0 | kSeqValid1;
        if ((flow.hot.bits & both) != both) return Opening::none;
        const auto far = [&](uint32_t number, uint8_t side) {
            return static_cast<uint32_t>(std::abs(static_cast<int32_t>(number - flow.hot.next_seq[side]))) >
                   window(flow, side);
        };
        if (!far(p.seq, d) || !far(p.ack, d ^ 1)) return Opening::none;
    } else {
        return Opening::none;
    }
    return hold(flow, p, raw) ? Opening::held : Opening::none;
}

bool Tracker::hold(FlowRef flow, const Packet &p, const RawPacket &raw) {
    release_held(flow);
    if (holding_ == kMostHolding) return false;
    HeldPacket one;
    if (!one.keep(p, raw)) return false;
    doubts_of(flow).held.push_back(std::move(one));
    ++holding_;
    return true;
}

std::vector<HeldPacket> Tracker::take_held(FlowRef flow) {
    std::vector<HeldPacket> held;
    if (flow.warm.doubts == kNoSlot) return held;
    held.swap(doubts_[flow.warm.doubts].held);
    if (!held.empty()) --holding_;
    return held;
}

void Tracker::restore_held(FlowRef flow, std::vector<HeldPacket> held) {
    doubts_of(flow).held = std::move(held);
    ++holding_;
}

// They are packets of this flow after all.
void Tracker::release_held(FlowRef flow) {
    for (const HeldPacket &one : take_held(flow)) {
        const uint8_t d = direction(flow, one.packet);
        count(flow, one.packet, d);
        flow.hot.flags[d] |= one.packet.tcp_flags;
        if (meters_) meter(flow, one.packet, one.raw, d, {}, false);
    }
}

} // namespace aicore
