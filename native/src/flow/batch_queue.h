// SPDX-License-Identifier: Apache-2.0
// The one place where the engine thread and its reader meet: whole batches, in order, bounded.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "aicore/batch.h"

namespace aicore {

class BatchQueue {
  public:
    explicit BatchQueue(size_t capacity) : capacity_(capacity) {}

    // Engine thread. Waits for room if asked to. False: no room, or closed; the batch stays the caller's.
    bool push(std::unique_ptr<Batch> &batch, bool wait) {
        std::unique_lock lock(mutex_);
        if (wait) room_.wait(lock, [&] { return closed_ || batches_.size() < capacity_; });
        if (closed_ || batches_.size() >= capacity_) return false;
        batches_.push_back(std::move(batch));
        ready_.notify_one();
        return true;
    }
    // Reader, any one thread. Null after the time, or when nothing will come any more.
    std::unique_ptr<Batch> pop(int timeout_ms) {
        std::unique_lock lock(mutex_);
        ready_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                        [&] { return closed_ || finished_ || !batches_.empty(); });
        if (batches_.empty()) return nullptr;
        auto batch = std::move(batches_.front());
        batches_.pop_front();
        room_.notify_one();
        return batch;
    }
    bool half_full() const {
        const std::lock_guard lock(mutex_);
        return batches_.size() * 2 >= capacity_;
    }
    bool empty() const {
        const std::lock_guard lock(mutex_);
        return batches_.empty();
    }
    void finish() { // the engine thread has pushed its last batch
        const std::lock_guard lock(mutex_);
        finished_ = true;
        ready_.notify_all();
    }
    void close() { // the reader wants no more
        const std::lock_guard lock(mutex_);
        closed_ = true;
        room_.notify_all();
        ready_.notify_all();
    }
    bool closed() const {
        const std::lock_guard lock(mutex_);
        return closed_;
    }
    bool drained() const {
        const std::lock_guard lock(mutex_);
        return finished_ && batches_.empty();
    }

  private:
    const size_t capacity_;
    mutable std::mutex mutex_; // guards all below
    std::condition_variable room_, ready_;
    std::deque<std::unique_ptr<Batch>> batches_;
    bool finished_ = false, closed_ = false;
};

} // namespace aicore
