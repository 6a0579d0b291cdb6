// SPDX-License-Identifier: Apache-2.0
// DTLS 1.0 to 1.3 in a datagram (RFC 4347, 6347, 9147), and 0.9, its draft: the records, and the hellos in clear.
// Shared by those whose flows may carry it (RFC 7983).
#pragma once

#include "dissector.h"

namespace aicore::protocols {

// The fields of a dissector that uses this: in this order, the first at `base`.
enum DtlsField : uint32_t { kDtlsServerName, kDtlsAlpn, kDtlsVersion };
constexpr aicore_field kDtlsFields[] = {
    {"sslhost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "tls.client.server_name",
     "server name that the client asks for (SNI)"},
    {"alpn", AICORE_STRING, 0, 0, nullptr, "tls.next_protocol",
     "application protocol that the server chose in clear, else the first that the client offers"},
    {"tlsversion", AICORE_STRING, 0, 16, nullptr, "tls.version",
     "negotiated version, DTLS 1.3 down to 1.0; the client's highest if no ServerHello was seen"},
};

enum DtlsType : uint8_t { kDtlsCipher = 20, kDtlsAlert = 21, kDtlsHandshake = 22, kDtlsData = 23 };
enum DtlsMessage : uint8_t { kDtlsClientHello = 1, kDtlsServerHello = 2, kDtlsVerifyRequest = 3 };

inline std::string_view dtls_version(uint16_t version) {
    switch (version) {
    case 0x0100: // of OpenSSL before the standard, as in Cisco's AnyConnect
        return "DTLS 0.9";
    case 0xfeff:
        return "DTLS 1.0";
    case 0xfefd:
        return "DTLS 1.2";
    case 0xfefc:
        return "DTLS 1.3";
    default:
        return {};
    }
}

struct DtlsRecord {
    uint8_t type = 0, message = 0; // message: type of a handshake message in clear
    bool start = false;            // the fragment of a message that it begins with
    Bytes body;                    // of the fragment
};

// RFC 6347 section 4.2.2: the head of a handshake message and its fragment.
inline bool dtls_handshake(Bytes in, DtlsRecord &out) {
    out.message = in.u8();
    const uint32_t length = in.u24();
    in.skip(2); // number of the message
    const uint32_t offset = in.u24(), size = in.u24();
    out.start = offset == 0;
    out.body = in.take(size);
    return in.ok() && offset + size <= length && length <= 0x1ffff && out.message <= 25;
}

// RFC 6347 section 4.1. False: no record.
inline bool dtls_record(Bytes &in, DtlsRecord &out) {
    out = {};
    out.type = in.u8();
    const uint16_t version = in.u16(), epoch = in.u16();
    in.skip(6); // number in the epoch
    const uint16_t size = in.u16();
    const Bytes body = in.take(size);
    if (!in.ok() || dtls_version(version).empty() || epoch > 0xff) return false;
    const bool encrypted = epoch > 0 && size > 8;
    switch (out.type) {
    case kDtlsCipher:
        return size == 1;
    case kDtlsAlert:
        return encrypted || (epoch == 0 && size == 2);
    case kDtlsHandshake:
        return encrypted || (epoch == 0 && dtls_handshake(body, out));
    case kDtlsData:
        return encrypted;
    default:
        return false;
    }
}

// Calls take(record) for each; true if they fill the datagram. Behind one in clear may stand some of DTLS 1.3, whose
// heads are shorter (RFC 9147 section 4).
template <typename Take> bool dtls_records(Bytes in, Take take) {
    for (bool first = true; in.left(); first = false) {
        if (!first && (*in.data() & 0xe0) == 0x20) return true;
        DtlsRecord record;
        if (!dtls_record(in, record)) return false;
        take(record);
    }
    return true;
}

// RFC 6347 section 4.2.1, RFC 5246 section 7.4.1: what the hellos in a datagram say, also where one goes on in the
// next.
inline void dtls_hello(Flow flow, uint32_t base, const DtlsRecord &record) {
    const bool client = record.message == kDtlsClientHello;
    if (!record.start || (!client && record.message != kDtlsServerHello)) return;
    Bytes in = record.body;
    uint16_t version = in.u16();
    in.skip(32); // random
    in.skip(in.u8());
    if (client) {
        in.skip(in.u8()); // cookie
        in.skip(in.u16());
        in.skip(in.u8()); // ciphers and compressions
    } else {
        in.skip(3);
    }
    Bytes list = in.take_some(in.u16());
    while (list.left() >= 4) {
        const uint16_t type = list.u16();
        Bytes value = list.take(list.u16());
        if (type == 0 && client) { // RFC 6066 section 3
            value.skip(2);
            if (value.u8() == 0) flow.set(base + kDtlsServerName, text(value.take(value.u16())));
        } else if (type == 16) { // RFC 7301
            value.skip(2);
            flow.set(base + kDtlsAlpn, text(value.take(value.u8())));
        } else if (type == 43) { // RFC 8446 section 4.2.1; versions count down
            if (client) value.skip(1);
            for (uint16_t other; value.left() >= 2;)
                if (other = value.u16(); other >= 0xfefc && other < version) version = other;
        }
    }
    flow.set(base + kDtlsVersion, dtls_version(version));
}

} // namespace aicore::protocols
