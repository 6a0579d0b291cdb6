// SPDX-License-Identifier: Apache-2.0
// Values of protocols' fields and of added columns, one at a time.
#include "bind.h"

using namespace aicore;

namespace {

py::str text(std::string_view s) {
    return py::str(s.data(), s.size());
}

py::list list_of(const Batch &b, const Attribute *a, size_t n) {
    py::list out(n);
    for (size_t i = 0; i < n; ++i)
        out[i] = text(b.text(a[i]));
    return out;
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
    switch (b.schema->fields[static_cast<size_t>(field)].type) {
    case FieldType::integer:
        return py::int_(a->value);
    case FieldType::list:
        return list_of(b, a, n);
    default:
        return text(b.text(*a));
    }
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
