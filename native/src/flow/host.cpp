// SPDX-License-Identifier: Apache-2.0
#include "host.h"

#include <cstring>

#include "setters.h"

namespace aicore {

struct HostFunctions : FieldSetters<HostFunctions, aicore_flow> {
    static Dissection::Call &call(aicore_flow *flow) { return *static_cast<Dissection::Call *>(flow->core); }

    // A dissector's slip must not harm the record.
    template <typename Store>
    static void give(aicore_flow *flow, uint32_t field, unsigned types, Store store, std::string_view text = {}) {
        Dissection::Call &c = call(flow);
        if (field >= c.protocol->fields.size()) return refuse(c);
        const uint16_t index = c.protocol->fields[field];
        const FieldInfo &info = c.dissection.registry_.schema()->fields[index];
        if (!(types & bit(info.type))) return refuse(c);
        if (text.data() && c.dissection.tells_names()) c.dissection.report(c, index, text);
        const bool first = info.notify && !c.target->has(index);
        const Stored stored = store(*c.target, index, info.type);
        c.changed |= stored.changed;
        c.notify |= stored.changed && (first || info.names());
        if (stored.cut) ++c.dissection.counters_[Counter::strings_cut];
    }

    static void refuse(const Dissection::Call &c) { ++c.dissection.counters_[Counter::values_refused]; }

    // Of a list of names the latest are kept.
    static void add_string(aicore_flow *flow, uint32_t field, const void *bytes, size_t length) {
        const auto *text = static_cast<const uint8_t *>(bytes);
        give(flow, field, bit(FieldType::strings),
             [&](AttributeSet &set, uint16_t index, FieldType) {
                 Dissection::Call &c = call(flow);
                 if (c.view.recognised && c.dissection.registry_.schema()->fields[index].names())
                     return c.dissection.add_name(c.flow, c.cold, index, text, length);
                 return set.add_string(index, text, length);
             },
             {static_cast<const char *>(bytes), length});
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

static constexpr aicore_host kHost = {sizeof(aicore_host),        0,
                                      HostFunctions::set_string,  HostFunctions::set_integer,
                                      HostFunctions::set_real,    HostFunctions::add_string,
                                      HostFunctions::add_integer, HostFunctions::add_real,
                                      HostFunctions::has,         HostFunctions::anomaly,
                                      HostFunctions::set_layer7,  HostFunctions::hand_over};

Dissection::Call::Call(Dissection &d, FlowRef f, Cold &c) : dissection(d), flow(f), cold(c) {
    const FlowKey &key = f.hot.key;
    const bool b = f.hot.bits & kSourceIsB;
    view.size = sizeof view;
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
