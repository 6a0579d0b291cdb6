// SPDX-License-Identifier: Apache-2.0
#include "packet.h"

#include <algorithm>
#include <cstring>

namespace aicore::ndpi {

namespace {

class Writer {
  public:
    explicit Writer(uint8_t *out) : begin_(out), out_(out) {}
    void u8(uint8_t v) { *out_++ = v; }
    void u16(uint32_t v) {
        u8(static_cast<uint8_t>(v >> 8));
        u8(static_cast<uint8_t>(v));
    }
    void u32(uint32_t v) {
        u16(v >> 16);
        u16(v & 0xffff);
    }
    void bytes(const uint8_t *data, size_t length) {
        if (length) std::memcpy(out_, data, length);
        out_ += length;
    }
    size_t written() const { return static_cast<size_t>(out_ - begin_); }

  private:
    uint8_t *begin_, *out_;
};

} // namespace

size_t make_packet(const aicore_flow &flow, bool reverse, const Segment &segment, const uint8_t *payload, size_t length,
                   uint8_t *out) {
    length = std::min(length, kMaxPayload);
    const bool tcp = flow.transport == AICORE_TCP;
    const auto carried = static_cast<uint32_t>((tcp ? 20 : 8) + length);
    const uint8_t *src = reverse ? flow.dst : flow.src, *dst = reverse ? flow.src : flow.dst;
    const uint8_t proto = tcp ? 6 : 17;
    Writer w(out);
    if (flow.ip_version == 4) { // RFC 791
        w.u8(0x45);
        w.u8(0);
        w.u16(20 + carried);
        w.u32(0x4000); // identification; not a fragment
        w.u8(64);
        w.u8(proto);
        w.u16(0); // checksum
        w.bytes(src, 4);
        w.bytes(dst, 4);
    } else { // RFC 8200
        w.u32(0x60000000);
        w.u16(carried);
        w.u8(proto);
        w.u8(64);
        w.bytes(src, 16);
        w.bytes(dst, 16);
    }
    w.u16(reverse ? flow.dst_port : flow.src_port);
    w.u16(reverse ? flow.src_port : flow.dst_port);
    if (tcp) { // RFC 9293
        w.u32(segment.seq);
        w.u32(segment.ack);
        w.u8(0x50);
        w.u8(segment.flags);
        w.u16(65535); // window
        w.u32(0);     // checksum, urgent pointer
    } else {
        w.u16(carried);
        w.u16(0); // checksum
    }
    w.bytes(payload, length);
    return w.written();
}

} // namespace aicore::ndpi
