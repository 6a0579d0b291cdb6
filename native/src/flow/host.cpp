// SPDX-License-Identifier: Apache-2.0
#include "host.h"

#include <cstring>

namespace aicore {

struct HostFunctions {
    static Dissection::Call &call(aicore_flow *flow) { return *static_cast<Dissection::Call *>(flow->core); }

    // A field of this protocol that has the type asked for; a dissector's slip must not harm the record.
    static bool field(const Dissection::Call &c, uint32_t field, FieldType type, uint16_t &index) {
        if (field >= c.protocol->fields.size()) return false;
        index = c.protocol->fields[field];
        return c.dissection.registry_.schema()->fields[index].type == type;
    }

    static void learnt(Dissection::Call &c, uint16_t index, bool whole, bool first) {
        c.changed = true;
        if (!whole) ++c.dissection.counters_[Counter::strings_cut];
        if (first && c.dissection.registry_.schema()->fields[index].notify) c.notify = true;
    }

    static void set_string(aicore_flow *flow, uint32_t f, const void *bytes, size_t length) {
        Dissection::Call &c = call(flow);
        uint16_t index;
        if (!field(c, f, FieldType::string, index)) return;
        const bool first = !c.target->has(index);
        learnt(c, index, c.target->set_string(index, static_cast<const uint8_t *>(bytes), length), first);
    }

    static void add_string(aicore_flow *flow, uint32_t f, const void *bytes, size_t length) {
        Dissection::Call &c = call(flow);
        uint16_t index;
        if (!field(c, f, FieldType::strings, index)) return;
        const bool first = !c.target->has(index);
        learnt(c, index, c.target->add_string(index, static_cast<const uint8_t *>(bytes), length), first);
    }

    static void set_integer(aicore_flow *flow, uint32_t f, int64_t value) {
        Dissection::Call &c = call(flow);
        uint16_t index;
        if (!field(c, f, FieldType::integer, index)) return;
        const bool first = !c.target->has(index);
        learnt(c, index, c.target->set_integer(index, value), first);
    }

    static int has(const aicore_flow *flow, uint32_t f) {
        const auto &c = *static_cast<const Dissection::Call *>(flow->core);
        return f < c.protocol->fields.size() && c.target->has(c.protocol->fields[f]);
    }

    static void anomaly(aicore_flow *flow, uint32_t anomaly) {
        Dissection::Call &c = call(flow);
        if (anomaly >= c.protocol->anomalies.size()) return;
        const uint16_t name = c.protocol->anomalies[anomaly];
        if (c.view.recognised)
            c.dissection.note_anomaly(c.flow.warm, name);
        else if (c.anomaly == 0)
            c.anomaly = name; // counts if this call recognises the flow
    }

    static void set_layer7(aicore_flow *flow, uint32_t alias) {
        Dissection::Call &c = call(flow);
        if (alias < c.protocol->aliases.size()) c.layer7 = c.protocol->aliases[alias];
    }

    static void hand_over(aicore_flow *flow, const char *protocol) {
        Dissection::Call &c = call(flow);
        c.handed_over = true;
        c.next_owner = protocol ? c.dissection.registry_.find(protocol) : kNoProtocol;
        c.nobody_next = protocol && c.next_owner == kNoProtocol;
    }
};

static constexpr aicore_host kHost = {sizeof(aicore_host),       0,
                                      HostFunctions::set_string, HostFunctions::set_integer,
                                      HostFunctions::add_string, HostFunctions::has,
                                      HostFunctions::anomaly,    HostFunctions::set_layer7,
                                      HostFunctions::hand_over};

Dissection::Call::Call(Dissection &d, FlowRef f, Cold &c) : dissection(d), flow(f), cold(c) {
    const FlowKey &key = f.hot.key;
    const bool b = f.hot.bits & kSourceIsB;
    view.host = &kHost;
    std::memcpy(view.src, b ? key.b : key.a, 16);
    std::memcpy(view.dst, b ? key.a : key.b, 16);
    view.src_port = b ? key.port_b : key.port_a;
    view.dst_port = b ? key.port_a : key.port_b;
    view.ip_version = key.version;
    view.transport = f.table == 0 ? AICORE_TCP : AICORE_UDP;
    view.packets = f.hot.packets[0] + f.hot.packets[1];
    view.core = this;
}

} // namespace aicore
