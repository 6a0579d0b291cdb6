// SPDX-License-Identifier: Apache-2.0
#include "aicore/columns.h"

#include <array>
#include <stdexcept>

namespace aicore {

namespace {

template <size_t i> CoreColumn core_column() {
    constexpr auto &field = std::get<i>(kCoreFields);
    using Source = typename std::remove_cvref_t<decltype(field)>::Source;
    CoreColumn c{field.name, field.help, field.unit, field.ecs, Source::type, field.width, field.absent,
                 field.meta, -1,         nullptr,    nullptr,   nullptr,      nullptr,     nullptr};
    if constexpr (source::IsNumber<Source>) {
        c.number = Source::get;
        c.set_number = Source::set;
        if constexpr (std::is_same_v<typename Source::Stored, int64_t>) {
            static const Row row{};
            c.offset = reinterpret_cast<const char *>(&(row.*Source::member)) - reinterpret_cast<const char *>(&row);
        }
    } else if constexpr (source::IsShared<Source>) {
        c.text = [](std::string &out, const Batch &batch, const Row &row) {
            out += Source::get(*batch.schema, Source::code(row));
        };
        c.set_text = Source::set;
        c.code = Source::code;
    } else {
        c.text = [](std::string &out, const Batch &, const Row &row) { Source::append(out, row); };
        c.set_text = [](Schema &, Row &row, std::string_view text) { return Source::set(row, text); };
    }
    return c;
}

} // namespace

bool CoreColumn::present(const Row &row) const {
    return absent == Absent::never || (absent == Absent::none ? number(row) != 0 : row.proto == kProtoTcp);
}

std::span<const CoreColumn> core_columns() {
    static const auto columns = []<size_t... i>(std::index_sequence<i...>) {
        return std::array{core_column<i>()...};
    }
    (std::make_index_sequence<kCoreFieldCount>());
    return columns;
}

const CoreColumn *find_core_column(std::string_view name) {
    for (const CoreColumn &column : core_columns())
        if (name == column.name) return &column;
    return nullptr;
}

int find_field(const Batch &batch, std::string_view name) {
    const auto &fields = batch.schema->fields;
    for (size_t i = 0; i < fields.size(); ++i)
        if (fields[i].name == name) return static_cast<int>(i);
    return -1;
}

const AddedColumn *find_added(const Batch &batch, std::string_view name) {
    for (const auto &column : batch.added)
        if (column.field.name == name) return &column;
    return nullptr;
}

std::span<const Attribute> field_values(const Batch &batch, const Row &row, size_t field) {
    const auto all = batch.attributes(row);
    auto first = all.begin();
    while (first != all.end() && first->field < field)
        ++first;
    auto end = first;
    while (end != all.end() && end->field == field)
        ++end;
    return {first, end};
}

Values column_values(const Batch &batch, std::string_view name) {
    if (const AddedColumn *added = find_added(batch, name)) return added->values;
    const int field = find_field(batch, name);
    if (field < 0) throw std::out_of_range("no column '" + std::string(name) + "'");
    Values out(batch.schema->fields[static_cast<size_t>(field)].type);
    out.valid.reserve(batch.rows.size());
    for (const Row &row : batch.rows) {
        const auto values = field_values(batch, row, static_cast<size_t>(field));
        if (values.empty()) {
            out.absent();
            continue;
        }
        for (const Attribute &a : values)
            a.has_text() ? out.text(batch.text(a)) : out.number(a.value);
        out.end();
    }
    return out;
}

} // namespace aicore
