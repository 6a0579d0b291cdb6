// SPDX-License-Identifier: Apache-2.0
// Packets that one worker got from its socket and another one owns: fragments, and what lies in tunnels that the
// kernel's program does not look into. They are copied, as a capture ring's memory is soon used again.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "aicore/fanout.h"
#include "aicore/packet.h"

namespace aicore {

// From one worker to another, of one read().
struct Parcel {
    struct Handed {
        Packet packet;
        RawPacket raw;
    };
    std::vector<Handed> packets;
    std::vector<std::unique_ptr<uint8_t[]>> bytes; // of each
    std::vector<std::shared_ptr<const void>> held; // of fragments: see Decoder::keep()

    void add(Packet &packet, const RawPacket &raw, std::shared_ptr<const void> kept) {
        auto copy = std::make_unique<uint8_t[]>(raw.captured);
        std::memcpy(copy.get(), raw.data, raw.captured);
        Handed handed{packet, raw};
        handed.raw.data = copy.get();
        for (const uint8_t **at : {&handed.packet.ip, &handed.packet.transport, &handed.packet.payload})
            if (std::less_equal<>()(raw.data, *at) && std::less_equal<>()(*at, raw.data + raw.captured))
                *at = copy.get() + (*at - raw.data);
        packets.push_back(handed);
        bytes.push_back(std::move(copy));
        if (kept) held.push_back(std::move(kept));
    }
};

// Of all workers. Any thread.
class Exchange {
  public:
    explicit Exchange(std::shared_ptr<Fanout> fanout)
        : fanout_(std::move(fanout)), inboxes_(fanout_->workers()), gone_(fanout_->workers()),
          reading_(fanout_->workers()) {}

    [[nodiscard]] uint16_t owner(const FlowKey &key) const noexcept { return fanout_->owner(key); }
    [[nodiscard]] size_t workers() const noexcept { return inboxes_.size(); }

    // False: that worker has as many as may wait; whoever gives sees to its own before it tries again.
    bool give(size_t worker, Parcel &parcel) {
        const std::lock_guard lock(mutex_);
        if (gone_[worker]) {
            parcel = {};
            return true;
        }
        std::vector<Parcel> &inbox = inboxes_[worker];
        if (inbox.size() >= kParcels) return false;
        inbox.push_back(std::exchange(parcel, {}));
        return true;
    }
    std::vector<Parcel> take(size_t worker) {
        const std::lock_guard lock(mutex_);
        return std::exchange(inboxes_[worker], {});
    }

    // This worker reads no more, and takes what comes until all have said so.
    void end_reading() {
        const std::lock_guard lock(mutex_);
        --reading_;
        ended_.notify_all();
    }
    // It has failed and takes no more; `reading`: end_reading() was not called.
    void leave(size_t worker, bool reading) {
        const std::lock_guard lock(mutex_);
        gone_[worker] = true;
        inboxes_[worker].clear();
        if (reading) --reading_;
        ended_.notify_all();
    }
    // True once all have ended; false after some milliseconds.
    bool wait_for_end() {
        std::unique_lock lock(mutex_);
        return ended_.wait_for(lock, std::chrono::milliseconds(5), [&] { return reading_ == 0; });
    }

  private:
    static constexpr size_t kParcels = 64; // of at most some hundred packets each

    const std::shared_ptr<Fanout> fanout_;
    std::mutex mutex_; // guards what follows
    std::condition_variable ended_;
    std::vector<std::vector<Parcel>> inboxes_;
    std::vector<bool> gone_;
    size_t reading_; // workers
};

} // namespace aicore
