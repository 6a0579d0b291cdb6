// SPDX-License-Identifier: Apache-2.0
// ClientHellos that come in several pieces, in any order. A hello with a post-quantum key share is larger than the
// state that the core keeps for a flow, so the pieces lie in a pool: one an engine thread, of kSlots hellos, about 2.3
// MiB once all were used. A flow's state holds a claim to a slot. When no slot is free the oldest claim loses its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "aicore/bytes.h"

namespace aicore::quic {

constexpr size_t kMaxHello = 8192; // bytes; with two post-quantum key shares a hello has 4 KiB
constexpr uint16_t kSlots = 256;

struct Claim {
    uint64_t ticket; // 0: none
    uint16_t slot;
};

class Hello {
  public:
    void clear() {
        known_.fill(0);
        prefix_ = 0;
    }
    void put(size_t offset, Bytes piece);              // false bytes of a copy change nothing: the first ones stay
    Bytes prefix() const { return {bytes_, prefix_}; } // what is there without a hole

  private:
    std::array<uint64_t, kMaxHello / 64> known_;
    size_t prefix_;
    uint8_t bytes_[kMaxHello];
};

class Hellos {
  public:
    static Hellos &of_this_thread();

    // The hello of the claim, a new one for an empty claim; nullptr if it was lost or there is no memory.
    Hello *find(Claim &claim);
    void give(Claim &claim);

  private:
    Hellos();

    std::unique_ptr<Hello[]> hellos_; // not initialised: pages come with their first use
    std::array<uint64_t, kSlots> tickets_{};
    std::array<uint16_t, kSlots> free_;
    uint16_t free_count_ = kSlots;
    uint64_t next_ticket_ = 1;
};

} // namespace aicore::quic
