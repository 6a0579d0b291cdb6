// SPDX-License-Identifier: Apache-2.0
#include "gquic.h"

#include <cstring>
#include <string_view>

#include "version.h"

namespace aicore::quic {

namespace {

__extension__ using Wide = unsigned __int128; // GCC and Clang

constexpr size_t kHash = 12;

// FNV-1a of 128 bits.
Wide fnv1a(Wide hash, const uint8_t *data, size_t length) {
    constexpr Wide kPrime = (Wide{1} << 88) + 0x13b;
    for (size_t i = 0; i < length; ++i)
        hash = (hash ^ data[i]) * kPrime;
    return hash;
}

// The hash stands between header and frames: its low 96 bits, least significant byte first. Later versions mix the
// sender's side in.
bool hash_fits(const uint8_t *data, size_t header, size_t length) {
    constexpr Wide kStart = Wide{0x6c62272e07bb0142} << 64 | 0x62b821756295c58d;
    static constexpr std::string_view kClient = "Client";
    uint8_t want[kHash], want_sided[kHash];
    const uint8_t *frames = data + header + kHash;
    const Wide hash = fnv1a(fnv1a(kStart, data, header), frames, length - header - kHash);
    const Wide sided = fnv1a(hash, reinterpret_cast<const uint8_t *>(kClient.data()), kClient.size());
    for (size_t i = 0; i < kHash; ++i) {
        want[i] = static_cast<uint8_t>(hash >> (8 * i));
        want_sided[i] = static_cast<uint8_t>(sided >> (8 * i));
    }
    return std::memcmp(data + header, want, kHash) == 0 || std::memcmp(data + header, want_sided, kHash) == 0;
}

// The length of the header of a client's packet, 0 if it is none.
size_t header_length(const uint8_t *data, size_t length, uint32_t &version) {
    Bytes in(data, length);
    const uint8_t flags = in.u8();
    if (flags & 0x80) { // long header: version, lengths of the connection ids, the server's, packet number
        version = in.u32();
        if (version != kQ046 || (flags & 0x70) != 0x40 || in.u8() != 0x50) return 0;
        return 1 + 4 + 1 + 8 + (flags & 3u) + 1;
    }
    static constexpr uint8_t kNumberBytes[] = {1, 2, 4, 6};
    if ((flags & 0x09) != 0x09) return 0; // version and connection id
    in.skip(8);
    version = in.u32();
    const uint32_t number = google_number(version);
    return number >= 24 && number <= 43 ? 1 + 8 + 4 + kNumberBytes[flags >> 4 & 3] : 0;
}

} // namespace

bool open_clear(const uint8_t *data, size_t length, uint32_t &version, Bytes &frames) {
    size_t header = header_length(data, length, version);
    if (header == 0 || length <= header + kHash || !hash_fits(data, header, length)) return false;
    header += kHash;
    if (google_number(version) < 34) ++header; // private flags
    frames = {data + header, length - header};
    return true;
}

Bytes handshake_stream(uint32_t version, Bytes frames) {
    while (frames.left()) {
        const uint8_t type = frames.u8();
        if (type == 7) continue;   // PING
        if (!(type & 0x80)) break; // PADDING to the end, or a frame before which no handshake was
        const size_t offset = type >> 2 & 7;
        uint32_t stream = 0;
        for (size_t i = 0; i < (type & 3u) + 1; ++i) // byte order differs by version; 1 in either is the handshake
            stream |= frames.u8();
        frames.skip(offset ? offset + 1 : 0);
        const bool sized = type & 0x20;
        const bool little = google_number(version) < 39;
        const uint16_t size = !sized ? 0 : little ? frames.u16le() : frames.u16();
        const Bytes data = sized ? frames.take_some(size) : frames;
        if (stream == 1) return data;
        if (!sized) break;
    }
    return {};
}

} // namespace aicore::quic
