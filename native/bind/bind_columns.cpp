// SPDX-License-Identifier: Apache-2.0
// Columns of the core record: numbers as views on the rows, texts made once when asked for.
#include "bind.h"

using namespace aicore;

namespace {

// Exports the buffer of a column. Whatever holds the numbers lives as long as a view on them.
struct Column {
    std::shared_ptr<const void> owner;
    const void *data;
    ptrdiff_t size, stride, rows;
    const char *format;
};

py::object view(Column column) {
    const py::object exporter = py::cast(std::move(column));
    return py::reinterpret_steal<py::object>(PyMemoryView_FromObject(exporter.ptr()));
}

template <typename T> py::object own_column(std::vector<T> values, const char *format = number_format<T>()) {
    auto held = std::make_shared<const std::vector<T>>(std::move(values));
    return view({held, held->data(), sizeof(T), sizeof(T), static_cast<ptrdiff_t>(held->size()), format});
}

const char *type_of(const CoreColumn &c) {
    return c.text ? "str" : "int";
}

} // namespace

Distinction core_distinction(const std::string &name) {
    const CoreColumn *c = find_core_column(name);
    if (name == "ipsrc")
        return [](std::string &out, const Batch &, const Row &row) {
            out.assign(reinterpret_cast<const char *>(row.ipsrc), sizeof row.ipsrc).push_back(char(row.ip_version));
        };
    if (name == "ipdst")
        return [](std::string &out, const Batch &, const Row &row) {
            out.assign(reinterpret_cast<const char *>(row.ipdst), sizeof row.ipdst).push_back(char(row.ip_version));
        };
    return c ? c->text : nullptr;
}

py::object code_column(std::vector<uint32_t> values) {
    return own_column(std::move(values));
}
py::object byte_column(std::vector<uint8_t> values) {
    return own_column(std::move(values));
}
py::object int_column(std::vector<int64_t> values) {
    return own_column(std::move(values));
}
py::object float_column(std::vector<double> values) {
    return own_column(std::move(values));
}

py::object number_column(FieldType type, std::vector<int64_t> values) {
    if (type == FieldType::boolean) return own_column(std::vector<uint8_t>(values.begin(), values.end()), "?");
    if (type == FieldType::real) return own_column(std::move(values), "d"); // the bits are the double's
    return own_column(std::move(values));
}

py::list core_fields() {
    py::list out;
    for (const CoreColumn &c : core_columns()) {
        if (c.meta) continue;
        py::dict d;
        d["name"] = c.name;
        d["type"] = type_of(c);
        out.append(d);
    }
    return out;
}

bool is_core_field(const std::string &name) {
    return find_core_column(name) != nullptr;
}

const char *core_type(const std::string &name) {
    const CoreColumn *c = find_core_column(name);
    return c ? type_of(*c) : nullptr;
}

py::object core_column(const std::shared_ptr<Batch> &batch, const std::string &name) {
    const CoreColumn *c = find_core_column(name);
    if (!c) return {};
    const auto rows = static_cast<ptrdiff_t>(batch->rows.size());
    if (!c->text)
        return view({batch, reinterpret_cast<const char *>(batch->rows.data()) + c->offset,
                     static_cast<ptrdiff_t>(c->size), sizeof(Row), rows, c->format});
    py::list out(rows);
    std::string text;
    for (ptrdiff_t i = 0; i < rows; ++i) {
        text.clear();
        c->text(text, *batch, batch->rows[static_cast<size_t>(i)]);
        out[static_cast<size_t>(i)] = text.empty() ? py::object(py::none()) : py::object(py::str(text));
    }
    return out;
}

py::object core_valid(const std::shared_ptr<Batch> &batch, const std::string &name) {
    const CoreColumn *c = find_core_column(name);
    if (!c) return {};
    std::vector<uint8_t> valid;
    valid.reserve(batch->rows.size());
    std::string text;
    for (const Row &row : batch->rows) {
        if (c->text) {
            text.clear();
            c->text(text, *batch, row);
            valid.push_back(!text.empty());
        } else {
            valid.push_back(c->present(row));
        }
    }
    return byte_column(std::move(valid));
}

py::object core_value(const Batch &batch, size_t i, const char *name) {
    const CoreColumn *c = find_core_column(name);
    const Row &row = batch.rows[i];
    if (c->text) {
        std::string text;
        c->text(text, batch, row);
        return text.empty() ? py::object(py::none()) : py::object(py::str(text));
    }
    if (!c->present(row)) return py::none();
    const uint64_t value = c->number(row);
    return c->format[0] == 'q' ? py::object(py::int_(static_cast<int64_t>(value))) : py::object(py::int_(value));
}

void bind_columns(py::module_ &m) {
    py::class_<Column>(m, "_Column", py::buffer_protocol()).def_buffer([](Column &c) {
        return py::buffer_info(const_cast<void *>(c.data), c.size, c.format, 1, {c.rows}, {c.stride}, true);
    });
}
