// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "aicore/text.h"
#include "cold.h"

namespace aicore {

Stored AttributeSet::set(uint16_t field, FieldType type, int64_t value) {
    const size_t i = position(field);
    if (i < items.size() && items[i].field == field) {
        const bool changed = items[i].value != value;
        items[i].value = value;
        return {changed, false};
    }
    if (items.size() >= most) return {false, true};
    items.insert(items.begin() + static_cast<ptrdiff_t>(i), {value, 0, field, static_cast<uint16_t>(type)});
    return {true, false};
}

Stored AttributeSet::add(uint16_t field, FieldType type, int64_t value) {
    if (items.size() >= most) return {false, true};
    size_t i = items.size();
    while (i > 0 && items[i - 1].field > field)
        --i;
    items.insert(items.begin() + static_cast<ptrdiff_t>(i), {value, 0, field, static_cast<uint16_t>(type)});
    return {true, false};
}

Stored AttributeSet::set_string(uint16_t field, const uint8_t *bytes, size_t length) {
    const size_t i = position(field);
    const bool there = i < items.size() && items[i].field == field;
    if (!there && items.size() >= most) return {false, true};
    const size_t before = text.size(), kept = before - (there ? items[i].length : 0);
    const size_t room = kept < kMaxRecordText ? kMaxRecordText - kept : 0;
    const bool cut = append_utf8(text, bytes, length, room < kMaxString ? room : kMaxString);
    const auto size = static_cast<uint32_t>(text.size() - before);
    if (there && text_of(items[i]) == std::string_view(text).substr(before)) {
        text.resize(before);
        return {false, cut};
    }
    if (size == 0 && length > 0) return {false, true}; // no room at all: the value there stays
    const Attribute a{static_cast<int64_t>(before), size, field, static_cast<uint16_t>(FieldType::string)};
    if (there)
        erase_text(std::exchange(items[i], a));
    else
        items.insert(items.begin() + static_cast<ptrdiff_t>(i), a);
    return {true, cut};
}

Stored AttributeSet::add_string(uint16_t field, const uint8_t *bytes, size_t length) {
    if (items.size() >= most) return {false, true};
    const size_t before = text.size();
    const size_t room = before < kMaxRecordText ? kMaxRecordText - before : 0;
    const bool cut = append_utf8(text, bytes, length, room < kMaxString ? room : kMaxString);
    const auto size = static_cast<uint32_t>(text.size() - before);
    if (size == 0 && length > 0) return {false, true};
    size_t i = items.size();
    while (i > 0 && items[i - 1].field > field)
        --i;
    for (size_t k = i; k > 0 && items[k - 1].field == field; --k) {
        if (text_of(items[k - 1]) == std::string_view(text).substr(before)) { // once each
            text.resize(before);
            return {false, cut};
        }
    }
    items.insert(items.begin() + static_cast<ptrdiff_t>(i),
                 {static_cast<int64_t>(before), size, field, static_cast<uint16_t>(FieldType::strings)});
    return {true, cut};
}

void AttributeSet::erase(size_t item) {
    const Attribute gone = items[item];
    items.erase(items.begin() + static_cast<ptrdiff_t>(item));
    if (gone.has_text()) erase_text(gone);
}

// Every text in the arena is one item's: a flow's arena is copied into a batch as it is.
void AttributeSet::erase_text(const Attribute &gone) {
    text.erase(static_cast<size_t>(gone.value), gone.length);
    for (Attribute &a : items)
        if (a.has_text() && a.value > gone.value) a.value -= gone.length;
}

} // namespace aicore
