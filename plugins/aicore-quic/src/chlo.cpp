// SPDX-License-Identifier: Apache-2.0
#include "chlo.h"

namespace aicore::quic {

namespace {

constexpr uint32_t kChlo = 0x43484c4f, kSni = 0x534e4900, kAlpn = 0x414c504e; // "CHLO", "SNI\0", "ALPN"
constexpr size_t kMaxTags = 128;

} // namespace

bool read_chlo(Bytes message, Chlo &out) {
    const uint32_t kind = message.u32();
    const uint16_t count = message.u16le();
    message.skip(2); // padding
    if (!message.ok() || kind != kChlo || count == 0 || count > kMaxTags) return false;
    Bytes tags = message.take(count * size_t{8});
    if (!message.ok()) return false;
    const Bytes values = message;
    uint32_t begin = 0;
    while (tags.left()) {
        const uint32_t tag = tags.u32(), end = tags.u32le();
        if (end < begin) return false;
        Bytes value = values;
        value.skip(begin);
        value = value.take(end - begin);
        if (tag == kSni) out.server_name = text(value);
        if (tag == kAlpn) out.alpn = text(value);
        begin = end;
    }
    return true;
}

} // namespace aicore::quic
