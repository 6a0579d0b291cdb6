// SPDX-License-Identifier: Apache-2.0
#include "ja4.h"

#include <algorithm>

#include "aicore/digest.h"

namespace aicore::tls {

namespace {

constexpr char kHex[] = "0123456789abcdef";

// Codes as four hex digits each, separated by commas.
class List {
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
        for (int i = 0; i < 12; ++i)
            out[i] = kHex[sum[static_cast<size_t>(i) / 2] >> (i % 2 ? 0 : 4) & 15];
    }

  private:
    std::array<char, 5 * 512> text_; // holds 512 ciphers, or 256 extensions and 128 signature algorithms
    char *end_ = text_.data();
    bool comma_ = false;
};

void two_digits(char *out, size_t n) {
    n = std::min<size_t>(n, 99);
    out[0] = static_cast<char>('0' + n / 10);
    out[1] = static_cast<char>('0' + n % 10);
}

const char *version_code(uint16_t version) {
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
    default:
        return "00";
    }
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

Ja4 ja4(ClientHello &hello) {
    Ja4 out;
    char *p = out.data();
    const char *version = version_code(hello.supported_version ? hello.supported_version : hello.version);
    p[0] = 't';
    p[1] = version[0];
    p[2] = version[1];
    p[3] = hello.has_server_name ? 'd' : 'i';
    two_digits(p + 4, hello.ciphers.count);
    two_digits(p + 6, hello.extensions.count);
    alpn_code(p + 8, hello.alpn);
    p[10] = p[23] = '_';

    List ciphers, rest;
    std::sort(hello.ciphers.value.data(), hello.ciphers.value.data() + hello.ciphers.count);
    for (size_t i = 0; i < hello.ciphers.count; ++i)
        ciphers.add(hello.ciphers.value[i]);
    ciphers.digest(p + 11);

    std::sort(hello.extensions.value.data(), hello.extensions.value.data() + hello.extensions.count);
    for (size_t i = 0; i < hello.extensions.count; ++i) {
        const uint16_t code = hello.extensions.value[i];
        if (code != 0x0000 && code != 0x0010) rest.add(code); // server name and ALPN stand in the first part
    }
    if (hello.signatures.count) rest.underscore();
    for (size_t i = 0; i < hello.signatures.count; ++i)
        rest.add(hello.signatures.value[i]);
    rest.digest(p + 24);
    return out;
}

} // namespace aicore::tls
