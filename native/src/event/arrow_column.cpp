// SPDX-License-Identifier: Apache-2.0
#include "arrow_column.h"

#include <algorithm>

namespace aicore {

namespace {

void release(ArrowArray *array) {
    delete static_cast<ArrowMemory *>(array->private_data);
    array->release = nullptr;
}

} // namespace

FieldType arrow_item_type(FieldType list) {
    if (list == FieldType::strings) return FieldType::string;
    return list == FieldType::reals ? FieldType::real : FieldType::integer;
}

// For consumers that want a pointer where there is nothing to read.
const void *ArrowMemory::pointer(const void *data) {
    static constexpr int64_t kNothing = 0;
    return data ? data : &kNothing;
}

ArrowArray ArrowMemory::array(std::unique_ptr<ArrowMemory> memory, size_t length, size_t nulls,
                              size_t buffers) noexcept {
    ArrowMemory *m = memory.release();
    return {static_cast<int64_t>(length),
            static_cast<int64_t>(nulls),
            0,
            static_cast<int64_t>(buffers),
            static_cast<int64_t>(m->children.size()),
            m->buffers,
            m->pointers.data(),
            nullptr,
            release,
            m};
}

ArrowColumn::ArrowColumn(FieldType type, size_t rows, size_t limit)
    : type_(type), is_list_(is_list(type)), by_offset_(is_list_ || type == FieldType::string), rows_(rows),
      limit_(std::min<size_t>(limit, INT32_MAX)), memory_(std::make_unique<ArrowMemory>()) {
    memory_->validity.resize((rows + 7) / 8);
    if (is_list_) items_ = std::make_unique<ArrowMemory>();
    if (by_offset_)
        memory_->offsets.resize(rows + 1);
    else if (type == FieldType::boolean)
        memory_->bits.resize((rows + 7) / 8);
    else
        memory_->words.resize(rows);
}

bool ArrowColumn::too_much() const {
    return memory_->text.size() > limit_ || (items_ && (items_->text.size() > limit_ || item_count() > limit_));
}

ArrowArray ArrowColumn::finish() {
    ArrowMemory &m = *memory_;
    const size_t nulls = rows_ - present_;
    m.buffers[0] = nulls ? m.validity.data() : nullptr;
    if (!by_offset_) {
        const void *own = type_ == FieldType::boolean ? static_cast<const void *>(m.bits.data()) : m.words.data();
        m.buffers[1] = ArrowMemory::pointer(shared_ ? shared_ : own);
        return ArrowMemory::array(std::move(memory_), rows_, nulls, 2);
    }
    offsets_up_to(rows_);
    m.buffers[1] = m.offsets.data();
    if (!is_list_) {
        m.buffers[2] = m.text.data();
        return ArrowMemory::array(std::move(memory_), rows_, nulls, 3);
    }
    const size_t count = item_count();
    size_t buffers = 2;
    if (is_text(type_)) {
        items_->offsets.push_back(static_cast<int32_t>(items_->text.size()));
        items_->buffers[1] = items_->offsets.data();
        items_->buffers[2] = items_->text.data();
        buffers = 3;
    } else {
        items_->buffers[1] = ArrowMemory::pointer(items_->words.data());
    }
    m.children.resize(1);
    m.pointers = {&m.children[0]};
    m.children[0] = ArrowMemory::array(std::move(items_), count, 0, buffers);
    return ArrowMemory::array(std::move(memory_), rows_, nulls, 2);
}

} // namespace aicore
