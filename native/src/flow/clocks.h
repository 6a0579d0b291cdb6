// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace aicore {

inline int64_t monotonic_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

inline int64_t wall_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// Packet time for timeouts, asked for now and then: a time far from the one before is believed when the next one says
// the same, so that one broken timestamp ends nothing.
class SteadyTime {
  public:
    int64_t operator()(int64_t time) {
        constexpr uint64_t kMaxStep = 300'000'000'000;
        const uint64_t step = time > last_ ? static_cast<uint64_t>(time) - static_cast<uint64_t>(last_)
                                           : static_cast<uint64_t>(last_) - static_cast<uint64_t>(time);
        if (step <= kMaxStep) now_ = time;
        last_ = time;
        return now_;
    }

  private:
    int64_t last_ = INT64_MIN, now_ = INT64_MIN;
};

} // namespace aicore
