// SPDX-License-Identifier: Apache-2.0
#include "aicore/registry.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "abi.h"
#include "aicore/columns.h"
#include "aicore/text.h"
#include "declared.h"

namespace aicore {

namespace {

// Of rules that matched a flow: what stores select by has one meaning, whoever detects.
constexpr std::array<std::pair<std::string_view, FieldType>, 4> kDetection{{{"detections", FieldType::strings},
                                                                            {"detected", FieldType::time},
                                                                            {"labels", FieldType::strings},
                                                                            {"severity", FieldType::integer}}};

bool of_detection(std::string_view name) {
    return std::any_of(kDetection.begin(), kDetection.end(), [&](const auto &field) { return field.first == name; });
}

std::string reserved_problem(std::string_view name, FieldType type) {
    for (const char *attribute : {"first_seen_at", "last_seen_at", "to_dict", "to_json"})
        if (name == attribute) return "is an attribute of every Flow in Python";
    for (const auto &[reserved, wanted] : kDetection)
        if (name == reserved && type != wanted)
            return std::string("is reserved for rules that matched, and has the type ") + type_name(wanted);
    return {};
}

constexpr size_t kMaxNamesLater = 256; // layer7 names that external protocols give while a run goes on

constexpr size_t kLeastProtocol = AICORE_END_OF(aicore_protocol, inspect);
constexpr size_t kLeastField = AICORE_END_OF(aicore_field, type);
constexpr size_t kLeastPrefix = AICORE_END_OF(aicore_prefix, length);

// No padding at an end: a member that is added must not read it.
static_assert(sizeof(aicore_protocol) == AICORE_END_OF(aicore_protocol, alias_count) &&
              sizeof(aicore_field) == AICORE_END_OF(aicore_field, help) && sizeof(aicore_prefix) == kLeastPrefix &&
              sizeof(aicore_flow) == AICORE_END_OF(aicore_flow, packets) &&
              sizeof(aicore_payload) == AICORE_END_OF(aicore_payload, other_length) &&
              sizeof(aicore_host) == AICORE_END_OF(aicore_host, hand_over));

std::string who(const aicore_protocol &p) {
    return valid_name(p.name, 32, true) ? std::string("protocol '") + p.name + "': " : "";
}

// Why a plugin's structures cannot be read, or empty.
std::string read(const aicore_protocol *from, ProtocolCopy &to) {
    if (from->abi != AICORE_PROTOCOL_ABI)
        return "it is built for protocol ABI " + std::to_string(from->abi) + ", this aicore has " +
               std::to_string(AICORE_PROTOCOL_ABI) + ": build it again with this aicore's header";
    if (auto why = abi::too_small("size", from->size, "aicore_protocol", kLeastProtocol); !why.empty()) return why;
    aicore_protocol &p = to.protocol = abi::copy<aicore_protocol>(from, from->size);
    if ((p.port_count && !p.ports) || (p.prefix_count && !p.prefixes) || (p.field_count && !p.fields) ||
        (p.anomaly_count && !p.anomalies) || (p.alias_count && !p.aliases))
        return who(p) + "a count is above 0 while its array is NULL";
    std::string why;
    if (p.prefix_count) why = abi::too_small("prefix_size", p.prefix_size, "aicore_prefix", kLeastPrefix);
    if (p.field_count && why.empty()) why = abi::too_small("field_size", p.field_size, "aicore_field", kLeastField);
    if (!why.empty()) return who(p) + why;
    to.prefixes = abi::copy(p.prefixes, p.prefix_count, p.prefix_size);
    to.fields = abi::copy(p.fields, p.field_count, p.field_size);
    p.prefixes = nullptr;
    p.fields = nullptr;
    return {};
}

// Why a protocol cannot be used, or empty.
std::string check_shape(const ProtocolCopy &copy) {
    const aicore_protocol *p = &copy.protocol;
    if (!valid_name(p->name, 32, true)) return "its name is missing or not ^[a-z][a-z0-9_-]{0,31}$";
    const std::string who = aicore::who(*p);
    if (!(p->transports & (AICORE_TCP | AICORE_UDP)) || p->transports & ~(AICORE_TCP | AICORE_UDP))
        return who + "transports must be AICORE_TCP, AICORE_UDP or both";
    if (p->state_size > AICORE_STATE_MAX) return who + "state_size is above " + std::to_string(AICORE_STATE_MAX);
    for (uint32_t i = 0; i < p->prefix_count; ++i)
        if (!copy.prefixes[i].bytes || copy.prefixes[i].length > 16)
            return who + "prefix " + std::to_string(i) + " is not 0 to 16 bytes";
    for (uint32_t i = 0; i < p->field_count; ++i) {
        if (const auto why = field_problem(copy.fields[i], i); !why.empty()) return who + why;
        if (of_detection(copy.fields[i].name))
            return who + "field '" + copy.fields[i].name + "' is reserved for rules that matched: of meters and hooks";
    }
    for (uint32_t i = 0; i < p->anomaly_count; ++i)
        if (!valid_name(p->anomalies[i], 48, false)) return who + "anomaly " + std::to_string(i) + " has no valid name";
    for (uint32_t i = 0; i < p->alias_count; ++i)
        if (!valid_name(p->aliases[i], 32, true)) return who + "alias " + std::to_string(i) + " has no valid name";
    return {};
}

} // namespace

bool valid_name(const char *name, size_t limit, bool dash) {
    if (!name) return false;
    const size_t n = strnlen(name, limit + 1);
    if (n == 0 || n > limit || !(name[0] >= 'a' && name[0] <= 'z')) return false;
    return std::all_of(name, name + n, [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (dash && c == '-');
    });
}

std::string too_many_fields() {
    return "the record has more than " + std::to_string(Schema::kMaxFields) + " fields";
}

std::string field_problem(const aicore_field &f, size_t index) {
    if (!valid_name(f.name, 48, false))
        return "field " + std::to_string(index) + " has no name of the form ^[a-z][a-z0-9_]{0,47}$";
    if (f.type < AICORE_STRING || f.type > AICORE_TIME)
        return std::string("field '") + f.name + "' has an unknown type";
    if (find_core_column(f.name)) return std::string("field '") + f.name + "' is a name of the core record";
    if (const auto why = reserved_problem(f.name, static_cast<FieldType>(f.type)); !why.empty())
        return std::string("field '") + f.name + "' " + why;
    for (const char *text : {f.unit, f.ecs, f.help})
        if (text && !valid_utf8(text)) return std::string("field '") + f.name + "' has a text that is not UTF-8";
    return {};
}

Registry::Registry() : schema_(std::make_shared<Schema>()) {
    schema_->of_run = true;
}
Registry::~Registry() = default;

std::string Registry::check(const aicore_protocol *p) {
    ProtocolCopy copy;
    if (auto why = read(p, copy); !why.empty()) return why;
    if (auto why = check_shape(copy); !why.empty()) return why;
    return copy.protocol.inspect ? "" : who(copy.protocol) + "inspect is NULL";
}

uint16_t Registry::field_index(const aicore_field &f, const char *protocol, FieldType type) {
    for (size_t i = 0; i < schema_->fields.size(); ++i) {
        if (schema_->fields[i].name != f.name) continue;
        if (schema_->fields[i].type != type)
            throw std::invalid_argument(std::string("protocol '") + protocol + "': field '" + f.name +
                                        "' has another type in protocol '" + schema_->fields[i].protocol + "'");
        return static_cast<uint16_t>(i);
    }
    if (schema_->fields.size() == Schema::kMaxFields)
        throw std::invalid_argument(std::string("protocol '") + protocol + "': " + too_many_fields());
    const auto text = [](const char *s) { return std::string(s ? s : ""); };
    schema_->fields.push_back({f.name, type, (f.flags & AICORE_NOTIFY) != 0, f.width ? f.width : 64, text(f.unit),
                               text(f.ecs), text(f.help), protocol});
    return static_cast<uint16_t>(schema_->fields.size() - 1);
}

void Registry::add(const aicore_protocol *protocol) {
    if (auto why = check(protocol); !why.empty()) throw std::invalid_argument(why);
    ProtocolCopy copy;
    read(protocol, copy);
    add(copy);
}

void Registry::add(const ProtocolCopy &copy) {
    const aicore_protocol *p = &copy.protocol;
    if (frozen_ || !meters_.empty())
        throw std::invalid_argument("protocols can only be added before meters and the run");
    if (auto why = check_shape(copy); !why.empty()) throw std::invalid_argument(why);
    if (find(p->name) != kNoProtocol)
        throw std::invalid_argument(std::string("protocol '") + p->name + "' is there already");
    if (protocols_.size() == ProtocolSet::kMax) throw std::invalid_argument("more than 256 protocols");
    Registered r{*p, copy.prefixes, {}, {}, {}, schema_->name_index(p->name), p->inspect == nullptr};
    const auto fields_before = static_cast<ptrdiff_t>(schema_->fields.size());
    try {
        for (uint32_t i = 0; i < p->field_count; ++i)
            r.fields.push_back(field_index(copy.fields[i], p->name, static_cast<FieldType>(copy.fields[i].type)));
    } catch (const std::invalid_argument &) { // of a protocol that is not taken no column stays
        schema_->fields.erase(schema_->fields.begin() + fields_before, schema_->fields.end());
        throw;
    }
    for (uint32_t i = 0; i < p->anomaly_count; ++i)
        r.anomalies.push_back(schema_->name_index(p->anomalies[i]));
    for (uint32_t i = 0; i < p->alias_count; ++i)
        r.aliases.push_back(schema_->name_index(p->aliases[i]));
    protocols_.push_back(std::move(r));
}

void Registry::add_external(const ExternalProtocol &protocol) {
    auto owned = std::make_unique<ExternalProtocol>(protocol);
    const ExternalProtocol &source = *owned;
    ProtocolCopy copy;
    for (const auto &prefix : source.prefixes)
        copy.prefixes.push_back({prefix.data(), prefix.size()});
    for (const auto &f : source.fields)
        copy.fields.push_back({f.name.c_str(), static_cast<uint32_t>(f.type), f.notify ? uint32_t{AICORE_NOTIFY} : 0u,
                               f.width, f.unit.c_str(), f.ecs.c_str(), f.help.c_str()});
    aicore_protocol &p = copy.protocol;
    p.name = source.name.c_str();
    p.help = source.help.c_str();
    p.transports = source.transports;
    p.rank = source.rank;
    p.ports = source.ports.data();
    p.port_count = static_cast<uint32_t>(source.ports.size());
    p.prefix_count = static_cast<uint32_t>(copy.prefixes.size());
    p.field_count = static_cast<uint32_t>(copy.fields.size());
    add(copy);
    owned_.push_back(std::move(owned));
}

void Registry::declare(const FieldInfo &field) {
    const auto refuse = [&](const std::string &why) {
        throw std::invalid_argument("field '" + field.name + "' of " + field.protocol + ' ' + why);
    };
    if (frozen_) refuse("comes too late: fields are declared before the run");
    if (!valid_column_name(field.name)) refuse("has no name of the form ^[a-z][a-z0-9_]{0,47}$");
    if (find_core_column(field.name)) refuse("is a name of the core record");
    if (const auto why = reserved_problem(field.name, field.type); !why.empty()) refuse(why);
    for (const FieldInfo &known : schema_->fields)
        if (known.name == field.name) refuse("is a field of " + known.protocol);
    for (const FieldInfo &known : schema_->declared) {
        if (known.name != field.name) continue;
        if (known.type != field.type) refuse("has another type in " + known.protocol);
        return;
    }
    if (schema_->fields.size() + schema_->declared.size() >= Schema::kMaxFields)
        refuse("is too much: " + too_many_fields());
    schema_->declared.push_back(field);
}

uint16_t Registry::name_later(const std::string &name) const {
    for (size_t i = 0; i < schema_->names.size(); ++i)
        if (schema_->names[i] == name) return static_cast<uint16_t>(i);
    if (schema_->names.size() == schema_->names.capacity() || !valid_name(name.c_str(), 32, true)) return 0;
    return schema_->name_index(name);
}

uint16_t Registry::find(const char *name) const {
    for (size_t i = 0; i < protocols_.size(); ++i)
        if (std::strcmp(protocols_[i].protocol.name, name) == 0) return static_cast<uint16_t>(i);
    return kNoProtocol;
}

void Registry::freeze(const std::vector<const char *> &counters) {
    if (frozen_) return;
    frozen_ = true;
    schema_->names.reserve(schema_->names.size() + counters.size() + kMaxNamesLater);
    counter_names_.push_back(0);
    for (size_t i = 1; i < counters.size(); ++i)
        counter_names_.push_back(schema_->name_index(counters[i]));
    std::stable_sort(protocols_.begin(), protocols_.end(),
                     [](const Registered &a, const Registered &b) { return a.protocol.rank < b.protocol.rank; });
    for (size_t i = 0; i < protocols_.size(); ++i) {
        const aicore_protocol &p = protocols_[i].protocol;
        if (protocols_[i].external) external_.add(i);
        for (uint32_t t = 0; t < 2; ++t) {
            if (!(p.transports >> t & 1)) continue;
            Table &table = tables_[t];
            if (p.prefix_count == 0 && p.port_count == 0) table.always.add(i);
            for (const aicore_prefix &prefix : protocols_[i].prefixes) {
                if (prefix.length == 0)
                    table.always.add(i);
                else
                    table.first_byte[static_cast<uint8_t>(prefix.bytes[0])].add(i);
            }
            for (uint32_t k = 0; k < p.port_count; ++k) {
                table.port[p.ports[k]].add(i);
                table.port_name.try_emplace(p.ports[k], protocols_[i].layer7);
                table.any_port = true;
            }
        }
    }
}

ProtocolSet Registry::select(uint8_t transport, const uint8_t *data, size_t length, uint16_t port,
                             uint16_t other_port) const {
    const Table &table = tables_[transport == AICORE_TCP ? 0 : 1];
    ProtocolSet out = table.always;
    if (length == 0) return out;
    table.first_byte[data[0]].each([&](size_t i) {
        const auto matches = [&](const aicore_prefix &prefix) {
            return std::memcmp(data, prefix.bytes, std::min(prefix.length, length)) == 0;
        };
        const auto &prefixes = protocols_[i].prefixes;
        if (std::any_of(prefixes.begin(), prefixes.end(), matches)) out.add(i);
        return true;
    });
    if (table.any_port) {
        if (const auto it = table.port.find(port); it != table.port.end()) out |= it->second;
        if (const auto it = table.port.find(other_port); it != table.port.end()) out |= it->second;
    }
    return out;
}

uint16_t Registry::name_by_port(uint8_t transport, uint16_t portdst, uint16_t portsrc) const {
    const Table &table = tables_[transport == AICORE_TCP ? 0 : 1];
    // Who speaks first speaks to a service; the other way round where the beginning was missed.
    for (const uint16_t p : {portdst, portsrc})
        if (const auto it = table.port_name.find(p); it != table.port_name.end()) return it->second;
    return 0;
}

} // namespace aicore
