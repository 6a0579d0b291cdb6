// SPDX-License-Identifier: Apache-2.0
#include "bind.h"

using namespace aicore;

namespace {

py::object column(const PyBatch &self, const std::string &name) {
    const Batch &b = *self.batch;
    if (py::object core = core_column(self.batch, name)) return core;
    if (const int field = find_field(b, name); field >= 0) {
        const FieldType type = b.schema->fields[static_cast<size_t>(field)].type;
        if (!is_list(type) && !is_text(type)) {
            std::vector<int64_t> out;
            out.reserve(b.rows.size());
            for (const Row &row : b.rows) {
                const auto [a, n] = field_values(b, row, field);
                out.push_back(n ? a->value : 0);
            }
            return number_column(type, std::move(out));
        }
        py::list out(b.rows.size());
        for (size_t i = 0; i < b.rows.size(); ++i)
            out[i] = attribute_value(b, b.rows[i], field);
        return out;
    }
    const AddedColumn *c = find_added(b, name);
    if (!c) unknown(name);
    if (c->type == FieldType::integer) return int_column(c->integers);
    if (c->type == FieldType::real) return float_column(c->reals);
    py::list out(b.rows.size());
    for (size_t i = 0; i < b.rows.size(); ++i)
        out[i] = added_value(*c, i);
    return out;
}

py::object valid(const PyBatch &self, const std::string &name) {
    const Batch &b = *self.batch;
    if (py::object core = core_valid(self.batch, name)) return core;
    std::vector<uint8_t> out;
    if (const int field = find_field(b, name); field >= 0) {
        for (const Row &row : b.rows)
            out.push_back(field_values(b, row, field).second > 0);
        return byte_column(std::move(out));
    }
    const AddedColumn *c = find_added(b, name);
    if (!c) unknown(name);
    return byte_column(c->valid);
}

const char *type(const PyBatch &self, const std::string &name) {
    if (const char *core = core_type(name)) return core;
    if (const int field = find_field(*self.batch, name); field >= 0)
        return type_name(self.batch->schema->fields[static_cast<size_t>(field)].type);
    const AddedColumn *c = find_added(*self.batch, name);
    if (!c) unknown(name);
    return type_name(c->type);
}

py::list names(const PyBatch &self) {
    py::list out;
    for (const auto &field : core_fields())
        out.append(field["name"]);
    for (const auto &f : self.batch->schema->fields)
        out.append(f.name);
    for (const auto &c : self.batch->added)
        out.append(c.name);
    return out;
}

py::dict row(const PyBatch &self, size_t i) {
    const Batch &b = *self.batch;
    if (i >= b.rows.size()) throw py::index_error("row " + std::to_string(i) + " of " + std::to_string(b.rows.size()));
    py::dict out;
    for (const auto &field : core_fields()) {
        const auto name = py::cast<std::string>(field["name"]);
        if (py::object value = core_value(b, i, name.c_str()); !value.is_none()) out[field["name"]] = value;
    }
    for (size_t f = 0; f < b.schema->fields.size(); ++f)
        if (py::object value = attribute_value(b, b.rows[i], static_cast<int>(f)); !value.is_none())
            out[py::str(b.schema->fields[f].name)] = value;
    for (const auto &c : b.added)
        if (c.valid[i]) out[py::str(c.name)] = added_value(c, i);
    return out;
}

py::list rows_of(const std::string &text, const std::vector<size_t> &ends) {
    py::list rows(ends.size());
    size_t begin = 0;
    for (size_t i = 0; i < ends.size(); ++i) {
        rows[i] = py::bytes(text.data() + begin, ends[i] - begin);
        begin = ends[i];
    }
    return rows;
}

py::object json(PyBatch &self, bool meta) {
    py::object &made = self.json[meta];
    if (made) return made;
    std::string out;
    std::vector<size_t> ends;
    {
        const py::gil_scoped_release release;
        append_json(out, ends, *self.batch, meta, false);
    }
    made = rows_of(out, ends);
    return made;
}

py::list nested_json(const PyBatch &self, const NestedPlaces &places) {
    std::string out;
    std::vector<size_t> ends;
    {
        const py::gil_scoped_release release;
        append_nested_json(out, ends, *self.batch, places); // std::invalid_argument is ValueError
    }
    return rows_of(out, ends);
}

PackedPlace::Kind place_kind(const std::string &name) {
    if (name == "present") return PackedPlace::Kind::present;
    if (name == "cut") return PackedPlace::Kind::cut;
    if (const auto type = type_of_name(name)) return place_kind(*type);
    throw py::value_error("no kind of place: '" + name + "'");
}

py::bytearray packed(const PyBatch &self,
                     const std::vector<std::tuple<std::string, std::vector<std::string>, size_t, size_t>> &given,
                     size_t size) {
    std::vector<PackedPlace> places;
    for (const auto &[kind, fields, offset, width] : given)
        places.push_back({place_kind(kind), fields, offset, width});
    const size_t rows = self.batch->rows.size();
    py::bytearray out(nullptr, rows * size);
    auto *begin = reinterpret_cast<uint8_t *>(PyByteArray_AS_STRING(out.ptr()));
    const py::gil_scoped_release release;
    write_packed(begin, *self.batch, places, size); // std::invalid_argument is ValueError
    return out;
}

py::bytes json_lines(const PyBatch &self, bool meta) {
    std::string out;
    {
        const py::gil_scoped_release release;
        std::vector<size_t> ends;
        append_json(out, ends, *self.batch, meta, true);
    }
    return py::bytes(out);
}

py::object kind(const PyBatch &self, const std::string &event) {
    std::vector<uint32_t> indexes;
    const auto &rows = self.batch->rows;
    for (uint32_t i = 0; i < rows.size(); ++i)
        if (event == kEventNames[static_cast<size_t>(rows[i].kind)]) indexes.push_back(i);
    if (indexes.empty()) return py::none();
    return py::cast(PyBatch(self.batch->take(indexes)));
}

PyBatch take(const PyBatch &self, const std::vector<uint32_t> &indexes) {
    for (const uint32_t i : indexes)
        if (i >= self.batch->rows.size())
            throw py::index_error("row " + std::to_string(i) + " of " + std::to_string(self.batch->rows.size()));
    return PyBatch(self.batch->take(indexes));
}

PyBatch concat(const std::vector<const PyBatch *> &batches) {
    std::vector<const Batch *> native;
    for (const PyBatch *b : batches)
        native.push_back(b->batch.get());
    auto out = Batch::concat(native);
    if (!out) throw py::value_error("only batches of one run, with columns of one type, can be joined");
    return PyBatch(std::move(out));
}

std::vector<uint32_t> indexes_of(const std::string &name, const py::object &codes) {
    if (PyObject_CheckBuffer(codes.ptr())) { // as distinct() gives them; one by one they cost more than all the rest
        const py::buffer_info info = py::reinterpret_borrow<py::buffer>(codes).request();
        if (info.format == "I" && info.ndim == 1 && info.strides[0] == sizeof(uint32_t)) {
            const auto *begin = static_cast<const uint32_t *>(info.ptr);
            return {begin, begin + info.size};
        }
    }
    try {
        return py::cast<std::vector<uint32_t>>(codes);
    } catch (const py::cast_error &) {
        throw py::value_error("column '" + name + "': the codes are no integers from 0");
    }
}

void add(PyBatch &self, const std::string &name, const py::sequence &column_values, const py::object &codes) {
    if (self.sealed) throw py::value_error("the batch is sealed: fields are added in flow_enrich only");
    if (is_core_field(name) || find_field(*self.batch, name) >= 0 || find_added(*self.batch, name))
        throw py::value_error("there is a column '" + name + "' already");
    const size_t rows = self.batch->rows.size();
    std::vector<uint32_t> indexes;
    if (!codes.is_none()) indexes = indexes_of(name, codes);
    const size_t found = codes.is_none() ? column_values.size() : indexes.size();
    if (found != rows)
        throw py::value_error("column '" + name + "' has " + std::to_string(found) + " values for " +
                              std::to_string(rows) + " rows");
    for (const uint32_t index : indexes)
        if (index >= column_values.size())
            throw py::value_error("column '" + name + "' has no value number " + std::to_string(index));
    AddedColumn column = added_column(name, column_values);
    self.batch->added.push_back(codes.is_none() ? std::move(column) : column.take(indexes));
    self.json[0] = self.json[1] = py::object();
}

py::object payload_flows(const PyBatch &self) {
    if (!self.batch->payloads || self.batch->payloads->items.empty()) return py::none();
    auto out = std::make_shared<Batch>(self.batch->schema);
    out->strings = self.batch->strings;
    out->rows = std::move(self.batch->payloads->rows);
    self.batch->payloads->rows = out->rows;
    return py::cast(PyBatch(std::move(out)));
}

} // namespace

void bind_batch(py::module_ &m) {
    py::class_<PyBatch>(m, "Batch")
        .def("__len__", [](const PyBatch &b) { return b.batch->rows.size(); })
        .def_static("from_rows", batch_from_rows, py::arg("rows"))
        .def_static("concat", concat, py::arg("batches"))
        .def("take", take, py::arg("rows"))
        .def("kind", kind, py::arg("event"))
        .def("net", [](const PyBatch &b) { return PyBatch(b.batch->net()); })
        .def("names", names)
        .def("column", column, py::arg("name"))
        .def("valid", valid, py::arg("name"))
        .def("type", type, py::arg("name"))
        .def("distinct", distinct, py::arg("name"))
        .def("add", add, py::arg("name"), py::arg("values"), py::arg("codes") = py::none())
        .def("seal", [](PyBatch &b) { b.sealed = true; })
        .def("keys", [](const PyBatch &b) { return core_column(b.batch, "key"); })
        .def("json", json, py::arg("meta") = false)
        .def("nested_json", nested_json, py::arg("places"))
        .def("packed", packed, py::arg("places"), py::arg("size"))
        .def("json_lines", json_lines, py::arg("meta") = false)
        .def("arrow_schema", batch_arrow_schema)
        .def("arrow_array", batch_arrow_array)
        .def("arrow_stream", batch_arrow_stream)
        .def("schema_bytes", batch_schema_bytes)
        .def("to_bytes", batch_to_bytes)
        .def("row", row, py::arg("index"))
        .def("view",
             [](const PyBatch &b) {
                 PyBatch view(b.batch);
                 view.sealed = b.sealed;
                 return view;
             })
        .def_property_readonly("nbytes", [](const PyBatch &b) { return b.batch->bytes(); })
        .def("payload_flows", payload_flows);
}
