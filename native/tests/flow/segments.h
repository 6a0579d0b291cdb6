// SPDX-License-Identifier: Apache-2.0
// TCP connections segment by segment, for the tests of streams.
#pragma once

#include <cstdint>
#include <string_view>

#include "packets.h"

namespace aicore::test {

inline const Endpoints kEnds;

// A connection whose client starts at `isn`; segments are given by their offset in the stream.
struct Segments {
    Frames frames;
    uint32_t isn;
    double t = 1;
    explicit Segments(uint32_t first = 1000) : isn(first) {
        frames.push_back(tcp_frame(0, kEnds, kSyn, isn, 0));
        frames.push_back(tcp_frame(0, kEnds.back(), kSyn | kAck, 7000, isn + 1));
        frames.push_back(tcp_frame(0, kEnds, kAck, isn + 1, 7001));
    }
    Segments &send(uint32_t offset, std::string_view data, uint8_t flags = kAck | kPsh) {
        frames.push_back(tcp_frame(t, kEnds, flags, isn + 1 + offset, 7001, data));
        t += 0.001;
        return *this;
    }
    Segments &cut_short(uint32_t offset, std::string_view data, size_t captured) {
        send(offset, data);
        Frame &f = frames.back();
        f.wire = static_cast<uint32_t>(f.bytes.size());
        f.bytes.resize(f.bytes.size() - data.size() + captured);
        return *this;
    }
    Segments &back(uint32_t offset, std::string_view data) {
        frames.push_back(tcp_frame(t, kEnds.back(), kAck | kPsh, 7001 + offset, isn + 1, data));
        t += 0.001;
        return *this;
    }
    Segments &ack(uint32_t offset) {
        frames.push_back(tcp_frame(t, kEnds.back(), kAck, 7001, isn + 1 + offset));
        t += 0.001;
        return *this;
    }
};

} // namespace aicore::test
