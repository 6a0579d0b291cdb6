// SPDX-License-Identifier: Apache-2.0
// The meters of an engine: their instances, what they remember of each flow, and the calls that aicore/meter.h
// promises. Engine thread only, but construction, destruction and MeterInstance.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aicore/counters.h"
#include "aicore/flow_table.h"
#include "aicore/mapped_memory.h"
#include "aicore/registry.h"
#include "cold.h"

namespace aicore {

// What create() of a meter returned; destroyed with it.
class MeterInstance {
  public:
    MeterInstance(const aicore_meter &meter, const std::string &config); // std::invalid_argument with the meter's text
    ~MeterInstance();
    MeterInstance(const MeterInstance &) = delete;
    MeterInstance &operator=(const MeterInstance &) = delete;
    void *self() const { return self_; }

  private:
    void (*const destroy_)(void *self);
    void *self_ = nullptr;
};

// An instance that shall replace the one in use, or that was replaced.
struct MeterSwap {
    size_t meter; // index in Registry::meters()
    std::unique_ptr<MeterInstance> instance;
};

const aicore_meter_host *meter_host(); // in meter_host.cpp

class Meters {
  public:
    // `capacity`: slots of each flow table. std::invalid_argument with the text of a create() that failed.
    Meters(const Registry &registry, std::array<uint32_t, 2> capacity, Counters &counters);

    void prefetch(size_t table, uint32_t slot) const {
        if (state_bytes_) __builtin_prefetch(slot_state(table, slot), 1);
    }
    void opened(const FlowRef &flow);
    // `flags`: aicore_packet_flags.
    [[gnu::noinline]] void packet(const FlowRef &flow, const Packet &packet, const RawPacket &raw, uint8_t direction,
                                  uint16_t flags);

    // Whether some meter wants further bytes of that direction.
    bool wants(const FlowRef &flow, uint8_t direction) const {
        return stream_bytes_ && given(flow, direction) < stream_bytes_;
    }
    bool wants(const FlowRef &flow) const { return wants(flow, 0) || wants(flow, 1); }
    void stream(const FlowRef &flow, uint8_t direction, const uint8_t *data, size_t length, uint8_t payload_flags,
                int64_t time);

    bool names_wanted() const { return !named_.empty(); }
    void named(const FlowRef &flow, uint16_t field, std::string_view value); // `field`: index in Schema::fields
    void recognised(const FlowRef &flow);                                    // its layer7 was set

    const AttributeSet &record(const FlowRef &flow, EventKind kind); // valid until the next call
    void ended(const FlowRef &flow);
    bool take_notify() { // an update was asked for since the last call; to be asked after each packet
        rules_told_ = rules_end_ = 0;
        return std::exchange(notify_, false);
    }
    void swap(MeterSwap &swap); // leaves the old instance in it

  private:
    template <typename Function> struct Call {
        Function function;
        void *self;
        uint32_t state; // offset in the flow's state, kNoState
        uint16_t meter;
    };
    template <typename Function> using Calls = std::vector<Call<Function>>;
    static constexpr uint32_t kNoState = UINT32_MAX;
    static constexpr uint16_t kNobody = UINT16_MAX;
    static constexpr size_t kMaxRules = 64; // told on at one packet

    uint8_t *slot_state(size_t table, uint32_t slot) const { return states_[table] + size_t{slot} * state_bytes_; }
    uint8_t *slot_state(const FlowRef &flow) const { return slot_state(flow.table, flow.slot); }
    // With a meter that takes streams the flow's state begins with how much of each direction was given.
    uint64_t &given(const FlowRef &flow, uint8_t d) const { return reinterpret_cast<uint64_t *>(slot_state(flow))[d]; }
    void *state(const FlowRef &flow, uint32_t offset) const {
        return offset == kNoState ? nullptr : slot_state(flow) + offset;
    }
    template <typename Function> static void add(Calls<Function> &calls, Function function, Call<std::nullptr_t> call);
    template <typename Function, typename... Arguments>
    void call(const Calls<Function> &calls, const FlowRef &flow, Arguments... arguments);
    void show(const FlowRef &flow);
    void tell(const FlowRef &flow, aicore_name_kind kind, uint16_t flags, const char *field, std::string_view value,
              uint16_t except = kNobody);
    void tell_rules(const FlowRef &flow);

    const Registry &registry_;
    Counters &counters_;
    std::vector<std::unique_ptr<MeterInstance>> instances_;
    size_t state_bytes_ = 0;
    uint64_t stream_bytes_ = 0; // the most that a meter wants of a direction
    std::unique_ptr<MappedMemory> memory_[2];
    uint8_t *states_[2]; // of each table

    Calls<decltype(aicore_meter::opened)> opened_, record_, ended_;
    Calls<decltype(aicore_meter::packet)> packet_;
    Calls<decltype(aicore_meter::stream)> stream_;
    Calls<decltype(aicore_meter::named)> named_;

    // Of the call that goes on.
    aicore_meter_flow view_{};
    aicore_packet packet_view_{};
    const Warm *warm_ = nullptr; // of the flow that view_ shows
    uint16_t caller_ = 0;        // its meter
    bool may_notify_ = true;     // not in record() and ended()

    bool notify_ = false;
    struct Rule {
        const char *name;
        uint16_t meter;
    };
    std::array<Rule, kMaxRules> rules_; // reported and not told on yet: [rules_told_, rules_end_)
    size_t rules_told_ = 0, rules_end_ = 0;
    AttributeSet values_; // of record()

    friend struct MeterHost;
};

} // namespace aicore
