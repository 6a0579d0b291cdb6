// SPDX-License-Identifier: Apache-2.0
// TLS 1.0 to 1.3 and SSL 3 over TCP: the ClientHello and the ServerHello. What follows is not looked at. Connections
// caught in their middle are recognised by two record headers that fit together.
#include "aicore/tls.h"
#include "aicore/builtin_protocols.h"
#include "aicore/dissector.h"
#include "records.h"

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
bool record_header(Bytes in, Record &out) {
    out.type = in.u8();
    const uint8_t major = in.u8();
    out.minor = in.u8();
    out.size = in.u16();
    if (!in.ok() || major != 3 || out.minor < 1 || out.minor > 3 || out.size == 0 || out.size > kMaxCiphertext)
        return false;
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
First chain(Bytes in, Bytes other) {
    Record record, next;
    if (in.left() < kRecordHeader) return First::more;
    if (!record_header(in, record)) return First::no;
    if (record_header(other, next) && next.minor == record.minor) return First::other;
    in.skip(kRecordHeader + record.size);
    if (in.left() < kRecordHeader) return First::more;
    return record_header(in, next) && next.minor == record.minor ? First::other : First::no;
}

// An alert in clear as the first thing said: the handshake is refused (RFC 8446 section 6).
First alert(Bytes in) {
    const size_t length = in.left();
    const uint8_t type = in.u8(), major = in.u8(), minor = in.u8();
    if (type != kAlert || (length > 1 && major != 3)) return First::no;
    const uint16_t size = in.u16();
    const uint8_t level = in.u8(), description = in.u8();
    if (!in.ok()) return First::more;
    const bool known = description == 0 || description == 10 || (description >= 20 && description <= 22) ||
                       description == 30 || (description >= 40 && description <= 51) || description == 60 ||
                       (description >= 70 && description <= 71) || description == 80 || description == 86 ||
                       description == 90 || description == 100 || (description >= 109 && description <= 116) ||
                       description == 120;
    return minor <= 4 && size == 2 && (level == 1 || level == 2) && known ? First::other : First::no;
}

// The ClientHello of SSL 2 that old clients greet SSL 3 and TLS servers with (RFC 5246 appendix E.2).
First old_hello(Bytes in, uint16_t &version) {
    const size_t length = in.left();
    const size_t size = in.u16() & 0x7fff;
    const uint8_t type = in.u8();
    version = in.u16();
    const size_t ciphers = in.u16(), session = in.u16(), challenge = in.u16();
    if (length > 2 && type != kClientHello) return First::no;
    if (length > 4 && version != 0x0002 && (version < 0x0300 || version > 0x0304)) return First::no;
    if (!in.ok()) return First::more;
    const bool fits = ciphers && ciphers % 3 == 0 && (session == 0 || session == 16) && challenge >= 16 &&
                      challenge <= 32 && size == 9 + ciphers + session + challenge;
    if (!fits) return First::no;
    return length < 2 + size ? First::more : First::old_hello;
}

// `in`: the payload behind text in clear.
First first_look(Bytes in, const aicore_payload &payload, Scratch &scratch, uint16_t &version) {
    if (in.left() == 0) return First::more;
    const uint8_t type = *in.data();
    if (type & 0x80) return old_hello(in, version);
    if (type == kHandshake) {
        Handshake message = read_handshake(in.data(), in.left(), scratch);
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
    } else if (const First refused = alert(in); refused != First::no) {
        return refused;
    }
    const bool middle = payload.flags & (AICORE_MIDSTREAM | AICORE_GAP);
    return middle ? chain(in, {payload.other, payload.other_length}) : First::no;
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
    Reader(Flow flow, State &state, bool side, Scratch &scratch)
        : flow_(flow), state_(state), side_(side), scratch_(scratch) {}

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
            flow_.anomaly(kBadHandshake);
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

  private:
    void client_hello(const Handshake &message, bool whole) {
        ClientHello hello;
        const bool good = read_client_hello(message.body, hello);
        flow_.set(kServerName, hello.server_name);
        if (!state_.server_hello) {
            flow_.set(kAlpn, hello.alpn);
            flow_.set(kVersion, version_text(hello.version));
        }
        if (!whole) return;
        if (!good || hello.lost()) return flow_.anomaly(kBadHandshake);
        const Ja4 fingerprint = ja4(hello);
        flow_.set(kJa4, std::string_view(fingerprint.data(), fingerprint.size()));
    }

    void server_hello(const Handshake &message) {
        ServerHello hello;
        const bool good = read_server_hello(message.body, hello);
        state_.server_hello = true;
        if (!good && message.state == Handshake::State::whole) flow_.anomaly(kBadHandshake);
        flow_.set(kVersion, version_text(hello.version));
        flow_.set(kAlpn, hello.alpn);
    }

    Flow flow_;
    State &state_;
    bool side_;
    Scratch &scratch_;
};

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const bool side = payload.reverse;
    if (state.done[side]) return ++state.idle >= kMaxIdle ? AICORE_DONE : AICORE_YES;
    Scratch scratch; // not initialised: touched only by messages in several records
    if (!flow.recognised()) {
        uint16_t version = 0;
        const size_t clear = text_length(payload.data, payload.length);
        if (clear > kMaxText) return AICORE_NO;
        if (clear && clear == payload.length) return AICORE_MORE;
        state.text = clear > 0;
        switch (first_look({payload.data + clear, payload.length - clear}, payload, scratch, version)) {
        case First::no:
            return AICORE_NO;
        case First::more:
            return AICORE_MORE;
        case First::other:
            return AICORE_DONE;
        case First::old_hello:
            flow.set(kVersion, version_text(version));
            state.done[side] = true;
            return AICORE_YES;
        case First::hello:
            break;
        }
    }
    if (flow.recognised() && payload.flags & AICORE_GAP)
        state.done[side] = true; // the hello is lost
    else
        payload.consumed = Reader(flow, state, side, scratch).run(payload.data, payload.length);
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
constexpr aicore_prefix kPrefixes[] = {
    prefix("\x16\x03"), prefix("\x15\x03"), prefix("\x17\x03"), prefix("\x14\x03"), prefix("\x80"),
    prefix("220 "),     prefix("220-"),     prefix("EHLO "),    prefix("ehlo "),    prefix("* OK"),
    prefix("+OK"),      prefix("AUTH TLS"), prefix("STLS"),     prefix("<?xml "),
};

// Registered for a protocol inside TLS: https, smtps, ldaps, DNS over TLS, ftps, imaps, pop3s, sips, MQTT, 8443.
constexpr uint16_t kPorts[] = {443, 465, 636, 853, 990, 993, 995, 5061, 8443, 8883};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "tls",
    .help = "TLS and SSL 3: server name, ALPN, version, client fingerprint",
    .transports = AICORE_TCP,
    .rank = 5,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

} // namespace aicore::tls

const aicore_protocol *aicore_tls(void) {
    return &aicore::tls::kProtocol;
}
