// SPDX-License-Identifier: Apache-2.0
// Python values to columns, and records as dicts back to rows: replay, tests, whoever makes flows of their own.
#include <unordered_map>

#include "aicore/siphash.h"
#include "aicore/text.h"
#include "bind.h"

using namespace aicore;

namespace {

[[noreturn]] void bad(const std::string &why) {
    throw py::value_error(why);
}

int64_t integer(const py::handle &value) { // clipped to 64 bits
    if (!PyLong_Check(value.ptr())) bad(std::string("must be an integer, not ") + Py_TYPE(value.ptr())->tp_name);
    int overflow = 0;
    const long long n = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    return overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : n;
}

double real(const py::handle &value) {
    if (!PyFloat_Check(value.ptr()) && !PyLong_Check(value.ptr()))
        bad(std::string("must be a number, not ") + Py_TYPE(value.ptr())->tp_name);
    const double number = PyFloat_AsDouble(value.ptr());
    if (PyErr_Occurred()) throw py::error_already_set();
    return number;
}

int64_t boolean(const py::handle &value) { // as JSON has it, or a store that knows integers alone
    const int64_t number = PyLong_Check(value.ptr()) ? integer(value) : -1;
    if (number != 0 && number != 1) bad("must be true or false");
    return number;
}

int64_t time(const py::handle &value) { // as a column has it, or as JSON does
    if (PyLong_Check(value.ptr())) return integer(value);
    if (!PyUnicode_Check(value.ptr()))
        bad(std::string("must be nanoseconds since the epoch, an integer, not ") + Py_TYPE(value.ptr())->tp_name);
    int64_t ns = 0;
    if (const char *why = parse_time(ns, utf8(value))) bad(why);
    return ns;
}

// A scalar, or an item of a list, as Attribute::value holds it.
int64_t number(FieldType type, const py::handle &value) {
    switch (type) {
    case FieldType::real:
    case FieldType::reals:
        return std::bit_cast<int64_t>(real(value));
    case FieldType::boolean:
        return boolean(value);
    case FieldType::time:
        return time(value);
    default:
        return integer(value);
    }
}

void append(Values &out, const py::handle &value) {
    const FieldType type = out.type();
    const auto item = [&](const py::handle &one) {
        is_text(type) ? out.text(utf8(one)) : out.number(number(type, one));
    };
    if (!is_list(type)) {
        item(value);
    } else {
        if (!py::isinstance<py::list>(value) && !py::isinstance<py::tuple>(value))
            bad(std::string("must be a list, not ") + Py_TYPE(value.ptr())->tp_name);
        for (const auto &one : py::reinterpret_borrow<py::sequence>(value))
            item(one);
    }
    out.end();
}

// What the values of a column, or the items of its lists, have in common.
struct Seen {
    bool text = false, integer = false, real = false, boolean = false, list = false;

    void note(const py::handle &value) {
        if (PyBool_Check(value.ptr()))
            boolean = true;
        else if (PyLong_Check(value.ptr()))
            integer = true;
        else if (PyFloat_Check(value.ptr()))
            real = true;
        else if (PyUnicode_Check(value.ptr()))
            text = true;
        else
            bad(std::string(Py_TYPE(value.ptr())->tp_name) + " is not int, float, bool, str or a list of them");
    }
};

// Into one column of the core.
void set_core(Schema &schema, Row &row, const CoreColumn &column, const py::handle &value) {
    const char *why =
        column.number ? column.set_number(row, number(column.type, value)) : column.set_text(schema, row, utf8(value));
    if (why) bad(why);
}

// Who makes records by hand needs no identity: key and first_seen give one.
void identify(Row &row) {
    std::string key;
    append_key(key, row);
    SipHash<2, 4, 128> h({0, 0});
    for (const char c : key)
        h.add(static_cast<uint8_t>(c));
    h.add(static_cast<uint64_t>(row.first_seen));
    const auto id = h.finish128();
    row.flow_id[0] = id[0];
    row.flow_id[1] = id[1];
}

// Runs what may find fault with a value, and says where.
template <typename Work> auto located(const std::string &where, Work work) {
    try {
        return work();
    } catch (const py::value_error &e) {
        throw py::value_error(where + e.what());
    }
}

} // namespace

std::string utf8(const py::handle &value) {
    if (!PyUnicode_Check(value.ptr()))
        throw py::value_error(std::string("must be text, not ") + Py_TYPE(value.ptr())->tp_name);
    Py_ssize_t size = 0;
    if (const char *bytes = PyUnicode_AsUTF8AndSize(value.ptr(), &size))
        return std::string(bytes, static_cast<size_t>(size));
    PyErr_Clear();
    const auto encoded =
        py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(value.ptr(), "utf-8", "backslashreplace"));
    if (!encoded) throw py::error_already_set();
    return encoded;
}

FieldType type_of_values(const py::sequence &values) {
    Seen seen;
    for (size_t i = 0; i < values.size(); ++i) {
        const py::object value = values[i];
        if (value.is_none()) continue;
        located("row " + std::to_string(i) + ": ", [&] {
            if (!py::isinstance<py::list>(value) && !py::isinstance<py::tuple>(value)) return seen.note(value);
            seen.list = true;
            for (const auto &item : py::reinterpret_borrow<py::sequence>(value))
                seen.note(item);
        });
    }
    if (seen.list)
        return seen.real ? FieldType::reals : seen.integer || seen.boolean ? FieldType::integers : FieldType::strings;
    return seen.real      ? FieldType::real // integers among them are floats, too
           : seen.integer ? FieldType::integer
           : seen.boolean ? FieldType::boolean
                          : FieldType::string;
}

Values values_of(const py::sequence &values, FieldType type) {
    Values out(type);
    for (size_t i = 0; i < values.size(); ++i) {
        const py::object value = values[i];
        if (value.is_none())
            out.absent();
        else
            located("row " + std::to_string(i) + ": ", [&] { append(out, value); });
    }
    return out;
}

PyBatch batch_from_rows(const py::sequence &records, const py::sequence &fields) {
    auto schema = std::make_shared<Schema>();
    auto batch = std::make_shared<Batch>(schema);
    const size_t n = records.size();
    batch->rows.reserve(n);
    std::vector<FieldInfo> added; // those given, then others in order of appearance
    std::unordered_map<std::string, py::list> values;
    const auto column = [&](const std::string &name, size_t row) -> py::list & {
        const auto [it, is_new] = values.try_emplace(name);
        for (size_t i = 0; is_new && i < row; ++i)
            it->second.append(py::none());
        return it->second;
    };
    std::unordered_map<std::string, FieldType> types;
    for (const auto &field : fields) {
        FieldInfo info = field_info(field);
        if (find_core_column(info.name) || !types.try_emplace(info.name, info.type).second) continue;
        column(info.name, 0);
        added.push_back(std::move(info));
    }
    for (size_t i = 0; i < n; ++i) {
        Row row{};
        row.kind = EventKind::update;
        located("row " + std::to_string(i) + ": ", [&] {
            const py::dict record = py::dict(py::reinterpret_borrow<py::object>(py::object(records[i])));
            for (const auto &[key, value] : record) {
                if (value.is_none()) continue;
                const std::string name = utf8(key);
                if (const CoreColumn *c = find_core_column(name)) {
                    located(name + " ", [&, held = value] { set_core(*schema, row, *c, held); });
                    continue;
                }
                if (!values.contains(name)) {
                    if (!valid_column_name(name)) bad("'" + name + "' is no name of a field: ^[a-z][a-z0-9_]{0,47}$");
                    added.push_back({name, FieldType::string, false, 64, "", "", "added by a plugin", "plugin"});
                }
                column(name, i).append(py::reinterpret_borrow<py::object>(value));
            }
            if (row.ip_version == 0) row.ip_version = 4; // it has no address
            if (!record.contains("flow_id")) identify(row);
            if (!record.contains("opened")) row.opened = row.first_seen;
        });
        for (auto &[name, list] : values)
            if (list.size() == i) list.append(py::none());
        batch->rows.push_back(row);
    }
    for (FieldInfo &field : added)
        located("field '" + field.name + "', ", [&] {
            const py::list &list = values[field.name];
            if (const auto given = types.find(field.name); given == types.end()) field.type = type_of_values(list);
            Values column_of = values_of(list, field.type);
            batch->added.push_back({std::move(field), std::move(column_of)});
        });
    return PyBatch(std::move(batch));
}
