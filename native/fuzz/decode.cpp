// SPDX-License-Identifier: Apache-2.0
// One frame: link type, bytes that the capture lacks, then the frame. What decoding makes of it lies inside of it.
#include "aicore/decode.h"
#include "input.h"
#include "links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    using namespace aicore;
    Bytes in(data, size);
    const int link = fuzz::link(in.u8());
    const uint8_t options = in.u8(), missing = in.u8();
    if (!in.ok()) return 0;
    static Counters counters;
    static Decoder decoders[] = {{{.vlan_in_key = false, .tunnel_in_key = false, .max_fragments = 4}, counters},
                                 {{.vlan_in_key = true, .max_fragments = 4}, counters}};
    const auto captured = static_cast<uint32_t>(in.left());
    Packet packet;
    if (!decoders[options & 1].decode({in.data(), captured, captured + missing, 1, link}, packet)) return 0;
    fuzz::touch(&packet.key, sizeof packet.key);
    fuzz::require(packet.key.proto == kProtoTcp || packet.key.proto == kProtoUdp, "a packet is TCP or UDP");
    fuzz::require(packet.key.version == 4 || packet.key.version == 6, "a packet is IPv4 or IPv6");
    fuzz::require(packet.transport == nullptr || packet.payload_bytes >= packet.payload_length,
                  "no more is captured than was on the wire");
    if (packet.fragment) {
        if (const Packet *whole = packet.fragment->whole) fuzz::touch(whole->payload, whole->payload_length);
        return 0;
    }
    if (packet.payload_length == 0) return 0;
    fuzz::require(packet.payload >= in.data() && packet.payload + packet.payload_length <= in.data() + captured,
                  "the payload lies in the frame");
    return 0;
}
