// SPDX-License-Identifier: Apache-2.0
// From a captured frame to the innermost TCP or UDP packet. Never reads past RawPacket::captured, never allocates per
// packet, never throws. Engine thread only.
#pragma once

#include <memory>

#include "aicore/counters.h"
#include "aicore/packet.h"

namespace aicore {

struct DecodeOptions {
    bool vlan_in_key = true;
    bool tunnel_in_key = true;
    uint32_t max_fragments = 4096; // datagrams whose fragments are awaited at once, at least 1
};

class FragmentTable;

class Decoder {
  public:
    Decoder(const DecodeOptions &options, Counters &counters); // counters outlive the decoder
    ~Decoder();
    Decoder(const Decoder &) = delete;
    Decoder &operator=(const Decoder &) = delete;

    // True: `out` is a packet of a flow. False: not tracked, broken or of an unknown kind, and counted as such, or a
    // fragment that waits for the one that tells its flow.
    bool decode(const RawPacket &raw, Packet &out);

    // The next fragmented datagram that is not whole 30 s of packet time after its last fragment (INT64_MAX: at the end
    // of the input). True: its packets were counted, and `out` has what came of it from its begin on, for dissectors;
    // valid until the next call of either. False: none. What waits in vain for its flow becomes orphan_fragments.
    bool overdue(int64_t time, Packet &out);

    // For a packet that outlives the next call, of a fragment or of overdue(): what it points to, but the frame, lies
    // in the memory that is returned from then on.
    std::shared_ptr<const void> keep(Packet &packet) const;

    // Whether frames of this DLT_* can be decoded at all (asked once a source, to fail early with a clear error).
    static bool supports(int linktype);

  private:
    DecodeOptions options_;
    Counters &counters_;
    std::unique_ptr<FragmentTable> fragments_;
};

} // namespace aicore
