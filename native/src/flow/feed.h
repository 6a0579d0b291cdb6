// SPDX-License-Identifier: Apache-2.0
// Reads a source and decodes its packets on a thread of its own, for several workers. A flow belongs to one of them,
// by the hash of its key; later fragments follow their datagram.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aicore/counters.h"
#include "aicore/decode.h"
#include "aicore/engine.h"
#include "aicore/flow_hash.h"
#include "block_ring.h"
#include "clocks.h"

namespace aicore {

class Feed {
  public:
    Feed(std::unique_ptr<Source> source, const EngineOptions &options, size_t workers);
    ~Feed(); // stop(), and joins the thread once the workers have left

    void start();
    void stop(); // any thread: end the input
    [[nodiscard]] BlockRing &ring() noexcept { return ring_; }
    [[nodiscard]] Source &source() noexcept { return *source_; } // its methods of any thread

    // Any thread. -----------------------------------------------------------------------------------------------------
    [[nodiscard]] Counters counters() const;
    [[nodiscard]] Progress progress() const; // without what workers know
    [[nodiscard]] std::string error() const;
    [[nodiscard]] std::vector<std::string> warnings();
    [[nodiscard]] std::vector<BrokenFile> broken_files();

  private:
    void run();
    ReadStatus fill(DecodedBlock &block);
    ReadStatus read(DecodedBlock &block, int wait_ms);
    void add(DecodedBlock &block, const RawPacket &raw);
    void add_copy(DecodedBlock &block, const RawPacket &raw);
    void add_overdue(DecodedBlock &block, int64_t time);
    void publish();

    const std::unique_ptr<Source> source_;
    const FlowHash hash_;
    const size_t workers_;
    // Own thread.
    Counters counting_;
    Decoder decoder_;
    PacketBlock raw_;
    Decoded decoded_{};
    SteadyTime steady_; // the reading thread's, as the next
    int64_t last_time_ = INT64_MIN;
    std::shared_ptr<std::vector<uint8_t>> copies_; // bytes of packets whose source has no blocks
    bool new_file_ = false;                        // the next block begins another file
    BlockRing ring_;
    std::atomic<bool> stopping_{false};

    mutable std::mutex mutex_; // guards what follows: written by the own thread, read by others
    Counters counters_;
    Progress progress_;
    std::string error_;
    std::vector<std::string> warnings_;
    std::vector<BrokenFile> broken_files_;
    std::thread thread_;
};

} // namespace aicore
