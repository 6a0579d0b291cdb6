// SPDX-License-Identifier: Apache-2.0
// The versions of QUIC whose first packets can be read.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>

namespace aicore::quic {

using Salt = std::array<uint8_t, 20>;

constexpr uint32_t kV1 = 1, kV2 = 0x6b3343cf, kDraft = 0xff000000, kQ046 = 0x51303436, kQ050 = 0x51303530;

// RFC 9001 section 5.2, RFC 9369 section 3.3.1, draft-ietf-quic-tls-23 and -29; Q050: net/third_party/quiche of
// Chromium.
inline constexpr Salt kSaltV1 = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                                 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
inline constexpr Salt kSaltV2 = {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
                                 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9};
inline constexpr Salt kSaltDraft29 = {0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97,
                                      0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99};
inline constexpr Salt kSaltDraft23 = {0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7,
                                      0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02};
inline constexpr Salt kSaltQ050 = {0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94,
                                   0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0, 0xd3, 0xb5, 0x6b, 0x45};

// Of the versions with encrypted Initial packets; nullptr for all others.
inline const Salt *initial_salt(uint32_t version) {
    const uint32_t draft = version - kDraft;
    if (version == kV1 || draft == 33 || draft == 34) return &kSaltV1;
    if (version == kV2) return &kSaltV2;
    if (draft >= 29 && draft <= 32) return &kSaltDraft29;
    if (draft >= 23 && draft <= 28) return &kSaltDraft23;
    return version == kQ050 ? &kSaltQ050 : nullptr;
}

// The number of Google's QUIC, as 46 of "Q046"; 0 if it is another version.
inline uint32_t google_number(uint32_t version) {
    const uint32_t tens = (version >> 8 & 0xff) - '0', units = (version & 0xff) - '0';
    return version >> 16 == 0x5130 && tens < 10 && units < 10 ? tens * 10 + units : 0;
}

struct VersionText {
    char text[16];
    size_t length;
};

// "1", "2", "draft-29", "Q046"
inline VersionText version_text(uint32_t version) {
    VersionText out{};
    int n = 0;
    if (const uint32_t number = google_number(version))
        n = std::snprintf(out.text, sizeof out.text, "Q%03u", number);
    else if (version >> 24 == 0xff)
        n = std::snprintf(out.text, sizeof out.text, "draft-%02u", version & 0xff);
    else
        n = std::snprintf(out.text, sizeof out.text, "%u", version == kV2 ? 2u : 1u);
    out.length = static_cast<size_t>(n);
    return out;
}

} // namespace aicore::quic
