// SPDX-License-Identifier: Apache-2.0
// QUIC: the client's first packets are opened, the ClientHello in them is read, and the flow is done. A packet counts
// as QUIC when its AEAD tag (Google's before Q050: its hash) fits, and by nothing less.
#include "quic.h"

#include <array>
#include <string_view>

#include "aicore/dissector.h"
#include "aicore/tls.h"
#include "chlo.h"
#include "gquic.h"
#include "initial.h"
#include "reassembly.h"
#include "version.h"

namespace aicore::quic {

namespace {

enum Field : uint32_t { kServerName, kAlpn, kVersion, kJa4 };
enum Anomaly : uint32_t { kBadHello, kLostHello, kBadFrame };

constexpr uint8_t kMaxDatagrams = 64; // of both directions, in which a hello must be complete
constexpr size_t kHelloHeader = 4;    // type and length

struct State {
    Keys keys;
    bool keyed;
    uint8_t datagrams;
    Claim claim; // to the pieces of the hello
};

class Reader {
  public:
    Reader(Flow flow, State &state) : flow_(flow), state_(state) {}

    // Reads the packets of a datagram.
    void run(const uint8_t *data, size_t length) {
        if (open_clear(data, length, version_, frames_)) {
            found();
            return chlo(handshake_stream(version_, frames_));
        }
        LongHeader header;
        while (!done && length && read_long_header(data, length, header)) {
            if (header.initial) {
                if (!open(data, header)) return;
                found();
                frames();
            }
            data += header.size;
            length -= header.size;
        }
    }

    bool proven = false; // a packet was opened
    bool done = false;   // nothing more to learn

  private:
    // The keys hold for all Initial packets of a client, but a Retry or a new connection brings others.
    bool open(const uint8_t *data, const LongHeader &header) {
        static thread_local std::array<uint8_t, kMaxPacket> plain;
        version_ = Bytes(data + 1, 4).u32();
        size_t size = state_.keyed ? open_initial(state_.keys, data, header, plain.data()) : 0;
        if (size == 0) {
            Keys keys;
            if (!derive_client_keys(version_, header.destination, keys)) return false;
            size = open_initial(keys, data, header, plain.data());
            if (size == 0) return false;
            state_.keys = keys;
            state_.keyed = true;
        }
        frames_ = {plain.data(), size};
        return true;
    }

    void found() {
        proven = true;
        if (flow_.has(kVersion)) return;
        const VersionText name = version_text(version_);
        flow_.set(kVersion, std::string_view(name.text, name.length));
    }

    // RFC 9000 section 12.4: what an Initial packet may hold. Q050 has Google's frame types.
    void frames() {
        const bool google = version_ == kQ050;
        bool learnt = false;
        while (frames_.left() && !done) {
            const uint64_t type = variable(frames_);
            if (type == 0 || type == (google ? 7 : 1)) continue; // PADDING, PING
            if (type == (google ? 8 : 6)) {                      // CRYPTO
                const uint64_t offset = variable(frames_), size = variable(frames_);
                if (!frames_.ok() || size > frames_.left()) return flow_.anomaly(kBadFrame);
                const Bytes piece = frames_.take(static_cast<size_t>(size));
                if (google) return chlo(piece);
                if (!keep(offset, piece)) return;
                learnt = true;
            } else if (!google && (type == 2 || type == 3)) {
                acknowledgement(type == 3);
            } else {
                break; // CONNECTION_CLOSE: nothing of interest follows
            }
        }
        if (!frames_.ok()) flow_.anomaly(kBadFrame);
        if (learnt) hello();
    }

    void acknowledgement(bool counts) { // RFC 9000 section 19.3
        variable(frames_);
        variable(frames_);
        const uint64_t ranges = variable(frames_);
        variable(frames_);
        for (uint64_t i = 0; i < ranges && frames_.left(); ++i) {
            variable(frames_);
            variable(frames_);
        }
        for (int i = 0; counts && i < 3; ++i)
            variable(frames_);
    }

    bool keep(uint64_t offset, Bytes piece) {
        Hello *hello = Hellos::of_this_thread().find(state_.claim);
        if (!hello || offset >= kMaxHello) {
            flow_.anomaly(kLostHello);
            done = true;
            return false;
        }
        hello->put(static_cast<size_t>(offset), piece);
        return true;
    }

    void hello() {
        const Hello *kept = Hellos::of_this_thread().find(state_.claim);
        if (!kept) return;
        Bytes in = kept->prefix();
        if (in.left() < kHelloHeader) return;
        const uint8_t type = in.u8();
        const size_t length = in.u24();
        if (type != tls::kClientHello || length + kHelloHeader > kMaxHello) {
            flow_.anomaly(type == tls::kClientHello ? kLostHello : kBadHello);
            done = true;
            return;
        }
        const bool whole = in.left() >= length;
        tls::ClientHello out;
        const bool good = tls::read_client_hello(in.take_some(length), out, tls::Carrier::quic);
        flow_.set(kServerName, out.server_name); // at once, should the rest never come
        if (!whole) return;
        done = true;
        flow_.set(kAlpn, out.alpn);
        if (!good || out.lost()) return flow_.anomaly(kBadHello);
        const tls::Ja4 fingerprint = tls::ja4(out, tls::Carrier::quic);
        flow_.set(kJa4, std::string_view(fingerprint.data(), fingerprint.size()));
    }

    void chlo(Bytes message) {
        Chlo out;
        if (!read_chlo(message, out)) return; // an acknowledgement, or what follows a handshake: the next may be one
        flow_.set(kServerName, out.server_name);
        flow_.set(kAlpn, out.alpn);
        done = true;
    }

    Flow flow_;
    State &state_;
    uint32_t version_ = 0;
    Bytes frames_;
};

int inspect(Flow flow, aicore_payload &payload, State &state) {
    Reader reader(flow, state);
    reader.run(payload.data, payload.length);
    if (!flow.recognised() && !reader.proven) return AICORE_NO;
    if (!reader.done && ++state.datagrams < kMaxDatagrams) return AICORE_YES;
    Hellos::of_this_thread().give(state.claim);
    return AICORE_DONE;
}

constexpr aicore_field kFields[] = {
    {"sslhost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "tls.client.server_name",
     "server name that the client asks for (SNI)"},
    {"alpn", AICORE_STRING, 0, 0, nullptr, "tls.next_protocol", "application protocol that the client offers first"},
    {"quicversion", AICORE_STRING, 0, 16, nullptr, nullptr,
     "version of the client's first packet: 1, 2, draft-29, Q046, ..."},
    {"ja4", AICORE_STRING, 0, 0, nullptr, nullptr, "JA4 fingerprint of the client"},
};

constexpr const char *kAnomalies[] = {"quic_bad_hello", "quic_lost_hello", "quic_bad_frame"};

// A first byte alone selects: the four bytes of the version behind it are looked at before anything costs time.
constexpr char kFirstBytes[] = "\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xcb\xcc\xcd\xce\xcf"
                               "\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xdb\xdc\xdd\xde\xdf"
                               "\x09\x0d\x19\x1d\x29\x2d\x39\x3d";

constexpr auto kPrefixes = [] {
    std::array<aicore_prefix, sizeof kFirstBytes - 1> out{};
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = {kFirstBytes + i, 1};
    return out;
}();

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "quic",
    .help = "QUIC 1 and 2, its drafts 23 to 34, Google's Q024 to Q050: server name, ALPN and JA4 of the client's first "
            "packets",
    .transports = AICORE_UDP,
    .rank = 0,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *protocol() {
    return &kProtocol;
}

} // namespace aicore::quic
