// SPDX-License-Identifier: Apache-2.0
// The columns of the core record: numbers of a Row, and texts made from one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "aicore/batch.h"

namespace aicore {

// A number as Python's struct module writes it.
template <typename T> constexpr const char *number_format() {
    if constexpr (std::is_same_v<T, double>)
        return "d";
    else if constexpr (std::is_same_v<T, uint64_t>)
        return "Q";
    else if constexpr (std::is_same_v<T, int64_t>)
        return "q";
    else if constexpr (std::is_same_v<T, uint32_t>)
        return "I";
    else if constexpr (std::is_same_v<T, uint16_t>)
        return "H";
    else
        return "B";
}

struct CoreColumn {
    using Text = void (*)(std::string &out, const Batch &batch, const Row &row); // appends nothing where absent

    const char *name;
    size_t offset = 0, size = 0;  // of a number, in Row
    const char *format = nullptr; // of a number, see number_format()
    Text text = nullptr;          // null: a number
    bool zero_absent = false;     // 0 means that the flow has none
    bool tcp_only = false;
    bool meta = false; // beside the record

    bool present(const Row &row) const; // of a number
    uint64_t number(const Row &row) const;
};

std::span<const CoreColumn> core_columns();
const CoreColumn *find_core_column(std::string_view name); // null: none

int find_field(const Batch &batch, std::string_view name); // index into Schema::fields; -1: no field of a protocol
const AddedColumn *find_added(const Batch &batch, std::string_view name); // null: none

} // namespace aicore
