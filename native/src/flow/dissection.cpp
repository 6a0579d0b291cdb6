// SPDX-License-Identifier: Apache-2.0
// What a flow holds, and the protocol that owns it. Recognition is in recognition.cpp, stream order in streams.cpp,
// what a flow learns in names.cpp, what meters are told in metering.cpp, external protocols are in external.cpp, what a
// dissector may call is in host.cpp.
#include "dissection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "host.h"

namespace aicore {

Dissection::Dissection(const Registry &registry, const DissectionLimits &limits, Meters *meters, Counters &counters,
                       BatchWriter *writer)
    : registry_(registry), limits_(limits), meters_(meters), counters_(counters), writer_(writer),
      scratch_state_(AICORE_STATE_MAX / 8), anomalies_(registry.schema()->names.size()) {}

Dissection::~Dissection() = default;

Cold &Dissection::cold_of(Warm &warm) {
    if (warm.cold == kNoSlot) warm.cold = pool_.take();
    return pool_[warm.cold];
}

void Dissection::note_anomaly(Warm &warm, uint16_t name) {
    ++anomalies_[name];
    if (warm.anomaly == 0) {
        warm.anomaly = name;
        warm.updated_packets = UINT64_MAX;
    }
}

void Dissection::forget(Warm &warm) {
    if (warm.cold == kNoSlot) return;
    drop_streams(pool_[warm.cold]);
    close_inspection(pool_[warm.cold]);
    pool_.give(warm.cold);
    warm.cold = kNoSlot;
}

void Dissection::end(FlowRef flow) {
    if (flow.warm.layer7 != 0 || flow.hot.payload[0] + flow.hot.payload[1] == 0) return;
    const FlowKey &key = flow.hot.key;
    const bool b = flow.hot.bits & kSourceIsB;
    const uint16_t name = registry_.name_by_port(flow.table == 0 ? AICORE_TCP : AICORE_UDP, b ? key.port_a : key.port_b,
                                                 b ? key.port_b : key.port_a);
    if (name != 0) set_layer7(flow, name, Layer7By::port);
}

void Dissection::set_layer7(FlowRef flow, uint16_t name, Layer7By by) {
    const bool other = flow.warm.layer7 != name;
    flow.warm.layer7 = name;
    flow.warm.layer7_by = by;
    flow.warm.updated_packets = UINT64_MAX;
    if (meters_ && other) meters_->recognised(flow);
}

void Dissection::stop(FlowRef flow, Cold &cold) {
    flow.hot.bits |= kDone;
    if (meters_wait(flow, cold)) {
        for (Stream &s : cold.streams->direction) {
            drop(cold, s);
            s.skip = 0;
            s.shut = s.cut = s.hidden = false;
        }
    } else {
        drop_streams(cold);
    }
    close_inspection(cold);
    cold.state.reset();
    cold.owner = cold.pending = kNoProtocol;
    cold.candidates[0] = cold.candidates[1] = {};
    if (cold.attributes.items.empty() && !cold.streams) forget(flow.warm);
}

bool Dissection::udp(FlowRef flow, const Packet &packet, uint8_t d) {
    const uint8_t flags = packet.payload_length < packet.payload_bytes ? AICORE_TRUNCATED : 0;
    if (meters_) meters_->stream(flow, d, packet.payload, packet.payload_length, flags, packet.time);
    return deliver(flow, d, packet.payload, packet.payload_length, flags, packet.time);
}

bool Dissection::deliver(FlowRef flow, uint8_t d, const uint8_t *data, size_t length, uint8_t flags, int64_t time) {
    if (flow.hot.bits & kDone) return false; // only the meters want it
    Cold &cold = cold_of(flow.warm);
    return cold.owner == kNoProtocol ? recognise(flow, cold, d, data, length, flags, time)
                                     : continue_owned(flow, cold, d, data, length, flags, time);
}

void Dissection::consume(Cold &cold, Stream &stream, bool buffered, const uint8_t *data, size_t length,
                         size_t consumed) {
    if (consumed > length) skip(stream, consumed - length);
    consumed = std::min(consumed, length);
    if (length - consumed >= limits_.stream_bytes) {
        ++counters_[Counter::reassembly_full];
        drop(cold, stream);
        stream.cut = true;
    } else if (buffered) {
        stream.buffer.erase(stream.buffer.begin(), stream.buffer.begin() + static_cast<ptrdiff_t>(consumed));
        held(*cold.streams, -static_cast<ptrdiff_t>(consumed));
    } else {
        keep(cold, stream, data + consumed, length - consumed);
    }
}

// What is not consumed of either direction stays in its buffer: the successor's first bytes.
void Dissection::after_hand_over(FlowRef flow, Cold &cold, const Call &call) {
    if (call.nobody_next) return stop(flow, cold);
    cold.owner = call.next_owner;
    cold.state.reset();
    if (call.next_owner != kNoProtocol)
        if (const size_t words = registry_.protocols()[call.next_owner].state_words())
            cold.state = std::make_unique<uint64_t[]>(words);
    cold.candidates[0] = cold.candidates[1] = {};
    cold.begun = cold.payloads = 0;
    cold.external_over = false;
}

bool Dissection::continue_owned(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                                int64_t time) {
    const Registered &r = registry_.protocols()[cold.owner];
    if (r.external && writer_) {
        if (cold.inspection)
            show(flow, cold, d, data, length, flags, time);
        else
            continue_handed_over(flow, cold, d, data, length, flags, time);
        return false;
    }
    Stream *stream = flow.table == 0 ? &streams_of(cold).direction[d] : nullptr;
    if (stream && (stream->shut || stream->cut)) {
        flags |= AICORE_GAP;
        stream->shut = stream->cut = false;
    }
    if (stream && flags & AICORE_GAP) drop(cold, *stream);
    const bool buffered = join(cold, stream, data, length);
    Call call(*this, flow, cold);
    call.start(r, cold.attributes, true);
    aicore_payload payload{sizeof payload, flags, d, 0, data, length, SIZE_MAX, time, nullptr, 0};
    const int answer = inspect(cold.owner, call, payload, cold.state.get());
    bool notify = call.notify;
    if (call.changed) {
        cold.batch = 0;
        flow.warm.updated_packets = UINT64_MAX;
    }
    notify |= rename(flow, cold, call.layer7, answer);
    if (stream) {
        consume(cold, *stream, buffered, data, length, used(cold.owner, payload, answer));
    }
    if (call.handed_over)
        after_hand_over(flow, cold, call);
    else if (answer == AICORE_DONE)
        stop(flow, cold);
    return notify;
}

// A protocol that was handed the flow names it once it knows the traffic; one that owns it may rename it.
bool Dissection::rename(FlowRef flow, Cold &cold, uint16_t layer7, int answer) {
    const bool knows = answer == AICORE_YES || answer == AICORE_DONE;
    if (layer7 == 0 && knows && cold.payloads == 0) layer7 = registry_.protocols()[cold.owner].layer7;
    if (knows) cold.payloads = 1;
    if (layer7 == 0 || layer7 == flow.warm.layer7) return false;
    set_layer7(flow, layer7, Layer7By::payload);
    return true;
}

} // namespace aicore
