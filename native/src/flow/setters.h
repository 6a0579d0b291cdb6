// SPDX-License-Identifier: Apache-2.0
// The functions by which protocols and meters give values to fields: which of them takes a field of which type.
#pragma once

#include <string_view>

#include "cold.h"

namespace aicore {

// Self::give(flow, field, types, store, text) finds the field by its index in the plugin's own list, refuses the
// call unless it has one of the types (bits), and calls store(set, index in the schema, its type), which returns
// Stored. `text`: of the two for strings.
template <typename Self, typename Flow> struct FieldSetters {
    static constexpr unsigned bit(FieldType type) { return 1u << static_cast<unsigned>(type); }

    static void set_string(Flow *flow, uint32_t field, const void *bytes, size_t length) {
        const auto *text = static_cast<const uint8_t *>(bytes);
        Self::give(flow, field, bit(FieldType::string),
                   [&](AttributeSet &set, uint16_t index, FieldType) { return set.set_string(index, text, length); },
                   {static_cast<const char *>(bytes), length});
    }
    static void add_string(Flow *flow, uint32_t field, const void *bytes, size_t length) {
        const auto *text = static_cast<const uint8_t *>(bytes);
        Self::give(flow, field, bit(FieldType::strings),
                   [&](AttributeSet &set, uint16_t index, FieldType) { return set.add_string(index, text, length); },
                   {static_cast<const char *>(bytes), length});
    }
    static void set_integer(Flow *flow, uint32_t field, int64_t value) {
        Self::give(flow, field, bit(FieldType::integer) | bit(FieldType::boolean) | bit(FieldType::time),
                   [&](AttributeSet &set, uint16_t index, FieldType type) {
                       return set.set(index, type, type == FieldType::boolean ? value != 0 : value);
                   });
    }
    static void set_real(Flow *flow, uint32_t field, double value) {
        Self::give(flow, field, bit(FieldType::real),
                   [&](AttributeSet &set, uint16_t index, FieldType) { return set.set_real(index, value); });
    }
    static void add_integer(Flow *flow, uint32_t field, int64_t value) {
        Self::give(flow, field, bit(FieldType::integers),
                   [&](AttributeSet &set, uint16_t index, FieldType) { return set.add_integer(index, value); });
    }
    static void add_real(Flow *flow, uint32_t field, double value) {
        Self::give(flow, field, bit(FieldType::reals),
                   [&](AttributeSet &set, uint16_t index, FieldType) { return set.add_real(index, value); });
    }
};

} // namespace aicore
