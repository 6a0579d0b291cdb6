// SPDX-License-Identifier: Apache-2.0
// Values of protocols' fields and of added columns, one at a time.
#include "bind.h"

using namespace aicore;

namespace {

py::str text(std::string_view s) {
    return py::str(s.data(), s.size());
}

py::object scalar(const Batch &b, const Attribute &a) {
    const auto type = static_cast<FieldType>(a.type);
    if (is_text(type)) return text(b.text(a));
    if (is_real(type)) return py::float_(a.real());
    return type == FieldType::boolean ? py::object(py::bool_(a.value != 0)) : py::object(py::int_(a.value));
}

} // namespace

std::pair<const Attribute *, size_t> field_values(const Batch &b, const Row &row, int field) {
    const Attribute *a = b.strings->attributes.data() + row.attribute_first, *end = a + row.attribute_count;
    while (a != end && a->field < field)
        ++a;
    size_t n = 0;
    while (a + n != end && a[n].field == field)
        ++n;
    return {a, n};
}

py::object attribute_value(const Batch &b, const Row &row, int field) {
    const auto [a, n] = field_values(b, row, field);
    if (n == 0) return py::none();
    if (!is_list(b.schema->fields[static_cast<size_t>(field)].type)) return scalar(b, *a);
    py::list out(n);
    for (size_t i = 0; i < n; ++i)
        out[i] = scalar(b, a[i]);
    return out;
}

py::object added_value(const AddedColumn &c, size_t i) {
    if (!c.valid[i]) return py::none();
    switch (c.type) {
    case FieldType::integer:
        return py::int_(c.integers[i]);
    case FieldType::real:
        return py::float_(c.reals[i]);
    case FieldType::string:
        return text(c.strings[i]);
    default:
        return py::cast(c.lists[i]);
    }
}

void unknown(const std::string &name) {
    throw py::key_error(name);
}
