// SPDX-License-Identifier: Apache-2.0
// The clock of a capture: the highest time stamp seen, unless that is far from all others. Engine thread only.
//
// A time stamp more than 300 s from the clock is either broken or the capture paused, was stitched together, or its
// sensor's clock was set. One packet cannot tell, so the clock waits until 128 packets in a row agree; at the beginning
// of a file, where hours may lie between it and the one before, until two do. Flows do not wait for it: whether a
// packet is too far from its own flow's packets is seen from their times alone.
#pragma once

#include <algorithm>
#include <cstdint>

namespace aicore {

class PacketClock {
  public:
    static constexpr int64_t kFar = 300'000'000'000;
    static constexpr uint32_t kHalf = 64; // half of the packets in a row that move the clock

    enum class Step : uint8_t {
        near,      // the clock is at this packet, or was
        back,      // the same, and the packet is older than the clock
        far,       // not believed
        moved,     // believed: enough packets agree
        restarted, // the same at the beginning of a file that is older than what was read before it
    };

    // `idle`: a file that begins more than this before the clock is of another time.
    explicit PacketClock(int64_t idle) : idle_(idle) {}

    void begin_file() {
        last_start_ = start_;
        fresh_ = first_ = unsettled_ = true;
    }
    // Behind `restarted`: that file and the one before it are of one time.
    [[nodiscard]] bool overlaps() const noexcept { return last_start_ <= start_ && last_start_ != INT64_MIN; }
    [[nodiscard]] int64_t now() const noexcept { return now_; }
    void set(int64_t time) { now_ = time; }
    // Where it would be if what two or more packets in a row said was believed, at the end of the input.
    [[nodiscard]] int64_t latest() const noexcept {
        return ahead_ && count_ + (halves_ ? kHalf : 0) >= 2 ? std::max(now_, agreed()) : now_;
    }

    Step see(int64_t time) {
        if (time >= now_ && distance(now_, time) <= kFar) [[likely]] { // the common case
            now_ = time;
            if (unsettled_) settle(time);
            return Step::near;
        }
        return unusual(time);
    }

  private:
    static uint64_t distance(int64_t low, int64_t high) {
        return static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    }
    void forget() {
        count_ = 0;
        halves_ = far_ = false;
    }
    void settle(int64_t time) {
        if (first_) start_ = time;
        forget();
        fresh_ = first_ = unsettled_ = false;
    }
    // What all of the last packets say at least: the lowest of those ahead, the highest of those behind.
    int64_t agreed() const {
        if (!halves_) return half_;
        if (count_ == 0) return last_half_;
        return ahead_ ? std::min(half_, last_half_) : std::max(half_, last_half_);
    }

    Step unusual(int64_t time) {
        if (now_ == INT64_MIN) {
            now_ = start_ = time;
            first_ = false; // and fresh_ stays: this one may be broken, too
            return Step::near;
        }
        const bool ahead = time > now_;
        const auto limit = static_cast<uint64_t>(!ahead && fresh_ ? idle_ : kFar);
        if ((ahead ? distance(now_, time) : distance(time, now_)) <= limit) {
            settle(time);
            now_ = std::max(now_, time);
            return ahead ? Step::near : Step::back;
        }
        if (first_) start_ = time;
        if (far_ && ahead != ahead_) forget();
        far_ = unsettled_ = true;
        ahead_ = ahead;
        half_ = count_ == 0 ? time : ahead ? std::min(half_, time) : std::max(half_, time);
        ++count_;
        if (fresh_ && count_ == 2) {
            now_ = half_;
            settle(time);
            return ahead ? Step::moved : Step::restarted;
        }
        const bool first = first_;
        first_ = false;
        if (count_ < kHalf) return first ? Step::near : Step::far;
        const bool moves = halves_;
        if (moves) now_ = agreed();
        last_half_ = half_;
        count_ = 0;
        halves_ = true;
        return moves ? Step::moved : Step::far;
    }

    const int64_t idle_;
    int64_t now_ = INT64_MIN;
    int64_t half_ = 0, last_half_ = 0; // lowest (ahead) or highest (behind) of the packets of each half
    uint32_t count_ = 0;               // in half_
    bool halves_ = false;              // last_half_ is of kHalf packets
    bool far_ = false, ahead_ = false; // packets far from the clock come, and on which side
    bool fresh_ = true;                // no packet of this file has agreed with the clock or another one
    bool first_ = true;                // none of this file was seen
    bool unsettled_ = true;            // far_, fresh_ or first_
    int64_t start_ = INT64_MIN, last_start_ = INT64_MIN; // first packet of this file and of the one before it
};

} // namespace aicore
