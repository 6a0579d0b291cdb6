// SPDX-License-Identifier: Apache-2.0
// One flow before one dissector, the one that AICORE_FUZZ_PROTOCOL names. The host keeps the contract of
// aicore/protocol.h, throws where the dissector does not, and hands out copies that are exactly as large as they say.
//
// An input: the flow (bit 0: UDP if the protocol has both, bit 1: its first well-known port, bit 2: IPv6), then turns:
// flags (bit 0: of the server, bits 1 to 3: aicore_payload_flags), length, payload. The last may be shorter than it
// says.
#include "dissect.h"

#include <cstring>

#include "host.h"
#include "input.h"

namespace aicore::fuzz {
namespace {

const aicore_protocol *chosen() {
    const char *name = std::getenv("AICORE_FUZZ_PROTOCOL");
    for (const aicore_protocol *p : protocols())
        if (name && std::strcmp(p->name, name) == 0) return p;
    std::fprintf(stderr, "AICORE_FUZZ_PROTOCOL is to name one of:");
    for (const aicore_protocol *p : protocols())
        std::fprintf(stderr, " %s", p->name);
    std::fprintf(stderr, "\n");
    std::exit(2);
}

uint8_t transport(const aicore_protocol *p, bool udp) {
    if (p->transports == (AICORE_TCP | AICORE_UDP)) return udp ? AICORE_UDP : AICORE_TCP;
    return static_cast<uint8_t>(p->transports);
}

} // namespace
} // namespace aicore::fuzz

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    using namespace aicore;
    static const aicore_protocol *protocol = fuzz::chosen();
    Bytes in(data, size);
    const uint8_t options = in.u8();
    test::Flow f(protocol, fuzz::transport(protocol, options & 1));
    if (options & 2 && protocol->port_count) f.flow.dst_port = protocol->ports[0];
    if (options & 4) f.flow.ip_version = 6;
    while (in.left()) {
        const uint8_t flags = in.u8();
        const Bytes payload = in.take_some(in.u16());
        if (!payload.left()) continue; // the core shows no empty payload
        // As the engine does: in datagrams, whoever does not recognise the first one is asked again.
        if (f.flow.transport == AICORE_UDP) f.dropped[0] = f.dropped[1] = false;
        f.feed({reinterpret_cast<const char *>(payload.data()), payload.left()}, flags & 1, flags >> 1 & 7);
    }
    fuzz::require(f.flow.recognised || (f.strings.empty() && f.anomalies.empty()), "fields are of recognised flows");
    for (const auto &[name, value] : f.strings)
        fuzz::require(!value.empty(), "a field that is empty is not set");
    for (uint32_t i = 0; i < protocol->field_count; ++i) // the core bounds lists of names
        if (const aicore_field &field = protocol->fields[i]; !(field.flags & AICORE_NOTIFY))
            fuzz::require(f.lists[field.name].size() <= 16, "a list has at most 16 items");
    return 0;
}
