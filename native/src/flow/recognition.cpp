// SPDX-License-Identifier: Apache-2.0
// Dissection: which protocol a flow is. Candidates are asked payload by payload until one says yes or none is left.
#include <algorithm>
#include <utility>

#include "dissection.h"
#include "host.h"

namespace aicore {

namespace {

// Payloads looked at before an unrecognised flow is given up, or one direction of it while the other is silent: a TCP
// connection caught in its middle is tried at each segment, a UDP flow at each datagram (a keep-alive before the first
// real message is common).
constexpr uint8_t kMaxTcpPayloads = 16;
constexpr uint8_t kMaxUdpPayloads = 8;
constexpr uint8_t kMaxUdpMore = 32;

} // namespace

// No native protocol recognises it, and if no external one can either, none will.
void Dissection::give_up(FlowRef flow, Cold &cold) {
    if (cold.inspection == 0) {
        end(flow);
        return stop(flow, cold);
    }
    cold.native_over = true;
    cold.state.reset();
    cold.pending = kNoProtocol;
    cold.candidates[0] = cold.candidates[1] = {};
    if (!cold.streams) return;
    for (Stream &s : cold.streams->direction)
        drop(cold, s);
}

void Dissection::first_payload(FlowRef flow, uint8_t d) {
    if (!(flow.hot.bits & kDone) || flow.warm.layer7_by == Layer7By::payload) return;
    flow.hot.bits &= static_cast<uint8_t>(~kDone);
    Cold &cold = cold_of(flow.warm);
    cold.payloads = 0;
    if (flow.table != 0) return;
    cold.begun |= static_cast<uint8_t>(1u << (d ^ 1));
    Stream &silent = streams_of(cold).direction[d ^ 1]; // not followed since, but for meters
    if (!meters_ || !meters_->wants(flow, d ^ 1)) silent.started = false;
    silent.shut = true;
}

bool Dissection::recognise(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *fresh, size_t fresh_length,
                           uint8_t flags, int64_t time) {
    if (cold.native_over) {
        show(flow, cold, d, fresh, fresh_length, flags, time);
        return false;
    }
    const bool tcp = flow.table == 0;
    Stream *stream = tcp ? &streams_of(cold).direction[d] : nullptr;
    if (stream && stream->shut) {
        if (cold.inspection) show(flow, cold, d, fresh, fresh_length, flags, time);
        return false;
    }
    const uint8_t shown_flags = flags;
    if (stream && std::exchange(stream->cut, false)) flags |= AICORE_GAP;
    if (stream && flags & AICORE_GAP) { // what came before the hole cannot be continued
        drop(cold, *stream);
        cold.begun &= static_cast<uint8_t>(~(1u << d));
    }
    const uint8_t *data = fresh;
    size_t length = fresh_length;
    const bool buffered = join(cold, stream, data, length);
    ProtocolSet &candidates = cold.candidates[d];
    const bool anywhere = flags & (AICORE_MIDSTREAM | AICORE_GAP);
    ProtocolSet external;
    if (!tcp || !(cold.begun >> d & 1) || (anywhere && candidates.empty())) {
        cold.begun |= static_cast<uint8_t>(1u << d);
        const FlowKey &key = flow.hot.key;
        const ProtocolSet selected =
            registry_.select(tcp ? AICORE_TCP : AICORE_UDP, data, length, key.port_a, key.port_b);
        external = selected.common(registry_.external());
        candidates |= writer_ ? selected.without(external) : external;
    }
    if (cold.payloads < UINT8_MAX) ++cold.payloads;

    if (!candidates.empty()) {
        Call call(*this, flow, cold);
        const Stream *other =
            tcp && !cold.streams->direction[d ^ 1].buffer.empty() ? &cold.streams->direction[d ^ 1] : nullptr;
        const uint8_t *other_data = other ? other->buffer.data() : nullptr;
        const size_t other_length = other ? other->buffer.size() : 0;
        uint16_t winner = kNoProtocol;
        int answer = AICORE_NO;
        aicore_payload payload{};
        const ProtocolSet asking_now = candidates;
        asking_now.each([&](size_t i) {
            const Registered &r = registry_.protocols()[i];
            scratch_.clear();
            if (cold.pending == i)
                std::copy_n(cold.state.get(), r.state_words(), scratch_state_.begin());
            else
                std::fill_n(scratch_state_.begin(), r.state_words(), 0);
            call.start(r, scratch_, false);
            forget_reports();
            payload = {sizeof payload, flags, d, 0, data, length, SIZE_MAX, time, other_data, other_length};
            answer = inspect(static_cast<uint16_t>(i), call, payload,
                             r.protocol.state_size ? scratch_state_.data() : nullptr);
            if (answer == AICORE_YES || answer == AICORE_DONE) {
                winner = static_cast<uint16_t>(i);
                return false;
            }
            if (answer != AICORE_MORE) candidates.remove(i);
            if (!tcp) keep_pending(cold, static_cast<uint16_t>(i), answer == AICORE_MORE);
            return true;
        });
        if (winner != kNoProtocol) {
            if (stream) consume(cold, *stream, buffered, data, length, used(winner, payload, answer));
            return own(flow, cold, call, winner, answer);
        }
    }

    if (cold.inspection)
        show(flow, cold, d, fresh, fresh_length, shown_flags, time);
    else if (writer_ && !external.empty())
        open_inspection(flow, cold, d, data, length, flags, time);
    if (stream)
        undecided_stream(flow, cold, d, data, length, anywhere);
    else
        undecided_datagram(flow, cold);
    return false;
}

int Dissection::inspect(uint16_t index, Call &call, aicore_payload &payload, void *state) {
    const Registered &r = registry_.protocols()[index];
    if (!r.external) return r.protocol.inspect(&call.view, &payload, state);
    return asking.protocols->inspect({call.view, payload, registry_, index, asking.inspection, asking.row});
}

// Bytes of the payload that need not be shown again. Only native protocols can pass over what is still to come: what
// others answer comes too late.
size_t Dissection::used(uint16_t index, const aicore_payload &payload, int answer) const {
    if (payload.consumed == SIZE_MAX) return answer == AICORE_MORE ? 0 : payload.length;
    return registry_.protocols()[index].external ? std::min(payload.consumed, payload.length) : payload.consumed;
}

void Dissection::undecided_datagram(FlowRef flow, Cold &cold) {
    if (cold.payloads >= (cold.undecided() ? kMaxUdpMore : kMaxUdpPayloads)) give_up(flow, cold);
}

void Dissection::undecided_stream(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length,
                                  bool anywhere) {
    Stream &stream = cold.streams->direction[d];
    const bool full = length >= limits_.stream_bytes;
    if (full && !cold.candidates[d].empty()) { // who cannot tell yet will not
        ++counters_[Counter::reassembly_full];
        cold.candidates[d] = {};
    }
    const bool undecided = cold.undecided();
    const bool tried = cold.payloads >= kMaxTcpPayloads;
    if (anywhere) {
        if (tried && !undecided) return give_up(flow, cold);
        if (full) drop(cold, stream);
        if (!undecided) { // tried anew at each segment
            for (Stream &s : cold.streams->direction)
                drop(cold, s);
        } else if (!full && stream.buffer.empty()) {
            keep(cold, stream, data, length);
        }
        return;
    }
    if (!undecided && cold.begun == 3) return give_up(flow, cold);
    // While somebody may yet tell by the other direction, this one is kept for it up to the bound.
    if (full || (tried && !undecided)) {
        stream.shut = true;
        // The other direction may yet tell. Until it begins nobody needs to look at this one.
        if (!undecided && writer_ && cold.inspection == 0) flow.hot.bits |= kDone;
    }
    if (stream.buffer.empty()) {
        keep(cold, stream, data, std::min(length, limits_.stream_bytes));
    } else if (full) {
        held(*cold.streams,
             static_cast<ptrdiff_t>(limits_.stream_bytes) - static_cast<ptrdiff_t>(stream.buffer.size()));
        stream.buffer.resize(limits_.stream_bytes);
    }
}

// Over UDP the state of who needs more is kept for the next datagram: of one protocol, the first that asks for it.
void Dissection::keep_pending(Cold &cold, uint16_t index, bool more) {
    const size_t words = registry_.protocols()[index].state_words();
    if (more && words > 0 && cold.pending == kNoProtocol) {
        cold.state = std::make_unique<uint64_t[]>(words);
        cold.pending = index;
    }
    if (cold.pending != index) return;
    if (more) {
        std::copy_n(scratch_state_.begin(), words, cold.state.get());
    } else {
        cold.state.reset();
        cold.pending = kNoProtocol;
    }
}

// The first YES: the protocol's values become the flow's, its state is kept.
bool Dissection::own(FlowRef flow, Cold &cold, Call &call, uint16_t index, int answer) {
    const Registered &r = registry_.protocols()[index];
    set_layer7(flow, call.layer7 ? call.layer7 : r.layer7, Layer7By::payload);
    tell_reports(flow);
    if (call.anomaly) note_anomaly(flow.warm, call.anomaly);
    merge(flow, cold, scratch_);
    begin_owned(cold);
    close_inspection(cold);
    if (call.handed_over) {
        after_hand_over(flow, cold, call);
    } else if (answer == AICORE_DONE) {
        stop(flow, cold);
    } else {
        cold.owner = index;
        if (const size_t words = r.state_words()) {
            cold.state = std::make_unique<uint64_t[]>(words);
            std::copy_n(scratch_state_.begin(), words, cold.state.get());
        }
    }
    return true;
}

void Dissection::begin_owned(Cold &cold) {
    cold.candidates[0] = cold.candidates[1] = {};
    cold.payloads = 1;
    cold.state.reset();
    cold.pending = kNoProtocol;
    cold.native_over = false;
}

} // namespace aicore
