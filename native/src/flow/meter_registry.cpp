// SPDX-License-Identifier: Apache-2.0
// Registry: the meters of a run.
#include <cstring>
#include <stdexcept>

#include "abi.h"
#include "aicore/registry.h"
#include "aicore/text.h"
#include "declared.h"

namespace aicore {

namespace {

// What a plugin gave, as the core keeps it.
struct MeterCopy {
    aicore_meter meter{};
    std::vector<FieldInfo> fields;
};

// No padding at an end: a member that is added must not read it.
static_assert(sizeof(aicore_meter) == AICORE_END_OF(aicore_meter, ended) &&
              sizeof(aicore_meter_setup) == AICORE_END_OF(aicore_meter_setup, error_size) &&
              sizeof(aicore_meter_flow) == AICORE_END_OF(aicore_meter_flow, reserved) &&
              sizeof(aicore_packet) == AICORE_END_OF(aicore_packet, tunnel) &&
              sizeof(aicore_chunk) == AICORE_END_OF(aicore_chunk, time) &&
              sizeof(aicore_name) == AICORE_END_OF(aicore_name, time) &&
              sizeof(aicore_meter_host) == AICORE_END_OF(aicore_meter_host, flow_id));

std::string who(const char *name) {
    return std::string("meter '") + name + "': ";
}

FieldInfo info(const aicore_field &f, const char *meter) {
    const auto text = [](const char *s) { return std::string(s ? s : ""); };
    return {f.name,       static_cast<FieldType>(f.type), false, f.width ? f.width : 64, text(f.unit), text(f.ecs),
            text(f.help), std::string("meter:") + meter};
}

// Why a plugin's structures cannot be used, or empty.
std::string read(const aicore_meter *from, MeterCopy &to) {
    if (from->abi != AICORE_METER_ABI)
        return "it is built for meter ABI " + std::to_string(from->abi) + ", this aicore has " +
               std::to_string(AICORE_METER_ABI) + ": build it again with this aicore's header";
    constexpr size_t kLeast = AICORE_END_OF(aicore_meter, stream_bytes);
    if (auto why = abi::too_small("size", from->size, "aicore_meter", kLeast); !why.empty()) return why;
    aicore_meter &m = to.meter = abi::copy<aicore_meter>(from, from->size);
    m.size = sizeof m;
    if (!valid_name(m.name, 32, true)) return "its name is missing or not ^[a-z][a-z0-9_-]{0,31}$";
    if (m.help && !valid_utf8(m.help)) return who(m.name) + "its help is not UTF-8";
    if (m.state_size > AICORE_METER_STATE_MAX)
        return who(m.name) + "state_size is above " + std::to_string(AICORE_METER_STATE_MAX);
    if (m.stream && m.stream_bytes == 0)
        return who(m.name) + "stream is set while stream_bytes is 0: it would never be called";
    if (m.field_count == 0) return {};
    if (!m.fields) return who(m.name) + "field_count is above 0 while fields is NULL";
    constexpr size_t kLeastField = AICORE_END_OF(aicore_field, type);
    if (auto why = abi::too_small("field_size", m.field_size, "aicore_field", kLeastField); !why.empty())
        return who(m.name) + why;
    const auto fields = abi::copy(m.fields, m.field_count, m.field_size);
    m.fields = nullptr;
    for (size_t i = 0; i < fields.size(); ++i) {
        if (auto why = field_problem(fields[i], i); !why.empty()) return who(m.name) + why;
        to.fields.push_back(info(fields[i], m.name));
    }
    return {};
}

MeterCopy copy_of(const aicore_meter *meter, const std::vector<FieldInfo> *given) {
    MeterCopy copy;
    if (const std::string why = read(meter, copy); !why.empty()) throw std::invalid_argument(why);
    if (!given) return copy;
    copy.meter.field_count = copy.meter.field_size = 0;
    copy.fields.clear();
    for (const FieldInfo &f : *given) {
        const aicore_field field{
            f.name.c_str(), static_cast<uint32_t>(f.type), 0, f.width, f.unit.c_str(), f.ecs.c_str(), f.help.c_str()};
        if (const auto why = field_problem(field, copy.fields.size()); !why.empty())
            throw std::invalid_argument(who(copy.meter.name) + why);
        copy.fields.push_back(info(field, copy.meter.name));
    }
    return copy;
}

} // namespace

std::string Registry::check(const aicore_meter *meter) {
    MeterCopy copy;
    return read(meter, copy);
}

void Registry::add_meter(const aicore_meter *meter, std::string config, const std::vector<FieldInfo> *given) {
    if (frozen_) throw std::invalid_argument("meters can only be added before the run");
    const MeterCopy copy = copy_of(meter, given);
    const std::string name = copy.meter.name;
    size_t state = (copy.meter.state_size + 7) / 8 * 8;
    for (const RegisteredMeter &m : meters_) {
        if (name == m.meter.name) throw std::invalid_argument("meter '" + name + "' is there already");
        state += (m.meter.state_size + 7) / 8 * 8;
    }
    if (state > AICORE_METER_STATE_MAX)
        throw std::invalid_argument(who(copy.meter.name) + "its state and that of the meters before are " +
                                    std::to_string(state) + " bytes per flow, more than " +
                                    std::to_string(AICORE_METER_STATE_MAX));
    const size_t before = schema_->fields.size();
    RegisteredMeter r{copy.meter, {}, std::move(config)};
    if (before + copy.fields.size() > Schema::kMaxFields)
        throw std::invalid_argument(who(copy.meter.name) + too_many_fields());
    for (const FieldInfo &f : copy.fields) {
        for (const FieldInfo &other : schema_->fields) {
            if (other.name != f.name) continue;
            const std::string owner = other.protocol; // the erase below takes it
            schema_->fields.erase(schema_->fields.begin() + static_cast<ptrdiff_t>(before), schema_->fields.end());
            throw std::invalid_argument(who(copy.meter.name) + "field '" + f.name + "' is declared by " + owner +
                                        " already");
        }
        r.fields.push_back(static_cast<uint16_t>(schema_->fields.size()));
        schema_->fields.push_back(f);
    }
    meters_.push_back(std::move(r));
}

size_t Registry::same_meter(const aicore_meter *meter, const std::vector<FieldInfo> *given) const {
    const MeterCopy copy = copy_of(meter, given);
    for (size_t i = 0; i < meters_.size(); ++i) {
        const RegisteredMeter &m = meters_[i];
        if (std::strcmp(m.meter.name, copy.meter.name) != 0) continue;
        const auto same_field = [&](size_t k) {
            const FieldInfo &old = schema_->fields[m.fields[k]];
            return old.name == copy.fields[k].name && old.type == copy.fields[k].type;
        };
        bool same = std::memcmp(&m.meter, &copy.meter, sizeof m.meter) == 0 && m.fields.size() == copy.fields.size();
        for (size_t k = 0; same && k < m.fields.size(); ++k)
            same = same_field(k);
        if (!same)
            throw std::invalid_argument(who(copy.meter.name) +
                                        "its structure or fields are others than at the start of the run");
        return i;
    }
    throw std::invalid_argument("the run has no meter '" + std::string(copy.meter.name) + "'");
}

} // namespace aicore
