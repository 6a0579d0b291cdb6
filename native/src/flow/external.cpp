// SPDX-License-Identifier: Apache-2.0
// Dissection and external protocols: on the engine's side payloads go out and findings come back, on the reader's side
// (Inspection) the protocols are asked.
#include <utility>

#include "batch_writer.h"
#include "dissection.h"

namespace aicore {

// Of both directions, as far as it is kept: external protocols begin where native ones begin.
void Dissection::open_inspection(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                                 int64_t time) {
    if (cold.external_over) return;
    if (inspections_ >= limits_.inspected_flows) {
        ++counters_[Counter::inspection_full];
        cold.external_over = true;
        return;
    }
    ++inspections_;
    cold.inspection = ++last_inspection_;
    cold.shown = {};
    if (flow.table == 0) {
        const Stream &other = cold.streams->direction[d ^ 1];
        if (!other.buffer.empty())
            show(flow, cold, d ^ 1, other.buffer.data(), other.buffer.size(), flags & AICORE_MIDSTREAM, time);
        if (other.shut) cold.shown.shut |= static_cast<uint8_t>(1u << (d ^ 1)); // its rest was not kept
    }
    show(flow, cold, d, data, length, flags, time);
}

// A native protocol has handed the flow to an external one: what it has not consumed goes first.
void Dissection::continue_handed_over(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length,
                                      uint8_t flags, int64_t time) {
    if (flow.table != 0) {
        open_inspection(flow, cold, d, data, length, flags, time);
    } else {
        Streams &streams = streams_of(cold);
        std::vector<uint8_t> &buffer = streams.direction[d].buffer;
        if (flags & AICORE_GAP) drop(cold, streams.direction[d]);
        buffer.insert(buffer.end(), data, data + length);
        held(streams, static_cast<ptrdiff_t>(length));
        open_inspection(flow, cold, d, buffer.data(), buffer.size(), flags, time);
        for (Stream &s : streams.direction)
            drop(cold, s);
    }
    if (cold.inspection == 0) stop(flow, cold); // as many flows are shown as may be
}

void Dissection::show(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                      int64_t time) {
    const auto bit = static_cast<uint8_t>(1u << d);
    if (cold.shown.shut & bit) return;
    if (cold.shown.lost & bit) flags |= AICORE_GAP;
    if (writer_->show(flow, pool_, {data, length, flags, d, time})) {
        cold.shown.lost &= static_cast<uint8_t>(~bit);
    } else {
        cold.shown.lost |= bit;
        ++counters_[Counter::inspection_lost];
    }
}

void Dissection::close_inspection(Cold &cold) {
    if (cold.inspection == 0) return;
    writer_->end_inspection(std::exchange(cold.inspection, 0));
    --inspections_;
}

bool Dissection::waiting(const Warm &warm) {
    return warm.cold != kNoSlot && pool_[warm.cold].inspection != 0 &&
           pool_[warm.cold].shown.batch > writer_->inspected();
}

bool Dissection::found(FlowRef flow, const Finding &found) {
    if (flow.warm.cold == kNoSlot) return false;
    Cold &cold = pool_[flow.warm.cold];
    if (cold.inspection != found.inspection) return false; // the flow has ended, or a native protocol was faster
    cold.shown.shut |= found.shut;
    bool notify = false;
    if (found.layer7 != 0 && cold.owner == kNoProtocol) { // whatever has followed
        begin_owned(cold);
        cold.owner = found.owner;
        if (cold.streams)
            for (Stream &s : cold.streams->direction) {
                drop(cold, s);
                s.shut = false;
            }
        cold.shown.lost |= std::exchange(cold.shown.shut, uint8_t{0});
    }
    if (found.layer7 != 0 && found.layer7 != flow.warm.layer7) {
        set_layer7(flow, found.layer7, Layer7By::payload);
        notify = true;
    }
    tell_names(flow, found.values);
    const Learnt learnt = merge(flow, cold, found.values);
    if (learnt.something) flow.warm.updated_packets = UINT64_MAX;
    notify |= learnt.notify;
    if (!found.over) return notify;
    --inspections_; // the reader has forgotten it already
    cold.inspection = 0;
    if (found.layer7 != 0 || cold.owner != kNoProtocol) {
        stop(flow, cold);
    } else {
        cold.external_over = true;
        if (cold.native_over) give_up(flow, cold);
    }
    return notify;
}

// The reader's side -----------------------------------------------------------------------------------------------

void Dissection::begin(Warm &warm, uint16_t owner) {
    warm.layer7 = 0;
    Cold &cold = cold_of(warm);
    cold.owner = owner;
}

uint8_t Dissection::shut(const Warm &warm) {
    if (warm.cold == kNoSlot || !pool_[warm.cold].streams) return 0;
    const Stream *direction = pool_[warm.cold].streams->direction;
    return static_cast<uint8_t>(direction[0].shut | direction[1].shut << 1);
}

void Dissection::take_values(const Warm &warm, Finding &found) {
    if (warm.cold == kNoSlot) return;
    Cold &cold = pool_[warm.cold];
    found.owner = cold.owner;
    found.values = std::exchange(cold.attributes, {});
}

} // namespace aicore
