// SPDX-License-Identifier: Apache-2.0
// DTLS 1.0 to 1.3 in a datagram (RFC 4347, 6347, 9147), and 0.9, its draft: the records, and the hellos in clear.
// Shared by those whose flows may carry it (RFC 7983).
#pragma once

#include "aicore/dissector.h"
#include "aicore/tls.h"

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

constexpr bool is_dtls(uint16_t version) {
    return version == 0x0100 || version == 0xfeff || version == 0xfefd || version == 0xfefc;
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
    if (!in.ok() || !is_dtls(version) || epoch > 0xff) return false;
    const bool encrypted = epoch > 0 && size > 8;
    switch (out.type) {
    case tls::kChangeCipherSpec:
        return size == 1;
    case tls::kAlert:
        return encrypted || (epoch == 0 && size == 2);
    case tls::kHandshake:
        return encrypted || (epoch == 0 && dtls_handshake(body, out));
    case tls::kApplicationData:
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

// What the hellos in a datagram say, also where one goes on in the next.
inline void dtls_hello(Flow flow, uint32_t base, const DtlsRecord &record) {
    if (!record.start) return;
    uint16_t version = 0;
    if (record.message == tls::kClientHello) {
        tls::ClientHello hello;
        tls::read_client_hello(record.body, hello, tls::Carrier::dtls);
        flow.set(base + kDtlsServerName, hello.server_name);
        flow.set(base + kDtlsAlpn, hello.alpn);
        version = hello.version;
    } else if (record.message == tls::kServerHello) {
        tls::ServerHello hello;
        tls::read_server_hello(record.body, hello);
        flow.set(base + kDtlsAlpn, hello.alpn);
        version = hello.version;
    }
    if (is_dtls(version)) flow.set(base + kDtlsVersion, tls::version_text(version));
}

} // namespace aicore::protocols
