// SPDX-License-Identifier: Apache-2.0
#include "meters.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace aicore {

namespace {

// A flow's state shall lie in as few cache lines as it can: a power of two up to a line, whole lines above.
size_t padded(size_t bytes) {
    return bytes <= 64 ? (bytes ? std::bit_ceil(bytes) : 0) : (bytes + 63) / 64 * 64;
}

uint64_t stream_limit(const aicore_meter &meter) {
    if (!meter.stream) return 0;
    return meter.stream_bytes == UINT32_MAX ? UINT64_MAX : meter.stream_bytes;
}

} // namespace

MeterInstance::MeterInstance(const aicore_meter &meter, const std::string &config) : destroy_(meter.destroy) {
    if (!meter.create) return;
    char error[512] = {};
    const aicore_meter_setup setup{sizeof setup, 0, config.data(), config.size(), error, sizeof error};
    self_ = meter.create(&setup);
    if (self_) return;
    error[sizeof error - 1] = '\0';
    throw std::invalid_argument("meter '" + std::string(meter.name) +
                                "': " + (error[0] ? error : "its create() does not say why it failed"));
}

MeterInstance::~MeterInstance() {
    if (destroy_ && self_) destroy_(self_);
}

template <typename Function> void Meters::add(Calls<Function> &calls, Function function, Call<std::nullptr_t> call) {
    if (function) calls.push_back({function, call.self, call.state, call.meter});
}

Meters::Meters(const Registry &registry, std::array<uint32_t, 2> capacity, Counters &counters)
    : registry_(registry), counters_(counters) {
    values_.most = kMaxMetered;
    view_.size = sizeof view_;
    view_.host = meter_host();
    view_.core = this;
    packet_view_.size = sizeof packet_view_;
    for (const RegisteredMeter &r : registry.meters())
        stream_bytes_ = std::max(stream_bytes_, stream_limit(r.meter));
    if (stream_bytes_) state_bytes_ = 2 * sizeof(uint64_t);
    for (size_t i = 0; i < registry.meters().size(); ++i) {
        const aicore_meter &m = registry.meters()[i].meter;
        instances_.push_back(std::make_unique<MeterInstance>(m, registry.meters()[i].config));
        const Call<std::nullptr_t> call{nullptr, instances_.back()->self(),
                                        m.state_size ? static_cast<uint32_t>(state_bytes_) : kNoState,
                                        static_cast<uint16_t>(i)};
        state_bytes_ += (m.state_size + 7) / 8 * 8;
        add(opened_, m.opened, call);
        add(packet_, m.packet, call);
        if (stream_limit(m)) add(stream_, m.stream, call);
        add(named_, m.named, call);
        add(record_, m.record, call);
        add(ended_, m.ended, call);
    }
    state_bytes_ = padded(state_bytes_);
    for (size_t t = 0; t < 2; ++t) {
        memory_[t] = std::make_unique<MappedMemory>(state_bytes_ * capacity[t]);
        states_[t] = memory_[t]->data();
    }
}

void Meters::swap(MeterSwap &swap) {
    std::swap(instances_[swap.meter], swap.instance);
    void *fresh = instances_[swap.meter]->self();
    const auto point = [&](auto &calls) {
        for (auto &c : calls)
            if (c.meter == swap.meter) c.self = fresh;
    };
    point(opened_), point(packet_), point(stream_), point(named_), point(record_), point(ended_);
    if (const auto take_over = registry_.meters()[swap.meter].meter.take_over) take_over(fresh, swap.instance->self());
}

// Of one packet several calls are about the same flow. Counts are shown where they stand: copied, two at a time, they
// would wait for the store of the one that the packet has just changed.
void Meters::show(const FlowRef &flow) {
    const Hot &hot = flow.hot;
    view_.last_seen = hot.last_seen;
    if (warm_ == &flow.warm) return;
    warm_ = &flow.warm;
    const bool b = hot.bits & kSourceIsB;
    view_.ip_version = hot.key.version;
    view_.proto = hot.key.proto;
    view_.midstream = hot.bits & kMidstream ? 1 : 0;
    view_.src = b ? hot.key.b : hot.key.a;
    view_.dst = b ? hot.key.a : hot.key.b;
    view_.src_port = b ? hot.key.port_b : hot.key.port_a;
    view_.dst_port = b ? hot.key.port_a : hot.key.port_b;
    view_.packets = hot.packets;
    view_.bytes = hot.bytes;
    view_.payload = hot.payload;
}

template <typename Function, typename... Arguments>
void Meters::call(const Calls<Function> &calls, const FlowRef &flow, Arguments... arguments) {
    uint8_t *const states = slot_state(flow);
    for (const Call<Function> &c : calls) {
        caller_ = c.meter;
        c.function(c.self, &view_, arguments..., c.state == kNoState ? nullptr : states + c.state);
    }
    if (rules_end_ > rules_told_) tell_rules(flow);
}

void Meters::opened(const FlowRef &flow) {
    if (state_bytes_) std::memset(slot_state(flow.table, flow.slot), 0, state_bytes_);
    warm_ = nullptr; // the slot may have been another flow's
    if (opened_.empty()) return;
    show(flow);
    call(opened_, flow);
}

// The part of aicore_packet that Packet has in the same order.
namespace {
constexpr size_t kShared = offsetof(Packet, tunnel) + 1 - offsetof(Packet, time);
constexpr bool same_place(size_t theirs, size_t ours) {
    return theirs - offsetof(aicore_packet, time) == ours - offsetof(Packet, time);
}
#define AICORE_SAME(theirs, ours)                                                                                      \
    static_assert(same_place(offsetof(aicore_packet, theirs), offsetof(Packet, ours)) &&                               \
                  sizeof(aicore_packet::theirs) == sizeof(Packet::ours))
AICORE_SAME(time, time);
AICORE_SAME(ip, ip);
AICORE_SAME(transport, transport);
AICORE_SAME(payload, payload);
AICORE_SAME(ip_length, ip_bytes);
AICORE_SAME(payload_captured, payload_length);
AICORE_SAME(payload_length, payload_bytes);
AICORE_SAME(seq, seq);
AICORE_SAME(ack, ack);
AICORE_SAME(window, window);
AICORE_SAME(tcp_flags, tcp_flags);
AICORE_SAME(tunnel, tunnel);
#undef AICORE_SAME
} // namespace

void Meters::packet(const FlowRef &flow, const Packet &p, const RawPacket &raw, uint8_t d, uint16_t flags) {
    if (packet_.empty()) return;
    show(flow);
    aicore_packet &v = packet_view_;
    std::memcpy(&v.time, &p.time, kShared);
    v.flags = flags;
    v.reverse = d;
    v.frame = raw.data;
    v.frame_captured = raw.captured;
    v.frame_length = std::max(raw.length, raw.captured);
    v.link_type = static_cast<uint32_t>(raw.linktype);
    call(packet_, flow, &v);
}

void Meters::stream(const FlowRef &flow, uint8_t d, const uint8_t *data, size_t length, uint8_t flags, int64_t time) {
    if (!wants(flow, d)) return;
    show(flow);
    const uint64_t before = given(flow, d);
    given(flow, d) = before + length;
    for (const auto &c : stream_) {
        const uint64_t limit = stream_limit(registry_.meters()[c.meter].meter);
        if (before >= limit) continue;
        const aicore_chunk chunk{sizeof chunk, flags, d, 0, data, std::min<uint64_t>(length, limit - before),
                                 before,       time};
        caller_ = c.meter;
        c.function(c.self, &view_, &chunk, state(flow, c.state));
    }
    if (rules_end_ > rules_told_) tell_rules(flow);
}

void Meters::named(const FlowRef &flow, uint16_t field, std::string_view value) {
    const FieldInfo &f = registry_.schema()->fields[field];
    tell(flow, AICORE_NAME_TEXT, f.notify ? AICORE_NOTIFY : 0, f.name.c_str(), value);
}

void Meters::recognised(const FlowRef &flow) {
    tell(flow, AICORE_NAME_LAYER7, AICORE_NOTIFY, "layer7", registry_.schema()->names[flow.warm.layer7]);
}

void Meters::tell(const FlowRef &flow, aicore_name_kind kind, uint16_t flags, const char *field, std::string_view value,
                  uint16_t except) {
    if (named_.empty()) return;
    show(flow);
    const aicore_name name{sizeof name,
                           static_cast<uint16_t>(kind),
                           flags,
                           field,
                           reinterpret_cast<const uint8_t *>(value.data()),
                           value.size(),
                           view_.last_seen};
    for (const auto &c : named_) {
        if (c.meter == except) continue;
        caller_ = c.meter;
        c.function(c.self, &view_, &name, state(flow, c.state));
    }
    if (kind != AICORE_NAME_RULE && rules_end_ > rules_told_) tell_rules(flow);
}

// A meter that is told of a rule may report another one: they wait their turn, so that nobody is called within a call.
void Meters::tell_rules(const FlowRef &flow) {
    for (; rules_told_ < rules_end_; ++rules_told_) {
        const Rule &rule = rules_[rules_told_];
        tell(flow, AICORE_NAME_RULE, 0, "detections", rule.name, rule.meter);
    }
}

const AttributeSet &Meters::record(const FlowRef &flow, EventKind kind) {
    values_.clear();
    if (record_.empty()) return values_;
    show(flow);
    view_.event = static_cast<uint8_t>(static_cast<uint8_t>(kind) + AICORE_INSERT);
    may_notify_ = false;
    call(record_, flow);
    may_notify_ = true;
    view_.event = 0;
    return values_;
}

void Meters::ended(const FlowRef &flow) {
    if (ended_.empty()) return;
    show(flow);
    may_notify_ = false;
    call(ended_, flow);
    may_notify_ = true;
}

} // namespace aicore
