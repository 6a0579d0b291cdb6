// SPDX-License-Identifier: Apache-2.0
// Conversion between the native core and Python, and look-ups that ask Python. Shapes: see aicore/_core.pyi.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "aicore/batch.h"
#include "aicore/columns.h"
#include "aicore/registry.h"
#include "aicore/workers.h"

namespace py = pybind11;

// A Python object and the memory that it holds with what it was made of.
struct Sized {
    py::object object;
    size_t bytes = 0;
};

// What was made of a batch once: columns, JSON, Arrow. Objects that nobody can change, because all who ask get the
// same. Under the GIL.
class Forms {
  public:
    // make() gives a Sized. It may release the GIL: of two that make the same at once the first is kept.
    template <typename Make> py::object get(const std::string &name, Make make) {
        if (const auto it = made_.find(name); it != made_.end()) return it->second;
        Sized form = make();
        const auto [it, is_new] = made_.try_emplace(name, std::move(form.object));
        if (is_new) bytes_ += form.bytes + name.size() + kEntry;
        return it->second;
    }
    void forget() {
        bytes_ = 0;
        std::exchange(made_, {}); // objects die when all is in order
    }
    size_t bytes() const { return bytes_; }

  private:
    static constexpr size_t kEntry = 80; // of the table, about
    std::unordered_map<std::string, py::object> made_;
    size_t bytes_ = 0;
};

// Strings that rows as dicts share: names of fields, and values that many rows have. Made when first met; a few
// thousand bytes. Under the GIL.
struct SharedTexts {
    std::vector<py::object> fields;              // by index into Schema::fields
    std::vector<std::vector<py::object>> values; // by core column that has a code, by code
};

// What Python holds: the batch, shared with the columns made from it, and what was made once.
struct PyBatch {
    std::shared_ptr<aicore::Batch> batch;
    bool sealed = false;
    mutable bool is_lent = false; // see lend(); under the GIL
    Forms forms;
    SharedTexts texts;

    explicit PyBatch(std::shared_ptr<aicore::Batch> b) : batch(std::move(b)) {}

    // For whoever reads without the GIL, or for longer than the call: it never changes again. What is added later is
    // added to a copy.
    std::shared_ptr<aicore::Batch> lend() const {
        is_lent = true;
        return batch;
    }
};

PyBatch batch_from_rows(const py::sequence &rows, const py::sequence &fields);
// A column of Python values (None = absent), of the type of the field, or of theirs if it has none given. ValueError
// names the row.
aicore::Values values_of(const py::sequence &values, aicore::FieldType type);
aicore::FieldType type_of_values(const py::sequence &values);
std::string utf8(const py::handle &text); // lone surrogates as \udcxx text

// Fields as dicts: name, type, notify, width, unit, ecs, help, protocol.
py::dict field_dict(const aicore::FieldInfo &field);
aicore::FieldInfo field_info(const py::handle &dict);

py::object column(PyBatch &batch, const std::string &name); // KeyError
py::object valid(PyBatch &batch, const std::string &name);
py::object code_column(std::vector<uint32_t> values);

// One value; None if absent, lists as tuples.
py::object core_value(const aicore::Batch &batch, const aicore::Row &row, const aicore::CoreColumn &column);
py::object attribute_value(const aicore::Batch &batch, const aicore::Row &row, size_t field);
py::object attribute_value(const aicore::Batch &batch, std::span<const aicore::Attribute> values);
py::object added_value(const aicore::Values &values, size_t row);
py::object number_object(aicore::FieldType type, int64_t value);
[[noreturn]] void unknown(const std::string &name);          // KeyError
size_t row_index(const aicore::Batch &batch, int64_t index); // negative ones count from the end; IndexError
py::dict row(PyBatch &batch, int64_t index);

// Appends what tells the values of a text column of the core apart, nothing where absent: for addresses the bytes,
// which are cheaper than the text. Null: no such column.
using Distinction = void (*)(std::string &out, const aicore::Batch &batch, const aicore::Row &row);
Distinction core_distinction(const std::string &name);

py::object batch_arrow_schema(const PyBatch &self);
py::tuple batch_arrow_array(const PyBatch &self);
py::object batch_arrow_stream(const PyBatch &self);
py::tuple distinct(const PyBatch &self, const std::string &name);
py::bytes batch_schema_bytes(const PyBatch &self);
py::bytes batch_to_bytes(const PyBatch &self);

// The structure in a plugin's capsule; ValueError if it is no capsule of that name.
template <typename Structure> const Structure *in_capsule(const py::handle &object, const char *name) {
    if (!PyCapsule_IsValid(object.ptr(), name))
        throw py::value_error(std::string("it is no PyCapsule named '") + name + "' but " +
                              Py_TYPE(object.ptr())->tp_name);
    return static_cast<const Structure *>(PyCapsule_GetPointer(object.ptr(), name));
}
// Why the core cannot take it, None if it can.
template <typename Structure> py::object capsule_error(const py::handle &object, const char *name) {
    try {
        const std::string why = aicore::Registry::check(in_capsule<Structure>(object, name));
        return why.empty() ? py::object(py::none()) : py::object(py::str(why));
    } catch (const py::value_error &e) {
        return py::str(e.what());
    }
}

// In bind_meters.cpp; `fields`: instead of those that the structure declares.
std::string add_meter(aicore::Registry &registry, const py::object &capsule, const py::bytes &config,
                      const std::optional<py::sequence> &fields);
py::list meters(const aicore::Registry &registry);
void reload_meter(aicore::Workers &engine, const py::object &capsule, const py::bytes &config,
                  const std::optional<py::sequence> &fields);

void bind_columns(py::module_ &m);
void bind_arrow(py::module_ &m);
void bind_batch(py::module_ &m);
void bind_binary(py::module_ &m);
void bind_lookup(py::module_ &m);
void bind_meters(py::module_ &m);
void bind_registry(py::module_ &m);
void bind_engine(py::module_ &m);
