// SPDX-License-Identifier: Apache-2.0
// MySQL and MariaDB (dev.mysql.com, "MySQL Internals: Client/Server Protocol"): who logs in to what. Recognised by the
// server's greeting, whose parts fill its packet. What is asked and answered is not kept.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kServer, kUser, kDatabase, kPlugin, kCommand, kError, kTls };
enum Anomaly : uint32_t { kBadPacket };
enum Capability : uint32_t {
    kWithDatabase = 8,
    kCompress = 0x20,
    kProtocol41 = 0x200,
    kSsl = 0x800,
    kSecure = 0x8000,
    kPluginAuth = 0x80000,
    kLengthEncoded = 0x200000,
};

constexpr size_t kHead = 512;
constexpr size_t kSslRequest = 32;

struct State {
    uint32_t skip[2];
    uint8_t server; // 1: the side of the flow's first packet, 2: the other
    bool login;     // the client's first packet was seen
};

std::string_view take_text(Bytes &in) {
    const std::string_view rest = text(in), out = rest.substr(0, rest.find('\0'));
    in.skip(out.size() + 1);
    return out;
}

uint32_t u24le(Bytes &in) {
    const uint32_t low = in.u16le();
    return low | static_cast<uint32_t>(in.u8()) << 16;
}

int64_t size(Bytes in) {
    const uint32_t length = u24le(in);
    in.skip(1); // number of the packet
    return in.ok() ? int64_t{length} + 4 : 0;
}

// Protocol::HandshakeV10. The salt has no zeros in it, and ends with one.
bool greeting(Flow flow, Bytes in) {
    in.skip(4);
    if (in.u8() != 10) return false;
    const std::string_view version = take_text(in);
    if (!in.ok() || version.size() < 3 || version.size() > 128 || !is_digit(version[0]) || !printable(version))
        return false;
    in.skip(4 + 8); // connection, first part of the salt
    const uint8_t zero = in.u8();
    const uint16_t low = in.u16le();
    if (!in.ok() || zero) return false;
    if (in.left() == 0) return low != 0; // before 4.1
    in.skip(1 + 2 + 2 + 1);              // charset, status, capabilities, length of the salt
    for (int i = 0; i < 6; ++i)          // 4 more in MariaDB
        if (in.u8()) return false;
    in.skip(4 + 12);
    if (!in.ok()) return false;
    in.skip(1);
    flow.first(kServer, version);
    flow.first(kPlugin, take_text(in));
    return true;
}

// Protocol::HandshakeResponse41. What proves who it is is passed over.
Message login(Flow flow, Bytes in) {
    const size_t length = in.left();
    in.skip(4);
    const uint32_t flags = in.u32le();
    if (!(flags & kProtocol41)) return Message::last;
    in.skip(4 + 1 + 23);
    if (!in.ok()) return Message::broken;
    if (flags & kSsl && length == 4 + kSslRequest) {
        flow.set(kTls, 1);
        return Message::over;
    }
    flow.first(kUser, take_text(in));
    if (flags & (kLengthEncoded | kSecure))
        in.skip(in.u8());
    else
        take_text(in);
    if (flags & kWithDatabase) flow.first(kDatabase, take_text(in));
    if (flags & kPluginAuth) flow.set(kPlugin, take_text(in));
    return flags & kCompress ? Message::last : Message::proof;
}

Message client(Flow flow, State &state, Bytes in) {
    if (!state.login) {
        state.login = true;
        return login(flow, in);
    }
    in.skip(3);
    if (in.u8() != 0) return Message::proof; // goes on with what was begun
    const uint8_t command = in.u8();
    if (!in.ok() || command > 0x20) return Message::proof;
    flow.set(kCommand, command);
    if (command == 2) flow.set(kDatabase, text(in)); // COM_INIT_DB
    return Message::proof;
}

// ERR_Packet, the first answer to what the client says.
Message server(Flow flow, Bytes in) {
    in.skip(3);
    const uint8_t number = in.u8();
    if (number && in.u8() == 0xff) {
        const uint16_t code = in.u16le();
        if (in.ok() && code >= 1000) flow.set(kError, code);
    }
    return Message::proof;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const uint8_t side = payload.reverse & 1;
    if (!flow.recognised()) {
        Bytes in = bytes(payload);
        const uint32_t length = u24le(in);
        if (!in.ok()) return AICORE_MORE;
        if (length < 20 || length > 400 || (in.left() && in.u8() != 0) || (in.left() && in.u8() != 10))
            return AICORE_NO;
        if (payload.length < length + 4) return payload.flags & AICORE_TRUNCATED ? AICORE_NO : AICORE_MORE;
        if (!greeting(flow, Bytes(payload.data, length + 4))) return AICORE_NO;
        state.server = static_cast<uint8_t>(1 + side);
        return AICORE_YES;
    }
    return each_message(flow, payload, state.skip, kBadPacket, kHead, size, [&](Bytes in, bool) {
        return state.server == 1 + side ? server(flow, in) : client(flow, state, in);
    });
}

constexpr aicore_field kFields[] = {
    {"mysqlserver", AICORE_STRING, AICORE_NOTIFY, 128, nullptr, nullptr, "version of the server"},
    {"mysqluser", AICORE_STRING, 0, 64, nullptr, "user.name", "user that logs in"},
    {"mysqldatabase", AICORE_STRING, 0, 64, nullptr, nullptr, "database, the last that was chosen"},
    {"mysqlplugin", AICORE_STRING, 0, 64, nullptr, nullptr, "how the client proves who it is"},
    {"mysqlcommand", AICORE_INTEGER, 0, 0, nullptr, nullptr, "last command: 3 query, 22 prepare, 23 execute, ..."},
    {"mysqlerror", AICORE_INTEGER, 0, 0, nullptr, nullptr, "code of the last error"},
    {"mysqltls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if the client began TLS"},
};
constexpr const char *kAnomalies[] = {"mysql_bad_packet"};
constexpr uint16_t kPorts[] = {3306};
constexpr aicore_prefix kPrefixes[] = {{"", 0}}; // on any port: the greeting begins with its length

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "mysql",
    .help = "MySQL and MariaDB: server, user, database",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *mysql() {
    return &kProtocol;
}

} // namespace aicore::protocols
