// SPDX-License-Identifier: Apache-2.0
// Conversion between the native core and Python, and look-ups that ask Python. Shapes: see aicore/_core.pyi.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "aicore/batch.h"
#include "aicore/columns.h"
#include "aicore/engine.h"
#include "aicore/registry.h"

namespace py = pybind11;

// What Python holds: the batch, shared with the columns made from it, and what was made once.
struct PyBatch {
    std::shared_ptr<aicore::Batch> batch;
    bool sealed = false;
    py::object json[2]; // without and with meta

    explicit PyBatch(std::shared_ptr<aicore::Batch> b) : batch(std::move(b)) {}
};

PyBatch batch_from_rows(const py::sequence &rows);
// A column of Python values (None = absent); ValueError names the row. The type is that of the first value.
aicore::AddedColumn added_column(const std::string &name, const py::sequence &values);
std::string utf8(const py::handle &text); // lone surrogates as \udcxx text

py::list core_fields();
bool is_core_field(const std::string &name);
py::object core_column(const std::shared_ptr<aicore::Batch> &batch,
                       const std::string &name); // null handle: no such column
py::object core_valid(const std::shared_ptr<aicore::Batch> &batch, const std::string &name);
const char *core_type(const std::string &name);
py::object core_value(const aicore::Batch &batch, size_t row, const char *name); // None if absent
// Appends what tells the values of a text column of the core apart, nothing where absent: for addresses the bytes,
// which are cheaper than the text. Null: no such column.
using Distinction = void (*)(std::string &out, const aicore::Batch &batch, const aicore::Row &row);
Distinction core_distinction(const std::string &name);
py::object code_column(std::vector<uint32_t> values);
py::object byte_column(std::vector<uint8_t> values);
py::object int_column(std::vector<int64_t> values);
py::object float_column(std::vector<double> values);
py::object number_column(aicore::FieldType type, std::vector<int64_t> values); // as Attribute::value holds them

// The first attribute of a row with that field, and how many there are.
std::pair<const aicore::Attribute *, size_t> field_values(const aicore::Batch &batch, const aicore::Row &row,
                                                          int field);
py::object attribute_value(const aicore::Batch &batch, const aicore::Row &row, int field); // None if absent
py::object added_value(const aicore::AddedColumn &column, size_t row);                     // the same
[[noreturn]] void unknown(const std::string &name);                                        // KeyError

py::object batch_arrow_schema(const PyBatch &self);
py::tuple batch_arrow_array(const PyBatch &self);
py::object batch_arrow_stream(const PyBatch &self);
py::bytes batch_schema_bytes(const PyBatch &self);
py::bytes batch_to_bytes(const PyBatch &self);
py::tuple distinct(const PyBatch &self, const std::string &name);

void bind_columns(py::module_ &m);
void bind_arrow(py::module_ &m);
void bind_batch(py::module_ &m);
void bind_binary(py::module_ &m);
void bind_lookup(py::module_ &m);
void bind_registry(py::module_ &m);
void bind_engine(py::module_ &m);
