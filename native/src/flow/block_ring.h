// SPDX-License-Identifier: Apache-2.0
// Where the thread that reads and decodes meets the workers: blocks of decoded packets, in order, bounded.
//
// Every worker gets every block. It takes the packets that it owns, and of the others their times alone: so its clock
// is that of one worker that has all packets.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "aicore/engine.h"
#include "tracker.h"

namespace aicore {

struct DecodedBlock {
    static constexpr size_t kPackets = 512; // a handful of times a block is handed over is what a packet pays of it

    explicit DecodedBlock(size_t workers) : own(workers), overdue(workers) {}

    size_t count = 0;
    bool new_file = false;        // its first packet begins another file
    std::vector<EndedFile> ended; // files that end behind it
    // Of each packet. Apart from what its owner needs of it, as every worker reads them.
    std::array<int64_t, kPackets> times;
    std::array<uint16_t, kPackets> owners;
    std::array<RawPacket, kPackets> raws;
    std::vector<std::vector<Decoded>> own;          // by worker, in order; the worker's to change
    std::vector<std::vector<Packet>> overdue;       // of Decoder::overdue(), by worker: behind all others
    std::vector<std::shared_ptr<const void>> holds; // what the packets' bytes lie in

    [[nodiscard]] bool full() const noexcept { return count == kPackets; }
    [[nodiscard]] bool empty() const noexcept {
        return count == 0 && !new_file && ended.empty() &&
               std::all_of(overdue.begin(), overdue.end(), [](const auto &packets) { return packets.empty(); });
    }
    void clear() {
        count = 0;
        new_file = false;
        ended.clear();
        for (auto &packets : own)
            packets.clear();
        for (auto &packets : overdue)
            packets.clear();
    }
};

class BlockRing {
  public:
    explicit BlockRing(size_t workers) : left_(workers), next_(workers, 0), gone_(workers, false) {
        for (Slot &slot : slots_)
            slot.block = std::make_unique<DecodedBlock>(workers);
    }

    // The reader's side, one thread. --------------------------------------------------------------------------------

    // An empty block, once there is one; null: no worker is left. The same until publish().
    DecodedBlock *free() {
        std::unique_lock lock(mutex_);
        freed_.wait(lock, [&] { return left_ == 0 || slots_[published_ % kBlocks].pending == 0; });
        return left_ == 0 ? nullptr : slots_[published_ % kBlocks].block.get();
    }
    void publish() {
        const std::lock_guard lock(mutex_);
        slots_[published_ % kBlocks].pending = left_;
        ++published_;
        ready_.notify_all();
    }
    void end() { // nothing more is published
        const std::lock_guard lock(mutex_);
        ended_ = true;
        ready_.notify_all();
    }

    // A worker's side, one thread each. -----------------------------------------------------------------------------

    // The next block; null: none within the time, or ended(). The same until release().
    DecodedBlock *next(size_t worker, int wait_ms) {
        std::unique_lock lock(mutex_);
        ready_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return ended_ || next_[worker] < published_; });
        return next_[worker] < published_ ? slots_[next_[worker] % kBlocks].block.get() : nullptr;
    }
    bool ended(size_t worker) const {
        const std::lock_guard lock(mutex_);
        return ended_ && next_[worker] == published_;
    }
    // `batches`: handed over by now, with those that the block has led to; `clock`: packet time behind it.
    void release(size_t worker, uint64_t batches, int64_t clock) {
        std::vector<std::shared_ptr<const void>> holds; // destroyed without the lock
        const std::lock_guard lock(mutex_);
        Slot &slot = slots_[next_[worker] % kBlocks];
        slot.batches = std::max(slot.batches, batches);
        slot.clock = clock;
        release(next_[worker]++, holds);
    }
    void leave(size_t worker) { // takes no more; again is nothing
        std::vector<std::shared_ptr<const void>> holds;
        const std::lock_guard lock(mutex_);
        if (gone_[worker]) return;
        gone_[worker] = true;
        --left_;
        while (next_[worker] < published_)
            release(next_[worker]++, holds);
        freed_.notify_one();
    }

    std::vector<FinishedFile> finished_files() { // since the last call, in order; any thread
        const std::lock_guard lock(mutex_);
        return std::exchange(finished_, {});
    }

  private:
    static constexpr size_t kBlocks = 4; // with eight the packets left the caches: 7 % more CPU time
    struct Slot {
        std::unique_ptr<DecodedBlock> block;
        size_t pending = 0; // workers that have not released it
        uint64_t batches = 0;
        int64_t clock = 0;
    };

    void release(uint64_t number, std::vector<std::shared_ptr<const void>> &holds) {
        Slot &slot = slots_[number % kBlocks];
        if (--slot.pending > 0) return;
        DecodedBlock &block = *slot.block;
        for (EndedFile &file : block.ended) // in order, as each worker releases in order
            finished_.push_back({std::move(file.path), slot.batches, slot.clock});
        block.clear();
        for (auto &hold : block.holds)
            holds.push_back(std::move(hold));
        block.holds.clear();
        freed_.notify_one();
    }

    mutable std::mutex mutex_; // guards what follows, but not the blocks
    std::condition_variable freed_, ready_;
    std::array<Slot, kBlocks> slots_; // a block is the reader's while it is free, then read by the workers
    uint64_t published_ = 0;          // blocks, ever
    size_t left_;                     // workers
    std::vector<uint64_t> next_;      // number of the block that comes next, by worker
    std::vector<bool> gone_;
    std::vector<FinishedFile> finished_;
    bool ended_ = false;
};

} // namespace aicore
