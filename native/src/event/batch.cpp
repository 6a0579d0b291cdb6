// SPDX-License-Identifier: Apache-2.0
#include "aicore/batch.h"

#include <unordered_map>

namespace aicore {

namespace {

struct IdHash {
    size_t operator()(const std::pair<uint64_t, uint64_t> &id) const {
        return static_cast<size_t>(id.first ^ id.second);
    }
};

} // namespace

size_t Batch::bytes() const {
    size_t n = sizeof *this + rows.capacity() * sizeof(Row) + strings->text.capacity() +
               strings->attributes.capacity() * sizeof(Attribute) + added.capacity() * sizeof(AddedColumn);
    for (const AddedColumn &column : added)
        n += column.values.bytes();
    return n;
}

void Batch::add_declared() {
    for (const FieldInfo &field : schema->declared) {
        added.push_back({field, Values(field.type), false});
        added.back().values.absent(rows.size());
    }
}

std::unique_ptr<Batch> Batch::take(const std::vector<uint32_t> &indexes) const {
    auto out = std::make_unique<Batch>(schema);
    out->strings = strings;
    out->rows.reserve(indexes.size());
    for (const uint32_t i : indexes)
        out->rows.push_back(rows[i]);
    out->added.reserve(added.size());
    for (const AddedColumn &column : added)
        out->added.push_back({column.field, column.values.take(indexes), column.is_filled});
    return out;
}

std::unique_ptr<Batch> Batch::copy() const {
    auto out = std::make_unique<Batch>(schema);
    out->strings = strings;
    out->rows = rows;
    out->added = added;
    return out;
}

// Backwards: the first row met of a flow is its latest; an insert met later marks it new, and what was no sample keeps
// the flow's row from being one. A flow's id ends with its remove, so one map serves both.
std::unique_ptr<Batch> Batch::net() const {
    std::unordered_map<std::pair<uint64_t, uint64_t>, uint32_t, IdHash> kept; // flow id -> position in `indexes`
    kept.reserve(rows.size());
    std::vector<uint32_t> indexes;
    std::vector<uint8_t> is_new, sampled;
    for (auto i = static_cast<uint32_t>(rows.size()); i-- > 0;) {
        const Row &row = rows[i];
        const auto [it, fresh] =
            kept.try_emplace({row.flow_id[0], row.flow_id[1]}, static_cast<uint32_t>(indexes.size()));
        if (fresh) {
            indexes.push_back(i);
            is_new.push_back(row.is_new);
            sampled.push_back(row.sampled);
        }
        if (row.kind == EventKind::insert || row.is_new) is_new[it->second] = 1;
        if (!row.sampled) sampled[it->second] = 0;
    }
    const std::vector<uint32_t> forwards(indexes.rbegin(), indexes.rend());
    auto out = take(forwards);
    for (size_t i = 0; i < out->rows.size(); ++i) {
        out->rows[i].is_new = is_new[is_new.size() - 1 - i];
        out->rows[i].sampled = sampled[sampled.size() - 1 - i];
    }
    return out;
}

std::vector<uint32_t> Batch::rows_at_multiples(const std::array<uint32_t, 256> &every) const {
    std::vector<uint32_t> indexes;
    indexes.reserve(rows.size());
    for (uint32_t i = 0; i < rows.size(); ++i) {
        const Row &row = rows[i];
        if (row.sampled || row.repeats) {
            const int64_t n = every[row.proto];
            const bool multiple = n != 0 && row.packets % n == 0;
            if (multiple == (row.repeats != 0)) continue;
        }
        indexes.push_back(i);
    }
    return indexes;
}

} // namespace aicore
