// SPDX-License-Identifier: Apache-2.0
// OpenVPN over UDP and TCP (its documentation "OpenVPN's network protocol", draft-openvpn-wire-protocol): who opens a
// session, and how its control channel is protected. Recognised by a reset of either side, whose numbers all are zero,
// or by a control message that carries TLS in clear. What follows is not looked at.
#include "aicore/dissector.h"
#include "hex.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kProtection, kSession };
enum Opcode : uint8_t { kControl = 4, kClientReset = 7, kServerReset = 8, kCryptReset = 10 }; // section "opcodes"

constexpr size_t kHead = 1 + 8;                                  // opcode and key, session
constexpr size_t kReplay = 4 + 4;                                // packet number, time
constexpr size_t kHmac[] = {20, 32, 64, 48, 28, 16};             // SHA-1, SHA-2 224 to 512, MD5
constexpr size_t kWrapped = 32;                                  // tls-crypt: HMAC-SHA256
constexpr size_t kClientEnd = 1 + 4, kServerEnd = 1 + 4 + 8 + 4; // acknowledged numbers, for whom; own number
constexpr int64_t kYear = 366 * 86400;

// Replay protection: one of the first packets, sent by a clock that is about right.
bool replay_fits(Bytes in, int64_t time) {
    const uint32_t number = in.u32();
    const int64_t sent = in.u32(), now = time / 1'000'000'000;
    return in.ok() && number >= 1 && number <= 0xffff && sent > now - kYear && sent < now + kYear;
}

// A reset's end: nothing acknowledged and number 0, or the client's number 0 acknowledged with its session.
bool end_fits(Bytes in, bool server) {
    if (in.u8() != server) return false;
    if (server) {
        if (in.u32() != 0) return false;
        in.skip(8);
    }
    return in.u32() == 0 && in.ok() && in.left() == 0;
}

// How the reset is protected; empty: it is none.
std::string_view reset(Bytes in, Opcode opcode, int64_t time) {
    const bool server = opcode == kServerReset;
    const size_t end = server ? kServerEnd : kClientEnd, length = in.left();
    if (opcode != kCryptReset) {
        if (length == end) return end_fits(in, server) ? "none" : "";
        for (const size_t hmac : kHmac) {
            if (length != hmac + kReplay + end) continue;
            Bytes tail = in;
            tail.skip(hmac);
            if (replay_fits(tail.take(kReplay), time) && end_fits(tail, server)) return "tls-auth";
        }
    }
    if (length < kReplay + kWrapped + end || !replay_fits(in, time)) return "";
    in.skip(kReplay + kWrapped + end);
    if (opcode != kCryptReset) return in.left() == 0 ? "tls-crypt" : "";
    // tls-crypt-v2: the client's key, wrapped: HMAC, a key of 2048 bits, more of the server's, the length of it all.
    const size_t wrapped = in.left();
    if (wrapped < 32 + 256 + 2 || wrapped > 1024 + 32 + 2) return "";
    in.skip(wrapped - 2);
    return in.u16() == wrapped ? "tls-crypt-v2" : "";
}

// A control message, of a session whose reset is not here: the acknowledged, a number, a record of TLS' handshake.
std::string_view control(Bytes in, int64_t time) {
    const auto tls = [](Bytes at) {
        if (const uint8_t count = at.u8(); count > 8)
            return false;
        else if (count)
            at.skip(4u * count + 8);
        at.skip(4);
        return at.u8() == 22 && at.u8() == 3 && at.u8() <= 4 && at.ok();
    };
    if (tls(in)) return "none";
    for (const size_t hmac : kHmac) {
        Bytes at = in;
        at.skip(hmac);
        if (replay_fits(at.take(kReplay), time) && tls(at)) return "tls-auth";
    }
    return "";
}

int inspect(Flow flow, aicore_payload &payload) {
    Bytes in = bytes(payload);
    if (flow.tcp()) { // length and packet
        const size_t length = in.u16();
        if (length < kHead + kClientEnd) return in.ok() ? AICORE_NO : AICORE_MORE;
        Bytes opcode = in;
        const uint8_t first = opcode.u8();
        if (opcode.ok() && first != kClientReset << 3 && first != kServerReset << 3 && first != kCryptReset << 3 &&
            first >> 3 != kControl)
            return AICORE_NO;
        if (in.left() < length) return AICORE_MORE;
        in = in.take(length);
    }
    const uint8_t first = in.u8();
    const auto opcode = static_cast<Opcode>(first >> 3);
    const Bytes session = in.take(8);
    std::string_view protection;
    if (opcode == kControl)
        protection = control(in, payload.time);
    else if ((opcode == kClientReset || opcode == kServerReset || opcode == kCryptReset) && (first & 7) == 0)
        protection = reset(in, opcode, payload.time);
    if (protection.empty() || Bytes(session).u32() == 0) return AICORE_NO;
    flow.set(kProtection, protection);
    if (opcode == kServerReset && protection != "tls-crypt") { // its end names the client's session
        in.skip(in.left() - 12);
        flow.set(kSession, hex_text(in.take(8)).view());
    } else if (opcode == kClientReset || opcode == kCryptReset) {
        flow.set(kSession, hex_text(session).view());
    }
    return AICORE_DONE;
}

constexpr aicore_field kFields[] = {
    {"openvpnprotection", AICORE_STRING, 0, 16, nullptr, nullptr,
     "of the control channel: none, tls-auth, tls-crypt, tls-crypt-v2"},
    {"openvpnsession", AICORE_STRING, 0, 16, nullptr, nullptr, "session of the client, in hexadecimal"},
};
constexpr aicore_prefix kPrefixes[] = {{"\x38", 1}, {"\x40", 1}, {"\x50", 1}, {"\x20", 1}, {"\0", 1}, {"\1", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "openvpn",
    .help = "OpenVPN: sessions and their protection",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 20,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *openvpn() {
    return &kProtocol;
}

} // namespace aicore::protocols
