// SPDX-License-Identifier: Apache-2.0
// DTLS 1.0 to 1.3 (RFC 4347, 6347, 9147): the hellos. Recognised by records that fill the datagram.
#include "dtls.h"

namespace aicore::protocols {

namespace {

constexpr uint8_t kMaxRecords = 64; // after which no hello is waited for

struct State {
    uint8_t client, server, seen; // hellos; datagrams
};

int inspect(Flow flow, aicore_payload &payload, State &state) {
    bool clear = false;
    const bool fits = dtls_records(bytes(payload), [&](const DtlsRecord &record) { clear |= record.message != 0; });
    if (!flow.recognised() && (payload.length == 0 || !fits)) return AICORE_NO;
    if (fits && clear) {
        dtls_records(bytes(payload), [&](const DtlsRecord &record) {
            dtls_hello(flow, 0, record);
            state.client |= record.message == tls::kClientHello;
            state.server |= record.message == tls::kServerHello;
        });
    }
    return (state.client && state.server) || ++state.seen >= kMaxRecords ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_prefix kPrefixes[] = {{"\x16\xfe", 2}, {"\x17\xfe", 2}, {"\x14\xfe", 2},
                                       {"\x15\xfe", 2}, {"\x16\1\0", 3}, {"\x17\1\0", 3}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "dtls",
    .help = "DTLS 1.0 to 1.3: server name, ALPN, version",
    .transports = AICORE_UDP,
    .rank = 0,
    .prefixes = kPrefixes,
    .fields = kDtlsFields,
});

} // namespace

const aicore_protocol *dtls() {
    return &kProtocol;
}

} // namespace aicore::protocols
