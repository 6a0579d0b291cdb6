// SPDX-License-Identifier: Apache-2.0
#include "hello.h"

#include <algorithm>

#include <openssl/evp.h>

namespace aicore::quic {

namespace {

constexpr uint16_t kServerName = 0, kSignatureAlgorithms = 13, kAlpn = 16, kSupportedVersions = 43;
constexpr char kHex[] = "0123456789abcdef";

std::string_view text(Bytes bytes) {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.left()};
}

template <size_t bound> void read_codes(Bytes list, Codes<bound> &out) {
    while (list.left() >= 2)
        out.add(list.u16());
}

void read_extension(uint16_t type, Bytes value, ClientHello &out) {
    out.extensions.add(type);
    if (type == kServerName) { // RFC 6066 section 3
        out.has_server_name = true;
        Bytes list = value.take(value.u16());
        if (list.u8() == 0) out.server_name = text(list.take(list.u16()));
    } else if (type == kAlpn) { // RFC 7301
        Bytes list = value.take(value.u16());
        out.alpn = text(list.take(list.u8()));
    } else if (type == kSignatureAlgorithms) {
        read_codes(value.take(value.u16()), out.signatures);
    } else if (type == kSupportedVersions) {
        Codes<16> versions;
        read_codes(value.take(value.u8()), versions);
        if (versions.count)
            out.version = *std::max_element(versions.value.data(), versions.value.data() + versions.count);
    }
}

// Codes as four hex digits each, separated by commas.
class List {
  public:
    template <size_t bound> void add(const Codes<bound> &codes, bool all) {
        for (size_t i = 0; i < codes.count; ++i) {
            const uint16_t code = codes.value[i];
            if (!all && (code == kServerName || code == kAlpn)) continue; // they stand in the first part
            if (comma_) *end_++ = ',';
            comma_ = true;
            for (int shift = 12; shift >= 0; shift -= 4)
                *end_++ = kHex[code >> shift & 15];
        }
    }
    void underscore() {
        *end_++ = '_';
        comma_ = false;
    }
    // The first 12 hex digits of its SHA-256; zeros for an empty one.
    bool digest(char *out) const {
        uint8_t sum[EVP_MAX_MD_SIZE] = {};
        unsigned size = 0;
        const auto length = static_cast<size_t>(end_ - text_.data());
        if (length && EVP_Digest(text_.data(), length, sum, &size, EVP_sha256(), nullptr) != 1) return false;
        for (size_t i = 0; i < 12; ++i)
            out[i] = kHex[sum[i / 2] >> (i % 2 ? 0 : 4) & 15];
        return true;
    }

  private:
    std::array<char, 5 * (256 + 128)> text_; // extensions and signature algorithms
    char *end_ = text_.data();
    bool comma_ = false;
};

void two_digits(char *out, size_t n) {
    n = std::min<size_t>(n, 99);
    out[0] = static_cast<char>('0' + n / 10);
    out[1] = static_cast<char>('0' + n % 10);
}

void alpn_code(char *out, std::string_view alpn) {
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

} // namespace

bool read_client_hello(Bytes body, ClientHello &out) {
    out.version = body.u16();
    body.skip(32);        // random
    body.skip(body.u8()); // session id
    read_codes(body.take(body.u16()), out.ciphers);
    body.skip(body.u8()); // compression methods
    const size_t size = body.u16();
    if (!body.ok()) return false;
    const bool exact = body.left() == size;
    Bytes list = body.take_some(size);
    while (list.left()) {
        const uint16_t type = list.u16();
        const Bytes value = list.take(list.u16());
        if (!list.ok()) return false;
        read_extension(type, value, out);
    }
    return exact;
}

bool ja4(ClientHello &hello, Ja4 &out) {
    char *p = out.data();
    const bool tls = hello.version >= 0x0301 && hello.version <= 0x0304;
    p[0] = 'q';
    p[1] = tls ? '1' : '0';
    p[2] = tls ? static_cast<char>('0' + (hello.version & 0xff) - 1) : '0';
    p[3] = hello.has_server_name ? 'd' : 'i';
    two_digits(p + 4, hello.ciphers.count);
    two_digits(p + 6, hello.extensions.count);
    alpn_code(p + 8, hello.alpn);
    p[10] = p[23] = '_';

    List ciphers, rest;
    std::sort(hello.ciphers.value.data(), hello.ciphers.value.data() + hello.ciphers.count);
    ciphers.add(hello.ciphers, true);
    std::sort(hello.extensions.value.data(), hello.extensions.value.data() + hello.extensions.count);
    rest.add(hello.extensions, false);
    if (hello.signatures.count) rest.underscore();
    rest.add(hello.signatures, true);
    return ciphers.digest(p + 11) && rest.digest(p + 24);
}

} // namespace aicore::quic
