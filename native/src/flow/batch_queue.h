// SPDX-License-Identifier: Apache-2.0
// The one place where engine threads and their reader meet: whole batches, in the order in which they were handed over,
// bounded for each engine.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "aicore/batch.h"

namespace aicore {

// Of all engines of a run. One lock: batches are few.
class BatchQueues {
  public:
    BatchQueues(size_t engines, size_t capacity) : capacity_(capacity), lanes_(engines) {}

    // Reader, any one thread. Null after the time, or when nothing will come any more.
    std::unique_ptr<Batch> pop(int timeout_ms) {
        std::unique_lock lock(mutex_);
        ready_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                        [&] { return closed_ || !batches_.empty() || all_finished(); });
        if (batches_.empty()) return nullptr;
        auto batch = std::move(batches_.front());
        batches_.pop_front();
        Lane &lane = lanes_[batch->engine];
        --lane.waiting;
        lane.room.notify_one();
        return batch;
    }
    void close() { // the reader wants no more
        const std::lock_guard lock(mutex_);
        closed_ = true;
        for (Lane &lane : lanes_)
            lane.room.notify_all();
        ready_.notify_all();
    }
    bool drained() const {
        const std::lock_guard lock(mutex_);
        return batches_.empty() && all_finished();
    }
    uint64_t handed_over() const { // batches, by all engines
        const std::lock_guard lock(mutex_);
        return handed_over_;
    }

  private:
    friend class BatchQueue;
    struct Lane {
        std::condition_variable room;
        size_t waiting = 0; // batches of this engine
        bool finished = false;
    };
    bool all_finished() const {
        return std::all_of(lanes_.begin(), lanes_.end(), [](const Lane &lane) { return lane.finished; });
    }

    const size_t capacity_;    // batches of one engine
    mutable std::mutex mutex_; // guards all below
    std::condition_variable ready_;
    std::vector<Lane> lanes_;
    std::deque<std::unique_ptr<Batch>> batches_; // of all engines
    uint64_t handed_over_ = 0;
    bool closed_ = false;
};

// An engine's way into it. Engine thread, unless it says otherwise.
class BatchQueue {
  public:
    BatchQueue(std::shared_ptr<BatchQueues> queues, uint16_t engine)
        : queues_(std::move(queues)), lane_(queues_->lanes_[engine]), engine_(engine) {}

    // Waits for room if asked to. False: no room, or closed; the batch stays the caller's.
    bool push(std::unique_ptr<Batch> &batch, bool wait) {
        std::unique_lock lock(queues_->mutex_);
        if (wait) lane_.room.wait(lock, [&] { return queues_->closed_ || lane_.waiting < queues_->capacity_; });
        if (queues_->closed_ || lane_.waiting >= queues_->capacity_) return false;
        batch->engine = engine_;
        queues_->batches_.push_back(std::move(batch));
        ++queues_->handed_over_;
        ++lane_.waiting;
        queues_->ready_.notify_one();
        return true;
    }
    bool half_full() const {
        const std::lock_guard lock(queues_->mutex_);
        return lane_.waiting * 2 >= queues_->capacity_;
    }
    bool empty() const {
        const std::lock_guard lock(queues_->mutex_);
        return lane_.waiting == 0;
    }
    bool closed() const {
        const std::lock_guard lock(queues_->mutex_);
        return queues_->closed_;
    }
    void finish() { // the last batch was pushed; any thread
        const std::lock_guard lock(queues_->mutex_);
        lane_.finished = true;
        queues_->ready_.notify_all();
    }

  private:
    const std::shared_ptr<BatchQueues> queues_;
    BatchQueues::Lane &lane_; // guarded by the queues' mutex
    const uint16_t engine_;
};

} // namespace aicore
