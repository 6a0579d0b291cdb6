// SPDX-License-Identifier: Apache-2.0
// TLS 1.0 to 1.3 and SSL 3 over TCP: the ClientHello and the ServerHello. What follows is not looked at. Connections
// caught in their middle are recognised by two record headers that fit together.
#include <cstring>
#include <iterator>

#include "aicore/builtin_protocols.h"
#include "hello.h"
#include "ja4.h"

namespace aicore::tls {

namespace {

enum Field : uint32_t { kServerName, kAlpn, kVersion, kJa4 };
enum Anomaly : uint32_t { kBadHandshake };
enum class First : uint8_t { no, more, hello, old_hello, other };

constexpr size_t kRecordHeader = 5;
constexpr size_t kMaxCiphertext = 16384 + 2048; // RFC 5246 section 6.2.3
constexpr size_t kMaxText = 2048;               // of a dialogue in clear, each direction
constexpr uint8_t kMaxIdle = 64;                // payloads of a finished direction after which the other is given up

struct State {
    bool done[2];  // by direction: its hello was read or will not come
    bool tried[2]; // what there was of an unfinished hello was read once
    bool server_hello;
    bool text; // came before
    uint8_t idle;
};

struct Record {
    uint8_t type = 0, minor = 0;
    size_t size = 0;
};

// The head of a record of an established connection.
bool record_header(const uint8_t *data, size_t length, Record &out) {
    if (length < kRecordHeader) return false;
    out = {data[0], data[2], static_cast<size_t>(data[3] << 8 | data[4])};
    if (data[1] != 3 || out.minor < 1 || out.minor > 3 || out.size == 0 || out.size > kMaxCiphertext) return false;
    switch (out.type) {
    case kChangeCipherSpec:
        return out.size == 1;
    case kAlert:
        return out.size == 2 || out.size > 16; // in clear, or with a MAC or tag
    case kHandshake:
        return out.size >= 4;
    case kApplicationData:
        return out.size > 16;
    default:
        return false;
    }
}

// Two headers that fit together: one behind the other, or one at the start of each direction (a record may be longer
// than what is buffered).
First chain(const aicore_payload *payload) {
    Record record, next;
    if (payload->length < kRecordHeader) return First::more;
    if (!record_header(payload->data, payload->length, record)) return First::no;
    if (payload->other_length && record_header(payload->other, payload->other_length, next) &&
        next.minor == record.minor)
        return First::other;
    const size_t end = kRecordHeader + record.size;
    if (payload->length < end + kRecordHeader) return First::more;
    const bool fits = record_header(payload->data + end, payload->length - end, next) && next.minor == record.minor;
    return fits ? First::other : First::no;
}

// An alert in clear as the first thing said: the handshake is refused (RFC 8446 section 6).
First alert(const aicore_payload *payload) {
    static constexpr uint8_t kHead[] = {kAlert, 3};
    const uint8_t *data = payload->data;
    const size_t length = payload->length;
    if (std::memcmp(data, kHead, length < 2 ? length : 2) != 0) return First::no;
    if (length < kRecordHeader + 2) return First::more;
    const uint8_t description = data[6];
    const bool known = description == 0 || description == 10 || (description >= 20 && description <= 22) ||
                       description == 30 || (description >= 40 && description <= 51) || description == 60 ||
                       (description >= 70 && description <= 71) || description == 80 || description == 86 ||
                       description == 90 || description == 100 || (description >= 109 && description <= 116) ||
                       description == 120;
    const bool fits = data[2] <= 4 && data[3] == 0 && data[4] == 2 && (data[5] == 1 || data[5] == 2) && known;
    return fits ? First::other : First::no;
}

// The ClientHello of SSL 2 that old clients greet SSL 3 and TLS servers with (RFC 5246 appendix E.2).
First old_hello(const aicore_payload *payload, uint16_t &version) {
    Bytes in(payload->data, payload->length);
    const size_t size = in.u16() & 0x7fff;
    const uint8_t type = in.u8();
    version = in.u16();
    const size_t ciphers = in.u16(), session = in.u16(), challenge = in.u16();
    if (payload->length > 2 && type != kClientHello) return First::no;
    if (payload->length > 4 && version_text(version).empty()) return First::no;
    if (!in.ok()) return First::more;
    const bool fits = ciphers && ciphers % 3 == 0 && (session == 0 || session == 16) && challenge >= 16 &&
                      challenge <= 32 && size == 9 + ciphers + session + challenge;
    if (!fits) return First::no;
    return payload->length < 2 + size ? First::more : First::old_hello;
}

First first_look(const aicore_payload *payload, Scratch &scratch, uint16_t &version) {
    if (payload->length == 0) return First::more;
    if (payload->data[0] & 0x80) return old_hello(payload, version);
    const bool middle = payload->flags & (AICORE_MIDSTREAM | AICORE_GAP);
    if (payload->data[0] == kHandshake) {
        Handshake message = read_handshake(payload->data, payload->length, scratch);
        if (message.state == Handshake::State::none) return First::no;
        const bool hello = message.type == 0 || message.type == kClientHello || message.type == kServerHello;
        if (message.state == Handshake::State::start && hello) return First::more;
        // Version, random, session id, one cipher, compression; a client's list of ciphers has a length of its own.
        const size_t least = message.type == kClientHello ? 41 : 38;
        if (message.type != 0 && hello && message.length >= least && message.length <= 0x1ffff) {
            if (message.body.left() < 2) return First::more;
            const uint16_t legacy = message.body.u16();
            if (legacy >= 0x0300 && legacy <= 0x0304) return First::hello;
        }
    } else if (const First refused = alert(payload); refused != First::no) {
        return refused;
    }
    return middle ? chain(payload) : First::no;
}

// Commands and answers in clear before TLS begins (STARTTLS: RFC 3207, 2595, 4217, 6120), where no protocol of theirs
// claims the flow. The length of the text that `data` begins with; TLS begins there if a record's head follows.
size_t text_length(const uint8_t *data, size_t length) {
    size_t n = 0;
    while (n < length && ((data[n] >= 0x20 && data[n] < 0x7f) || data[n] == '\r' || data[n] == '\n' || data[n] == '\t'))
        ++n;
    return n;
}

class Reader {
  public:
    Reader(aicore_flow *flow, State &state, bool side, Scratch &scratch)
        : flow_(flow), host_(*flow->host), state_(state), side_(side), scratch_(scratch) {}

    // Reads a direction's first message; returns what of `length` is consumed.
    size_t run(const uint8_t *data, size_t length) {
        size_t at = state_.text ? text_length(data, length) : 0;
        while (length - at >= 7 && data[at] == kAlert && data[at + 1] == 3 && data[at + 3] == 0 && data[at + 4] == 2) {
            if (data[at + 5] != 1) { // fatal: nothing follows
                state_.done[0] = state_.done[1] = true;
                return length;
            }
            at += 7; // a warning, as for an unknown server name, goes before the ServerHello
        }
        if (at == length || (data[at] == kAlert && length - at < 7)) return at;
        Handshake message = read_handshake(data + at, length - at, scratch_);
        const bool hello = message.type == kClientHello || message.type == kServerHello;
        switch (message.state) {
        case Handshake::State::none:
            host_.anomaly(flow_, kBadHandshake);
            break;
        case Handshake::State::start:
            return at;
        case Handshake::State::part:
            if (hello && length - at < kMaxWait) {
                // Read once for the server name, should the rest never come.
                if (!state_.tried[side_] && message.type == kClientHello) client_hello(message, false);
                state_.tried[side_] = true;
                return at;
            }
            [[fallthrough]];
        case Handshake::State::whole:
            if (message.type == kClientHello) client_hello(message, message.state == Handshake::State::whole);
            if (message.type == kServerHello) server_hello(message);
            break;
        }
        state_.done[side_] = true;
        return length;
    }

    void set(Field field, std::string_view text) {
        if (!text.empty()) host_.set_string(flow_, field, text.data(), text.size());
    }

  private:
    void client_hello(const Handshake &message, bool whole) {
        ClientHello hello;
        const bool good = read_client_hello(message.body, hello);
        set(kServerName, hello.server_name);
        if (!state_.server_hello) {
            set(kAlpn, hello.alpn);
            set(kVersion, version_text(hello.supported_version ? hello.supported_version : hello.version));
        }
        if (!whole) return;
        if (!good || hello.ciphers.lost || hello.extensions.lost || hello.signatures.lost)
            return host_.anomaly(flow_, kBadHandshake);
        const Ja4 fingerprint = ja4(hello);
        set(kJa4, {fingerprint.data(), fingerprint.size()});
    }

    void server_hello(const Handshake &message) {
        ServerHello hello;
        const bool good = read_server_hello(message.body, hello);
        state_.server_hello = true;
        if (!good && message.state == Handshake::State::whole) host_.anomaly(flow_, kBadHandshake);
        set(kVersion, version_text(hello.version));
        set(kAlpn, hello.alpn);
    }

    aicore_flow *flow_;
    const aicore_host &host_;
    State &state_;
    bool side_;
    Scratch &scratch_;
};

int inspect(aicore_flow *flow, aicore_payload *payload, void *memory) {
    State &state = *static_cast<State *>(memory);
    const bool side = payload->reverse;
    if (state.done[side]) return ++state.idle >= kMaxIdle ? AICORE_DONE : AICORE_YES;
    Scratch scratch; // not initialised: touched only by messages in several records
    Reader reader(flow, state, side, scratch);
    if (!flow->recognised) {
        uint16_t version = 0;
        aicore_payload begin = *payload;
        const size_t text = text_length(payload->data, payload->length);
        if (text > kMaxText) return AICORE_NO;
        if (text && text == payload->length) return AICORE_MORE;
        state.text = text > 0;
        begin.data += text;
        begin.length -= text;
        switch (first_look(&begin, scratch, version)) {
        case First::no:
            return AICORE_NO;
        case First::more:
            return AICORE_MORE;
        case First::other:
            return AICORE_DONE;
        case First::old_hello:
            reader.set(kVersion, version_text(version));
            state.done[side] = true;
            return AICORE_YES;
        case First::hello:
            break;
        }
    }
    if (flow->recognised && payload->flags & AICORE_GAP)
        state.done[side] = true; // the hello is lost
    else
        payload->consumed = reader.run(payload->data, payload->length);
    return state.done[0] && state.done[1] ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"sslhost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "tls.client.server_name",
     "server name that the client asks for (SNI)"},
    {"alpn", AICORE_STRING, 0, 0, nullptr, "tls.next_protocol",
     "application protocol that the server chose in clear, else the first that the client offers"},
    {"tlsversion", AICORE_STRING, 0, 16, nullptr, "tls.version",
     "negotiated version, 1.3 down to 1.0 or SSL 3.0; the client's highest if no ServerHello was seen"},
    {"ja4", AICORE_STRING, 0, 0, nullptr, nullptr, "JA4 fingerprint of the client"},
};

constexpr const char *kAnomalies[] = {"tls_bad_handshake"};

// Records, SSL 2's hello, and how dialogues begin that may go over to TLS: SMTP, IMAP, POP3, FTP, XMPP.
#define BYTES(text)                                                                                                    \
    { text, sizeof(text) - 1 }
constexpr aicore_prefix kPrefixes[] = {
    BYTES("\x16\x03"), BYTES("\x15\x03"), BYTES("\x17\x03"), BYTES("\x14\x03"), BYTES("\x80"),
    BYTES("220 "),     BYTES("220-"),     BYTES("EHLO "),    BYTES("ehlo "),    BYTES("* OK"),
    BYTES("+OK"),      BYTES("AUTH TLS"), BYTES("STLS"),     BYTES("<?xml "),
};
#undef BYTES

// Registered for a protocol inside TLS: https, smtps, ldaps, DNS over TLS, ftps, imaps, pop3s, sips, MQTT, 8443.
constexpr uint16_t kPorts[] = {443, 465, 636, 853, 990, 993, 995, 5061, 8443, 8883};

constexpr aicore_protocol kProtocol = {
    .abi = AICORE_PROTOCOL_ABI,
    .size = sizeof(aicore_protocol),
    .name = "tls",
    .help = "TLS and SSL 3: server name, ALPN, version, client fingerprint",
    .transports = AICORE_TCP,
    .rank = 5,
    .ports = kPorts,
    .port_count = std::size(kPorts),
    .prefix_count = std::size(kPrefixes),
    .prefixes = kPrefixes,
    .fields = kFields,
    .field_count = std::size(kFields),
    .anomaly_count = std::size(kAnomalies),
    .anomalies = kAnomalies,
    .aliases = nullptr,
    .alias_count = 0,
    .state_size = sizeof(State),
    .inspect = inspect,
};

} // namespace

} // namespace aicore::tls

const aicore_protocol *aicore_tls(void) {
    return &aicore::tls::kProtocol;
}
