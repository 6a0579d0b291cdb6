// SPDX-License-Identifier: Apache-2.0
#include "tracker.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace aicore {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMaxStep = 300 * kSecond; // the clock of a file moves at most this far at one packet
constexpr int64_t kSweepEvery = kSecond / 10;
constexpr size_t kSweepAtPacket = 16; // looks at list heads during one packet: bounds its time
constexpr size_t kMaxIdsNow = 65536;  // flows that share one first timestamp and are told apart by an ordinal

} // namespace

Tracker::Tracker(const EngineOptions &options, const Registry &registry, BatchWriter &writer, Meters *meters,
                 Counters &counters)
    : options_(options), registry_(registry), writer_(writer),
      counters_(counters), tables_{{options.tcp ? options.tcp_flows : 1, options.hash_key},
                                   {options.udp ? options.udp_flows : 1, options.hash_key}},
      meters_(meters), dissection_(registry, {options.stream_bytes, options.streams_bytes, options.inspected_flows},
                                   meters, counters, &writer) {
    SipHash<2, 4> h({0, 0});
    for (const char c : options.sensor)
        h.add(static_cast<uint8_t>(c));
    sensor_hash_ = h.finish64();
}

// Time -------------------------------------------------------------------------------------------------------------

void Tracker::advance(int64_t time) {
    if (live_) return;
    const bool new_file = std::exchange(new_file_, false);
    if (clock_ == INT64_MIN) {
        clock_ = time;
        return;
    }
    if (new_file) {
        if (time <
            clock_ - std::max(options_.idle_tcp, options_.idle_udp)) { // recorded before what was read: another time
            for (size_t t = 0; t < 2; ++t)
                for (const List list : {List::lingering, List::half_open, List::open})
                    for (uint32_t slot; (slot = tables_[t].head(list)) != kNoSlot;) {
                        const FlowRef flow = ref(t, slot);
                        end(flow, list == List::lingering ? natural_reason(flow) : EndReason::idle);
                    }
            next_sweep_ = INT64_MIN;
            clock_ = time;
            return;
        }
        clock_ = std::max(clock_, time); // hours may lie between two files; the bound of a step is against broken times
        return;
    }
    const bool leap = time - clock_ > kMaxStep;
    if (!leap) {
        if (time < clock_) ++counters_[Counter::time_backwards];
        clock_ = std::max(clock_, time);
        leapt_to_ = INT64_MIN;
    } else if (leapt_to_ != INT64_MIN && std::abs(time - leapt_to_) <= kMaxStep) {
        clock_ = time; // two packets in a row say so: the capture paused
        leapt_to_ = INT64_MIN;
    } else { // one broken timestamp must not end every flow
        ++counters_[Counter::time_jumps];
        clock_ += kMaxStep;
        leapt_to_ = time;
    }
}

void Tracker::tick(int64_t clock) {
    clock_ = std::max(clock_, clock);
    sweep(4096);
}

bool Tracker::due(const FlowRef &flow) const {
    int64_t seen = flow.hot.last_seen;
    if (flow.warm.list == List::lingering)
        seen = flow.warm.touched;
    else if (flow.hot.bits & kSkewed) // a timestamp that the clock has come to by now is as good as any
        seen = seen <= clock_ ? std::max(seen, flow.warm.touched) : flow.warm.touched;
    const int64_t limit = flow.warm.list == List::lingering   ? options_.linger
                          : flow.warm.list == List::half_open ? options_.half_open
                          : flow.table == 0                   ? options_.idle_tcp
                                                              : options_.idle_udp;
    return clock_ - seen >= limit;
}

EndReason Tracker::natural_reason(const FlowRef &flow) const {
    return flow.hot.state == TcpState::reset    ? EndReason::rst
           : flow.hot.state == TcpState::closed ? EndReason::fin
                                                : EndReason::idle;
}

void Tracker::sweep(size_t budget) {
    next_sweep_ = clock_ + kSweepEvery;
    behind_ = false;
    for (size_t t = 0; t < 2; ++t) {
        for (uint32_t slot; (slot = tables_[t].head(List::ended)) != kNoSlot; --budget) {
            if (budget == 0) return void(behind_ = true);
            if (!end(ref(t, slot), tables_[t].warm(slot).end_reason)) break;
        }
        for (const List list : {List::lingering, List::half_open, List::open}) {
            for (uint32_t slot; (slot = tables_[t].head(list)) != kNoSlot; --budget) {
                if (budget == 0) return void(behind_ = true);
                const FlowRef flow = ref(t, slot);
                if (!due(flow)) break;
                if (const uint32_t next = flow.hot.next; next != kNoSlot) dissection_.prefetch(tables_[t].warm(next));
                end(flow, natural_reason(flow));
            }
        }
    }
}

// Flows ------------------------------------------------------------------------------------------------------------

bool Tracker::over(const FlowRef &flow, const Packet &packet, EndReason &reason) const {
    if (due(flow)) {
        reason = natural_reason(flow);
        return true;
    }
    if (flow.warm.list == List::lingering && (packet.tcp_flags & (kSyn | kAck)) == kSyn) {
        reason = natural_reason(flow);
        return true;
    }
    if (options_.active && packet.time - flow.warm.first_seen >= options_.active && flow.warm.list != List::lingering) {
        reason = EndReason::active;
        return true;
    }
    return false;
}

bool Tracker::make_room(size_t t) {
    FlowTable &table = tables_[t];
    if (!table.full()) return true;
    if (!writer_.room(2)) return false; // no flow is ended early in vain: there is no room to tell it
    for (const List list : {List::ended, List::lingering, List::half_open, List::open}) {
        const uint32_t slot = table.head(list);
        if (slot == kNoSlot) continue;
        const FlowRef flow = ref(t, slot);
        if (list == List::ended) return finish(flow, flow.warm.end_reason); // whatever it waits for
        ++counters_[Counter::evicted];
        return finish(flow, list == List::lingering ? natural_reason(flow) : EndReason::evicted);
    }
    return false;
}

// The identity: the same packets read again give the same id. Two flows of a key with one first timestamp differ by an
// ordinal, which needs remembering only while that timestamp is the current one.
void Tracker::identify(Warm &warm, const Packet &packet) {
    uint64_t words[6];
    std::memcpy(words, &packet.key, sizeof words);
    const auto id_of = [&](uint64_t ordinal) {
        SipHash<2, 4, 128> h({0, 0});
        for (const uint64_t w : words)
            h.add(w);
        h.add(static_cast<uint64_t>(packet.time));
        h.add(ordinal << 1 | packet.reversed);
        h.add(sensor_hash_);
        return h.finish128();
    };
    auto id = id_of(0);
    if (packet.time != last_opened_) { // the common case: nothing to compare with, nothing allocated
        if (!ids_now_.empty()) ids_now_.clear();
        last_opened_ = packet.time;
        last_id_ = id[0];
    } else {
        if (ids_now_.empty()) ids_now_.emplace(last_id_, 1);
        const auto it = ids_now_.size() < kMaxIdsNow ? ids_now_.try_emplace(id[0]).first : ids_now_.find(id[0]);
        if (it != ids_now_.end() && it->second++ > 0) id = id_of(it->second - 1);
    }
    warm.flow_id[0] = id[0];
    warm.flow_id[1] = id[1];
}

uint32_t Tracker::open(size_t t, const Packet &packet, uint64_t hash) {
    if (!make_room(t) || !writer_.room(1)) {
        counters_[Counter::not_admitted] += packet.fragment ? packet.fragment->packets : 1;
        return kNoSlot;
    }
    const bool syn = t == 0 && packet.tcp_flags & kSyn;
    const uint32_t slot = tables_[t].open(packet.key, hash, syn ? List::half_open : List::open);
    const FlowRef flow = ref(t, slot);
    ++counters_[t == 0 ? Counter::flows_tcp : Counter::flows_udp];
    flow.hot.bits = static_cast<uint8_t>((packet.reversed ? kSourceIsB : 0) | (t == 0 && !syn ? kMidstream : 0));
    flow.hot.last_seen = packet.time;
    flow.hot.until_update = t == 0 ? options_.every_tcp : options_.every_udp;
    flow.warm.opened = flow.warm.first_seen = packet.time;
    flow.warm.vlan = packet.vlan;
    flow.warm.vlan_inner = packet.vlan_inner;
    flow.warm.tunnel = packet.tunnel;
    flow.warm.tunnel_id = packet.tunnel_id;
    identify(flow.warm, packet);
    return slot;
}

void Tracker::fetch(std::span<Decoded> group) {
    for (const Decoded &d : group)
        tables_[table_of(d.packet.key)].prefetch_bucket(d.hash);
    for (Decoded &d : group)
        d.slot = tables_[table_of(d.packet.key)].prefetch_slot(d.hash);
    for (Decoded &d : group)
        d.dissected = d.slot != kNoSlot && prefetch(d);
    for (const Decoded &d : group)
        if (d.dissected) dissection_.prefetch_streams(tables_[table_of(d.packet.key)].warm(d.slot));
}

void Tracker::packets(std::span<Decoded> group) {
    fetch(group);
    for (const Decoded &d : group)
        packet(d.packet, *d.raw, d.hash, d.slot);
}

// What lies behind the slot. True: there is more behind that.
bool Tracker::prefetch(const Decoded &d) {
    const FlowRef flow = ref(table_of(d.packet.key), d.slot);
    if (meters_) meters_->prefetch(flow.table, flow.slot);
    if (d.packet.time >> 30 != flow.hot.last_seen >> 30) tables_[flow.table].prefetch_neighbours(flow.slot);
    return d.packet.payload_length && !(flow.hot.bits & kDone) && dissection_.prefetch(flow.warm);
}

void Tracker::pass(int64_t time) {
    advance(time);
    if (clock_ >= next_sweep_ || behind_) sweep(kSweepAtPacket);
}

void Tracker::packet(const Packet &p, const RawPacket &raw, uint64_t hash, uint32_t slot) {
    const size_t t = table_of(p.key);
    pass(p.time);
    const uint32_t packets = p.fragment ? p.fragment->packets : 1;
    if (!(t == 0 ? options_.tcp : options_.udp)) {
        counters_[Counter::not_selected] += packets;
        return;
    }
    FlowTable &table = tables_[t];
    if (slot == kNoSlot || !table.holds(slot, p.key)) slot = table.find(p.key, hash);
    if (slot != kNoSlot) {
        const FlowRef flow = ref(t, slot);
        EndReason reason = flow.warm.end_reason;
        if (flow.warm.list == List::ended || over(flow, p, reason)) {
            if (!finish(flow, reason)) { // its remove must come first, and there is no room for it
                counters_[Counter::not_admitted] += packets;
                return;
            }
            slot = kNoSlot;
        }
    }
    bool opened = false;
    if (slot == kNoSlot) {
        if (!p.transport || packets == 0) { // a fragment whose flow has ended, and it has no header to open one
            counters_[Counter::orphan_fragments] += packets;
            return;
        }
        slot = open(t, p, hash);
        if (slot == kNoSlot) return;
        opened = true;
    }
    const FlowRef flow = ref(t, slot);
    const auto d = static_cast<uint8_t>(p.reversed != ((flow.hot.bits & kSourceIsB) != 0));
    count(flow, p, d);
    if (p.anomaly && flow.warm.anomaly == 0) flow.warm.anomaly = registry_.counter_name(p.anomaly);
    // Of a fragmented datagram state and dissectors see what they would see of it in one piece, once it is whole.
    const Packet *const whole = p.fragment ? p.fragment->whole : &p;
    Place at;
    if (t == 0 && whole) {
        tcp_state(flow, *whole, d); // so that the insert shows the state that its packet made
        at = place(flow, *whole, d);
    }
    if (meters_ && packets > 0) [[unlikely]]
        meter(flow, p, raw, d, at, opened);
    if (opened && writer_.wanted(EventKind::insert))
        writer_.append(EventKind::insert, flow, dissection_.cold(), EndReason::none);
    bool notify = whole && dissect(flow, *whole, d, at);
    if (meters_) [[unlikely]]
        notify |= meters_->take_notify();
    const bool sampled = sample(flow, packets);
    if (notify || sampled) update(flow, !notify);
}

bool Tracker::dissect(const FlowRef &flow, const Packet &p, uint8_t d, const Place &at) {
    if (flow.table == 0) return tcp(flow, p, d, at);
    return p.payload_length > 0 && (wanted(flow, p, d) || (meters_ && meters_->wants(flow, d))) &&
           dissection_.udp(flow, p, d);
}

// Whether it is time for a sampled update: every n packets of the flow.
bool Tracker::sample(const FlowRef &flow, uint32_t packets) {
    uint32_t &left = flow.hot.until_update;
    if (left == 0) return false;
    if (left > packets) {
        left -= packets;
        return false;
    }
    const uint32_t every = flow.table == 0 ? options_.every_tcp : options_.every_udp;
    left = every - (packets - left) % every;
    return true;
}

// What came of a fragmented datagram that is not whole. Its flow may have ended.
void Tracker::overdue(const Packet &p) {
    const size_t t = table_of(p.key);
    const uint32_t slot = tables_[t].find(p.key, hash(p));
    if (slot == kNoSlot) return;
    const FlowRef flow = ref(t, slot);
    if (flow.warm.list == List::ended) return;
    const auto d = static_cast<uint8_t>(p.reversed != ((flow.hot.bits & kSourceIsB) != 0));
    Place at;
    if (t == 0) {
        tcp_state(flow, p, d);
        at = place(flow, p, d);
    }
    bool notify = dissect(flow, p, d, at);
    if (meters_) notify |= meters_->take_notify();
    flow.warm.updated_packets = UINT64_MAX;
    if (notify) update(flow, false);
}

void Tracker::meter(const FlowRef &flow, const Packet &p, const RawPacket &raw, uint8_t d, const Place &at,
                    bool opened) {
    if (opened) meters_->opened(flow);
    const bool ahead = at.known && static_cast<int32_t>(p.seq - at.expected) > 0 && !(p.tcp_flags & kRst);
    meters_->packet(flow, p, raw, d,
                    static_cast<uint16_t>((at.retransmission ? AICORE_RETRANSMISSION : 0) |
                                          (ahead ? AICORE_OUT_OF_ORDER : 0) | (p.fragment ? AICORE_FRAGMENT : 0)));
}

// Whether dissectors shall see the packet: kDone holds for all of a flow but the first payload of a direction.
bool Tracker::wanted(FlowRef flow, const Packet &p, uint8_t d) {
    if (!(flow.hot.bits & kDone)) return true;
    if (flow.hot.payload[d] != p.payload_bytes || p.payload_length == 0) return false;
    dissection_.first_payload(flow, d);
    return !(flow.hot.bits & kDone);
}

void Tracker::count(FlowRef flow, const Packet &p, uint8_t d) {
    Hot &hot = flow.hot;
    if (p.fragment) [[unlikely]] {
        hot.packets[d] += p.fragment->packets;
        hot.bytes[d] += p.fragment->bytes;
        hot.payload[d] += p.fragment->payload_bytes;
        flow.warm.first_seen = std::min(flow.warm.first_seen, p.fragment->earliest);
    } else {
        hot.packets[d] += 1;
        hot.bytes[d] += p.ip_bytes;
        hot.payload[d] += p.payload_bytes;
    }
    if (p.time > hot.last_seen) {
        // A second of tolerance in the order of the list saves its links' cache lines on nearly every packet.
        const bool another_second = p.time >> 30 != hot.last_seen >> 30;
        hot.last_seen = p.time;
        if (another_second && flow.warm.list != List::lingering) tables_[flow.table].to_tail(flow.slot, flow.warm.list);
    } else if (p.time < hot.last_seen) {
        flow.warm.first_seen = std::min(flow.warm.first_seen, p.time);
    }
    const bool skewed = clock_ - hot.last_seen > kSecond || hot.last_seen - clock_ > kSecond;
    if (skewed || hot.bits & kSkewed) note_skew(flow, skewed);
}

// Timestamps far from the clock: the clock counts for idleness and for the place in the list, not they.
void Tracker::note_skew(FlowRef flow, bool skewed) {
    const bool changed = skewed != ((flow.hot.bits & kSkewed) != 0);
    if (changed) flow.hot.bits ^= kSkewed;
    if (flow.warm.list == List::lingering) return;
    if (changed || clock_ >> 30 != flow.warm.touched >> 30) tables_[flow.table].to_tail(flow.slot, flow.warm.list);
    flow.warm.touched = clock_;
}

void Tracker::tcp_state(FlowRef flow, const Packet &p, uint8_t d) {
    Hot &hot = flow.hot;
    hot.flags[d] |= p.tcp_flags;
    if (hot.state >= TcpState::closed) return;
    if (p.tcp_flags & kRst) {
        hot.state = TcpState::reset;
    } else if (p.tcp_flags & kSyn) {
        if (hot.state <= TcpState::syn_sent)
            hot.state = p.tcp_flags & kAck ? TcpState::syn_received : TcpState::syn_sent;
    } else if (hot.state < TcpState::established) {
        hot.state = TcpState::established;
        if (flow.warm.list == List::half_open) tables_[0].to_tail(flow.slot, List::open);
    }
    if (p.tcp_flags & kFin && hot.state != TcpState::reset) {
        hot.bits |= static_cast<uint8_t>(kFin0 << d);
        hot.state = (hot.bits & (kFin0 | kFin1)) == (kFin0 | kFin1) ? TcpState::closed : TcpState::closing;
    }
    if (hot.state >= TcpState::closed) { // late ACKs, retransmissions and data still belong to it
        flow.warm.touched = clock_;
        tables_[0].to_tail(flow.slot, List::lingering);
    }
}

Tracker::Place Tracker::place(FlowRef flow, const Packet &p, uint8_t d) {
    Hot &hot = flow.hot;
    const auto valid = static_cast<uint8_t>(kSeqValid0 << d);
    const bool known = hot.bits & valid;
    const uint32_t expected = hot.next_seq[d];
    Place at{expected, known, false};
    const uint32_t sequence_length = p.payload_bytes + (p.tcp_flags & kSyn ? 1u : 0u) + (p.tcp_flags & kFin ? 1u : 0u);
    if (!(p.tcp_flags & kRst)) { // a reset's number is often made up (RFC 9293 section 3.10.7.1)
        const uint32_t behind = p.seq + sequence_length;
        if (!known || static_cast<int32_t>(behind - expected) > 0) {
            hot.next_seq[d] = behind;
            hot.bits |= valid;
        } else if (sequence_length > 0 &&
                   !(p.payload_bytes <= 1 && p.seq == expected - 1 && !(p.tcp_flags & (kSyn | kFin)))) {
            // Not a keep-alive, which repeats one byte on purpose.
            ++flow.warm.retransmissions;
            ++counters_[Counter::retransmissions];
            at.retransmission = true;
        }
    }
    return at;
}

bool Tracker::tcp(FlowRef flow, const Packet &p, uint8_t d, const Place &at) {
    if (!wanted(flow, p, d) && !(meters_ && meters_->wants(flow))) return false;
    bool notify = false;
    if (p.tcp_flags & kAck && flow.hot.segments_wait) notify = dissection_.acknowledged(flow, d ^ 1, p.ack, p.time);
    if (p.tcp_flags & kRst) return notify;
    // For a meter bytes that are not captured are a gap.
    const bool given = p.payload_length > 0 && !(flow.hot.bits & kDone);
    if (given || (meters_ && p.payload_bytes > 0 && meters_->wants(flow, d)))
        notify |= dissection_.tcp(flow, p, d, at.expected, at.known);
    return notify;
}

} // namespace aicore
