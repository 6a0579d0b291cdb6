// SPDX-License-Identifier: Apache-2.0
// A window on a capture's bytes, in which its packets lie: nothing is copied per packet. Used by the reading thread
// alone; the buffers that it has gone past belong to the blocks whose packets lie in them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "byte_source.h"

namespace aicore {

// Buffers of one size that nobody holds, for the next to be filled. Any thread.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
  public:
    // Fits in the second-level cache. From 64 KiB to 1 MiB the reader alone measured within 8 % on long packets and the
    // same on short ones.
    static constexpr size_t kSize = 128 * 1024;

    // Of `size` bytes that say nothing; given back, or freed, by the last that lets it go.
    std::shared_ptr<uint8_t[]> take(size_t size) {
        if (size != kSize) return std::shared_ptr<uint8_t[]>(new uint8_t[size]);
        std::unique_ptr<uint8_t[]> buffer;
        {
            const std::lock_guard lock(mutex_);
            if (!spare_.empty()) {
                buffer = std::move(spare_.back());
                spare_.pop_back();
            }
        }
        if (!buffer) buffer.reset(new uint8_t[kSize]);
        return {buffer.release(), [pool = shared_from_this()](uint8_t *data) { pool->give(data); }};
    }

  private:
    static constexpr size_t kMost = 64; // 8 MiB

    void give(uint8_t *data) {
        std::unique_ptr<uint8_t[]> buffer(data);
        const std::lock_guard lock(mutex_);
        if (spare_.size() < kMost) spare_.push_back(std::move(buffer));
    }

    std::mutex mutex_; // guards spare_
    std::vector<std::unique_ptr<uint8_t[]>> spare_;
};

class Window {
  public:
    [[nodiscard]] const uint8_t *data() const noexcept { return buffer_.get() + begin_; }
    [[nodiscard]] size_t size() const noexcept { return end_ - begin_; }
    void drop(size_t count) noexcept { begin_ += std::min(count, size()); }
    // What keeps the bytes as they are that the window holds, or held since fill().
    [[nodiscard]] std::shared_ptr<const void> memory() const noexcept { return buffer_; }

    // Takes more from `bytes`, so that in the end `wanted` bytes find room: more than there are. Bytes that the window
    // held stay where they are only for who has memory().
    Take fill(ByteSource &bytes, size_t wanted) {
        const size_t left = size(), room = std::max(wanted, left + 1);
        // What is behind them may be filled while others hold the buffer; but not in small bits.
        if (begin_ + room > capacity_ || (begin_ > 0 && capacity_ - end_ < BufferPool::kSize / 2)) {
            capacity_ = std::max(BufferPool::kSize, room);
            auto fresh = pool_->take(capacity_);
            if (left) std::memcpy(fresh.get(), data(), left);
            buffer_ = std::move(fresh);
            begin_ = 0;
            end_ = left;
        }
        const Take take = bytes.read(buffer_.get() + end_, capacity_ - end_);
        end_ += take.size;
        return take;
    }

  private:
    std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
    std::shared_ptr<uint8_t[]> buffer_; // null until the first fill()
    size_t capacity_ = 0;               // of buffer_
    size_t begin_ = 0, end_ = 0;        // of what is not yet read
};

} // namespace aicore
