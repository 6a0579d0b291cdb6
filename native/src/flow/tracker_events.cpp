// SPDX-License-Identifier: Apache-2.0
// What a tracker emits: updates, ends, the summary's tops, and findings of external protocols that lead to updates.
#include "tracker.h"

#include "aicore/text.h"

namespace aicore {

namespace {
constexpr int64_t kMaxWait = 5'000'000'000; // of an ended flow, live, for external protocols
} // namespace

void Tracker::update(FlowRef flow, bool sampled) {
    if (!writer_.wanted(EventKind::update)) return;
    if (!writer_.room(1)) {
        ++counters_[Counter::updates_shed];
        return;
    }
    writer_.append_update(flow, dissection_.cold(), sampled);
    const uint64_t packets = flow.hot.packets[0] + flow.hot.packets[1];
    flow.warm.updated_packets = sampled && options_.thinned ? packets | kBySample : packets;
}

bool Tracker::end(FlowRef flow, EndReason reason) {
    const bool waits = flow.warm.list == List::ended;
    if (dissection_.waiting(flow.warm) && (writer_.waits() || !waits || writer_.now() - flow.warm.touched < kMaxWait)) {
        if (!waits) wait_in_ended(flow, reason);
        return false;
    }
    return finish(flow, reason);
}

void Tracker::wait_in_ended(FlowRef flow, EndReason reason) {
    flow.warm.end_reason = reason;
    flow.warm.touched = writer_.now();
    tables_[flow.table].to_tail(flow.slot, List::ended);
}

bool Tracker::finish(FlowRef flow, EndReason reason) {
    if (!tell_end(flow, reason)) return false;
    dissection_.forget(flow.warm);
    if (flow.warm.doubts != kNoSlot) doubts_.give(flow.warm.doubts);
    tables_[flow.table].close(flow.slot);
    return true;
}

// The last events of a record. False: no room, the flow waits for it.
bool Tracker::tell_end(FlowRef flow, EndReason reason) {
    if (flow.warm.doubts != kNoSlot) release_held(flow);
    if (dissection_.waiting(flow.warm)) {
        if (writer_.waits() && settle_) settle_(writer_.last_shown());
        if (dissection_.waiting(flow.warm)) ++counters_[Counter::inspection_late];
    }
    dissection_.end(flow);
    if (meters_ && meters_->take_notify()) flow.warm.updated_packets = UINT64_MAX;
    const uint64_t packets = flow.hot.packets[0] + flow.hot.packets[1];
    const bool last_update = writer_.wanted(EventKind::update) && flow.warm.updated_packets != packets;
    const bool remove = writer_.wanted(EventKind::remove);
    if ((last_update || remove) && !writer_.room(last_update + remove)) {
        if (flow.warm.list != List::ended) wait_in_ended(flow, reason);
        return false;
    }
    if (last_update) {
        const bool repeats = flow.warm.updated_packets == (packets | kBySample);
        writer_.append_final_update(flow, dissection_.cold(), reason, repeats);
    }
    if (remove) writer_.append(EventKind::remove, flow, dissection_.cold(), reason);
    if (meters_) meters_->ended(flow);
    if (options_.top) add_tops(flow);
    return true;
}

void Tracker::end_all() {
    if (!live_) clock_ = time_.latest();
    for (size_t t = 0; t < 2; ++t)
        for (const List list : {List::lingering, List::half_open, List::open})
            for (uint32_t slot; (slot = tables_[t].head(list)) != kNoSlot;) {
                const FlowRef flow = ref(t, slot);
                end(flow, flow.hot.state >= TcpState::closed || due(flow) ? natural_reason(flow) : EndReason::shutdown);
            }
}

void Tracker::finish_all() {
    for (size_t t = 0; t < 2; ++t)
        for (uint32_t slot; (slot = tables_[t].head(List::ended)) != kNoSlot;)
            if (!finish(ref(t, slot), tables_[t].warm(slot).end_reason)) return; // the reader has gone
}

void Tracker::end_meters() {
    if (!meters_) return;
    for (size_t t = 0; t < 2; ++t)
        for (const List list : {List::lingering, List::half_open, List::open, List::ended})
            for (uint32_t slot; (slot = tables_[t].head(list)) != kNoSlot; tables_[t].close(slot))
                meters_->ended(ref(t, slot));
}

void Tracker::add_tops(const FlowRef &flow) {
    const uint64_t packets = flow.hot.packets[0] + flow.hot.packets[1], bytes = flow.hot.bytes[0] + flow.hot.bytes[1];
    const uint8_t *source = flow.hot.bits & kSourceIsB ? flow.hot.key.b : flow.hot.key.a;
    const std::string_view talker(reinterpret_cast<const char *>(source), flow.hot.key.version == 4 ? 4 : 16);
    const std::lock_guard lock(tops_mutex_);
    top_protocols_.add(registry_.schema()->names[flow.warm.layer7], packets, bytes);
    top_talkers_.add(talker, packets, bytes);
    if (flow.warm.cold == kNoSlot) return;
    const AttributeSet &set = dissection_.cold()[flow.warm.cold].attributes;
    for (const Attribute &a : set.items) { // the first host or domain name there is
        if (static_cast<FieldType>(a.type) != FieldType::string || !registry_.schema()->fields[a.field].notify)
            continue;
        top_hosts_.add({set.text.data() + a.value, a.length}, packets, bytes);
        return;
    }
}

void Tracker::tops(std::vector<TopEntry> &protocols, std::vector<TopEntry> &hosts, std::vector<TopEntry> &talkers,
                   size_t limit) const {
    const std::lock_guard lock(tops_mutex_);
    const auto as_is = [](const std::string &name) { return name; };
    protocols = top_protocols_.top(limit, as_is);
    hosts = top_hosts_.top(limit, as_is);
    talkers = top_talkers_.top(limit, [](const std::string &address) {
        std::string text;
        append_address(text, reinterpret_cast<const uint8_t *>(address.data()), address.size() == 4 ? 4 : 6);
        return text;
    });
}

void Tracker::found(const Findings &findings) {
    for (const Finding &f : findings.list) {
        const FlowRef flow = ref(f.table, f.slot);
        bool notify = dissection_.found(flow, f);
        if (meters_ && meters_->take_notify()) {
            flow.warm.updated_packets = UINT64_MAX;
            notify = true;
        }
        if (notify && flow.warm.list != List::ended) update(flow, false);
    }
    writer_.note_inspected(findings.batch);
}

} // namespace aicore
