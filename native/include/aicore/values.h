// SPDX-License-Identifier: Apache-2.0
// The values of one field in rows of a batch, by columns: few allocations, whatever the type.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aicore/schema.h"

namespace aicore {

// Texts behind one another, valid UTF-8. std::length_error above 4 GiB in all.
struct Texts {
    std::string bytes;
    std::vector<uint32_t> ends; // behind each text

    size_t size() const { return ends.size(); }
    std::string_view operator[](size_t i) const {
        const size_t begin = i ? ends[i - 1] : 0;
        return std::string_view(bytes).substr(begin, ends[i] - begin);
    }
    void add(std::string_view text) {
        if (text.size() > UINT32_MAX - bytes.size()) throw std::length_error("a column of more than 4 GiB of text");
        bytes += text;
        ends.push_back(static_cast<uint32_t>(bytes.size()));
    }
};

// A scalar has one item in each row, 0 or an empty text where it is absent; a list as many as it is long.
class Values {
  public:
    explicit Values(FieldType type) : type_(type) {}

    FieldType type() const { return type_; }
    size_t rows() const { return valid.size(); }
    std::pair<size_t, size_t> items(size_t row) const { // first, and behind the last
        if (!is_list(type_)) return {row, row + 1};
        return {row ? ends[row - 1] : 0, ends[row]};
    }

    // Appending rows. Of a list first its items by number() or text(), then end().
    void number(int64_t value) { numbers.push_back(value); }
    void text(std::string_view value) { texts.add(value); }
    void end(bool is_valid = true) {
        valid.push_back(is_valid);
        if (!is_list(type_)) return;
        const size_t n = item_count();
        if (n > UINT32_MAX) throw std::length_error("a column of more than 4 G items");
        ends.push_back(static_cast<uint32_t>(n));
    }
    void absent(size_t n = 1) {
        for (; n > 0; --n) {
            if (!is_list(type_)) is_text(type_) ? text({}) : number(0);
            end(false);
        }
    }
    void append(const Values &other) { // all rows of one that has the same type
        if (bytes_of_text() + other.bytes_of_text() > UINT32_MAX || item_count() + other.item_count() > UINT32_MAX)
            throw std::length_error("a column of more than 4 GiB of text, or 4 G items");
        const auto extend = [](auto &out, const auto &in) { out.insert(out.end(), in.begin(), in.end()); };
        const auto extend_ends = [](auto &out, const auto &in, size_t before) {
            for (const uint32_t end_of : in)
                out.push_back(end_of + static_cast<uint32_t>(before));
        };
        extend_ends(ends, other.ends, item_count());
        extend_ends(texts.ends, other.texts.ends, texts.bytes.size());
        texts.bytes += other.texts.bytes;
        extend(numbers, other.numbers);
        extend(valid, other.valid);
    }
    void append(const Values &other, size_t row) { // one of its rows
        const auto [first, last] = other.items(row);
        for (size_t i = first; i < last; ++i)
            is_text(type_) ? text(other.texts[i]) : number(other.numbers[i]);
        end(other.valid[row]);
    }
    Values take(const std::vector<uint32_t> &rows_of) const {
        Values out(type_);
        for (const uint32_t row : rows_of)
            out.append(*this, row);
        return out;
    }

    // Whether two rows have the same items.
    bool same(size_t row, size_t other) const {
        const auto [first, last] = items(row);
        const auto [other_first, other_last] = items(other);
        if (last - first != other_last - other_first) return false;
        for (size_t i = 0; i < last - first; ++i)
            if (is_text(type_) ? texts[first + i] != texts[other_first + i]
                               : numbers[first + i] != numbers[other_first + i])
                return false;
        return true;
    }

    // Whether there are values for so many rows, neither more nor less.
    bool is_whole(size_t n) const {
        if (valid.size() != n) return false;
        return is_list(type_) ? ends.size() == n && item_count() == (n ? ends.back() : 0) : item_count() == n;
    }
    size_t bytes() const { // memory held
        return valid.capacity() + ends.capacity() * sizeof(uint32_t) + numbers.capacity() * sizeof(int64_t) +
               texts.bytes.capacity() + texts.ends.capacity() * sizeof(uint32_t);
    }

    std::vector<uint8_t> valid;   // one for each row, 1 or 0
    std::vector<uint32_t> ends;   // of a list: behind each row's last item
    std::vector<int64_t> numbers; // items that are no texts, as Attribute::value holds them
    Texts texts;                  // items that are

  private:
    size_t bytes_of_text() const { return texts.bytes.size(); }
    size_t item_count() const { return is_text(type_) ? texts.size() : numbers.size(); }

    FieldType type_;
};

} // namespace aicore
