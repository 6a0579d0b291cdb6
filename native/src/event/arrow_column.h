// SPDX-License-Identifier: Apache-2.0
// One column of an Arrow array while it is filled, in order of rows, and what it becomes.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "aicore/arrow.h"

namespace aicore {

FieldType arrow_item_type(FieldType list);

// Owns what an ArrowArray points to. Children that a consumer has moved out are marked as released.
struct ArrowMemory {
    std::shared_ptr<const void> shared; // the batch of a column that is not copied
    std::vector<uint8_t> validity;
    std::vector<int32_t> offsets;
    std::vector<int64_t> words; // integers, times, bits of reals
    std::vector<uint8_t> bits;  // booleans
    std::string text;
    const void *buffers[3] = {};
    std::vector<ArrowArray> children;
    std::vector<ArrowArray *> pointers;

    ArrowMemory() = default;
    ArrowMemory(const ArrowMemory &) = delete;
    ArrowMemory &operator=(const ArrowMemory &) = delete;
    ~ArrowMemory() {
        for (ArrowArray &child : children)
            if (child.release) child.release(&child);
    }

    static const void *pointer(const void *data);
    static ArrowArray array(std::unique_ptr<ArrowMemory> memory, size_t length, size_t nulls, size_t buffers) noexcept;
};

class ArrowColumn {
  public:
    ArrowColumn(FieldType type, size_t rows, size_t limit);

    // Before the value or the items of a row that has one; rows in between are null.
    void row(size_t i) {
        memory_->validity[i / 8] = static_cast<uint8_t>(memory_->validity[i / 8] | 1u << i % 8);
        ++present_;
        if (by_offset_) offsets_up_to(i);
        row_ = i;
    }
    void number(int64_t value) { // an integer, a time, the bits of a real; of a list's item, too
        if (is_list_)
            items_->words.push_back(value);
        else if (type_ == FieldType::boolean)
            memory_->bits[row_ / 8] = static_cast<uint8_t>(memory_->bits[row_ / 8] | (value != 0) << row_ % 8);
        else
            memory_->words[row_] = value;
    }
    void text(std::string_view value) {
        if (is_list_) items_->offsets.push_back(static_cast<int32_t>(items_->text.size()));
        texts().append(value);
    }
    std::string &texts() { return is_list_ ? items_->text : memory_->text; } // to append the row's text to
    // The row that was begun has none after all.
    void take_back() {
        memory_->validity[row_ / 8] = static_cast<uint8_t>(memory_->validity[row_ / 8] & ~(1u << row_ % 8));
        --present_;
    }
    // Numbers of all rows, which live as long as their owner.
    void share(std::shared_ptr<const void> owner, const void *numbers) {
        memory_->words = {};
        memory_->shared = std::move(owner);
        shared_ = numbers;
    }

    bool too_much() const; // more than 32-bit offsets, or the limit, can tell
    ArrowArray finish();   // once

  private:
    void offsets_up_to(size_t row) { // where the rows begin that have not begun yet
        const auto at = static_cast<int32_t>(is_list_ ? item_count() : memory_->text.size());
        for (; begun_ <= row; ++begun_)
            memory_->offsets[begun_] = at;
    }
    size_t item_count() const { return is_text(type_) ? items_->offsets.size() : items_->words.size(); }

    const FieldType type_;
    const bool is_list_, by_offset_;
    const size_t rows_, limit_;
    size_t present_ = 0, row_ = 0, begun_ = 0;
    const void *shared_ = nullptr;
    std::unique_ptr<ArrowMemory> memory_, items_;
};

} // namespace aicore
