// SPDX-License-Identifier: Apache-2.0
#include "aicore/batch.h"

#include <unordered_map>

namespace aicore {

namespace {

template <typename T> void pick(std::vector<T> &out, const std::vector<T> &in, const std::vector<uint32_t> &indexes) {
    if (in.empty()) return;
    out.reserve(indexes.size());
    for (const uint32_t i : indexes)
        out.push_back(in[i]);
}

void append_absent(AddedColumn &column, size_t rows) {
    const size_t size = column.valid.size() + rows;
    column.valid.resize(size);
    switch (column.type) {
    case FieldType::integer:
        column.integers.resize(size);
        break;
    case FieldType::real:
        column.reals.resize(size);
        break;
    case FieldType::string:
        column.strings.resize(size);
        break;
    case FieldType::strings:
        column.lists.resize(size);
        break;
    default:
        break;
    }
}

template <typename T> void extend(std::vector<T> &out, const std::vector<T> &in) {
    out.insert(out.end(), in.begin(), in.end());
}

struct IdHash {
    size_t operator()(const std::pair<uint64_t, uint64_t> &id) const {
        return static_cast<size_t>(id.first ^ id.second);
    }
};

} // namespace

size_t Batch::bytes() const {
    size_t n = sizeof *this + rows.capacity() * sizeof(Row) + strings->text.capacity() +
               strings->attributes.capacity() * sizeof(Attribute);
    for (const auto &c : added) {
        n += c.name.size() + c.valid.size() + 8 * (c.integers.size() + c.reals.size());
        for (const auto &s : c.strings)
            n += sizeof s + s.capacity();
        for (const auto &list : c.lists)
            for (const auto &s : list)
                n += sizeof s + s.capacity();
    }
    return n;
}

AddedColumn AddedColumn::take(const std::vector<uint32_t> &indexes) const {
    AddedColumn out{name, type, {}, {}, {}, {}, {}};
    pick(out.valid, valid, indexes);
    pick(out.integers, integers, indexes);
    pick(out.reals, reals, indexes);
    pick(out.strings, strings, indexes);
    pick(out.lists, lists, indexes);
    return out;
}

std::unique_ptr<Batch> Batch::take(const std::vector<uint32_t> &indexes) const {
    auto out = std::make_unique<Batch>(schema);
    out->strings = strings;
    pick(out->rows, rows, indexes);
    for (const auto &c : added)
        out->added.push_back(c.take(indexes));
    return out;
}

// Backwards: the first row met of a flow is its latest; an insert met later marks it new. A flow's id ends with its
// remove, so one map serves both.
std::unique_ptr<Batch> Batch::net() const {
    std::unordered_map<std::pair<uint64_t, uint64_t>, uint32_t, IdHash> kept; // flow id -> position in `indexes`
    kept.reserve(rows.size());
    std::vector<uint32_t> indexes;
    std::vector<uint8_t> is_new;
    for (auto i = static_cast<uint32_t>(rows.size()); i-- > 0;) {
        const Row &row = rows[i];
        const auto [it, fresh] =
            kept.try_emplace({row.flow_id[0], row.flow_id[1]}, static_cast<uint32_t>(indexes.size()));
        if (fresh) {
            indexes.push_back(i);
            is_new.push_back(row.is_new);
        }
        if (row.kind == EventKind::insert || row.is_new) is_new[it->second] = 1;
    }
    const std::vector<uint32_t> forwards(indexes.rbegin(), indexes.rend());
    auto out = take(forwards);
    for (size_t i = 0; i < out->rows.size(); ++i)
        out->rows[i].is_new = is_new[is_new.size() - 1 - i];
    return out;
}

std::unique_ptr<Batch> Batch::concat(const std::vector<const Batch *> &batches) {
    if (batches.empty()) return nullptr;
    auto out = std::make_unique<Batch>(batches[0]->schema);
    size_t rows = 0, text = 0, attributes = 0;
    for (const Batch *b : batches) {
        if (b->schema != out->schema) return nullptr;
        rows += b->rows.size();
        for (const Row &row : b->rows) // only their own: a batch made by take() shares an arena that may hold much more
            for (uint32_t i = row.attribute_first; i < row.attribute_first + row.attribute_count; ++i) {
                const Attribute &a = b->strings->attributes[i];
                if (a.has_text()) text += a.length;
                ++attributes;
            }
    }
    if (text > UINT32_MAX || attributes > UINT32_MAX) return nullptr;
    out->rows.reserve(rows);
    out->strings->text.reserve(text);
    out->strings->attributes.reserve(attributes);
    for (const Batch *b : batches) {
        for (Row row : b->rows) {
            const uint32_t first = row.attribute_first;
            row.attribute_first = static_cast<uint32_t>(out->strings->attributes.size());
            for (uint32_t i = first; i < first + row.attribute_count; ++i) {
                Attribute a = b->strings->attributes[i];
                if (a.has_text()) {
                    const auto value = b->text(a);
                    a.value = static_cast<int64_t>(out->strings->text.size());
                    out->strings->text.append(value);
                }
                out->strings->attributes.push_back(a);
            }
            out->rows.push_back(row);
        }
        for (const auto &c : b->added) {
            AddedColumn *column = nullptr;
            for (auto &candidate : out->added)
                if (candidate.name == c.name) column = &candidate;
            if (!column) {
                out->added.push_back({c.name, c.type, {}, {}, {}, {}, {}});
                column = &out->added.back();
                append_absent(*column, out->rows.size() - b->rows.size());
            }
            if (column->type != c.type) return nullptr;
            extend(column->valid, c.valid);
            extend(column->integers, c.integers);
            extend(column->reals, c.reals);
            extend(column->strings, c.strings);
            extend(column->lists, c.lists);
        }
        for (auto &column : out->added)
            if (column.valid.size() < out->rows.size()) append_absent(column, out->rows.size() - column.valid.size());
    }
    return out;
}

} // namespace aicore
