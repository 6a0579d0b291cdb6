// SPDX-License-Identifier: Apache-2.0
#include "batch_writer.h"

#include <cstring>
#include <utility>

namespace aicore {

namespace {
constexpr size_t kMaxBatchText = 8 << 20;     // a batch of long strings is handed over early
constexpr size_t kMaxBatchValues = 512 << 10; // so is one of many values: 8 MiB
constexpr size_t kMaxPayloadBytes = 1 << 20;  // copies for external protocols in one batch, with a row for each
constexpr size_t kFlowStreams = 16;           // times stream_bytes: what may be out of a flow at once, live
} // namespace

BatchWriter::BatchWriter(const EngineOptions &options, std::shared_ptr<const Schema> schema, uint16_t sensor,
                         BatchQueue &queue, Meters *meters, Counters &counters)
    : schema_(std::move(schema)), queue_(queue), meters_(meters), counters_(counters), capacity_(options.batch_rows),
      flush_(options.flush), version_base_(options.version_base), sensor_(sensor), wanted_(options.events),
      flow_bytes_(kFlowStreams * options.stream_bytes) {}

bool BatchWriter::room(size_t n) {
    if (open_ && open_->rows.size() + n <= capacity_ && open_->strings->text.size() < kMaxBatchText &&
        open_->strings->attributes.size() < kMaxBatchValues)
        return true;
    if (open_ && has_content() && !flush()) return false;
    if (!open_) {
        open_ = std::make_unique<Batch>(schema_, memory_);
        open_->rows.reserve(capacity_);
        opened_ = now_;
        open_->serial = ++serial_;
    }
    return true;
}

bool BatchWriter::flush() {
    if (!open_ || !has_content()) return true;
    if (!ended_.empty()) {
        std::vector<uint64_t> &ended = payloads().ended;
        ended.insert(ended.end(), ended_.begin(), ended_.end());
        ended_.clear();
    }
    if (!queue_.push(open_, waiting_)) return false;
    ++counters_[Counter::batches];
    payload_bytes_ = 0;
    return true;
}

void BatchWriter::fill(Row &row, EventKind kind, const FlowRef &flow, ColdPool &cold, EndReason reason) {
    const Hot &hot = flow.hot;
    const Warm &warm = flow.warm;
    const FlowKey &key = hot.key;
    const bool b = hot.bits & kSourceIsB;
    row.flow_id[0] = warm.flow_id[0];
    row.flow_id[1] = warm.flow_id[1];
    row.seq = seq_;
    row.version = version_base_ + seq_;
    row.opened = warm.opened;
    row.first_seen = warm.first_seen;
    row.last_seen = hot.last_seen;
    row.duration = hot.last_seen - warm.first_seen;
    row.packets = saturated_sum(hot.packets[0], hot.packets[1]);
    row.bytes = saturated_sum(hot.bytes[0], hot.bytes[1]);
    row.payload_bytes = saturated_sum(hot.payload[0], hot.payload[1]);
    row.src_packets = saturated(hot.packets[0]);
    row.dst_packets = saturated(hot.packets[1]);
    row.src_bytes = saturated(hot.bytes[0]);
    row.dst_bytes = saturated(hot.bytes[1]);
    row.src_payload_bytes = saturated(hot.payload[0]);
    row.dst_payload_bytes = saturated(hot.payload[1]);
    row.retransmissions = warm.retransmissions;
    std::memcpy(row.ipsrc, b ? key.b : key.a, 16);
    std::memcpy(row.ipdst, b ? key.a : key.b, 16);
    row.portsrc = b ? key.port_b : key.port_a;
    row.portdst = b ? key.port_a : key.port_b;
    row.tunnel_id = warm.tunnel_id;
    row.vlan = warm.vlan;
    row.vlan_inner = warm.vlan_inner;
    row.layer7 = warm.layer7;
    row.anomaly = warm.anomaly;
    row.sensor = sensor_;
    row.proto = key.proto;
    row.ip_version = key.version;
    row.src_tcpflags = hot.flags[0];
    row.dst_tcpflags = hot.flags[1];
    row.kind = kind;
    row.is_new = kind == EventKind::insert;
    row.sampled = row.repeats = false;
    row.layer7_by = warm.layer7_by;
    row.tcp_state = hot.state;
    row.end_reason = reason;
    row.tunnel = warm.tunnel;
    row.continued = warm.bits & kContinued;
    row.attribute_first = row.attribute_count = 0;
    if (warm.cold == kNoSlot) return;
    Cold &c = cold[warm.cold];
    c.fresh_names = 0;
    if (c.attributes.items.empty()) return;
    if (c.batch != serial_) { // else this batch holds them already, unchanged
        Strings &strings = *open_->strings;
        c.batch = serial_;
        c.batch_first = static_cast<uint32_t>(strings.attributes.size());
        c.batch_count = static_cast<uint32_t>(c.attributes.items.size());
        const auto base = static_cast<int64_t>(strings.text.size());
        strings.text += c.attributes.text;
        for (Attribute a : c.attributes.items) {
            if (a.has_text()) a.value += base;
            strings.attributes.push_back(a);
        }
    }
    row.attribute_first = c.batch_first;
    row.attribute_count = c.batch_count;
}

void BatchWriter::append(EventKind kind, const FlowRef &flow, ColdPool &cold, EndReason reason) {
    ++seq_;
    ++counters_[Counter::events];
    Row &row = open_->rows.emplace_back();
    fill(row, kind, flow, cold, reason);
    if (meters_) add_metered(row, meters_->record(flow, kind));
}

// Their fields stand behind those of the protocols in the schema, and so do their values in the row's.
void BatchWriter::add_metered(Row &row, const AttributeSet &values) {
    if (values.items.empty()) return;
    Strings &strings = *open_->strings;
    auto &attributes = strings.attributes;
    const auto end = static_cast<uint32_t>(attributes.size());
    if (row.attribute_first + row.attribute_count != end) { // those of an earlier row are this one's, too
        for (uint32_t i = 0; i < row.attribute_count; ++i)
            attributes.push_back(Attribute(attributes[row.attribute_first + i]));
        row.attribute_first = end;
    }
    const auto base = static_cast<int64_t>(strings.text.size());
    strings.text += values.text;
    for (Attribute a : values.items) {
        if (a.has_text()) a.value += base;
        attributes.push_back(a);
    }
    row.attribute_count += static_cast<uint32_t>(values.items.size());
}

void BatchWriter::append_update(const FlowRef &flow, ColdPool &cold, bool sampled) {
    append(EventKind::update, flow, cold, EndReason::none);
    open_->rows.back().sampled = sampled;
}

void BatchWriter::append_final_update(const FlowRef &flow, ColdPool &cold, EndReason reason, bool repeats) {
    append(EventKind::update, flow, cold, reason);
    open_->rows.back().repeats = repeats;
}

bool BatchWriter::show(const FlowRef &flow, ColdPool &pool, const Payload &payload) {
    Cold &cold = pool[flow.warm.cold];
    Shown &shown = cold.shown;
    const size_t cost = payload.length + sizeof(Row);
    if (!waiting_) {
        if (shown.batch <= inspected_) shown.since = 0; // nothing is out
        if (shown.mark <= inspected_) {
            shown.before_mark = std::exchange(shown.since, 0);
            shown.mark = serial_;
        }
        if (shown.before_mark + shown.since + payload.length > flow_bytes_) return false;
    }
    if (payload_bytes_ > 0 && payload_bytes_ + cost > kMaxPayloadBytes) {
        // Half of the queue is for events alone: they must not be lost because a protocol is slow.
        if (!waiting_ && queue_.half_full()) return false;
        if (!flush()) return false;
    }
    if (!room(1)) return false;
    Payloads &out = payloads();
    const uint8_t *data = payload.data;
    out.items.push_back({cold.inspection, payload.time, out.bytes.size(), static_cast<uint32_t>(payload.length),
                         static_cast<uint32_t>(out.rows.size()), flow.slot, cold.owner, flow.table, payload.direction,
                         payload.flags, !shown.begun});
    out.bytes.append(reinterpret_cast<const char *>(data), payload.length);
    const uint8_t fresh = cold.fresh_names; // this row is in no event
    fill(out.rows.emplace_back(), EventKind::update, flow, pool, EndReason::none);
    cold.fresh_names = fresh;
    payload_bytes_ += cost;
    shown.begun = true;
    shown.since += payload.length;
    shown.batch = last_shown_ = serial_;
    return true;
}

} // namespace aicore
