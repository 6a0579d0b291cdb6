// SPDX-License-Identifier: Apache-2.0
// Several batches as one. Those of one run have the same schema; those of others, as of a spool, get a new one.
#include <algorithm>
#include <stdexcept>

#include "aicore/columns.h"

namespace aicore {

namespace {

class Joiner {
  public:
    explicit Joiner(const std::vector<const Batch *> &batches) : batches_(batches) {
        if (batches.empty()) throw std::invalid_argument("there are no batches to join");
        const auto &first = batches[0]->schema;
        same_ = std::all_of(batches.begin(), batches.end(), [&](const Batch *b) { return b->schema == first; });
        collect();
        out_ = std::make_unique<Batch>(same_ ? first : std::shared_ptr<const Schema>(schema_));
        for (const FieldInfo &field : added_)
            out_->added.push_back({field, Values(field.type), true});
        reserve();
    }

    std::unique_ptr<Batch> join() {
        for (size_t i = 0; i < batches_.size(); ++i) {
            rows(*batches_[i], same_ ? nullptr : &fields_[i]);
            for (AddedColumn &column : out_->added) {
                values(column, *batches_[i]);
                if (!column.values.is_whole(out_->rows.size()))
                    throw std::logic_error("column '" + column.field.name + "' has not one value for each row");
            }
        }
        return std::move(out_);
    }

  private:
    static constexpr uint16_t kAsColumn = UINT16_MAX; // a field of a protocol that becomes an added column

    // What was added in one of the batches is an added column of all; every other field is one of the schema.
    void collect() {
        for (const Batch *batch : batches_)
            for (const AddedColumn &column : batch->added)
                note(column.field, true);
        const auto fields_of = [this](const Schema &schema) {
            std::vector<uint16_t> places;
            for (const FieldInfo &field : schema.fields)
                places.push_back(note(field, false));
            return places;
        };
        schema_ = std::make_shared<Schema>();
        for (const Batch *batch : batches_)
            if (!same_) fields_.push_back(fields_of(*batch->schema));
    }

    // Where the field stands in schema_.
    uint16_t note(const FieldInfo &field, bool added) {
        const auto [known, is_new] = known_.try_emplace(field.name, Known{field.type, kAsColumn});
        if (known->second.type != field.type)
            throw std::invalid_argument("field '" + field.name + "' is " + type_name(field.type) +
                                        " in one batch and " + type_name(known->second.type) + " in another");
        if (!is_new) return known->second.place;
        if (added) {
            added_.push_back(field);
        } else {
            known->second.place = static_cast<uint16_t>(schema_->fields.size());
            schema_->fields.push_back(field);
        }
        return known->second.place;
    }

    // Only what the rows have: a batch made by take() shares an arena that may hold much more.
    void reserve() {
        size_t rows = 0, text = 0, attributes = 0;
        for (const Batch *batch : batches_) {
            rows += batch->rows.size();
            for (const Row &row : batch->rows)
                for (const Attribute &a : batch->attributes(row)) {
                    if (a.has_text()) text += a.length;
                    ++attributes;
                }
        }
        if (attributes > UINT32_MAX) throw std::length_error("too many values for one batch");
        out_->rows.reserve(rows);
        out_->strings->text.reserve(text);
        out_->strings->attributes.reserve(attributes);
    }

    void rows(const Batch &batch, const std::vector<uint16_t> *places) {
        names_.clear();
        auto &attributes = out_->strings->attributes;
        for (Row row : batch.rows) {
            const auto first = attributes.size();
            for (Attribute a : batch.attributes(row)) {
                if (places && (a.field = (*places)[a.field]) == kAsColumn) continue;
                if (a.has_text()) {
                    const auto value = batch.text(a);
                    a.value = static_cast<int64_t>(out_->strings->text.size());
                    out_->strings->text.append(value);
                }
                attributes.push_back(a);
            }
            row.attribute_first = static_cast<uint32_t>(first);
            row.attribute_count = static_cast<uint32_t>(attributes.size() - first);
            if (places) {
                std::stable_sort(attributes.begin() + static_cast<ptrdiff_t>(first), attributes.end(),
                                 [](const Attribute &a, const Attribute &b) { return a.field < b.field; });
                for (uint16_t *index : {&row.layer7, &row.anomaly, &row.sensor})
                    *index = name(batch, *index);
            }
            out_->rows.push_back(row);
        }
    }

    // Only names that rows have are looked at: the batch's run may go on and get others meanwhile.
    uint16_t name(const Batch &batch, uint16_t index) {
        if (index == 0) return 0;
        const auto [known, is_new] = names_.try_emplace(index, uint16_t{0});
        if (is_new) known->second = schema_->name_index(batch.schema->names[index]);
        return known->second;
    }

    static void values(AddedColumn &column, const Batch &batch) {
        if (find_added(batch, column.field.name) || find_field(batch, column.field.name) >= 0)
            column.values.append(column_values(batch, column.field.name));
        else
            column.values.absent(batch.rows.size());
    }

    struct Known {
        FieldType type;
        uint16_t place;
    };

    const std::vector<const Batch *> &batches_;
    bool same_ = false;
    std::shared_ptr<Schema> schema_; // of batches that have not the same
    std::unordered_map<std::string, Known> known_;
    std::vector<FieldInfo> added_;
    std::vector<std::vector<uint16_t>> fields_;    // for each batch, by its own index: the index in schema_
    std::unordered_map<uint16_t, uint16_t> names_; // of the batch at hand: the same
    std::unique_ptr<Batch> out_;
};

} // namespace

std::unique_ptr<Batch> Batch::concat(const std::vector<const Batch *> &batches) {
    return Joiner(batches).join();
}

} // namespace aicore
