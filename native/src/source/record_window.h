// SPDX-License-Identifier: Apache-2.0
// The records of a pcap file (draft-ietf-opsawg-pcap, section 5) through a window on it. Engine thread only.
//
// Why beside libpcap, which opens the file and reads every other kind: libpcap copies each packet into its one buffer,
// 110 ns a packet against 60 here, and so nobody can look at the next packet while the last one's memory is fetched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aicore/packet.h"

namespace aicore {

class RecordWindow {
  public:
    // `fd` stays the caller's; `offset` is behind the file header.
    RecordWindow(int fd, uint64_t offset, bool swapped, bool nanoseconds);

    enum class Result { ok, end, truncated, damaged, failed }; // failed: errno says why

    // The next packet, linktype not set. Packets stay valid until refill().
    bool next(RawPacket &packet);
    Result refill(); // after next() gave none: ok if there is more
    uint64_t taken() const { return offset_; }

  private:
    uint32_t word(size_t at) const;

    int fd_;
    uint64_t offset_; // of the next read
    bool swapped_;
    int64_t fraction_; // nanoseconds a unit of the record's second word
    std::vector<uint8_t> window_;
    size_t begin_ = 0, end_ = 0;
    bool too_long_ = false;
};

} // namespace aicore
