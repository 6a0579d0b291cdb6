// SPDX-License-Identifier: Apache-2.0
// A batch by columns: those of the core (core_fields.h), of protocols' fields and added ones, found by name. The core's
// as a table that can be searched at run time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "aicore/batch.h"
#include "aicore/core_fields.h"

namespace aicore {

struct CoreColumn {
    const char *name, *help, *unit, *ecs;
    FieldType type;
    uint32_t width;
    Absent absent;
    bool meta;
    ptrdiff_t offset; // in Row of an int64_t that can be looked at in place, else -1

    // Of a number.
    int64_t (*number)(const Row &row);
    const char *(*set_number)(Row &row, int64_t value); // see core_fields.h
    // Of a text; appends nothing where it is absent.
    void (*text)(std::string &out, const Batch &batch, const Row &row);
    const char *(*set_text)(Schema &schema, Row &row, std::string_view text);
    // Of a text that rows share: one number for each text, 0 where it is absent. Null for one that is made.
    size_t (*code)(const Row &row);

    bool present(const Row &row) const; // of a number
};

std::span<const CoreColumn> core_columns();
const CoreColumn *find_core_column(std::string_view name); // null: none

int find_field(const Batch &batch, std::string_view name); // index into Schema::fields; -1: no field of a protocol
const AddedColumn *find_added(const Batch &batch, std::string_view name); // null: none

// The values of a protocol's field in a row: the first, and how many there are.
std::span<const Attribute> field_values(const Batch &batch, const Row &row, size_t field);

// Any column but a core's, all rows. std::out_of_range for a name that the batch has not.
Values column_values(const Batch &batch, std::string_view name);

} // namespace aicore
