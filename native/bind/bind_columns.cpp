// SPDX-License-Identifier: Apache-2.0
// Columns: numbers as read-only views of int64, double or bool, texts and lists as tuples.
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
constexpr size_t kViewBytes = 400; // of a memoryview with its exporter, about

py::object view(Column column) {
    const py::object exporter = py::cast(std::move(column));
    return py::reinterpret_steal<py::object>(PyMemoryView_FromObject(exporter.ptr()));
}

template <typename T> Sized own_column(std::vector<T> values, const char *format) {
    auto held = std::make_shared<const std::vector<T>>(std::move(values));
    const size_t bytes = held->capacity() * sizeof(T) + kViewBytes;
    const auto rows = static_cast<ptrdiff_t>(held->size());
    return {view({held, held->data(), sizeof(T), sizeof(T), rows, format}), bytes};
}

// As Attribute::value holds them.
Sized number_column(FieldType type, std::vector<int64_t> values) {
    if (type == FieldType::boolean) return own_column(std::vector<uint8_t>(values.begin(), values.end()), "?");
    return own_column(std::move(values), is_real(type) ? "d" : "q"); // the bits are the double's
}

size_t rounded(size_t bytes) { // as the heap gives it
    return (bytes + 15) / 16 * 16;
}

// Values of a column of texts or lists, and what they cost. Neighbours that are the same share an object.
class Tuple {
  public:
    explicit Tuple(size_t rows) : out_(rows), bytes_(rounded(sizeof(PyTupleObject) + rows * sizeof(PyObject *))) {}

    void none() { put(py::none()); }
    void add(std::string_view text) {
        if (!last_ || text != last_text_) {
            last_ = py::str(text.data(), text.size());
            last_text_ = text;
            bytes_ += cost(last_.ptr(), text.size());
        }
        put(last_);
    }
    void add(const py::object &known) { put(known); } // that is counted already
    void again() { put(py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(out_.ptr(), at_ - 1))); }
    void add(Tuple &&list) {
        bytes_ += list.bytes_;
        put(list.out_);
    }
    void number(FieldType type, int64_t value) {
        bytes_ += 32; // an int or a float
        put(number_object(type, value));
    }
    // Counted, for add().
    py::object shared(std::string_view text) {
        py::object made = py::str(text.data(), text.size());
        bytes_ += cost(made.ptr(), text.size());
        return made;
    }
    Sized done() && { return {std::move(out_), bytes_}; }

  private:
    static size_t cost(PyObject *text, size_t utf8_length) {
        const auto length = static_cast<size_t>(PyUnicode_GET_LENGTH(text));
        if (length == utf8_length) return rounded(sizeof(PyASCIIObject) + length + 1);
        return rounded(sizeof(PyCompactUnicodeObject) + (length + 1) * PyUnicode_KIND(text));
    }
    void put(const py::object &value) { PyTuple_SET_ITEM(out_.ptr(), at_++, value.inc_ref().ptr()); }

    py::tuple out_;
    size_t bytes_;
    py::ssize_t at_ = 0;
    py::object last_;
    std::string last_text_;
};

Sized core_column(const std::shared_ptr<Batch> &batch, const CoreColumn &c) {
    const auto &rows = batch->rows;
    if (c.offset >= 0) {
        const auto *data = reinterpret_cast<const char *>(rows.data()) + c.offset;
        const auto size = static_cast<ptrdiff_t>(rows.size());
        return {view({batch, data, sizeof(int64_t), sizeof(Row), size, "q"}), kViewBytes};
    }
    if (c.number) {
        std::vector<int64_t> values;
        values.reserve(rows.size());
        for (const Row &row : rows)
            values.push_back(c.number(row));
        return number_column(c.type, std::move(values));
    }
    Tuple out(rows.size());
    std::string text;
    std::vector<py::object> known; // by code
    for (const Row &row : rows) {
        const size_t code = c.code ? c.code(row) : 0;
        if (code < known.size() && known[code]) {
            out.add(known[code]);
            continue;
        }
        text.clear();
        c.text(text, *batch, row);
        if (text.empty()) {
            out.none();
        } else if (!c.code) {
            out.add(text);
        } else {
            if (code >= known.size()) known.resize(code + 1);
            out.add(known[code] = out.shared(text));
        }
    }
    return std::move(out).done();
}

Sized value_column(Values values) {
    const FieldType type = values.type();
    if (!is_list(type) && !is_text(type)) return number_column(type, std::move(values.numbers));
    Tuple out(values.rows());
    for (size_t row = 0; row < values.rows(); ++row) {
        const auto [first, last] = values.items(row);
        if (!values.valid[row]) {
            out.none();
        } else if (row > 0 && is_list(type) && values.valid[row - 1] && values.same(row - 1, row)) {
            out.again();
        } else if (!is_list(type)) {
            out.add(values.texts[first]);
        } else {
            Tuple list(last - first);
            for (size_t i = first; i < last; ++i)
                is_text(type) ? list.add(values.texts[i]) : list.number(type, values.numbers[i]);
            out.add(std::move(list));
        }
    }
    return std::move(out).done();
}

std::vector<uint8_t> core_valid(const Batch &batch, const CoreColumn &c) {
    std::vector<uint8_t> out;
    out.reserve(batch.rows.size());
    std::string text;
    for (const Row &row : batch.rows) {
        text.clear();
        if (c.text) c.text(text, batch, row);
        out.push_back(c.text ? !text.empty() : c.present(row));
    }
    return out;
}

std::vector<uint8_t> value_valid(const Batch &batch, const std::string &name) {
    if (const AddedColumn *added = find_added(batch, name)) return added->values.valid;
    const int field = find_field(batch, name);
    if (field < 0) unknown(name);
    std::vector<uint8_t> out;
    out.reserve(batch.rows.size());
    for (const Row &row : batch.rows)
        out.push_back(!field_values(batch, row, static_cast<size_t>(field)).empty());
    return out;
}

py::list core_fields() {
    py::list out;
    for (const CoreColumn &c : core_columns()) {
        py::dict d = field_dict({c.name, c.type, false, c.width, c.unit, c.ecs, c.help, "core"});
        d["meta"] = c.meta;
        out.append(d);
    }
    return out;
}

} // namespace

Distinction core_distinction(const std::string &name) {
    if (name == "ipsrc")
        return [](std::string &out, const Batch &, const Row &row) {
            out.assign(reinterpret_cast<const char *>(row.ipsrc), sizeof row.ipsrc).push_back(char(row.ip_version));
        };
    if (name == "ipdst")
        return [](std::string &out, const Batch &, const Row &row) {
            out.assign(reinterpret_cast<const char *>(row.ipdst), sizeof row.ipdst).push_back(char(row.ip_version));
        };
    const CoreColumn *c = find_core_column(name);
    return c ? c->text : nullptr;
}

py::object code_column(std::vector<uint32_t> values) {
    return own_column(std::move(values), "I").object;
}

py::object column(PyBatch &self, const std::string &name) {
    return self.forms.get("column " + name, [&]() -> Sized {
        if (const CoreColumn *c = find_core_column(name)) return core_column(self.batch, *c);
        if (!find_added(*self.batch, name) && find_field(*self.batch, name) < 0) unknown(name);
        return value_column(column_values(*self.batch, name));
    });
}

py::object valid(PyBatch &self, const std::string &name) {
    return self.forms.get("valid " + name, [&] {
        const CoreColumn *c = find_core_column(name);
        return own_column(c ? core_valid(*self.batch, *c) : value_valid(*self.batch, name), "B");
    });
}

void bind_columns(py::module_ &m) {
    m.def("core_fields", core_fields);
    py::class_<Column>(m, "_Column", py::buffer_protocol()).def_buffer([](Column &c) {
        return py::buffer_info(const_cast<void *>(c.data), c.size, c.format, 1, {c.rows}, {c.stride}, true);
    });
}
