// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "aicore/columns.h"
#include "binary_form.h"

namespace aicore {

using namespace binary;

// What a schema says of its batches.
struct BinaryReader::Layout {
    uint64_t fingerprint;
    std::vector<const Member *> members; // null: not known here
    std::vector<FieldInfo> fields;
    std::vector<AddedColumn> added; // empty
};

struct BinaryReader::Names {
    std::shared_ptr<const Schema> schema;
    std::unordered_map<std::string_view, uint16_t> index; // views of schema->names
};

namespace {

constexpr size_t kRowBytes = 16;      // that a row takes at least: its flow id
constexpr size_t kMaxNames = 1 << 16; // of a Schema, whose indexes have 16 bits

[[noreturn]] void bad(const std::string &what) {
    throw BinaryError(what);
}

void begin(Reader &in, std::string_view magic, const char *what) {
    if (in.left() < magic.size() + sizeof kVersion || in.bytes(magic.size()) != magic)
        bad(std::string("this is no ") + what);
    if (const auto version = in.number<uint16_t>(); version != kVersion)
        bad(std::string(what) + " of version " + std::to_string(version) + "; this aicore reads version " +
            std::to_string(kVersion));
}

std::string valid_text(std::string_view text) {
    if (!valid_utf8(text)) bad("a text is no UTF-8");
    return std::string(text);
}

FieldType field_type(Reader &in) {
    const auto type = in.number<uint8_t>();
    if (type < static_cast<uint8_t>(FieldType::string) || type > static_cast<uint8_t>(kLastFieldType))
        bad("a field of unknown type " + std::to_string(type));
    return static_cast<FieldType>(type);
}

bool flag(Reader &in) {
    const auto value = in.number<uint8_t>();
    if (value > 1) bad("a flag is neither 0 nor 1");
    return value != 0;
}

void check_boolean(int64_t value) {
    if (value != 0 && value != 1) bad("a boolean is neither 0 nor 1");
}

const Member *find_member(std::string_view name) {
    for (const Member &member : kMembers)
        if (name == member.name) return &member;
    return nullptr;
}

template <typename T> void scatter(Batch &batch, const std::vector<int64_t> &values, const Member &member) {
    const uint64_t limit = std::min<uint64_t>(member.limit, std::numeric_limits<T>::max());
    for (size_t i = 0; i < values.size(); ++i) {
        auto value = static_cast<uint64_t>(values[i]);
        if (value > limit) bad(std::string(member.name) + " is too large");
        auto stored = static_cast<T>(value);
        if constexpr (sizeof(T) == 4)
            if (member.word) stored = little(stored);
        std::memcpy(reinterpret_cast<char *>(&batch.rows[i]) + member.offset, &stored, sizeof stored);
    }
}

void scatter(Batch &batch, const std::vector<int64_t> &values, const Member &member) {
    if (member.size == 8)
        scatter<uint64_t>(batch, values, member);
    else if (member.size == 4)
        scatter<uint32_t>(batch, values, member);
    else if (member.size == 2)
        scatter<uint16_t>(batch, values, member);
    else
        scatter<uint8_t>(batch, values, member);
}

// Texts behind one another, lengths before; each(i, text) for each.
template <typename Each> void read_texts(Reader &in, uint64_t count, Each each) {
    std::vector<int64_t> lengths;
    in.numbers(lengths, count, 1);
    for (size_t i = 0; i < count; ++i) {
        const std::string_view text = in.bytes(static_cast<uint64_t>(lengths[i]));
        if (!valid_utf8(text)) bad("a text is no UTF-8");
        each(i, text);
    }
}

void read_added(Reader &in, Values &values, size_t rows) {
    const std::string_view valid = in.bytes(rows);
    values.valid.assign(valid.begin(), valid.end());
    for (const uint8_t value : values.valid)
        if (value > 1) bad("a flag is neither 0 nor 1");
    uint64_t items = rows;
    if (is_list(values.type())) {
        std::vector<int64_t> counts;
        in.numbers(counts, rows);
        items = 0;
        for (const int64_t count : counts) {
            if (static_cast<uint64_t>(count) > in.left()) bad("a list is longer than the input");
            items += static_cast<uint64_t>(count);
            if (items > UINT32_MAX) bad("a column is too long");
            values.ends.push_back(static_cast<uint32_t>(items));
        }
    }
    if (is_text(values.type()))
        read_texts(in, items, [&](size_t, std::string_view text) { values.text(text); });
    else
        in.numbers(values.numbers, items, is_list(values.type()));
    if (values.type() == FieldType::boolean)
        for (const int64_t value : values.numbers)
            check_boolean(value);
}

FieldInfo read_field(Reader &in, std::string name) {
    FieldInfo field{std::move(name), field_type(in), flag(in), in.number<uint32_t>(), {}, {}, {}, {}};
    if (!valid_column_name(field.name)) bad("a field has no valid name");
    for (std::string *text : {&field.unit, &field.ecs, &field.help, &field.protocol})
        *text = valid_text(in.text());
    return field;
}

// Offset and length of a text in the arena.
struct Text {
    int64_t offset;
    uint32_t length;
};

std::vector<Text> read_arena(Reader &in, std::string &arena) {
    std::vector<Text> texts;
    const auto count = in.number<uint32_t>();
    if (count > in.left()) bad("it ends too early");
    texts.reserve(count);
    read_texts(in, count, [&](size_t, std::string_view text) {
        if (text.size() > BinaryReader::kMaxRecordText) bad("a text is too long");
        texts.push_back({static_cast<int64_t>(arena.size()), static_cast<uint32_t>(text.size())});
        arena += text;
    });
    return texts;
}

void read_attributes(Reader &in, Batch &batch) {
    const auto &fields = batch.schema->fields;
    uint64_t count = 0;
    for (Row &row : batch.rows) {
        row.attribute_first = static_cast<uint32_t>(count);
        count += row.attribute_count;
    }
    if (count > in.left() || count > UINT32_MAX) bad("it ends too early");
    std::vector<int64_t> field_of;
    in.numbers(field_of, count, 1);
    const std::vector<Text> texts = read_arena(in, batch.strings->text);
    size_t text_count = 0, integer_count = 0, real_count = 0;
    for (const int64_t field : field_of) {
        if (static_cast<uint64_t>(field) >= fields.size()) bad("a field that the schema has not");
        const FieldType type = fields[static_cast<size_t>(field)].type;
        ++(is_text(type) ? text_count : is_real(type) ? real_count : integer_count);
    }
    std::vector<int64_t> indexes, integers, reals;
    in.numbers(indexes, text_count, 1);
    in.numbers(integers, integer_count, 1);
    in.numbers(reals, real_count, 1);
    const int64_t *index = indexes.data(), *integer = integers.data(), *real = reals.data();
    const int64_t *field = field_of.data();
    auto &out = batch.strings->attributes;
    out.reserve(count);
    for (const Row &row : batch.rows) {
        uint64_t text_bytes = 0;
        int64_t last = -1;
        for (uint32_t i = 0; i < row.attribute_count; ++i, ++field) {
            const FieldType type = fields[static_cast<size_t>(*field)].type;
            if (*field < last || (*field == last && !is_list(type))) bad("fields are out of order");
            last = *field;
            Attribute a{0, 0, static_cast<uint16_t>(*field), static_cast<uint16_t>(type)};
            if (!is_text(type)) {
                a.value = is_real(type) ? *real++ : *integer++;
                if (type == FieldType::boolean) check_boolean(a.value);
            } else {
                const auto at = static_cast<uint64_t>(*index++);
                if (at >= texts.size()) bad("a text that is not there");
                a.value = texts[at].offset;
                a.length = texts[at].length;
                text_bytes += a.length;
            }
            out.push_back(a);
        }
        if (text_bytes > BinaryReader::kMaxRecordText) bad("a record has too much text");
    }
}

} // namespace

BinaryReader::BinaryReader(std::string_view bytes) {
    Reader in(bytes);
    auto layout = std::make_unique<Layout>();
    begin(in, kSchemaMagic, "schema of a batch");
    layout->fingerprint = fingerprint(bytes);
    std::unordered_set<std::string> taken;
    const auto name = [&](Reader &from) {
        std::string text = valid_text(from.text());
        if (!taken.insert(text).second) bad("two columns of the same name");
        return text;
    };
    for (auto n = in.number<uint16_t>(); n > 0; --n)
        layout->members.push_back(find_member(name(in)));
    taken.clear();
    for (const CoreColumn &column : core_columns())
        taken.insert(column.name);
    for (auto n = in.number<uint16_t>(); n > 0; --n)
        layout->fields.push_back(read_field(in, name(in)));
    for (auto n = in.number<uint16_t>(); n > 0; --n) {
        FieldInfo field = read_field(in, name(in));
        Values none(field.type);
        layout->added.push_back({std::move(field), std::move(none)});
    }
    if (in.left() > 0) bad("bytes behind the end of the schema");
    layout_ = std::move(layout);
}

BinaryReader::~BinaryReader() = default;

// A Schema does not change once a batch has it, because another thread may read it.
std::shared_ptr<const BinaryReader::Names> BinaryReader::names_for(const std::vector<std::string> &names) {
    const std::lock_guard lock(mutex_);
    const auto known = [&](const std::string &name) { return names_ && names_->index.contains(name); };
    if (std::all_of(names.begin(), names.end(), known)) return names_;
    if (names_ && names_->schema->names.size() + names.size() > kMaxNames) names_ = nullptr;
    auto schema = std::make_shared<Schema>();
    schema->fields = layout_->fields;
    if (names_) schema->names = names_->schema->names;
    for (const std::string &name : names)
        if (!name.empty() && !known(name)) schema->names.push_back(name);
    auto made = std::make_shared<Names>();
    for (size_t i = 0; i < schema->names.size(); ++i)
        made->index.try_emplace(schema->names[i], static_cast<uint16_t>(i));
    made->schema = std::move(schema);
    return names_ = std::move(made);
}

std::shared_ptr<Batch> BinaryReader::read(std::string_view bytes) {
    Reader in(bytes);
    begin(in, kBatchMagic, "batch");
    if (in.number<uint64_t>() != layout_->fingerprint) bad("the batch belongs to another schema");
    const auto rows = in.number<uint32_t>();
    if (rows > in.left() / kRowBytes) bad("it ends too early");
    auto batch = std::make_shared<Batch>(nullptr);
    batch->rows.resize(rows);
    std::vector<int64_t> values;
    for (const Member *member : layout_->members) {
        if (!member) {
            in.skip_numbers(rows);
            continue;
        }
        in.numbers(values, rows, member->least);
        scatter(*batch, values, *member);
    }
    std::vector<std::string> names{std::string()};
    for (auto n = in.number<uint16_t>(); n > 0; --n)
        names.push_back(valid_text(in.text()));
    const std::shared_ptr<const Names> known = names_for(names);
    std::vector<uint16_t> index_of;
    for (const std::string &name : names)
        index_of.push_back(known->index.at(name));
    for (Row &row : batch->rows) {
        if (row.ip_version != 4 && row.ip_version != 6) bad("an address of neither IPv4 nor IPv6");
        for (uint16_t *index : {&row.layer7, &row.anomaly, &row.sensor}) {
            if (*index >= index_of.size()) bad("a name that is not there");
            *index = index_of[*index];
        }
    }
    batch->schema = known->schema;
    read_attributes(in, *batch);
    for (const AddedColumn &column : layout_->added) {
        batch->added.push_back(column);
        read_added(in, batch->added.back().values, rows);
    }
    if (in.left() > 0) bad("bytes behind the end of the batch");
    return batch;
}

} // namespace aicore
