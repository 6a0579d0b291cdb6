// SPDX-License-Identifier: Apache-2.0
// What a TCP flow holds only while its segments are not all in order: holes, segments from outside the window, and
// handshakes that may belong to the next connection of its endpoints. Pooled, engine thread only.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "aicore/packet.h"

namespace aicore {

// Sequence numbers that were passed over and not seen yet, the latest four ranges of a direction.
class Holes {
  public:
    void add(uint32_t begin, uint32_t end) {
        if (count_ == kMost) { // the oldest will hardly be filled any more
            std::memmove(ranges_, ranges_ + 1, sizeof ranges_ - sizeof *ranges_);
            --count_;
        }
        ranges_[count_++] = {begin, end};
    }
    // True if something of [begin, end) was in a hole, and is not any more.
    bool fill(uint32_t begin, uint32_t end) {
        bool filled = false;
        for (unsigned i = 0; i < count_;) {
            Range &r = ranges_[i];
            const bool before = before_(r.begin, begin), behind = before_(end, r.end);
            if (!before_(begin, r.end) || !before_(r.begin, end)) {
                ++i;
                continue;
            }
            filled = true;
            if (before && behind) {
                const uint32_t last = r.end;
                r.end = begin;
                if (count_ < kMost) ranges_[count_++] = {end, last};
                return true;
            }
            if (before) {
                ranges_[i++].end = begin;
            } else if (behind) {
                ranges_[i++].begin = end;
            } else {
                std::memmove(&r, &r + 1, (count_ - i - 1) * sizeof r);
                --count_;
            }
        }
        return filled;
    }
    void clear() { count_ = 0; }

  private:
    static bool before_(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }
    struct Range {
        uint32_t begin, end;
    };
    static constexpr unsigned kMost = 4;
    Range ranges_[kMost];
    unsigned count_ = 0;
};

// A packet that waits until it is known which flow it belongs to, with a copy of its bytes.
struct HeldPacket {
    Packet packet;
    RawPacket raw;
    std::vector<uint8_t> bytes;

    static constexpr uint32_t kMostBytes = 2048; // SYNs are short
    // False: it is too long, or not all of it lies in the frame.
    bool keep(const Packet &p, const RawPacket &r) {
        const auto inside = [&](const uint8_t *at) { return at >= r.data && at <= r.data + r.captured; };
        if (r.captured > kMostBytes || !inside(p.ip) || !inside(p.transport) || !inside(p.payload)) return false;
        bytes.assign(r.data, r.data + r.captured);
        packet = p;
        raw = r;
        raw.data = bytes.data();
        packet.ip = raw.data + (p.ip - r.data);
        packet.transport = raw.data + (p.transport - r.data);
        packet.payload = raw.data + (p.payload - r.data);
        return true;
    }
};

struct Doubts {
    Holes holes[2]; // by direction, as the next two
    // Segments outside the window that came in a row, and where the last one ended.
    uint32_t strays[2] = {}, stray_end[2] = {};
    std::vector<HeldPacket> held; // in order of arrival: SYNs of one number, or SYN+ACKs of one
};

class DoubtsPool {
  public:
    uint32_t take() {
        if (free_.empty()) {
            blocks_.emplace_back();
            return static_cast<uint32_t>(blocks_.size() - 1);
        }
        const uint32_t i = free_.back();
        free_.pop_back();
        return i;
    }
    void give(uint32_t i) {
        blocks_[i] = Doubts{};
        free_.push_back(i);
    }
    Doubts &operator[](uint32_t i) { return blocks_[i]; }

  private:
    std::deque<Doubts> blocks_; // addresses stay valid while it grows; at most one for each flow of the table
    std::vector<uint32_t> free_;
};

} // namespace aicore
