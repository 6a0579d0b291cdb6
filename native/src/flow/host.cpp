// SPDX-License-Identifier: Apache-2.0
#include "host.h"

#include <cstring>

namespace aicore {

struct HostFunctions {
    static Dissection::Call &call(aicore_flow *flow) { return *static_cast<Dissection::Call *>(flow->core); }

    static constexpr unsigned bit(FieldType type) { return 1u << static_cast<unsigned>(type); }

    // Stores a value in a field of this protocol that has one of the types: store(call, field). A dissector's slip must
    // not harm the record.
    template <typename Store> static void give(aicore_flow *flow, uint32_t field, unsigned types, Store store) {
        Dissection::Call &c = call(flow);
        if (field >= c.protocol->fields.size()) return;
        const uint16_t index = c.protocol->fields[field];
        const FieldInfo &info = c.dissection.registry_.schema()->fields[index];
        if (!(types & bit(info.type))) return;
        const bool first = info.notify && !c.target->has(index);
        const Stored stored = store(c, info, index);
        c.changed |= stored.changed;
        c.notify |= stored.changed && (first || info.names());
        if (stored.cut) ++c.dissection.counters_[Counter::strings_cut];
    }

    static void set_string(aicore_flow *flow, uint32_t field, const void *bytes, size_t length) {
        give(flow, field, bit(FieldType::string), [&](Dissection::Call &c, const FieldInfo &, uint16_t index) {
            return c.target->set_string(index, static_cast<const uint8_t *>(bytes), length);
        });
    }
    static void add_string(aicore_flow *flow, uint32_t field, const void *bytes, size_t length) {
        give(flow, field, bit(FieldType::strings), [&](Dissection::Call &c, const FieldInfo &info, uint16_t index) {
            const auto *data = static_cast<const uint8_t *>(bytes);
            if (info.names() && c.view.recognised) return c.dissection.add_name(c.flow, c.cold, index, data, length);
            return c.target->add_string(index, data, length);
        });
    }
    static void set_integer(aicore_flow *flow, uint32_t field, int64_t value) {
        give(flow, field, bit(FieldType::integer) | bit(FieldType::boolean) | bit(FieldType::time),
             [&](Dissection::Call &c, const FieldInfo &info, uint16_t index) {
                 return c.target->set(index, info.type, info.type == FieldType::boolean ? value != 0 : value);
             });
    }
    static void set_real(aicore_flow *flow, uint32_t field, double value) {
        give(flow, field, bit(FieldType::real),
             [&](Dissection::Call &c, const FieldInfo &, uint16_t index) { return c.target->set_real(index, value); });
    }
    static void add_integer(aicore_flow *flow, uint32_t field, int64_t value) {
        give(flow, field, bit(FieldType::integers), [&](Dissection::Call &c, const FieldInfo &, uint16_t index) {
            return c.target->add_integer(index, value);
        });
    }
    static void add_real(aicore_flow *flow, uint32_t field, double value) {
        give(flow, field, bit(FieldType::reals),
             [&](Dissection::Call &c, const FieldInfo &, uint16_t index) { return c.target->add_real(index, value); });
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
