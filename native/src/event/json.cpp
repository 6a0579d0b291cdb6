// SPDX-License-Identifier: Apache-2.0
// Rows to JSON (RFC 8259). Strings are valid UTF-8 already; here only what JSON itself forbids is escaped. Control
// characters, DEL and C1 are escaped too, so that a record printed on a terminal is text.
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "aicore/core_fields.h"

namespace aicore {

namespace {

template <typename Number> void append_number(std::string &out, Number n) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, n).ptr;
    out.append(buffer, end);
}

void name(std::string &out, std::string_view text) { // a name of the schema: needs no escaping
    out += ",\"";
    out += text;
    out += "\":";
}

// What is before a value: ,"name":
template <size_t i>
constexpr auto kLead = [] {
    constexpr auto &field = std::get<i>(kCoreFields);
    std::array<char, field.name_length + 4> lead{',', '"'};
    std::copy(field.name, field.name + field.name_length, lead.begin() + 2);
    lead[field.name_length + 2] = '"';
    lead[field.name_length + 3] = ':';
    return lead;
}();

constexpr size_t kTimeLength = sizeof "0000-00-00T00:00:00.000000000Z" - 1;

// The most that the core's fields take, without the texts of a Schema.
constexpr size_t fixed_size() {
    size_t sum = 0;
    each_core_field([&]<size_t i> {
        constexpr auto &field = std::get<i>(kCoreFields);
        using Source = typename std::remove_cvref_t<decltype(field)>::Source;
        sum += kLead<i>.size() + (source::IsMade<Source> ? field.width + 2 : kTimeLength + 2);
    });
    return sum;
}

// The core's part of a record, unrolled from the table. It goes through a plain buffer that it cannot overflow: growing
// a string a member at a time took more than half of a record's time (measured).
class CoreWriter {
  public:
    CoreWriter(const Batch &batch, bool meta) : batch_(batch), meta_(meta) {}

    void append(std::string &out, const Row &row) {
        const size_t begin = out.size();
        p_ = buffer_;
        each_core_field([&]<size_t i> { member<i>(out, row); });
        flush(out);
        out[begin] = '{'; // the key is always there
    }

  private:
    template <size_t i> void member(std::string &out, const Row &row) {
        constexpr auto &field = std::get<i>(kCoreFields);
        using Source = typename std::remove_cvref_t<decltype(field)>::Source;
        if constexpr (field.meta)
            if (!meta_) return;
        if constexpr (field.absent == Absent::not_tcp)
            if (row.proto != kProtoTcp) return;
        if constexpr (source::IsNumber<Source>) {
            const int64_t value = Source::get(row);
            if constexpr (field.absent == Absent::none)
                if (value == 0) return;
            lead<i>();
            if constexpr (Source::type == FieldType::time)
                time(value);
            else if constexpr (Source::type == FieldType::boolean)
                text(value ? "true" : "false");
            else
                p_ = std::to_chars(p_, std::end(buffer_), value).ptr;
        } else if constexpr (source::IsShared<Source>) {
            const std::string_view value = Source::get(*batch_.schema, Source::code(row));
            if (value.empty()) return;
            lead<i>();
            if constexpr (source::IsName<Source>) { // of any length, and it may come from from_rows(): any text
                flush(out);
                append_json_string(out, value);
            } else {
                quoted(value);
            }
        } else if constexpr (Source::costly) {
            if (kept_.empty() || kept_of_[0] != row.flow_id[0] || kept_of_[1] != row.flow_id[1]) {
                kept_of_[0] = row.flow_id[0];
                kept_of_[1] = row.flow_id[1];
                kept_.clear();
                Source::append(kept_, row);
            }
            lead<i>();
            quoted(kept_);
        } else {
            made_.clear();
            Source::append(made_, row);
            if (made_.empty()) return;
            lead<i>();
            quoted(made_);
        }
    }

    template <size_t i> void lead() {
        std::memcpy(p_, kLead<i>.data(), kLead<i>.size());
        p_ += kLead<i>.size();
    }
    void text(std::string_view text) {
        std::memcpy(p_, text.data(), text.size());
        p_ += text.size();
    }
    void quoted(std::string_view text_of) {
        *p_++ = '"';
        text(text_of);
        *p_++ = '"';
    }
    void time(int64_t value) { // mostly the one before: a flow is opened when it is first seen
        if (time_text_.empty() || value != time_) {
            time_ = value;
            time_text_.clear();
            append_time(time_text_, value);
        }
        quoted(time_text_);
    }
    void flush(std::string &out) {
        out.append(buffer_, p_);
        p_ = buffer_;
    }

    const Batch &batch_;
    const bool meta_;
    char buffer_[fixed_size()];
    char *p_ = buffer_;
    std::string made_; // short enough to stand in the object itself, mostly
    std::string kept_; // a costly text, of the row before: a flow's last update and its remove are neighbours
    uint64_t kept_of_[2] = {0, 0};
    std::string time_text_;
    int64_t time_ = 0;
};

void item(std::string &out, const Values &values, size_t i) {
    if (is_text(values.type()))
        append_json_string(out, values.texts[i]);
    else
        append_json_number(out, values.type(), values.numbers[i]);
}

void attributes(std::string &out, const Batch &batch, const Row &row) {
    const auto all = batch.attributes(row);
    for (auto a = all.begin(); a != all.end();) {
        const FieldInfo &field = batch.schema->fields[a->field];
        name(out, field.name);
        const auto value = [&] {
            if (a->has_text())
                append_json_string(out, batch.text(*a));
            else
                append_json_number(out, field.type, a->value);
            ++a;
        };
        if (!is_list(field.type)) {
            value();
            continue;
        }
        out += '[';
        const uint16_t list = a->field;
        value();
        while (a != all.end() && a->field == list) {
            out += ',';
            value();
        }
        out += ']';
    }
}

void added(std::string &out, const AddedColumn &column, size_t row) {
    if (!column.values.valid[row]) return;
    name(out, column.field.name);
    auto [i, end] = column.values.items(row);
    if (!is_list(column.values.type())) return item(out, column.values, i);
    out += '[';
    for (const size_t first = i; i < end; ++i) {
        if (i > first) out += ',';
        item(out, column.values, i);
    }
    out += ']';
}

} // namespace

void append_json_number(std::string &out, FieldType type, int64_t value) {
    switch (type) {
    case FieldType::boolean:
        out += value ? "true" : "false";
        break;
    case FieldType::time:
        out += '"';
        append_time(out, value);
        out += '"';
        break;
    case FieldType::real:
    case FieldType::reals: {
        const auto real = std::bit_cast<double>(value);
        if (!std::isfinite(real)) {
            out += "null";
            break;
        }
        const size_t begin = out.size();
        append_number(out, real);
        if (out.find_first_of(".e", begin) == out.npos) out += ".0"; // read again it is a real still
        break;
    }
    default:
        append_number(out, value);
    }
}

void append_json_string(std::string &out, std::string_view text) {
    static constexpr auto kPlain = [] { // bytes that never begin what must be escaped
        std::array<bool, 256> plain{};
        for (size_t c = 0x20; c < 256; ++c)
            plain[c] = c != '"' && c != '\\' && c != 0x7f && c != 0xc2 && c != 0xe2;
        return plain;
    }();
    static constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    size_t done = 0;
    const auto *bytes = reinterpret_cast<const uint8_t *>(text.data());
    for (size_t i = 0; i < text.size(); ++i) {
        const uint8_t c = bytes[i];
        if (kPlain[c]) continue;
        const bool c1 = c == 0xc2 && i + 1 < text.size() && bytes[i + 1] < 0xa0; // U+0080..U+009F
        const bool line = c == 0xe2 && i + 2 < text.size() && bytes[i + 1] == 0x80 && (bytes[i + 2] | 1) == 0xa9;
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !c1 && !line) continue;
        out.append(text, done, i - done);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (line) { // U+2028, U+2029: readers of JSON lines may take them for the end of one
            out += (bytes[i + 2] & 1) ? "\\u2029" : "\\u2028";
            i += 2;
        } else {
            const uint8_t code = c1 ? bytes[++i] : c;
            const char escaped[6] = {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
            out.append(escaped, 6);
        }
        done = i + 1;
    }
    out.append(text, done);
    out += '"';
}

void append_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, bool meta, bool newline) {
    out.reserve(out.size() + batch.rows.size() * 900);
    ends.reserve(ends.size() + batch.rows.size());
    CoreWriter core(batch, meta);
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        core.append(out, batch.rows[i]);
        attributes(out, batch, batch.rows[i]);
        for (const AddedColumn &column : batch.added)
            added(out, column, i);
        out += '}';
        if (newline) out += '\n';
        ends.push_back(out.size());
    }
}

} // namespace aicore
