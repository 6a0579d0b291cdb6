// SPDX-License-Identifier: Apache-2.0
// ClientHello and ServerHello of TLS (RFC 8446 section 4.1, RFC 5246 section 7.4.1) and DTLS (RFC 9147 section 5.3, RFC
// 6347 section 4.2.1), and JA4, the fingerprint of a client (FoxIO's public specification, technical_details/JA4.md;
// the method itself is under the BSD 3-Clause licence, unlike the rest of JA4+). Header-only. Bodies of handshake
// messages go in, behind type and length; who carries them (TCP records, QUIC's CRYPTO frames, datagrams) takes them
// out. Results point into the input; nothing is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "aicore/bytes.h"
#include "aicore/digest.h"

namespace aicore::tls {

enum RecordType : uint8_t { kChangeCipherSpec = 20, kAlert = 21, kHandshake = 22, kApplicationData = 23 };
enum HandshakeType : uint8_t { kClientHello = 1, kServerHello = 2 };

// What carries the handshake; the letter is JA4's.
enum class Carrier : char { tcp = 't', quic = 'q', dtls = 'd' };

// A list of 16-bit codes without GREASE (RFC 8701). What does not fit is counted in `lost`.
template <size_t bound> struct Codes {
    std::array<uint16_t, bound> value;
    size_t count = 0, lost = 0;

    void add(uint16_t code) {
        if ((code & 0x0f0f) == 0x0a0a && code >> 8 == (code & 0xff)) return;
        if (count < bound)
            value[count++] = code;
        else
            ++lost;
    }
    const uint16_t *begin() const { return value.data(); }
    const uint16_t *end() const { return value.data() + count; }
    void sort() { std::sort(value.data(), value.data() + count); }
};

struct ClientHello {
    uint16_t legacy_version = 0;
    uint16_t version = 0; // the highest that is offered: of the extension supported_versions, else legacy_version
    bool has_server_name = false; // the extension, whatever is in it
    std::string_view server_name;
    std::string_view alpn; // the first protocol that is offered
    Codes<512> ciphers;    // three times what clients that offer everything offer
    Codes<256> extensions;
    Codes<128> signatures;

    // Codes were left out, so that a fingerprint would be wrong.
    bool lost() const { return ciphers.lost || extensions.lost || signatures.lost; }
};

struct ServerHello {
    uint16_t version = 0; // the negotiated one
    std::string_view alpn;
};

namespace detail {

enum Extension : uint16_t { kServerName = 0, kSignatureAlgorithms = 13, kAlpn = 16, kSupportedVersions = 43 };

// RFC 7301: the first protocol of a list of them.
inline std::string_view first_alpn(Bytes extension) {
    Bytes list = extension.take(extension.u16());
    return text(list.take(list.u8()));
}

// RFC 6066 section 3.
inline std::string_view server_name(Bytes extension) {
    Bytes list = extension.take(extension.u16());
    return list.u8() == 0 ? text(list.take(list.u16())) : std::string_view();
}

template <size_t bound> void read_codes(Bytes list, Codes<bound> &out) {
    while (list.left() >= 2)
        out.add(list.u16());
}

// RFC 8446 section 4.2.1, RFC 9147 section 5.3: the highest of supported_versions, else `legacy`.
inline uint16_t highest_version(Bytes extension, uint16_t legacy, Carrier carrier) {
    Codes<16> versions;
    read_codes(extension.take(extension.u8()), versions);
    if (carrier != Carrier::dtls) return versions.count ? *std::max_element(versions.begin(), versions.end()) : legacy;
    for (const uint16_t version : versions) // they count down: 0xfeff, 0xfefd, 0xfefc
        if (version >= 0xfefc && version < legacy) legacy = version;
    return legacy;
}

// Calls extension(type, value) for each. False: broken, or not all of it is here.
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

} // namespace detail

// False if the body is broken or ends early; what was read before that place is there nevertheless.
inline bool read_client_hello(Bytes body, ClientHello &out, Carrier carrier = Carrier::tcp) {
    out.version = out.legacy_version = body.u16();
    body.skip(32);                                      // random
    body.skip(body.u8());                               // session id
    if (carrier == Carrier::dtls) body.skip(body.u8()); // cookie
    detail::read_codes(body.take(body.u16()), out.ciphers);
    body.skip(body.u8()); // compression methods
    return detail::each_extension(body, [&](uint16_t type, Bytes value) {
        out.extensions.add(type);
        switch (type) {
        case detail::kServerName:
            out.has_server_name = true;
            if (const auto name = detail::server_name(value); !name.empty()) out.server_name = name;
            break;
        case detail::kAlpn:
            out.alpn = detail::first_alpn(value);
            break;
        case detail::kSupportedVersions:
            out.version = detail::highest_version(value, out.legacy_version, carrier);
            break;
        case detail::kSignatureAlgorithms:
            detail::read_codes(value.take(value.u16()), out.signatures);
            break;
        default:
            break;
        }
    });
}

// The same.
inline bool read_server_hello(Bytes body, ServerHello &out) {
    out.version = body.u16();
    body.skip(32);        // random
    body.skip(body.u8()); // session id
    body.skip(3);         // cipher suite, compression method
    return detail::each_extension(body, [&](uint16_t type, Bytes value) {
        if (type == detail::kSupportedVersions && value.left() == 2) out.version = value.u16();
        if (type == detail::kAlpn) out.alpn = detail::first_alpn(value);
    });
}

// "1.3" ... "1.0", "SSL 3.0", "SSL 2.0", "DTLS 1.3" ... "DTLS 1.0", "DTLS 0.9"; empty if unknown.
inline std::string_view version_text(uint16_t version) {
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
    case 0xfefc:
        return "DTLS 1.3";
    case 0xfefd:
        return "DTLS 1.2";
    case 0xfeff:
        return "DTLS 1.0";
    case 0x0100: // of OpenSSL before the standard, as in Cisco's AnyConnect
        return "DTLS 0.9";
    default:
        return version >> 8 == 0x7f ? "1.3" : ""; // RFC 8446's drafts
    }
}

using Ja4 = std::array<char, 36>; // t13d1516h2_8daaf6152771_e5627efa2ab1

namespace detail {

inline constexpr char kHex[] = "0123456789abcdef";

// Codes as four hex digits each, separated by commas.
class CodeText {
  public:
    void add(uint16_t code) {
        if (comma_) *end_++ = ',';
        comma_ = true;
        for (int shift = 12; shift >= 0; shift -= 4)
            *end_++ = kHex[code >> shift & 15];
    }
    void underscore() {
        *end_++ = '_';
        comma_ = false;
    }
    // The first 12 hex digits of its SHA-256; zeros for an empty one.
    void digest(char *out) const {
        const auto length = static_cast<size_t>(end_ - text_.data());
        const std::array<uint8_t, 32> sum = length ? sha256(text_.data(), length) : std::array<uint8_t, 32>{};
        for (size_t i = 0; i < 12; ++i)
            out[i] = kHex[sum[i / 2] >> (i % 2 ? 0 : 4) & 15];
    }

  private:
    std::array<char, 5 * 512> text_; // holds 512 ciphers, or 256 extensions and 128 signature algorithms
    char *end_ = text_.data();
    bool comma_ = false;
};

inline void two_digits(char *out, size_t n) {
    n = std::min<size_t>(n, 99);
    out[0] = static_cast<char>('0' + n / 10);
    out[1] = static_cast<char>('0' + n % 10);
}

inline const char *version_code(uint16_t version) {
    switch (version) {
    case 0x0304:
        return "13";
    case 0x0303:
        return "12";
    case 0x0302:
        return "11";
    case 0x0301:
        return "10";
    case 0x0300:
        return "s3";
    case 0x0002:
        return "s2";
    case 0xfefc:
        return "d3";
    case 0xfefd:
        return "d2";
    case 0xfeff:
        return "d1";
    default:
        return "00";
    }
}

inline void alpn_code(char *out, std::string_view alpn) {
    const auto alphanumeric = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    };
    out[0] = out[1] = '0';
    if (alpn.empty()) return;
    const char first = alpn.front(), last = alpn.back();
    const bool plain = alphanumeric(first) && alphanumeric(last);
    out[0] = plain ? first : kHex[static_cast<uint8_t>(first) >> 4];
    out[1] = plain ? last : kHex[static_cast<uint8_t>(last) & 15];
}

} // namespace detail

// The fingerprint of a whole ClientHello of which nothing is lost(). Sorts its codes in place.
inline Ja4 ja4(ClientHello &hello, Carrier carrier = Carrier::tcp) {
    Ja4 out;
    char *p = out.data();
    const char *version = detail::version_code(hello.version);
    p[0] = static_cast<char>(carrier);
    p[1] = version[0];
    p[2] = version[1];
    p[3] = hello.has_server_name ? 'd' : 'i';
    detail::two_digits(p + 4, hello.ciphers.count);
    detail::two_digits(p + 6, hello.extensions.count);
    detail::alpn_code(p + 8, hello.alpn);
    p[10] = p[23] = '_';

    detail::CodeText ciphers, rest;
    hello.ciphers.sort();
    for (const uint16_t code : hello.ciphers)
        ciphers.add(code);
    ciphers.digest(p + 11);

    hello.extensions.sort();
    for (const uint16_t code : hello.extensions)
        if (code != detail::kServerName && code != detail::kAlpn) rest.add(code); // they are in the first part
    if (hello.signatures.count) rest.underscore();
    for (const uint16_t code : hello.signatures)
        rest.add(code);
    rest.digest(p + 24);
    return out;
}

} // namespace aicore::tls
