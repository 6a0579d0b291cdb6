// SPDX-License-Identifier: Apache-2.0
#include "unpack/decompressor.h"

namespace aicore {

namespace {
constexpr size_t kBuffer = 64 * 1024;
// Input that may come to nothing before the caller can see whether it was stopped: files can be made of empty members.
constexpr size_t kPatience = 4 << 20;
} // namespace

Decompressor::Decompressor(std::string name, std::unique_ptr<ByteSource> packed, std::span<const uint8_t> begin)
    : name_(std::move(name)), packed_(std::move(packed)), buffer_(std::max(kBuffer, begin.size())), end_(begin.size()) {
    std::copy(begin.begin(), begin.end(), buffer_.begin());
}

Take Decompressor::read(uint8_t *to, size_t size) {
    if (!error_.empty()) return {Took::failed};
    for (size_t used = 0; used < kPatience;) {
        if (damage_) return fail(name_ + " data are damaged (" + damage_ + ")");
        const bool held = full_ && !between_; // the library may still hold output
        if (begin_ == end_ && !last_ && !held) {
            const Take take = packed_->read(buffer_.data(), buffer_.size());
            if (take.what == Took::failed) return fail(packed_->error());
            if (take.what == Took::not_yet) return take;
            last_ = take.what == Took::end;
            begin_ = 0;
            end_ = take.size;
        }
        if (begin_ == end_ && last_ && between_) return {Took::end};
        const Step step = unpack({buffer_.data() + begin_, end_ - begin_}, {to, size}, last_);
        begin_ += step.used;
        used += step.used;
        between_ = step.between;
        full_ = step.made == size;
        damage_ = step.damage;
        if (step.made) return {Took::bytes, step.made};
        if (step.used || damage_ || between_ || (begin_ == end_ && !last_)) continue;
        return fail(name_ + (begin_ == end_ ? " data end early" : " data are damaged (nothing comes of them)"));
    }
    return {Took::not_yet};
}

} // namespace aicore
