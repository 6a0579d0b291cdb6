// SPDX-License-Identifier: Apache-2.0
#include "hello.h"

#include <algorithm>
#include <cstring>

namespace aicore::tls {

namespace {

constexpr size_t kMaxRecord = 16384; // of plaintext (RFC 8446 section 5.1)
constexpr uint16_t kServerNameExtension = 0, kSignatureAlgorithms = 13, kAlpn = 16, kSupportedVersions = 43;

std::string_view text(Bytes bytes) {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.left()};
}

// RFC 7301: the first protocol of a list of them.
std::string_view first_alpn(Bytes extension) {
    Bytes list = extension.take(extension.u16());
    return text(list.take(list.u8()));
}

template <typename Extension> bool each_extension(Bytes &in, Extension extension) {
    if (!in.ok()) return false;
    if (in.left() == 0) return true; // none at all is legal up to TLS 1.2
    const size_t size = in.u16();
    const bool exact = in.left() == size;
    Bytes list = in.take_some(size);
    while (list.left()) {
        const uint16_t type = list.u16();
        const Bytes value = list.take(list.u16());
        if (!list.ok()) return false;
        extension(type, value);
    }
    return exact;
}

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

bool read_client_hello(Bytes body, ClientHello &out) {
    out.version = body.u16();
    body.skip(32);        // random
    body.skip(body.u8()); // session id
    Bytes ciphers = body.take(body.u16());
    while (ciphers.left() >= 2)
        out.ciphers.add(ciphers.u16());
    body.skip(body.u8()); // compression methods
    return each_extension(body, [&](uint16_t type, Bytes value) {
        out.extensions.add(type);
        switch (type) {
        case kServerNameExtension: { // RFC 6066 section 3
            out.has_server_name = true;
            Bytes list = value.take(value.u16());
            if (list.u8() == 0) out.server_name = text(list.take(list.u16()));
            break;
        }
        case kAlpn:
            out.alpn = first_alpn(value);
            break;
        case kSupportedVersions: {
            Codes<16> versions;
            Bytes list = value.take(value.u8());
            while (list.left() >= 2)
                versions.add(list.u16());
            for (size_t i = 0; i < versions.count; ++i)
                out.supported_version = std::max(out.supported_version, versions.value[i]);
            break;
        }
        case kSignatureAlgorithms: {
            Bytes list = value.take(value.u16());
            while (list.left() >= 2)
                out.signatures.add(list.u16());
            break;
        }
        default:
            break;
        }
    });
}

bool read_server_hello(Bytes body, ServerHello &out) {
    out.version = body.u16();
    body.skip(32);        // random
    body.skip(body.u8()); // session id
    body.skip(3);         // cipher suite, compression method
    return each_extension(body, [&](uint16_t type, Bytes value) {
        if (type == kSupportedVersions && value.left() == 2) out.version = value.u16();
        if (type == kAlpn) out.alpn = first_alpn(value);
    });
}

std::string_view version_text(uint16_t version) {
    switch (version) {
    case 0x0304:
        return "1.3";
    case 0x0303:
        return "1.2";
    case 0x0302:
        return "1.1";
    case 0x0301:
        return "1.0";
    case 0x0300:
        return "SSL 3.0";
    case 0x0002:
        return "SSL 2.0";
    default:
        return version >> 8 == 0x7f ? "1.3" : ""; // RFC 8446's drafts
    }
}

} // namespace aicore::tls
