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
    uint32_t max_fragments = 4096; // datagrams whose fragments are awaited at once
};

class FragmentTable;

class Decoder {
  public:
    Decoder(const DecodeOptions &options, Counters &counters); // counters outlive the decoder
    ~Decoder();
    Decoder(const Decoder &) = delete;
    Decoder &operator=(const Decoder &) = delete;

    // True: `out` is a packet of a flow. False: not tracked, broken or of an unknown kind, and counted as such.
    bool decode(const RawPacket &raw, Packet &out);

    // Whether frames of this DLT_* can be decoded at all (asked once a source, to fail early with a clear error).
    static bool supports(int linktype);

  private:
    DecodeOptions options_;
    Counters &counters_;
    std::unique_ptr<FragmentTable> fragments_;
};

} // namespace aicore
