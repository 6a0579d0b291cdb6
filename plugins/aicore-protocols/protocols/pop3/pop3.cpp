// SPDX-License-Identifier: Apache-2.0
// POP3 (RFC 1939), STLS (RFC 2595): who logs in. Recognised by the greeting with the word POP or a time stamp for APOP
// in it, or by a greeting and a command of the client: "+OK" alone is Redis's, too.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kTls };

constexpr uint16_t kPorts[] = {110};
constexpr std::string_view kCommands[] = {"user ", "apop ", "auth", "capa", "stls", "quit", "noop", "utf8"};

struct State {
    bool skipping[2];
    bool tls_asked; // and not answered
};

bool is_command(std::string_view line) {
    if (!printable(line)) return false;
    for (const std::string_view command : kCommands)
        if (starts_nocase(line, command) && (command.ends_with(' ') || line.size() == 4 || line[4] == ' ')) return true;
    return false;
}

bool is_greeting(std::string_view line) {
    return line.starts_with("+OK") && (line.size() == 3 || line[3] == ' ') && printable(line);
}

int recognise(const aicore_payload &p) {
    bool whole = false, other_whole = false;
    const std::string_view in = text(p), line = first_line(in, whole), other = first_line(other_text(p), other_whole);
    if (std::string_view("+OK").starts_with(line.substr(0, 3))) {
        if (!whole) return line.size() < 512 ? AICORE_MORE : AICORE_NO; // RFC 1939 section 3
        if (!is_greeting(line)) return AICORE_NO;
        // RFC 1939 section 7: <process.clock@host>
        const size_t open = line.find('<'), at = line.find('@', open == line.npos ? 0 : open);
        const bool stamp = open != line.npos && at != line.npos && line.find('>', at) != line.npos;
        if (other.empty() && (stamp || contains_nocase(line, "pop"))) return AICORE_YES;
        if (!other_whole) return AICORE_MORE;
        return is_command(other) ? AICORE_YES : AICORE_NO;
    }
    if (!whole) return line.size() < 256 && printable(line) ? AICORE_MORE : AICORE_NO;
    return is_command(line) && other_whole && is_greeting(other)                         ? AICORE_YES
           : is_command(line) && !other_whole && is_greeting(other_text(p).substr(0, 3)) ? AICORE_MORE
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
            if (!state.tls_asked) continue;
            state.tls_asked = false;
            if (!line.starts_with("+OK")) continue;
            flow.set(kTls, 1);
            flow.hand_over();
            break;
        }
        if (starts_nocase(line, "user ") || starts_nocase(line, "apop ")) {
            line.remove_prefix(5);
            flow.first(kUser, take_word(line));
        } else if (equal_nocase(trim(line), "stls")) {
            state.tls_asked = true;
        }
    }
    payload.consumed = lines.at();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"pop3user", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "user.name", "user of USER or APOP"},
    {"pop3tls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if STLS was accepted"},
};
constexpr aicore_prefix kPrefixes[] = {{"+OK", 3},  {"USER ", 5}, {"user ", 5}, {"APOP ", 5},
                                       {"CAPA", 4}, {"AUTH", 4},  {"STLS", 4}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "pop3",
    .help = "POP3: user, STLS",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *pop3() {
    return &kProtocol;
}

} // namespace aicore::protocols
