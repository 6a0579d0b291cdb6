// SPDX-License-Identifier: Apache-2.0
// TCP segments to in-order streams: straight from the packet, copied only for a hole before it or for who needs more.
#include <algorithm>

#include "dissection.h"

namespace aicore {

namespace {
constexpr size_t kMaxSpare = 1024, kMaxSpareBytes = 4096; // at most 8 MiB kept for reuse
} // namespace

Streams &Dissection::streams_of(Cold &cold) {
    if (!cold.streams) {
        if (spare_.empty()) {
            cold.streams = std::make_unique<Streams>();
        } else {
            cold.streams = std::move(spare_.back());
            spare_.pop_back();
        }
    }
    return *cold.streams;
}

void Dissection::unlink(Streams &s) {
    (s.older ? s.older->newer : oldest_) = s.newer;
    (s.newer ? s.newer->older : newest_) = s.older;
}

void Dissection::drop_streams(Cold &cold) {
    if (!cold.streams) return;
    Streams &s = *cold.streams;
    held_ -= s.held;
    if (s.held > 0) unlink(s);
    if (spare_.size() < kMaxSpare) {
        for (Stream &d : s.direction) {
            d.buffer.clear();
            if (d.buffer.capacity() > kMaxSpareBytes) d.buffer.shrink_to_fit();
            d.later.clear();
            d.skip = d.expected = d.cut_off = 0;
            d.started = d.gap = d.hidden = d.cut = d.shut = false;
        }
        s.held = 0;
        spare_.push_back(std::move(cold.streams));
    }
    cold.streams.reset();
}

void Dissection::held(Streams &streams, ptrdiff_t change) {
    if (change == 0) return;
    const bool linked = streams.held > 0;
    streams.held += static_cast<size_t>(change);
    held_ += static_cast<size_t>(change);
    if (linked && (change > 0 || streams.held == 0)) unlink(streams);
    if (change < 0) return;
    streams.older = newest_;
    streams.newer = nullptr;
    (newest_ ? newest_->newer : oldest_) = &streams;
    newest_ = &streams;
    // The longest unused lose their bytes; their flows go on behind a gap.
    while (held_ > limits_.streams_bytes && oldest_ != &streams) {
        Streams &s = *oldest_;
        ++counters_[Counter::reassembly_evicted];
        unlink(s);
        held_ -= s.held;
        s.held = 0;
        for (Stream &d : s.direction) {
            d.cut = d.cut || !d.buffer.empty();
            d.buffer = {};
            d.later = {};
        }
    }
}

bool Dissection::join(Cold &cold, Stream *stream, const uint8_t *&data, size_t &length) {
    if (!stream || stream->buffer.empty()) return false;
    stream->buffer.insert(stream->buffer.end(), data, data + length);
    held(*cold.streams, static_cast<ptrdiff_t>(length));
    data = stream->buffer.data();
    length = stream->buffer.size();
    return true;
}

void Dissection::drop(Cold &cold, Stream &stream) {
    keep(cold, stream, nullptr, 0);
}

void Dissection::keep(Cold &cold, Stream &stream, const uint8_t *data, size_t length) {
    const auto before = static_cast<ptrdiff_t>(stream.buffer.size());
    stream.buffer.assign(data, data + length);
    held(*cold.streams, static_cast<ptrdiff_t>(length) - before);
}

// The owner does not want to see so many bytes more. What the capture cut off the packet that ends here is of them.
void Dissection::skip(Stream &s, uint64_t bytes) {
    if (s.cut_off > bytes) return; // the rest of it is missing all the same
    s.hidden = true;
    s.skip = bytes - s.cut_off;
}

// Moves `expected` over what is skipped, as far as a segment shows that it was sent: nothing in there is waited for.
void Dissection::pass(Stream &s, uint32_t seq, uint32_t wire) {
    const auto sent = static_cast<int32_t>(seq + wire - s.expected);
    if (sent <= 0) return;
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(s.skip, static_cast<uint32_t>(sent)));
    s.skip -= n;
    s.expected += n;
}

// What is missing before `seq` is given up.
void Dissection::jump(Stream &s, uint32_t seq) {
    const uint32_t missing = seq - s.expected;
    s.hidden = s.skip >= missing;
    s.skip -= std::min<uint64_t>(s.skip, missing);
    s.expected = seq;
    s.gap = true;
}

// New bytes of the stream, `wire` of them on the wire: all of them to the meters, to the dissectors what is behind the
// bytes that the owner skips.
bool Dissection::give(FlowRef flow, uint8_t d, Stream &stream, const uint8_t *data, size_t length, uint32_t wire,
                      int64_t time) {
    auto flags = static_cast<uint8_t>(start_flags(flow.hot, stream) | (length < wire ? AICORE_TRUNCATED : 0));
    if (meters_ && length > 0) meters_->stream(flow, d, data, length, flags, time);
    const auto skipped = static_cast<uint32_t>(std::min<uint64_t>(stream.skip, wire));
    if (skipped > 0 || stream.hidden) flags &= static_cast<uint8_t>(~AICORE_GAP);
    stream.skip -= skipped;
    stream.cut_off = wire - static_cast<uint32_t>(length);
    stream.gap = length < wire;
    stream.hidden = skipped == wire;
    if (skipped >= length) return false;
    return deliver(flow, d, data + skipped, length - skipped, flags, time); // `stream` may be gone behind this
}

void Dissection::keep_later(Cold &cold, Stream &stream, uint32_t seq, const uint8_t *data, size_t length,
                            uint32_t wire) {
    auto at = stream.later.begin();
    while (at != stream.later.end() && static_cast<int32_t>(seq - at->seq) > 0)
        ++at;
    if (at != stream.later.end() && at->seq == seq && at->data.size() >= length) return; // a copy of one that waits
    stream.later.insert(at, Segment{seq, wire, std::vector<uint8_t>(data, data + length)});
    held(*cold.streams, static_cast<ptrdiff_t>(length));
}

bool Dissection::tcp(FlowRef flow, const Packet &packet, uint8_t d, uint32_t expected, bool expected_known) {
    const uint32_t seq = packet.seq + (packet.tcp_flags & kSyn ? 1 : 0); // TCP Fast Open: data behind the SYN's number
    if (!expected_known) expected = seq;
    if (flow.hot.bits & kDone && pass_on(flow, packet, d, seq, expected)) return false;
    Cold &cold = cold_of(flow.warm);
    Streams &streams = streams_of(cold);
    Stream &stream = streams.direction[d];
    if (!stream.started) {
        stream.expected = expected;
        stream.started = true;
    }
    const uint8_t *data = packet.payload;
    uint32_t length = packet.payload_length, wire = packet.payload_bytes;
    if (stream.skip > 0 && !(meters_ && meters_->wants(flow, d))) pass(stream, seq, wire);
    const auto ahead = static_cast<int32_t>(seq - stream.expected);
    if (ahead < 0) {
        const auto old = static_cast<uint32_t>(-static_cast<int64_t>(ahead));
        if (old >= wire) return false;
        const uint32_t skip = std::min(old, length);
        data += skip;
        length -= skip;
        wire -= old;
    } else if (ahead > 0) {
        keep_later(cold, stream, seq, data, length, wire);
        flow.hot.segments_wait = 1;
        size_t waiting = 0;
        for (const Segment &s : stream.later)
            waiting += s.data.size();
        if (waiting < limits_.stream_bytes && stream.later.size() <= kMaxLaterSegments) return false;
        ++counters_[Counter::reassembly_gaps]; // the hole will not be filled any more
        jump(stream, stream.later.front().seq);
        return drain_later(flow, d, packet.time);
    }
    stream.expected += wire;
    const bool waiting = !stream.later.empty();
    bool notify = give(flow, d, stream, data, length, wire, packet.time);
    if (waiting) notify |= drain_later(flow, d, packet.time);
    if (meters_) release(flow);
    return notify;
}

uint8_t Dissection::start_flags(const Hot &hot, const Stream &stream) const {
    return static_cast<uint8_t>((stream.gap ? AICORE_GAP : 0) | (hot.bits & kMidstream ? AICORE_MIDSTREAM : 0));
}

bool Dissection::drain_later(FlowRef flow, uint8_t d, int64_t time) {
    bool notify = false;
    while ((meters_ || !(flow.hot.bits & kDone)) && flow.warm.cold != kNoSlot) {
        Cold &cold = pool_[flow.warm.cold];
        if (!cold.streams) break;
        Stream &stream = cold.streams->direction[d];
        if (stream.later.empty()) break;
        if (stream.skip > 0 && !(meters_ && meters_->wants(flow, d)))
            pass(stream, stream.later.front().seq, stream.later.front().wire);
        if (static_cast<int32_t>(stream.later.front().seq - stream.expected) > 0) break;
        const Segment segment = std::move(stream.later.front());
        stream.later.erase(stream.later.begin());
        held(*cold.streams, -static_cast<ptrdiff_t>(segment.data.size()));
        const uint32_t old = stream.expected - segment.seq;
        if (old >= segment.wire) continue;
        stream.expected = segment.seq + segment.wire;
        const size_t known = std::min<size_t>(old, segment.data.size());
        notify |=
            give(flow, d, stream, segment.data.data() + known, segment.data.size() - known, segment.wire - old, time);
    }
    if (meters_) release(flow);
    return notify;
}

bool Dissection::acknowledged(FlowRef flow, uint8_t d, uint32_t ack, int64_t time) {
    Streams *const streams = flow.warm.cold == kNoSlot ? nullptr : pool_[flow.warm.cold].streams.get();
    if (!streams || (streams->direction[0].later.empty() && streams->direction[1].later.empty())) {
        flow.hot.segments_wait = 0;
        return false;
    }
    Stream &stream = streams->direction[d];
    if (stream.later.empty() || static_cast<int32_t>(ack - stream.expected) <= 0) return false;
    ++counters_[Counter::reassembly_gaps];
    // What was acknowledged alone is given up: bytes behind it may still come.
    const uint32_t front = stream.later.front().seq;
    jump(stream, static_cast<int32_t>(ack - front) < 0 ? ack : front);
    return drain_later(flow, d, time);
}

} // namespace aicore
