// SPDX-License-Identifier: Apache-2.0
#include "chlo.h"

namespace aicore::quic {

namespace {

constexpr uint32_t kChlo = 0x43484c4f, kSni = 0x534e4900, kAlpn = 0x414c504e; // "CHLO", "SNI\0", "ALPN"
constexpr size_t kMaxTags = 128;

uint32_t u32le(Bytes &in) {
    return __builtin_bswap32(in.u32());
}

} // namespace

bool read_chlo(Bytes message, Chlo &out) {
    const uint32_t kind = message.u32();
    const uint16_t count = __builtin_bswap16(message.u16());
    message.skip(2); // padding
    if (!message.ok() || kind != kChlo || count == 0 || count > kMaxTags) return false;
    Bytes tags = message.take(count * size_t{8});
    if (!message.ok()) return false;
    const Bytes values = message;
    uint32_t begin = 0;
    while (tags.left()) {
        const uint32_t tag = tags.u32(), end = u32le(tags);
        if (end < begin) return false;
        Bytes value = values;
        value.skip(begin);
        value = value.take(end - begin);
        const std::string_view text(reinterpret_cast<const char *>(value.data()), value.left());
        if (tag == kSni) out.server_name = text;
        if (tag == kAlpn) out.alpn = text;
        begin = end;
    }
    return true;
}

} // namespace aicore::quic
