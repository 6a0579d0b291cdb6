// SPDX-License-Identifier: Apache-2.0
#include "records.h"

#include <algorithm>
#include <cstring>

namespace aicore::tls {

namespace {

constexpr size_t kMaxRecord = 16384; // of plaintext (RFC 8446 section 5.1)

// The head of a record; false if it cannot be one of a handshake. Counts what is missing as fitting.
bool handshake_record(const uint8_t *data, size_t length, size_t &size) {
    if (length > 0 && data[0] != kHandshake) return false;
    if (length > 1 && data[1] != 3) return false;
    if (length > 2 && data[2] > 4) return false;
    if (length < 5) return true;
    size = static_cast<size_t>(data[3] << 8 | data[4]);
    return size >= 1 && size <= kMaxRecord;
}

Handshake assemble(const uint8_t *data, size_t length) {
    Handshake out{Handshake::State::start, 0, 0, {}};
    if (length == 0) return out;
    out.type = data[0];
    if (length < 4) return out;
    Bytes in(data + 1, length - 1);
    out.length = in.u24();
    out.body = in.take_some(out.length);
    out.state = in.ok() ? Handshake::State::whole : Handshake::State::part;
    return out;
}

} // namespace

Handshake read_handshake(const uint8_t *data, size_t length, Scratch &scratch) {
    size_t size = 0;
    if (!handshake_record(data, length, size)) return {Handshake::State::none, 0, 0, {}};
    if (length <= 5) return {Handshake::State::start, 0, 0, {}};
    const Handshake single = assemble(data + 5, std::min(size, length - 5));
    if (single.state == Handshake::State::whole || length - 5 <= size) return single;
    size_t used = 0; // the message goes on in the next record
    for (size_t at = 0; at < length && used < scratch.size();) {
        if (!handshake_record(data + at, length - at, size)) return {Handshake::State::none, 0, 0, {}};
        if (length - at <= 5) break;
        at += 5;
        const size_t part = std::min({size, length - at, scratch.size() - used});
        std::memcpy(scratch.data() + used, data + at, part);
        used += part;
        at += size;
        const Handshake joined = assemble(scratch.data(), used);
        if (joined.state == Handshake::State::whole) return joined; // what follows need not be a handshake
    }
    return assemble(scratch.data(), used);
}

} // namespace aicore::tls
