// SPDX-License-Identifier: Apache-2.0
#include "aicore/arrow.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <utility>

#include "aicore/columns.h"
#include "arrow_column.h"

namespace aicore {

namespace {

// -- schema ----------------------------------------------------------------------------------------------------------

const char *format_of(FieldType type) {
    switch (type) {
    case FieldType::integer:
        return "l";
    case FieldType::real:
        return "g";
    case FieldType::boolean:
        return "b";
    case FieldType::time:
        return "tsn:UTC";
    case FieldType::string:
        return "u";
    default:
        return "+l";
    }
}

// Owns what an ArrowSchema points to.
struct SchemaMemory {
    std::string name;
    std::vector<ArrowSchema> children;
    std::vector<ArrowSchema *> pointers;

    explicit SchemaMemory(std::string n) : name(std::move(n)) {}
    SchemaMemory(const SchemaMemory &) = delete;
    SchemaMemory &operator=(const SchemaMemory &) = delete;
    ~SchemaMemory() {
        for (ArrowSchema &child : children)
            if (child.release) child.release(&child);
    }

    static void release(ArrowSchema *schema) {
        delete static_cast<SchemaMemory *>(schema->private_data);
        schema->release = nullptr;
    }
    static ArrowSchema schema(std::unique_ptr<SchemaMemory> memory, const char *format, bool nullable) {
        for (ArrowSchema &child : memory->children)
            memory->pointers.push_back(&child);
        SchemaMemory *m = memory.release();
        return {format,
                m->name.c_str(),
                nullptr,
                nullable ? ARROW_FLAG_NULLABLE : 0,
                static_cast<int64_t>(m->children.size()),
                m->pointers.data(),
                nullptr,
                release,
                m};
    }
};

ArrowSchema schema_of(const ArrowField &field) {
    auto memory = std::make_unique<SchemaMemory>(field.name);
    if (is_list(field.type)) {
        memory->children.resize(1); // released, until it is made
        memory->children[0] = schema_of({"item", arrow_item_type(field.type), false});
    }
    return SchemaMemory::schema(std::move(memory), format_of(field.type), field.nullable);
}

// -- rows ------------------------------------------------------------------------------------------------------------

// Rows [first, first + count) of a batch on their way into columns.
class Exporter {
  public:
    Exporter(const std::shared_ptr<const Batch> &batch, size_t first, size_t count, size_t limit)
        : batch_(batch), first_(first), count_(count), limit_(limit), of_field_(batch->schema->fields.size()) {}

    // False: a column has too much text.
    bool run(const ArrowFields &fields, ArrowArray *out) {
        std::vector<ArrowColumn> columns;
        columns.reserve(fields.size());
        for (const ArrowField &field : fields) {
            ArrowColumn &column = columns.emplace_back(field.type, count_, limit_);
            if (const CoreColumn *core = find_core_column(field.name)) {
                check(field, core->type);
                fill(column, *core);
            } else if (const int own = find_field(*batch_, field.name); own >= 0) {
                const auto at = static_cast<size_t>(own);
                check(field, batch_->schema->fields[at].type);
                of_field_[at] = &column;
            } else if (const AddedColumn *added = find_added(*batch_, field.name)) {
                check(field, added->field.type);
                fill(column, added->values);
            }
            if (column.too_much()) return false;
        }
        attributes();
        for (const ArrowColumn &column : columns)
            if (column.too_much()) return false;
        auto table = std::make_unique<ArrowMemory>();
        table->children.resize(fields.size());
        for (size_t i = 0; i < fields.size(); ++i) {
            table->pointers.push_back(&table->children[i]);
            table->children[i] = columns[i].finish();
        }
        *out = ArrowMemory::array(std::move(table), count_, 0, 1);
        return true;
    }

  private:
    void check(const ArrowField &field, FieldType type) const {
        if (type != field.type)
            throw std::invalid_argument("field '" + field.name + "' is " + type_name(type) + " in this batch, not " +
                                        type_name(field.type) + " as in the schema");
    }

    void fill(ArrowColumn &column, const CoreColumn &core) const {
        for (size_t i = 0; i < count_; ++i) {
            const Row &row = batch_->rows[first_ + i];
            if (core.text) {
                column.row(i);
                const size_t before = column.texts().size();
                core.text(column.texts(), *batch_, row);
                if (column.texts().size() == before) column.take_back();
            } else if (core.present(row)) {
                column.row(i);
                column.number(core.number(row));
            }
        }
    }

    void fill(ArrowColumn &column, const Values &values) const {
        const FieldType type = values.type();
        const bool shared = !is_list(type) && !is_text(type) && type != FieldType::boolean;
        if (shared) column.share(batch_, values.numbers.data() + first_);
        for (size_t i = 0; i < count_; ++i) {
            if (!values.valid[first_ + i]) continue;
            column.row(i);
            auto [item, end] = values.items(first_ + i);
            for (; item < end && !shared; ++item)
                is_text(type) ? column.text(values.texts[item]) : column.number(values.numbers[item]);
        }
    }

    // What protocols found: a few of many fields in each row, so by rows.
    void attributes() const {
        for (size_t i = 0; i < count_; ++i) {
            const Row &row = batch_->rows[first_ + i];
            const ArrowColumn *last = nullptr;
            for (const Attribute &a : batch_->attributes(row)) {
                ArrowColumn *column = of_field_[a.field];
                if (!column) continue;
                if (column != last) column->row(i);
                last = column;
                if (a.has_text())
                    column->text(batch_->text(a));
                else
                    column->number(a.value);
            }
        }
    }

    const std::shared_ptr<const Batch> &batch_;
    const size_t first_, count_, limit_;
    std::vector<ArrowColumn *> of_field_; // by Attribute::field
};

// -- streams ---------------------------------------------------------------------------------------------------------

class OneBatch final : public ArrowSource {
  public:
    explicit OneBatch(std::shared_ptr<const Batch> batch) : batch_(std::move(batch)) {}
    std::shared_ptr<const Batch> next() override { return std::exchange(batch_, nullptr); }

  private:
    std::shared_ptr<const Batch> batch_;
};

class Stream {
  public:
    Stream(std::unique_ptr<ArrowSource> source, ArrowFields fields, size_t limit)
        : source_(std::move(source)), fields_(std::move(fields)), limit_(limit) {}

    static int get_schema(ArrowArrayStream *stream, ArrowSchema *out) {
        Stream &self = of(stream);
        return self.guarded([&] { export_schema(self.fields_, out); });
    }
    static int get_next(ArrowArrayStream *stream, ArrowArray *out) {
        Stream &self = of(stream);
        return self.guarded([&] { self.next(out); });
    }
    static const char *get_last_error(ArrowArrayStream *stream) {
        const std::string &error = of(stream).error_;
        return error.empty() ? nullptr : error.c_str();
    }
    static void release(ArrowArrayStream *stream) {
        delete &of(stream);
        stream->release = nullptr;
    }

  private:
    static Stream &of(ArrowArrayStream *stream) { return *static_cast<Stream *>(stream->private_data); }

    template <typename Call> int guarded(Call call) noexcept {
        try {
            call();
            return 0;
        } catch (const std::bad_alloc &) {
            return ENOMEM;
        } catch (const std::exception &e) {
            error_ = e.what();
            return EIO;
        }
    }

    void next(ArrowArray *out) {
        out->release = nullptr; // the end of the stream
        while (source_ && (!batch_ || next_ == batch_->rows.size())) {
            batch_ = nullptr;
            next_ = 0;
            batch_ = source_->next();
            if (!batch_) return;
        }
        size_t count = batch_->rows.size() - next_;
        while (!export_rows(batch_, fields_, next_, count, out, limit_)) {
            if (count == 1) throw std::length_error("a row has more text than an Arrow array can hold");
            count = (count + 1) / 2;
        }
        next_ += count;
    }

    std::unique_ptr<ArrowSource> source_;
    const ArrowFields fields_;
    const size_t limit_;
    std::shared_ptr<const Batch> batch_; // of which rows from next_ on are to come
    size_t next_ = 0;
    std::string error_;
};

} // namespace

bool always_present(const std::string &field) {
    const CoreColumn *core = find_core_column(field);
    return core && core->absent == Absent::never;
}

ArrowFields arrow_fields(const Batch &batch) {
    ArrowFields record, meta;
    for (const CoreColumn &core : core_columns())
        (core.meta ? meta : record).push_back({core.name, core.type, !always_present(core.name)});
    for (const FieldInfo &field : batch.schema->fields)
        record.push_back({field.name, field.type, true});
    for (const AddedColumn &added : batch.added)
        record.push_back({added.field.name, added.field.type, true});
    record.insert(record.end(), meta.begin(), meta.end());
    return record;
}

void export_schema(const ArrowFields &fields, ArrowSchema *out) {
    auto table = std::make_unique<SchemaMemory>("");
    table->children.resize(fields.size());
    for (size_t i = 0; i < fields.size(); ++i)
        table->children[i] = schema_of(fields[i]);
    *out = SchemaMemory::schema(std::move(table), "+s", false);
}

bool export_rows(const std::shared_ptr<const Batch> &batch, const ArrowFields &fields, size_t first, size_t count,
                 ArrowArray *out, size_t limit) {
    return Exporter(batch, first, count, limit).run(fields, out);
}

void export_stream(std::unique_ptr<ArrowSource> source, ArrowFields fields, ArrowArrayStream *out, size_t limit) {
    auto stream = std::make_unique<Stream>(std::move(source), std::move(fields), limit);
    *out = {Stream::get_schema, Stream::get_next, Stream::get_last_error, Stream::release, stream.release()};
}

void export_stream(std::shared_ptr<const Batch> batch, ArrowArrayStream *out, size_t limit) {
    ArrowFields fields = arrow_fields(*batch);
    export_stream(std::make_unique<OneBatch>(std::move(batch)), std::move(fields), out, limit);
}

} // namespace aicore
