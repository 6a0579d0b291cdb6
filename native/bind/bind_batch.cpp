// SPDX-License-Identifier: Apache-2.0
#include "bind.h"

using namespace aicore;

namespace {

const char *type(const PyBatch &self, const std::string &name) {
    if (const CoreColumn *core = find_core_column(name)) return type_name(core->type);
    if (const AddedColumn *added = find_added(*self.batch, name)) return type_name(added->field.type);
    const int field = find_field(*self.batch, name);
    if (field < 0) unknown(name);
    return type_name(self.batch->schema->fields[static_cast<size_t>(field)].type);
}

py::list names(const PyBatch &self) {
    py::list out;
    for (const CoreColumn &c : core_columns())
        if (!c.meta) out.append(c.name);
    for (const FieldInfo &f : self.batch->schema->fields)
        out.append(f.name);
    for (const AddedColumn &c : self.batch->added)
        out.append(c.field.name);
    return out;
}

// Beside the core's.
py::list fields(const PyBatch &self) {
    py::list out;
    for (const FieldInfo &f : self.batch->schema->fields)
        out.append(field_dict(f));
    for (const AddedColumn &c : self.batch->added)
        out.append(field_dict(c.field));
    return out;
}

py::tuple rows_of(const std::string &text, const std::vector<size_t> &ends) {
    py::tuple rows(ends.size());
    size_t begin = 0;
    for (size_t i = 0; i < ends.size(); ++i) {
        rows[i] = py::bytes(text.data() + begin, ends[i] - begin);
        begin = ends[i];
    }
    return rows;
}

py::object json(PyBatch &self, bool meta) {
    return self.forms.get(meta ? "json meta" : "json", [&]() -> Sized {
        std::string out;
        std::vector<size_t> ends;
        const auto batch = self.lend();
        {
            const py::gil_scoped_release release;
            append_json(out, ends, *batch, meta, false);
        }
        return {rows_of(out, ends), out.size() + ends.size() * (sizeof(PyBytesObject) + sizeof(PyObject *) + 8)};
    });
}

py::tuple nested_json(const PyBatch &self, const NestedPlaces &places) {
    std::string out;
    std::vector<size_t> ends;
    const auto batch = self.lend();
    {
        const py::gil_scoped_release release;
        append_nested_json(out, ends, *batch, places); // std::invalid_argument is ValueError
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
    const auto batch = self.lend();
    const size_t rows = batch->rows.size();
    if (rows > 0 && size > static_cast<size_t>(PY_SSIZE_T_MAX) / rows)
        throw py::value_error("rows of " + std::to_string(size) + " bytes are too large");
    const auto out = py::reinterpret_steal<py::bytearray>(
        PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(rows * size)));
    if (!out) throw py::error_already_set(); // MemoryError
    auto *begin = reinterpret_cast<uint8_t *>(PyByteArray_AS_STRING(out.ptr()));
    const py::gil_scoped_release release;
    write_packed(begin, *batch, places, size); // std::invalid_argument is ValueError
    return out;
}

py::bytes json_lines(const PyBatch &self, bool meta) {
    std::string out;
    const auto batch = self.lend();
    {
        const py::gil_scoped_release release;
        std::vector<size_t> ends;
        append_json(out, ends, *batch, meta, true);
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

PyBatch take(const PyBatch &self, const std::vector<int64_t> &indexes) {
    std::vector<uint32_t> rows;
    rows.reserve(indexes.size());
    for (const int64_t i : indexes)
        rows.push_back(static_cast<uint32_t>(row_index(*self.batch, i)));
    return PyBatch(self.batch->take(rows));
}

std::vector<uint32_t> rows_at_multiples(const PyBatch &self, const std::unordered_map<uint8_t, uint32_t> &given) {
    std::array<uint32_t, 256> every{};
    for (const auto &[proto, n] : given)
        every[proto] = n;
    return self.batch->rows_at_multiples(every);
}

PyBatch concat(const std::vector<const PyBatch *> &batches) {
    std::vector<std::shared_ptr<const Batch>> lent; // declared first: it is let go of with the GIL held
    std::vector<const Batch *> native;
    for (const PyBatch *b : batches)
        native.push_back(lent.emplace_back(b->lend()).get());
    const py::gil_scoped_release release;
    return PyBatch(Batch::concat(native)); // std::invalid_argument is ValueError
}

std::vector<uint32_t> indexes_of(const py::object &codes) {
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
        throw py::value_error("the codes are no integers from 0");
    }
}

// A column that is there but may be added: one that a hook declared, without values so far. Null: there is none.
// ValueError for a name that cannot be added.
AddedColumn *addable(Batch &b, const std::string &name) {
    const auto known = std::find_if(b.added.begin(), b.added.end(),
                                    [&](const AddedColumn &column) { return column.field.name == name; });
    if (known == b.added.end()) {
        if (find_core_column(name) || find_field(b, name) >= 0)
            throw py::value_error("there is a column '" + name + "' already");
        return nullptr;
    }
    if (known->is_filled) throw py::value_error("there is a column '" + name + "' already");
    return &*known;
}

// The values and their codes are asked for before anything of the batch is held: objects of Python's may come back to
// it, and change meanwhile.
void add(PyBatch &self, const std::string &name, const py::sequence &column_values, const py::object &codes) {
    const auto open = [&] {
        if (self.sealed) throw py::value_error("the batch is sealed: fields are added in flow_enrich only");
    };
    open();
    const AddedColumn *declared = addable(*self.batch, name);
    if (!declared && self.batch->schema->of_run)
        throw py::value_error("no hook declares it: a hook names what it adds in its `fields`, as "
                              "fields = (aicore.Field(\"" +
                              name + "\", \"" + type_name(type_of_values(column_values)) + "\", \"what it means\"),)");
    if (!valid_column_name(name)) throw py::value_error("'" + name + "' is no name of a field: ^[a-z][a-z0-9_]{0,47}$");
    // Copied: the values' own code may add to the batch.
    const bool typed = declared != nullptr;
    const FieldType type = typed ? declared->field.type : FieldType::string;
    std::vector<uint32_t> indexes;
    if (!codes.is_none()) indexes = indexes_of(codes);
    Values values = values_of(column_values, typed ? type : type_of_values(column_values));
    if (!codes.is_none()) {
        for (const uint32_t index : indexes)
            if (index >= values.rows()) throw py::value_error("there is no value number " + std::to_string(index));
        values = values.take(indexes);
    }
    const size_t rows = self.batch->rows.size();
    if (values.rows() != rows)
        throw py::value_error(std::to_string(values.rows()) + " values for " + std::to_string(rows) + " rows");

    open();
    if (self.is_lent) {
        auto copy = self.batch->copy();
        copy->serial = self.batch->serial;
        copy->engine = self.batch->engine;
        copy->payloads = std::move(self.batch->payloads);
        self.batch = std::move(copy);
        self.is_lent = false;
    }
    Batch &b = *self.batch;
    if (AddedColumn *known = addable(b, name)) {
        known->values = std::move(values);
        known->is_filled = true;
    } else {
        FieldInfo field{name, values.type(), false, 64, "", "", "added by a plugin", "plugin"};
        b.added.push_back({std::move(field), std::move(values)});
    }
    self.forms.forget();
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
        .def_static("from_rows", batch_from_rows, py::arg("rows"), py::arg("fields") = py::tuple())
        .def_static("concat", concat, py::arg("batches"))
        .def("take", take, py::arg("rows"))
        .def("kind", kind, py::arg("event"))
        .def("net", [](const PyBatch &b) { return PyBatch(b.batch->net()); })
        .def("rows_at_multiples", rows_at_multiples, py::arg("every"))
        .def("names", names)
        .def("fields", fields)
        .def("column", column, py::arg("name"))
        .def("valid", valid, py::arg("name"))
        .def("type", type, py::arg("name"))
        .def("distinct", distinct, py::arg("name"))
        .def("add", add, py::arg("name"), py::arg("values"), py::arg("codes") = py::none())
        .def("seal", [](PyBatch &b) { b.sealed = true; })
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
                 PyBatch view(b.sealed ? b.batch : b.batch->copy());
                 view.sealed = b.sealed;
                 return view;
             })
        .def_property_readonly("nbytes", [](const PyBatch &b) { return b.batch->bytes() + b.forms.bytes(); })
        .def("forget", [](PyBatch &b) { b.forms.forget(); })
        .def("payload_flows", payload_flows);
}
