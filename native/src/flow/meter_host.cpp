// SPDX-License-Identifier: Apache-2.0
// What a meter may call: aicore_meter_host.
#include "meters.h"
#include "setters.h"

namespace aicore {

namespace {

void put(uint8_t *to, uint64_t value) {
    for (int i = 0; i < 8; ++i)
        to[i] = static_cast<uint8_t>(value >> (56 - 8 * i));
}

} // namespace

struct MeterHost : FieldSetters<MeterHost, aicore_meter_flow> {
    static Meters &meters(const aicore_meter_flow *flow) { return *static_cast<Meters *>(flow->core); }

    // During record() only; a meter's slip must not harm the record.
    template <typename Store>
    static void give(aicore_meter_flow *flow, uint32_t field, unsigned types, Store store, std::string_view = {}) {
        Meters &m = meters(flow);
        const auto &fields = m.registry_.meters()[m.caller_].fields;
        const FieldType type = field < fields.size() ? m.registry_.schema()->fields[fields[field]].type : FieldType{};
        if (m.view_.event == 0 || !(types & bit(type))) {
            ++m.counters_[Counter::values_refused];
            return;
        }
        if (store(m.values_, fields[field], type).cut) ++m.counters_[Counter::strings_cut];
    }

    static void notify(aicore_meter_flow *flow) {
        Meters &m = meters(flow);
        if (m.may_notify_) m.notify_ = true;
    }
    static void detected(aicore_meter_flow *flow, const char *rule) {
        if (!rule) return; // as any other wrong argument is ignored
        Meters &m = meters(flow);
        if (!m.may_notify_) return;
        m.notify_ = true;
        ++m.counters_[Counter::detections];
        if (m.named_.empty()) return;
        if (m.rules_end_ == Meters::kMaxRules)
            ++m.counters_[Counter::names_untold];
        else
            m.rules_[m.rules_end_++] = {rule, m.caller_};
    }

    static const char *layer7(const aicore_meter_flow *flow) {
        const Meters &m = meters(flow);
        return m.registry_.schema()->names[m.warm_->layer7].c_str();
    }
    static void flow_id(const aicore_meter_flow *flow, uint8_t id[16]) {
        const Meters &m = meters(flow);
        put(id, m.warm_->flow_id[0]);
        put(id + 8, m.warm_->flow_id[1]);
    }
};

constexpr aicore_meter_host kHost = {sizeof(aicore_meter_host), 0,
                                     MeterHost::set_string,     MeterHost::set_integer,
                                     MeterHost::set_real,       MeterHost::add_string,
                                     MeterHost::add_integer,    MeterHost::add_real,
                                     MeterHost::notify,         MeterHost::detected,
                                     MeterHost::layer7,         MeterHost::flow_id};

const aicore_meter_host *meter_host() {
    return &kHost;
}

} // namespace aicore
