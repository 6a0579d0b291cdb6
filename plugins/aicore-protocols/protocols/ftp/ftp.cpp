// SPDX-License-Identifier: Apache-2.0
// FTP's control connection (RFC 959), AUTH TLS (RFC 4217): who logs in, the first file. Recognised by the greeting with
// the word FTP in it, or by a greeting and a log-in of the client. What is transferred is in connections of their own.
#include "aicore/dissector.h"
#include "reply.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kFile, kFiles, kTls };

constexpr uint16_t kPorts[] = {21};
constexpr size_t kListBound = 16;

struct State {
    bool skipping[2];
    bool tls_asked; // and not answered
    uint8_t files;
};

bool is_login(std::string_view line) {
    return ((starts_nocase(line, "user ") && line.size() > 5) || starts_nocase(line, "auth tls") ||
            starts_nocase(line, "auth ssl")) &&
           printable(line);
}

int recognise(const aicore_payload &p) {
    bool whole = false, other_whole = false;
    const std::string_view in = text(p), line = first_line(in, whole), other = first_line(other_text(p), other_whole);
    if (!whole) return line.size() < 512 ? AICORE_MORE : AICORE_NO;
    const int code = reply_code(line);
    if (code == 220) {
        // The server's name is no word of the protocol; a greeting of several lines may have it in a later one.
        std::string_view rest = in.substr(std::min<size_t>(4, in.size()));
        if (const std::string_view name = take_word(rest); name.find('.') == name.npos)
            rest = in.substr(std::min<size_t>(4, in.size()));
        if (contains_nocase(rest, "smtp")) return AICORE_NO;
        if (contains_nocase(rest, "ftp")) return AICORE_YES;
        if (!other_whole) return in.size() < 2048 ? AICORE_MORE : AICORE_NO;
        return is_login(other) ? AICORE_YES : AICORE_NO;
    }
    if (code || !is_login(line)) return AICORE_NO;
    return reply_code(other.substr(0, 4)) == 220 && other.size() >= 4 ? AICORE_YES
           : other_text(p).empty()                                    ? AICORE_MORE
                                                                      : AICORE_NO;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.recognised()) {
        const int answer = recognise(payload);
        if (answer != AICORE_YES) return answer;
    }
    const bool from_server = flow.from_server(payload, kPorts);
    Lines lines(text(payload), payload.flags & AICORE_GAP, state.skipping[payload.reverse & 1]);
    std::string_view line;
    while ((from_server || !state.tls_asked) && lines.next(line)) {
        if (from_server) {
            const int code = reply_code(line);
            if (!state.tls_asked || code == 0 || code == 220) continue; // the greeting may still have to be read
            state.tls_asked = false;
            if (code != 234) continue;
            flow.set(kTls, 1);
            flow.hand_over();
            break;
        }
        if (starts_nocase(line, "user ")) {
            flow.first(kUser, trim(line.substr(5)));
        } else if (starts_nocase(line, "retr ") || starts_nocase(line, "stor ")) {
            flow.first(kFile, trim(line.substr(5)));
            if (state.files == kListBound) continue;
            ++state.files;
            flow.add(kFiles, trim(line.substr(5)));
        } else if (starts_nocase(line, "auth tls") || starts_nocase(line, "auth ssl")) {
            state.tls_asked = true;
        }
    }
    payload.consumed = lines.at();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"ftpuser", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "user.name", "user of USER"},
    {"ftpfile", AICORE_STRING, 0, 255, nullptr, "file.name", "first file retrieved or stored"},
    {"ftpfiles", AICORE_STRINGS, 0, 255, nullptr, nullptr, "files retrieved or stored, the first 16"},
    {"ftptls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if AUTH TLS was accepted"},
};
constexpr aicore_prefix kPrefixes[] = {{"220", 3}, {"USER ", 5}, {"user ", 5}, {"AUTH TLS", 8}, {"AUTH SSL", 8}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "ftp",
    .help = "FTP control connections: user, files, AUTH TLS",
    .transports = AICORE_TCP,
    .rank = 21,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *ftp() {
    return &kProtocol;
}

} // namespace aicore::protocols
