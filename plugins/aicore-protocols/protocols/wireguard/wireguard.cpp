// SPDX-License-Identifier: Apache-2.0
// WireGuard (its white paper, section 5.4): the four messages. Recognised by type with three zero bytes and the length
// that goes with it; transport data also by a counter that begins with zeros and what is encrypted behind it.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kMessage, kHandshake };
enum Type : uint8_t { kInitiation = 1, kResponse, kCookie, kData };

constexpr const char *kTypes[] = {"", "initiation", "response", "cookie", "data"};
constexpr size_t kLengths[] = {0, 148, 92, 64, 32}; // of data the least

struct State {
    uint32_t sender; // index of who opened
    bool initiated;
};

// Of 16 bytes that are a key or encrypted, 5 or more are zero once in 10^8 times.
bool looks_random(Bytes in) {
    int zeros = 0;
    for (int i = 0; i < 16; ++i)
        zeros += in.u8() == 0;
    return in.ok() && zeros < 5;
}

// 0: none of its messages.
uint8_t type_of(const aicore_payload &payload) {
    Bytes in = bytes(payload);
    const uint8_t type = in.u8();
    const uint32_t reserved = in.u24();
    if (!in.ok() || reserved || type < kInitiation || type > kData) return 0;
    in.skip(4); // index
    if (type == kData) {
        in.skip(4);
        const uint32_t high = in.u32le(); // 2^60 messages are the limit of a key, 2^32 within its three minutes not met
        return payload.length >= kLengths[type] && payload.length % 16 == 0 && high == 0 && looks_random(in) ? type : 0;
    }
    if (type == kResponse) in.skip(4);
    return payload.length == kLengths[type] && looks_random(in) ? type : 0;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const uint8_t type = type_of(payload);
    if (type == 0) return flow.recognised() ? AICORE_YES : AICORE_NO;
    flow.set(kMessage, kTypes[type]);
    Bytes in = bytes(payload);
    in.skip(4);
    const uint32_t first = in.u32le();
    if (type == kInitiation) {
        state.sender = first;
        state.initiated = true;
    } else if (type == kResponse && state.initiated && in.u32le() == state.sender) {
        flow.set(kHandshake, 1);
    }
    return type == kData ? AICORE_DONE : AICORE_YES; // later handshakes say nothing new
}

constexpr aicore_field kFields[] = {
    {"wireguardmessage", AICORE_STRING, 0, 16, nullptr, nullptr, "last message up to the first data: initiation, ..."},
    {"wireguardhandshake", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 once an initiation was answered"},
};
constexpr aicore_prefix kPrefixes[] = {{"\1\0\0\0", 4}, {"\2\0\0\0", 4}, {"\3\0\0\0", 4}, {"\4\0\0\0", 4}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "wireguard",
    .help = "WireGuard: handshake and data",
    .transports = AICORE_UDP,
    .rank = 10,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *wireguard() {
    return &kProtocol;
}

} // namespace aicore::protocols
