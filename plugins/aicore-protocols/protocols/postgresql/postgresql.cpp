// SPDX-License-Identifier: Apache-2.0
// PostgreSQL, protocol 3 (PostgreSQL documentation, chapter "Frontend/Backend Protocol"): who logs in to which
// database. Recognised by the client's first message. What is asked and answered is not kept.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kDatabase, kApplication, kVersion, kError, kTls };
enum Anomaly : uint32_t { kBadMessage };
enum Code : uint32_t { kCancel = 80877102, kSsl = 80877103, kGss = 80877104 }; // instead of a version

constexpr uint32_t kMaxStartup = 10000; // MAX_STARTUP_PACKET_LENGTH of the server
constexpr size_t kHead = 1024;

struct State {
    uint32_t skip[2];
    uint8_t client; // 1: the side of the flow's first packet, 2: the other
    bool started;   // the startup message was seen
    uint8_t asked;  // a letter is due from the server: 'S' for TLS, 'G' for GSSAPI
};

std::string_view take_text(Bytes &in) {
    const std::string_view rest = text(in), out = rest.substr(0, rest.find('\0'));
    in.skip(out.size() + 1);
    return out;
}

// 55.2.1: names and values, then a zero; a user must be among them.
bool startup(Flow flow, Bytes in) {
    bool user = false;
    while (in.left() && *in.data()) {
        const std::string_view name = take_text(in), value = take_text(in);
        if (!in.ok() || !printable(name)) return user; // cut
        if (name == "user") {
            user = true;
            flow.first(kUser, value);
        }
        if (name == "database") flow.first(kDatabase, value);
        if (name == "application_name") flow.first(kApplication, value);
    }
    return user;
}

// Messages without a type, which the client sends until it has started.
int64_t first_size(Bytes in) {
    const uint32_t length = in.u32(), code = in.u32();
    if (!in.ok()) return 0;
    const bool request = (code == kSsl || code == kGss) && length == 8;
    const bool cancel = code == kCancel && length == 16;
    return request || cancel || (code >> 16 == 3 && length >= 14 && length <= kMaxStartup) ? int64_t{length} : -1;
}

Message first(Flow flow, State &state, Bytes in) {
    in.skip(4);
    const uint32_t code = in.u32();
    if (code == kCancel) return Message::last;
    if (code == kSsl || code == kGss) {
        state.asked = code == kSsl ? 'S' : 'G';
        return Message::proof;
    }
    state.started = true;
    state.asked = 0;
    return startup(flow, in) ? Message::proof : Message::broken;
}

// 55.7: type, length without it.
int64_t size(Bytes in) {
    const uint8_t type = in.u8();
    if (!in.ok()) return 0;
    if (!is_alpha(static_cast<char>(type)) && !(type >= '1' && type <= '3')) return -1;
    const uint32_t length = in.u32();
    if (!in.ok()) return 0;
    return length < 4 || length > 0x40000000 ? -1 : int64_t{length} + 1;
}

void answer(Flow flow, Bytes in) {
    const uint8_t type = in.u8();
    in.skip(4);
    if (type == 'S' && take_text(in) == "server_version") flow.first(kVersion, take_text(in));
    if (type != 'E') return;
    while (in.left() && *in.data()) { // 55.8
        const uint8_t kind = in.u8();
        const std::string_view value = take_text(in);
        if (kind == 'C' && value.size() == 5) return flow.first(kError, value);
    }
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const uint8_t side = payload.reverse & 1;
    if (!flow.recognised()) state.client = static_cast<uint8_t>(1 + side);
    if (state.client == 1 + side)
        return each_message(
            flow, payload, state.skip, kBadMessage, kHead,
            [&](Bytes in) { return state.started ? size(in) : first_size(in); },
            [&](Bytes in, bool) { return state.started ? Message::proof : first(flow, state, in); });
    if (state.asked && payload.length && !(payload.flags & AICORE_GAP)) {
        const char letter = static_cast<char>(*payload.data), wanted = static_cast<char>(state.asked);
        if (letter != 'E') {
            state.asked = 0;
            payload.consumed = 1;
            if (letter == 'N') return AICORE_YES;
            if (letter != wanted) {
                flow.anomaly(kBadMessage);
                return AICORE_DONE;
            }
            if (wanted == 'G') return AICORE_DONE; // encrypted by GSSAPI from here
            flow.set(kTls, 1);
            flow.hand_over();
            return AICORE_YES;
        }
    }
    return each_message(flow, payload, state.skip, kBadMessage, kHead, size, [&](Bytes in, bool) {
        answer(flow, in);
        return Message::proof;
    });
}

constexpr aicore_field kFields[] = {
    {"postgresqluser", AICORE_STRING, AICORE_NOTIFY, 64, nullptr, "user.name", "user that logs in"},
    {"postgresqldatabase", AICORE_STRING, 0, 64, nullptr, nullptr, "database, if one is named"},
    {"postgresqlapplication", AICORE_STRING, 0, 64, nullptr, nullptr, "name that the client gives itself"},
    {"postgresqlversion", AICORE_STRING, 0, 64, nullptr, nullptr, "version of the server"},
    {"postgresqlerror", AICORE_STRING, 0, 8, nullptr, nullptr, "SQLSTATE of the first error"},
    {"postgresqltls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if the server agreed to TLS"},
};
constexpr const char *kAnomalies[] = {"postgresql_bad_message"};
constexpr uint16_t kPorts[] = {5432};
constexpr aicore_prefix kPrefixes[] = {{"\0\0", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "postgresql",
    .help = "PostgreSQL: user, database, server's version",
    .transports = AICORE_TCP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *postgresql() {
    return &kProtocol;
}

} // namespace aicore::protocols
