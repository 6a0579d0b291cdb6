// SPDX-License-Identifier: Apache-2.0
// SMB 1 (MS-CIFS, MS-SMB), 2 and 3 (MS-SMB2) over TCP, directly or on a NetBIOS session: shares and files that are
// opened, by whom. Recognised by the four bytes that each message begins with.
#include "aicore/dissector.h"
#include "utf16.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kVersion, kCommand, kFile, kFiles, kShare, kUser, kHost };
enum Anomaly : uint32_t { kBadMessage };
enum Command : uint16_t { kNegotiate = 0, kSessionSetup = 1, kTreeConnect = 3, kCreate = 5 }; // MS-SMB2 2.2.1.2
enum Command1 : uint8_t { kCreate1 = 0xa2, kTreeConnect1 = 0x75, kSetup1 = 0x73 };            // MS-CIFS 2.2.2.1

constexpr size_t kHead = 4096;  // of a message: what is waited for
constexpr size_t kHeader = 64;  // MS-SMB2 2.2.1
constexpr size_t kHeader1 = 32; // MS-CIFS 2.2.3.1
constexpr size_t kListBound = 16;
constexpr int kMaxChain = 32; // messages in one, MS-SMB2 3.3.5.2.7
constexpr uint32_t kMagic1 = 0xff534d42, kMagic2 = 0xfe534d42, kEncrypted = 0xfd534d42, kCompressed = 0xfc534d42;

struct State {
    uint32_t skip[2]; // rest of a message that is not read
    uint8_t files;
};

Bytes part(Bytes in, size_t offset, size_t length) {
    in.skip(offset);
    return in.take(length);
}

void opened(Flow flow, State &state, std::string_view name) {
    flow.first(kFile, name);
    if (name.empty() || state.files == kListBound) return;
    ++state.files;
    flow.add(kFiles, name);
}

// MS-NLMP 2.2.1.3: the last message of NTLM names user and host; found wherever SPNEGO has put it.
void ntlm(Flow flow, Bytes in) {
    static constexpr std::string_view kStart("NTLMSSP\0\3\0\0\0", 12);
    const size_t at = text(in).find(kStart);
    if (at == std::string_view::npos) return;
    in.skip(at);
    const Bytes message = in;
    in.skip(36);
    const uint16_t user = in.u16le();
    in.skip(2);
    const uint32_t user_at = in.u32le();
    const uint16_t host = in.u16le();
    in.skip(2);
    const uint32_t host_at = in.u32le();
    if (!in.ok()) return;
    flow.first(kUser, Utf8(part(message, user_at, user)).view());
    flow.first(kHost, Utf8(part(message, host_at, host)).view());
}

// `message` begins with the header: offsets in MS-SMB2 count from it.
void request2(Flow flow, State &state, uint16_t command, Bytes message) {
    Bytes body = message;
    body.skip(kHeader);
    switch (command) {
    case kSessionSetup:
        return ntlm(flow, body);
    case kTreeConnect: { // 2.2.9
        body.skip(4);
        const uint16_t at = body.u16le(), length = body.u16le();
        return flow.first(kShare, Utf8(part(message, at, length)).view());
    }
    case kCreate: { // 2.2.13
        body.skip(44);
        const uint16_t at = body.u16le(), length = body.u16le();
        return opened(flow, state, Utf8(part(message, at, length)).view());
    }
    }
}

// 2.2.4: the dialect that the server has chosen.
void response2(Flow flow, uint16_t command, Bytes body) {
    if (command != kNegotiate) return;
    body.skip(kHeader + 4);
    const uint16_t dialect = body.u16le();
    if (!body.ok()) return;
    switch (dialect) {
    case 0x0202:
        return flow.set(kVersion, "2.0.2");
    case 0x0210:
        return flow.set(kVersion, "2.1");
    case 0x0300:
        return flow.set(kVersion, "3.0");
    case 0x0302:
        return flow.set(kVersion, "3.0.2");
    case 0x0311:
        return flow.set(kVersion, "3.1.1");
    }
}

bool version2(Flow flow, State &state, Bytes in) {
    for (int i = 0; i < kMaxChain; ++i) {
        Bytes head = in;
        head.skip(4);
        const uint16_t size = head.u16le();
        head.skip(6);
        const uint16_t command = head.u16le();
        head.skip(2);
        const uint32_t flags = head.u32le(), next = head.u32le();
        if (!head.ok() || size != kHeader || command > 0x13) return i > 0;
        if (!flow.has(kVersion)) flow.set(kVersion, "2");
        flow.set(kCommand, command);
        if (flags & 1)
            response2(flow, command, in);
        else
            request2(flow, state, command, next ? part(in, 0, std::min<size_t>(next, in.left())) : in);
        if (next < kHeader || next >= in.left()) return true;
        in.skip(next);
    }
    return true;
}

// A text of SMB 1, up to its zero: in UTF-16 or in bytes.
void text1(Flow flow, State &state, uint8_t command, Bytes in, bool wide) {
    const std::string_view bytes = text(in);
    size_t end = 0;
    const size_t unit = wide ? 2 : 1;
    while (end + unit <= bytes.size() && (bytes[end] || bytes[end + unit - 1]))
        end += unit;
    const Utf8 converted(wide ? in.take(end) : Bytes());
    const std::string_view value = wide ? converted.view() : bytes.substr(0, end);
    if (command == kCreate1)
        opened(flow, state, value);
    else
        flow.first(kShare, value);
}

// MS-CIFS 2.2.3: header, words, bytes.
bool version1(Flow flow, State &state, Bytes in) {
    in.skip(4);
    const uint8_t command = in.u8();
    in.skip(4);
    const uint8_t flags = in.u8();
    const uint16_t flags2 = in.u16le();
    in.skip(kHeader1 - 12);
    const uint8_t count = in.u8();
    Bytes words = in.take(size_t{count} * 2);
    if (!in.ok()) return false;
    flow.first(kVersion, "1");
    flow.set(kCommand, command);
    in.skip(2);                    // number of bytes
    if (flags & 0x80) return true; // a response
    const bool wide = flags2 & 0x8000;
    if (command == kSetup1) ntlm(flow, in);
    // UTF-16 begins at an even place of the message, so that a byte may stand before it (2.2.1.1).
    const size_t before = kHeader1 + 1 + words.left() + 2;
    if (command == kCreate1 && count == 24) { // 2.2.4.64
        if (wide) in.skip(before % 2);
        text1(flow, state, command, in, wide);
    }
    if (command == kTreeConnect1 && count == 4) { // 2.2.4.55: behind a password
        words.skip(6);
        const uint16_t password = words.u16le();
        in.skip(password + (wide ? (before + password) % 2 : 0));
        text1(flow, state, command, in, wide);
    }
    return true;
}

bool message(Flow flow, State &state, Bytes in) {
    Bytes head = in;
    switch (head.u32()) {
    case kMagic1:
        return version1(flow, state, in);
    case kMagic2:
        return version2(flow, state, in);
    case kEncrypted:
    case kCompressed:
        flow.first(kVersion, "3");
        return true;
    }
    return false;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_DONE; // where a message begins is lost
    bool recognised = flow.recognised();
    Bytes in = bytes(payload);
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        payload.consumed = payload.length - in.left();
        if (in.left() == 0) break;
        Bytes ahead = in; // RFC 1002 section 4.3.1, MS-SMB2 2.1
        const uint8_t type = ahead.u8();
        const uint32_t length = ahead.u24();
        const bool alive = type == 0x85 && length == 0 && recognised;
        if (type != 0 && !alive) return recognised ? AICORE_DONE : AICORE_NO;
        static constexpr std::string_view kMagics = "\xff\xfe\xfd\xfc";
        const std::string_view body = text(ahead);
        if (!alive && !body.empty() &&
            (kMagics.find(body[0]) == kMagics.npos || !std::string_view("SMB").starts_with(body.substr(1, 3)) ||
             length < kHeader1))
            return recognised ? AICORE_DONE : AICORE_NO;
        const size_t wanted = std::min<size_t>(length, kHead);
        if (!ahead.ok() || (ahead.left() < wanted && !(payload.flags & AICORE_TRUNCATED))) break;
        if (!alive && !message(flow, state, ahead.take(std::min(wanted, ahead.left())))) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadMessage);
        }
        recognised = true;
        state.skip[side] = length + 4;
    }
    return recognised ? AICORE_YES : AICORE_MORE;
}

constexpr aicore_field kFields[] = {
    {"smbversion", AICORE_STRING, 0, 8, nullptr, nullptr, "1, or of SMB 2 and 3 the dialect, as far as it is seen"},
    {"smbcommand", AICORE_INTEGER, 0, 0, nullptr, nullptr, "last command"},
    {"smbfilename", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "file.path", "first file or pipe that is opened"},
    {"smbfilenames", AICORE_STRINGS, 0, 255, nullptr, nullptr, "files and pipes that are opened, the first 16"},
    {"smbshare", AICORE_STRING, 0, 255, nullptr, nullptr, "first share that is connected to"},
    {"smbuser", AICORE_STRING, 0, 255, nullptr, "user.name", "user that NTLM names"},
    {"smbhost", AICORE_STRING, 0, 255, nullptr, nullptr, "client's name that NTLM gives"},
};
constexpr const char *kAnomalies[] = {"smb_bad_message"};
constexpr uint16_t kPorts[] = {445};
constexpr aicore_prefix kPrefixes[] = {{"\0", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "smb",
    .help = "SMB 1, 2, 3: shares, files, user",
    .transports = AICORE_TCP,
    .rank = 5,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *smb() {
    return &kProtocol;
}

} // namespace aicore::protocols
