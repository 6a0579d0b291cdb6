// SPDX-License-Identifier: Apache-2.0
// Single values, and rows of them.
#include "bind.h"

using namespace aicore;

namespace {

py::str text(std::string_view s) {
    return py::str(s.data(), s.size());
}

py::object item(const Values &values, size_t i) {
    return is_text(values.type()) ? py::object(text(values.texts[i])) : number_object(values.type(), values.numbers[i]);
}

py::object attribute(const Batch &b, const Attribute &a) {
    return a.has_text() ? py::object(text(b.text(a))) : number_object(static_cast<FieldType>(a.type), a.value);
}

// The names of the core's fields as keys of dicts: made once, their hashes known.
const std::vector<std::pair<const CoreColumn *, PyObject *>> &core_keys() {
    static const auto keys = [] {
        std::vector<std::pair<const CoreColumn *, PyObject *>> made; // as long as the process lives
        for (const CoreColumn &c : core_columns())
            if (!c.meta) made.emplace_back(&c, PyUnicode_InternFromString(c.name));
        return made;
    }();
    return keys;
}

void set(py::dict &out, PyObject *key, const py::object &value) {
    if (PyDict_SetItem(out.ptr(), key, value.ptr()) != 0) throw py::error_already_set();
}

// The object at `index`, made by make() when it is first asked for.
template <typename Make> const py::object &shared(std::vector<py::object> &objects, size_t index, Make make) {
    if (index >= objects.size()) objects.resize(index + 1);
    if (!objects[index]) objects[index] = make();
    return objects[index];
}

PyObject *field_name(PyBatch &self, size_t field) {
    return shared(self.texts.fields, field, [&] { return py::object(text(self.batch->schema->fields[field].name)); })
        .ptr();
}

} // namespace

py::object number_object(FieldType type, int64_t value) {
    if (is_real(type)) return py::float_(std::bit_cast<double>(value));
    return type == FieldType::boolean ? py::object(py::bool_(value != 0)) : py::object(py::int_(value));
}

py::object core_value(const Batch &batch, const Row &row, const CoreColumn &c) {
    if (c.number) return c.present(row) ? number_object(c.type, c.number(row)) : py::object(py::none());
    std::string made;
    c.text(made, batch, row);
    return made.empty() ? py::object(py::none()) : py::object(text(made));
}

py::object attribute_value(const Batch &b, std::span<const Attribute> values) {
    if (values.empty()) return py::none();
    if (!is_list(static_cast<FieldType>(values[0].type))) return attribute(b, values[0]);
    py::tuple out(values.size());
    for (size_t i = 0; i < values.size(); ++i)
        out[i] = attribute(b, values[i]);
    return out;
}

py::object attribute_value(const Batch &b, const Row &row, size_t field) {
    return attribute_value(b, field_values(b, row, field));
}

py::object added_value(const Values &values, size_t row) {
    if (!values.valid[row]) return py::none();
    const auto [first, last] = values.items(row);
    if (!is_list(values.type())) return item(values, first);
    py::tuple out(last - first);
    for (size_t i = first; i < last; ++i)
        out[i - first] = item(values, i);
    return out;
}

void unknown(const std::string &name) {
    throw py::key_error(name);
}

size_t row_index(const Batch &b, int64_t index) {
    const auto size = static_cast<int64_t>(b.rows.size());
    if (index < -size || index >= size)
        throw py::index_error("row " + std::to_string(index) + " of a batch of " + std::to_string(size));
    return static_cast<size_t>(index < 0 ? index + size : index);
}

py::dict row(PyBatch &self, int64_t given) {
    const Batch &b = *self.batch;
    const size_t index = row_index(b, given);
    const Row &from = b.rows[index];
    py::dict out;
    std::string made;
    const auto &keys = core_keys();
    self.texts.values.resize(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
        const auto &[c, key] = keys[i];
        if (c->number) {
            if (c->present(from)) set(out, key, number_object(c->type, c->number(from)));
            continue;
        }
        const size_t code = c->code ? c->code(from) : 1;
        if (code == 0) continue;
        const auto make = [&] {
            made.clear();
            c->text(made, b, from);
            return py::object(text(made));
        };
        if (c->code)
            set(out, key, shared(self.texts.values[i], code, make));
        else if (const py::object value = make(); !made.empty())
            set(out, key, value);
    }
    const auto all = b.attributes(from);
    for (auto a = all.begin(); a != all.end();) {
        const auto first = a;
        while (a != all.end() && a->field == first->field)
            ++a;
        set(out, field_name(self, first->field), attribute_value(b, {first, a}));
    }
    for (const AddedColumn &c : b.added)
        if (c.values.valid[index]) set(out, text(c.field.name).ptr(), added_value(c.values, index));
    return out;
}
