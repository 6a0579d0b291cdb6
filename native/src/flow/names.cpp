// SPDX-License-Identifier: Apache-2.0
// What a flow learns: values into its record, and the lists of names that hold the latest ones.
#include <algorithm>
#include <cstring>

#include "batch_writer.h"
#include "dissection.h"

namespace aicore {

// What the flow knows already stays, as after a hand-over.
Dissection::Learnt Dissection::merge(FlowRef flow, Cold &cold, const AttributeSet &values) {
    AttributeSet &own = cold.attributes;
    if (values.items.empty()) return {};
    const auto &fields = registry_.schema()->fields;
    Learnt learnt;
    for (const Attribute &a : values.items)
        learnt.notify |= fields[a.field].notify && !own.has(a.field);
    if (own.items.empty() && values.items.size() <= kMaxNames) { // then no list is longer than that
        own.items.assign(values.items.begin(), values.items.end());
        own.text.assign(values.text);
        cold.batch = 0;
        cold.fresh_names = static_cast<uint8_t>(values.items.size());
        return {true, learnt.notify};
    }
    for (const Attribute &a : values.items) {
        const auto type = static_cast<FieldType>(a.type);
        const auto *bytes = a.has_text() ? reinterpret_cast<const uint8_t *>(values.text.data()) + a.value : nullptr;
        Stored stored{};
        if (fields[a.field].names()) {
            stored = add_name(flow, cold, a.field, bytes, a.length);
            learnt.notify |= stored.changed;
        } else if (type == FieldType::string) {
            stored = own.set_string(a.field, bytes, a.length);
        } else if (type == FieldType::strings) {
            stored = own.add_string(a.field, bytes, a.length);
        } else {
            stored = is_list(type) ? own.add(a.field, type, a.value) : own.set(a.field, type, a.value);
        }
        learnt.something |= stored.changed;
        if (stored.cut) ++counters_[Counter::strings_cut];
    }
    if (learnt.something) cold.batch = 0;
    return learnt;
}

// The list keeps the latest names, and every name is in the update that it makes: where a payload has more of them than
// the list holds, there is an update in the middle of it.
Stored Dissection::add_name(FlowRef flow, Cold &cold, uint16_t field, const uint8_t *bytes, size_t length) {
    AttributeSet &own = cold.attributes;
    if (!writer_) return own.add_string(field, bytes, length); // the engine's side adds what is found here
    const Stored stored = own.add_string(field, bytes, length);
    if (!stored.changed) return stored;
    size_t last = own.items.size() - 1;
    while (own.items[last].field != field)
        --last;
    const size_t first = own.position(field);
    if (last - first >= kMaxNames) {
        const auto hash = [&](size_t item) { return hash_of_name(field, own.text_of(own.items[item])); };
        if (!cold.past_names) cold.past_names = std::make_unique<PastNames>();
        if (cold.past_names->has(hash(last))) {
            own.erase(last);
            return {false, stored.cut};
        }
        if (cold.fresh_names == kMaxNames) { // no event has shown the first one
            own.erase(last);
            show_names(flow, cold);
            own.add_string(field, bytes, length);
        }
        cold.past_names->add(hash(first));
        own.erase(first);
        ++counters_[Counter::names_beyond_list];
    }
    cold.batch = 0;
    if (cold.fresh_names < kMaxNames) ++cold.fresh_names;
    return stored;
}

void Dissection::show_names(FlowRef flow, Cold &cold) {
    cold.fresh_names = 0;
    if (!writer_->wanted(EventKind::update)) return;
    if (writer_->room(1))
        writer_->append_update(flow, pool_, false);
    else
        ++counters_[Counter::updates_shed];
}

uint64_t Dissection::hash_of_name(uint16_t field, std::string_view name) const {
    SipHash<1, 3> hash(name_key_);
    hash.add(uint64_t{field} << 32 | name.size());
    while (!name.empty()) {
        uint64_t word = 0;
        const size_t n = std::min(name.size(), sizeof word);
        std::memcpy(&word, name.data(), n);
        hash.add(word);
        name.remove_prefix(n);
    }
    return hash.finish64();
}

} // namespace aicore
