// SPDX-License-Identifier: Apache-2.0
#include "tracker.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace aicore {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kSweepEvery = kSecond / 10;
constexpr size_t kSweepAtPacket = 16; // looks at list heads during one packet: bounds its time

} // namespace

Tracker::Tracker(const EngineOptions &options, const Registry &registry, BatchWriter &writer, Meters *meters,
                 Counters &counters)
    : options_(options), registry_(registry), writer_(writer),
      counters_(counters), tables_{{options.tcp ? options.tcp_flows : 1, options.hash_key},
                                   {options.udp ? options.udp_flows : 1, options.hash_key}},
      meters_(meters), dissection_(registry, {options.stream_bytes, options.streams_bytes, options.inspected_flows},
                                   meters, counters, &writer),
      time_(std::max(options.idle_tcp, options.idle_udp)) {
    SipHash<2, 4> h({0, 0});
    for (const char c : options.sensor)
        h.add(static_cast<uint8_t>(c));
    sensor_hash_ = h.finish64();
}

// Time -------------------------------------------------------------------------------------------------------------

void Tracker::advance(int64_t time) {
    if (live_) return;
    const PacketClock::Step step = time_.see(time);
    if (step >= PacketClock::Step::moved) [[unlikely]]
        leap();
    clock_ = time_.now();
    if (step == PacketClock::Step::near) [[likely]]
        return;
    switch (step) {
    case PacketClock::Step::near:
        break;
    case PacketClock::Step::back:
        ++counters_[Counter::time_backwards];
        break;
    case PacketClock::Step::far:
        ++counters_[Counter::time_jumps];
        break;
    case PacketClock::Step::moved:
        break;
    case PacketClock::Step::restarted:
        overlap_ = overlap_ || time_.overlaps();
        restart();
        break;
    }
}

// Of all flows that have not ended.
template <class Which> void Tracker::end_where(Which which) {
    for (size_t t = 0; t < 2; ++t)
        for (const List list : {List::lingering, List::half_open, List::open})
            for (uint32_t slot = tables_[t].head(list); slot != kNoSlot;) {
                const FlowRef flow = ref(t, slot);
                slot = flow.hot.next;
                if (which(flow)) end(flow, natural_reason(flow));
            }
}

// The clock moves far: what is due by now ends before, so that it does not depend on how far sweeping has come.
void Tracker::leap() {
    end_where([this](const FlowRef &flow) { return due(flow); });
    turned_ = next_sweep_ = time_.now();
}

// A file of another time has begun: what was read before it has ended.
void Tracker::restart() {
    end_where([this](const FlowRef &flow) { return of_another_time(flow, clock_); });
}

void Tracker::tick(int64_t clock) {
    clock_ = std::max(clock_, clock);
    sweep(4096);
}

int64_t Tracker::limit(const FlowRef &flow) const {
    return flow.warm.list == List::lingering   ? options_.linger
           : flow.warm.list == List::half_open ? options_.half_open
           : flow.table == 0                   ? options_.idle_tcp
                                               : options_.idle_udp;
}

int64_t Tracker::seen(const FlowRef &flow) const {
    const int64_t last = flow.hot.last_seen, touched = flow.warm.touched;
    int64_t at = last;
    if (flow.warm.list == List::lingering)
        at = touched;
    else if (flow.hot.bits & kSkewed) // a timestamp that the clock has come to by now is as good as any
        at = std::max(touched, last <= clock_ ? last : turned_);
    return at > clock_ && at - clock_ > PacketClock::kFar ? turned_ : at; // it is from before the clock went back
}

bool Tracker::due(const FlowRef &flow) const {
    return clock_ - seen(flow) >= limit(flow);
}

// Whether a packet of this time comes too long after the flow's last one, or before its first: whatever the clock says.
bool Tracker::of_another_time(const FlowRef &flow, int64_t time) const {
    return time >= flow.hot.last_seen ? time - flow.hot.last_seen >= limit(flow)
                                      : flow.warm.first_seen - time >= limit(flow);
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
    const bool closed = flow.hot.state >= TcpState::closed;
    if (due(flow) || (!live_ && flow.warm.list != List::lingering && of_another_time(flow, packet.time))) {
        reason = natural_reason(flow);
        return true;
    }
    if (closed && (packet.tcp_flags & (kSyn | kAck)) == kSyn && other_number(flow, packet, direction(flow, packet))) {
        reason = natural_reason(flow);
        return true;
    }
    if (options_.active && packet.time - flow.warm.opened >= options_.active && !closed) {
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
        return finish(flow, flow.hot.state >= TcpState::closed ? natural_reason(flow) : EndReason::evicted);
    }
    return false;
}

// The identity: the same packets read again give the same id.
void Tracker::identify(FlowRef flow, uint64_t hash) {
    const bool reversed = flow.hot.bits & kSourceIsB;
    const uint64_t ordinal = ids_.ordinal(hash ^ (reversed ? ~uint64_t{0} : 0), flow.warm.opened);
    uint64_t words[6];
    std::memcpy(words, &flow.hot.key, sizeof words);
    SipHash<2, 4, 128> h({0, 0});
    for (const uint64_t w : words)
        h.add(w);
    h.add(static_cast<uint64_t>(flow.warm.opened));
    h.add(ordinal << 1 | reversed);
    h.add(sensor_hash_);
    const auto id = h.finish128();
    flow.warm.flow_id[0] = id[0];
    flow.warm.flow_id[1] = id[1];
}

uint32_t Tracker::open(size_t t, const Packet &packet, uint64_t hash) {
    if (!make_room(t) || !writer_.room(1)) {
        counters_[Counter::not_admitted] += packet.fragment ? packet.fragment->packets : 1;
        return kNoSlot;
    }
    const bool syn = t == 0 && packet.tcp_flags & kSyn && !(packet.tcp_flags & kRst);
    const bool answer =
        syn && packet.tcp_flags & kAck; // its receiver sent a SYN that was not seen (RFC 9293 section 3.5)
    const uint32_t slot = tables_[t].open(packet.key, hash, syn ? List::half_open : List::open);
    const FlowRef flow = ref(t, slot);
    ++counters_[t == 0 ? Counter::flows_tcp : Counter::flows_udp];
    flow.hot.bits =
        static_cast<uint8_t>((packet.reversed != answer ? kSourceIsB : 0) | (t == 0 && !syn ? kMidstream : 0));
    if (answer) {
        flow.hot.next_seq[0] = packet.ack;
        flow.hot.bits |= kSeqValid0;
    }
    flow.warm.isn = answer ? packet.ack - 1 : packet.seq;
    begin(flow, packet, hash);
    return slot;
}

// What a record begins with.
void Tracker::begin(FlowRef flow, const Packet &packet, uint64_t hash) {
    flow.hot.last_seen = packet.time;
    flow.hot.until_update = flow.table == 0 ? options_.every_tcp : options_.every_udp;
    flow.warm.opened = flow.warm.first_seen = packet.time;
    flow.warm.vlan = packet.vlan;
    flow.warm.vlan_inner = packet.vlan_inner;
    flow.warm.tunnel = packet.tunnel;
    flow.warm.tunnel_id = packet.tunnel_id;
    identify(flow, hash);
}

// The active timeout: the record ends, and the next one begins with all that is known of the flow.
bool Tracker::resume(FlowRef flow, const Packet &packet, uint64_t hash) {
    if (!tell_end(flow, EndReason::active)) return false;
    Hot &hot = flow.hot;
    Warm &warm = flow.warm;
    for (size_t d = 0; d < 2; ++d)
        hot.bytes[d] = hot.packets[d] = hot.payload[d] = hot.flags[d] = 0;
    warm.updated_packets = 0;
    warm.retransmissions = warm.anomaly = 0;
    warm.bits |= kContinued;
    begin(flow, packet, hash);
    if (!(hot.bits & kSkewed)) tables_[flow.table].to_tail(flow.slot, warm.list);
    return true;
}

// Ends a flow before a packet of another one of its key, and lets in what was held for that. False: no room.
bool Tracker::make_way(const FlowRef &flow, const Packet &packet, uint64_t hash, EndReason reason, bool answered) {
    std::vector<HeldPacket> held;
    if (flow.warm.doubts != kNoSlot && flow.warm.list != List::ended) {
        held = take_held(flow);
        const bool again = packet.tcp_flags & kSyn && !held.empty() && packet.seq == held.front().packet.seq;
        if (!held.empty() && !answered && !again) {
            restore_held(flow, std::move(held));
            held.clear();
        }
    }
    if (!finish(flow, reason)) {
        if (!held.empty()) restore_held(flow, std::move(held));
        return false;
    }
    for (const HeldPacket &one : held)
        admit(one.packet, one.raw, hash, kNoSlot);
    return true;
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
    admit(p, raw, hash, slot);
}

void Tracker::admit(const Packet &p, const RawPacket &raw, uint64_t hash, uint32_t slot) {
    const size_t t = table_of(p.key);
    const uint32_t packets = p.fragment ? p.fragment->packets : 1;
    FlowTable &table = tables_[t];
    if (slot == kNoSlot || !table.holds(slot, p.key)) slot = table.find(p.key, hash);
    bool opened = false;
    if (slot != kNoSlot) {
        const FlowRef flow = ref(t, slot);
        EndReason reason = flow.warm.end_reason;
        bool ends = flow.warm.list == List::ended || over(flow, p, reason), answered = false;
        if (!ends && t == 0 && (p.tcp_flags & kSyn || flow.warm.doubts != kNoSlot) && !p.fragment) [[unlikely]] {
            const Opening what = opening(flow, p, raw, direction(flow, p));
            if (what == Opening::held) return;
            ends = answered = what == Opening::answered;
            reason = flow.hot.state >= TcpState::closed ? natural_reason(flow) : EndReason::reused;
        }
        if (ends && reason == EndReason::active && flow.warm.list != List::ended) {
            opened = resume(flow, p, hash);
            if (!opened) {
                counters_[Counter::not_admitted] += packets;
                return;
            }
        } else if (ends) {
            if (!make_way(flow, p, hash, reason, answered)) { // its remove must come first, and there is no room for it
                counters_[Counter::not_admitted] += packets;
                return;
            }
            slot = table.find(p.key, hash); // of what was held
        }
    }
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
    const uint8_t d = direction(flow, p);
    count(flow, p, d);
    if (p.anomaly && flow.warm.anomaly == 0) flow.warm.anomaly = registry_.counter_name(p.anomaly);
    // Of a fragmented datagram state and dissectors see what they would see of it in one piece, once it is whole.
    const Packet *const whole = p.fragment ? p.fragment->whole : &p;
    Place at;
    if (t == 0 && whole) at = segment(flow, *whole, d); // so that the insert shows the state that its packet made
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
    if (t == 0) at = segment(flow, p, d);
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
    if (flow.warm.bits & kContinued) return false;
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

bool Tracker::tcp(FlowRef flow, const Packet &p, uint8_t d, const Place &at) {
    if (at.outside) return false;
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
