// SPDX-License-Identifier: Apache-2.0
#include "aicore/text.h"
#include "cold.h"

namespace aicore {

bool AttributeSet::set(uint16_t field, FieldType type, int64_t value) {
    const size_t i = position(field);
    if (i < items.size() && items[i].field == field) {
        items[i].value = value;
        return true;
    }
    if (items.size() >= kMaxAttributes) return false;
    items.insert(items.begin() + static_cast<ptrdiff_t>(i), {value, 0, field, static_cast<uint16_t>(type)});
    return true;
}

bool AttributeSet::add(uint16_t field, FieldType type, int64_t value) {
    if (items.size() >= kMaxAttributes) return false;
    size_t i = items.size();
    while (i > 0 && items[i - 1].field > field)
        --i;
    items.insert(items.begin() + static_cast<ptrdiff_t>(i), {value, 0, field, static_cast<uint16_t>(type)});
    return true;
}

bool AttributeSet::set_string(uint16_t field, const uint8_t *bytes, size_t length) {
    const size_t i = position(field);
    const bool there = i < items.size() && items[i].field == field;
    const size_t before = text.size();
    const size_t room = before < kMaxRecordText ? kMaxRecordText - before : 0;
    const bool cut = append_utf8(text, bytes, length, room < kMaxString ? room : kMaxString);
    const auto size = static_cast<uint32_t>(text.size() - before);
    if (there && size == items[i].length &&
        text.compare(static_cast<size_t>(items[i].value), size, text, before, size) == 0) {
        text.resize(before);
        return !cut;
    }
    if (size == 0 && length > 0) return false; // no room at all: the value there stays
    const Attribute a{static_cast<int64_t>(before), size, field, static_cast<uint16_t>(FieldType::string)};
    if (there) {
        items[i] = a; // the old text stays in the arena until the flow ends; the bound covers both
    } else {
        if (items.size() >= kMaxAttributes) {
            text.resize(before);
            return false;
        }
        items.insert(items.begin() + static_cast<ptrdiff_t>(i), a);
    }
    return !cut;
}

bool AttributeSet::add_string(uint16_t field, const uint8_t *bytes, size_t length) {
    if (items.size() >= kMaxAttributes) return false;
    const size_t before = text.size();
    const size_t room = before < kMaxRecordText ? kMaxRecordText - before : 0;
    const bool cut = append_utf8(text, bytes, length, room < kMaxString ? room : kMaxString);
    const auto size = static_cast<uint32_t>(text.size() - before);
    if (size == 0 && length > 0) return false;
    size_t i = position(field);
    for (; i < items.size() && items[i].field == field; ++i) {
        if (items[i].length == size &&
            text.compare(static_cast<size_t>(items[i].value), size, text, before, size) == 0) {
            text.resize(before); // once each
            return !cut;
        }
    }
    items.insert(items.begin() + static_cast<ptrdiff_t>(i),
                 {static_cast<int64_t>(before), size, field, static_cast<uint16_t>(FieldType::strings)});
    return !cut;
}

} // namespace aicore
