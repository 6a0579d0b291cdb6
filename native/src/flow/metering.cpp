// SPDX-License-Identifier: Apache-2.0
// Dissection and meters: the names and streams that they are given.
#include "dissection.h"
#include "host.h"

namespace aicore {

namespace {
constexpr size_t kMaxReports = 4096, kMaxReportsText = 1 << 20; // of a call that recognises a flow
} // namespace

// A dissector gave a text to a field: the meters see it at once, or once the call has recognised the flow.
void Dissection::report(const Call &call, uint16_t field, std::string_view text) {
    if (call.view.recognised)
        meters_->named(call.flow, field, text);
    else
        keep_report(field, text);
}

void Dissection::keep_report(uint16_t field, std::string_view text) {
    if (reports_.size() >= kMaxReports || reports_text_.size() + text.size() > kMaxReportsText) {
        ++counters_[Counter::names_untold];
        return;
    }
    reports_.push_back({field, reports_text_.size(), text.size()});
    reports_text_ += text;
}

void Dissection::tell_reports(const FlowRef &flow) {
    for (const Report &r : reports_)
        meters_->named(flow, r.field, std::string_view(reports_text_).substr(r.begin, r.length));
    forget_reports();
}

void Dissection::forget_reports() {
    reports_.clear();
    reports_text_.clear();
}

// What an external protocol found.
void Dissection::tell_names(const FlowRef &flow, const AttributeSet &values) {
    if (!tells_names()) return;
    for (const Attribute &a : values.items)
        if (a.has_text())
            meters_->named(flow, a.field, std::string_view(values.text).substr(static_cast<size_t>(a.value), a.length));
}

// A flow that is kDone needs streams for the meters alone, and only while one of them waits for bytes, or for the mark
// of a gap; else Hot::next_seq says all.
bool Dissection::meters_wait(FlowRef flow, const Cold &cold) const {
    if (!meters_ || !cold.streams) return false;
    for (uint8_t d = 0; d < 2; ++d) {
        const Stream &s = cold.streams->direction[d];
        const uint32_t seen = flow.hot.next_seq[d] - (flow.hot.bits & kFin0 << d ? 1 : 0);
        if (s.started && meters_->wants(flow, d) && (!s.later.empty() || s.gap || s.expected != seen)) return true;
    }
    return false;
}

// Gives the streams of a flow that is kDone back, unless a direction is kept for who may tell by the other one.
void Dissection::release(FlowRef flow) {
    if (!(flow.hot.bits & kDone) || flow.warm.cold == kNoSlot) return;
    Cold &cold = pool_[flow.warm.cold];
    if (!cold.streams || meters_wait(flow, cold)) return;
    if (cold.streams->direction[0].shut || cold.streams->direction[1].shut) return;
    drop_streams(cold);
    if (cold.attributes.items.empty()) forget(flow.warm);
}

// For meters alone: what is whole and in order while nothing waits needs no stream. False if it is not.
bool Dissection::pass_on(FlowRef flow, const Packet &packet, uint8_t d, uint32_t seq, uint32_t expected) {
    if (flow.warm.cold != kNoSlot && pool_[flow.warm.cold].streams) return false;
    const auto ahead = static_cast<int32_t>(seq - expected);
    if (ahead > 0 || packet.payload_length < packet.payload_bytes) return false;
    const auto old = static_cast<uint32_t>(-static_cast<int64_t>(ahead));
    const uint8_t flags = flow.hot.bits & kMidstream ? AICORE_MIDSTREAM : 0;
    if (old < packet.payload_length)
        meters_->stream(flow, d, packet.payload + old, packet.payload_length - old, flags, packet.time);
    return true;
}

} // namespace aicore
