// SPDX-License-Identifier: Apache-2.0
// Packets of a capture file with the memory that their bytes lie in: what a reader of files hands over, to the engine
// on its own thread or to another one.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "aicore/packet.h"

namespace aicore {

// Whoever made a block owns it; a source fills it (Source::read_block) and keeps no reference to it. A block may move
// to another thread with its packets.
//
// The packets' bytes stay as they are while any copy of `memory` lives. Who passes some of the packets on passes a copy
// with them. The last copy to go, on whatever thread, gives the buffer (128 KiB, hundreds of packets) back to the
// capture that was read, or frees it if that is gone. A reader whose buffers are all held takes another one, so whoever
// keeps blocks in a queue has to bound it.
struct PacketBlock {
    static constexpr size_t kMost = 128;

    std::array<RawPacket, kMost> packets; // those below `size`, in the order of the capture, all of one file
    size_t size = 0;
    std::shared_ptr<const void> memory; // null: it has no owner that could go, as constants of tests

    [[nodiscard]] bool full() const noexcept { return size == kMost; }
    [[nodiscard]] std::span<const RawPacket> all() const noexcept { return {packets.data(), size}; }
    void add(const RawPacket &packet) noexcept { packets[size++] = packet; } // unless full()
    void clear() noexcept {
        size = 0;
        memory.reset();
    }
};

} // namespace aicore
