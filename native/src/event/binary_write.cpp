// SPDX-License-Identifier: Apache-2.0
#include "binary_form.h"

namespace aicore {

namespace {

using namespace binary;

template <typename T> void gather(std::vector<int64_t> &out, const Batch &batch, size_t offset) {
    for (size_t i = 0; i < out.size(); ++i) {
        T value;
        std::memcpy(&value, reinterpret_cast<const char *>(&batch.rows[i]) + offset, sizeof value);
        out[i] = static_cast<int64_t>(value);
    }
}

void gather(std::vector<int64_t> &out, const Batch &batch, const Member &member) {
    if (member.size == 8)
        gather<uint64_t>(out, batch, member.offset);
    else if (member.size == 4)
        gather<uint32_t>(out, batch, member.offset);
    else if (member.size == 2)
        gather<uint16_t>(out, batch, member.offset);
    else
        gather<uint8_t>(out, batch, member.offset);
    if (member.word)
        for (int64_t &word : out)
            word = little(static_cast<uint32_t>(word));
}

// Which bytes of a row differ from those of the first one. Half of the members are the same in all rows of most batches
// (no VLAN, no tunnel, IPv4, one kind of event): finding that out for all at once saves a fifth of the time (measured).
class Differences {
  public:
    explicit Differences(const std::vector<Row> &rows) {
        uint64_t first[kWords], row[kWords];
        for (size_t i = 0; i < rows.size(); ++i) {
            std::memcpy(i ? row : first, &rows[i], sizeof(Row));
            for (size_t k = 0; i && k < kWords; ++k)
                bits_[k] |= row[k] ^ first[k];
        }
    }
    bool in(const Member &member) const {
        static constexpr char kNone[sizeof(uint64_t)] = {};
        return std::memcmp(reinterpret_cast<const char *>(bits_) + member.offset, kNone, member.size) != 0;
    }

  private:
    static constexpr size_t kWords = sizeof(Row) / sizeof(uint64_t);
    static_assert(kWords * sizeof(uint64_t) == sizeof(Row));
    uint64_t bits_[kWords] = {};
};

// The names that the rows use, numbered from 1 on; 0 is none.
class UsedNames {
  public:
    explicit UsedNames(const std::vector<std::string> &all) : all_(all) {}

    void replace(std::vector<int64_t> &indexes) {
        for (int64_t &index : indexes) {
            const auto at = static_cast<size_t>(index);
            if (at >= number_.size()) number_.resize(at + 1); // the size of all_ belongs to the engine's thread
            uint16_t &number = number_[at];
            if (number == 0 && index != 0) {
                used_.push_back(static_cast<uint16_t>(index));
                number = static_cast<uint16_t>(used_.size());
            }
            index = number;
        }
    }
    void write(Writer &out) const {
        out.number(static_cast<uint16_t>(used_.size()));
        for (const uint16_t index : used_)
            out.text(all_[index]);
    }

  private:
    const std::vector<std::string> &all_;
    std::vector<uint16_t> number_; // by index in all_
    std::vector<uint16_t> used_;
};

// Texts, most of them once: a host name or a user agent stands in many rows. Packets can choose texts that collide, so
// a search looks at a few places only and then takes the text as a new one.
class Texts {
  public:
    explicit Texts(size_t expected) : places_(std::bit_ceil(2 * expected + 1), UINT32_MAX) {}

    int64_t index_of(std::string_view text) {
        const size_t mask = places_.size() - 1;
        const uint64_t hash = binary::fingerprint(text);
        size_t place = static_cast<size_t>(hash ^ hash >> 32) & mask;
        for (int tries = 0; tries < 8; ++tries, place = (place + 1) & mask) {
            if (places_[place] == UINT32_MAX) {
                places_[place] = static_cast<uint32_t>(texts_.size());
                break;
            }
            if (texts_[places_[place]] == text) return places_[place];
        }
        texts_.push_back(text);
        return static_cast<int64_t>(texts_.size()) - 1;
    }
    void write(Writer &out) const {
        std::vector<int64_t> lengths;
        lengths.reserve(texts_.size());
        for (const std::string_view text : texts_)
            lengths.push_back(static_cast<int64_t>(text.size()));
        out.number(static_cast<uint32_t>(texts_.size()));
        out.numbers(lengths, 1);
        for (const std::string_view text : texts_)
            out.bytes(text);
    }

  private:
    std::vector<uint32_t> places_; // a power of two; index in texts_
    std::vector<std::string_view> texts_;
};

void attributes(Writer &out, const Batch &batch) {
    size_t count = 0;
    for (const Row &row : batch.rows)
        count += row.attribute_count;
    std::vector<int64_t> fields, indexes, integers, reals;
    fields.reserve(count);
    indexes.reserve(count);
    Texts texts(count);
    for (const Row &row : batch.rows) {
        const Attribute *a = batch.strings->attributes.data() + row.attribute_first;
        for (const Attribute *end = a + row.attribute_count; a != end; ++a) {
            fields.push_back(a->field);
            if (a->has_text())
                indexes.push_back(texts.index_of(batch.text(*a)));
            else
                (is_real(static_cast<FieldType>(a->type)) ? reals : integers).push_back(a->value);
        }
    }
    out.numbers(fields, 1);
    texts.write(out);
    out.numbers(indexes, 1);
    out.numbers(integers, 1);
    out.numbers(reals, 1);
}

template <typename Range> void texts(Writer &out, const Range &values) {
    std::vector<int64_t> lengths;
    lengths.reserve(values.size());
    for (const std::string_view value : values)
        lengths.push_back(static_cast<int64_t>(value.size()));
    out.numbers(lengths, 1);
    for (const std::string_view value : values)
        out.bytes(value);
}

void added(Writer &out, const Values &values) {
    out.bytes({reinterpret_cast<const char *>(values.valid.data()), values.valid.size()});
    if (is_list(values.type())) {
        std::vector<int64_t> counts;
        for (size_t row = 0; row < values.rows(); ++row) {
            const auto [first, last] = values.items(row);
            counts.push_back(static_cast<int64_t>(last - first));
        }
        out.numbers(counts);
    }
    if (is_text(values.type())) {
        std::vector<std::string_view> texts_of;
        for (size_t i = 0; i < values.texts.size(); ++i)
            texts_of.push_back(values.texts[i]);
        texts(out, texts_of);
    } else {
        out.numbers(values.numbers, is_list(values.type()));
    }
}

void field(Writer &out, const FieldInfo &info) {
    out.text(info.name);
    out.number(static_cast<uint8_t>(info.type));
    out.number(static_cast<uint8_t>(info.notify));
    out.number(info.width);
    for (const std::string *text : {&info.unit, &info.ecs, &info.help, &info.protocol})
        out.text(*text);
}

} // namespace

std::string schema_bytes(const Batch &batch) {
    std::string bytes;
    Writer out(bytes);
    out.bytes(kSchemaMagic);
    out.number(kVersion);
    out.number(static_cast<uint16_t>(std::size(kMembers)));
    for (const Member &member : kMembers)
        out.text(member.name);
    out.number(static_cast<uint16_t>(batch.schema->fields.size()));
    for (const FieldInfo &info : batch.schema->fields)
        field(out, info);
    out.number(static_cast<uint16_t>(batch.added.size()));
    for (const AddedColumn &column : batch.added)
        field(out, column.field);
    return bytes;
}

void append_binary(std::string &bytes, const Batch &batch) {
    bytes.reserve(bytes.size() + 512 + batch.rows.size() * 150);
    Writer out(bytes);
    out.bytes(kBatchMagic);
    out.number(kVersion);
    out.number(fingerprint(schema_bytes(batch)));
    out.number(static_cast<uint32_t>(batch.rows.size()));
    UsedNames names(batch.schema->names);
    const Differences differences(batch.rows);
    std::vector<int64_t> values(batch.rows.size());
    for (const Member &member : kMembers) {
        values.resize(differences.in(member) ? batch.rows.size() : std::min<size_t>(batch.rows.size(), 1));
        gather(values, batch, member);
        if (member.name_index) names.replace(values);
        if (values.size() == batch.rows.size())
            out.numbers(values, member.least);
        else
            out.repeated(values[0], batch.rows.size(), member.least);
    }
    names.write(out);
    attributes(out, batch);
    for (const AddedColumn &column : batch.added)
        added(out, column.values);
}

} // namespace aicore
