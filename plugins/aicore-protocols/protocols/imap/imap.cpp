// SPDX-License-Identifier: Apache-2.0
// IMAP4 (RFC 3501, RFC 9051): who logs in, STARTTLS. Recognised by the greeting and the word IMAP4 in it or in the
// capabilities behind it, or by a tagged command of the client after such a greeting.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUser, kTls, kMechanism };

constexpr size_t kMaxTag = 32;
constexpr size_t kMaxGreeting = 4096;
constexpr uint16_t kPorts[] = {143};
// RFC 3501 sections 6.1 and 6.2 and RFC 2971: what may be said before a log-in.
constexpr std::string_view kCommands[] = {"capability", "noop", "logout", "starttls", "authenticate", "login", "id"};

struct State {
    bool skipping[2];
    uint64_t literal[2]; // bytes of a literal still to come, RFC 3501 section 4.3
    bool user_follows;   // as a literal
    uint8_t tag_length;  // of STARTTLS, not answered; 0: not asked
    char tag[kMaxTag];
};

bool is_greeting(std::string_view line) {
    return starts_nocase(line, "* ok") || starts_nocase(line, "* preauth ") || starts_nocase(line, "* bye");
}

// "tag COMMAND arguments": leaves the arguments in `line`.
bool tagged(std::string_view &line, std::string_view &tag, std::string_view &command) {
    const auto legal = [](char c) {
        return is_alpha(c) || is_digit(c) || c == '.' || c == '-' || c == '_' || c == '$';
    };
    tag = take_word(line);
    command = take_word(line);
    return !tag.empty() && tag.size() <= kMaxTag && std::all_of(tag.begin(), tag.end(), legal) && !command.empty();
}

bool is_command(std::string_view line) {
    std::string_view tag, command;
    return tagged(line, tag, command) && std::any_of(std::begin(kCommands), std::end(kCommands),
                                                     [&](std::string_view c) { return equal_nocase(command, c); });
}

int recognise(Flow flow, const aicore_payload &p) {
    const std::string_view in = text(p);
    bool whole = false;
    const std::string_view line = first_line(in, whole);
    if (is_greeting(line) || (in.size() < 4 && starts_nocase(in, std::string_view("* ok").substr(0, in.size())))) {
        if (whole && contains_nocase(in, "imap4")) return AICORE_YES;
        bool command = false;
        if (whole && is_command(first_line(other_text(p), command)) && command) return AICORE_YES;
        return in.size() < kMaxGreeting ? AICORE_MORE : AICORE_NO;
    }
    if (!whole) return flow.port(kPorts[0]) && in.size() < kMaxGreeting ? AICORE_MORE : AICORE_NO;
    const bool greeted = is_greeting(other_text(p));
    return is_command(line) && (greeted || flow.port(kPorts[0])) && other_text(p).empty() != greeted ? AICORE_YES
                                                                                                     : AICORE_NO;
}

// RFC 3501 section 4.3: an astring is an atom, quoted, or a literal, whose length stands at the end of the line.
std::string_view astring(std::string_view &in) {
    in = trim(in);
    if (!in.starts_with('"')) return take_word(in);
    const size_t end = in.find('"', 1);
    const std::string_view out = in.substr(1, end - 1);
    in.remove_prefix(end == in.npos ? in.size() : end + 1);
    return out;
}

uint64_t literal_length(std::string_view line) {
    const size_t open = line.rfind('{');
    if (open == line.npos || line.back() != '}') return 0;
    std::string_view digits = line.substr(open + 1, line.size() - open - 2);
    if (digits.ends_with('+')) digits.remove_suffix(1); // RFC 7888
    return static_cast<uint64_t>(std::max<int64_t>(decimal(digits), 0));
}

void client(Flow flow, std::string_view line, State &state) {
    std::string_view tag, command;
    if (!tagged(line, tag, command)) return;
    if (equal_nocase(command, "login")) {
        const std::string_view user = astring(line);
        state.user_follows = user.starts_with('{');
        if (!state.user_follows) flow.first(kUser, user);
    } else if (equal_nocase(command, "authenticate")) {
        flow.first(kMechanism, take_word(line));
    } else if (equal_nocase(command, "starttls")) {
        state.tag_length = static_cast<uint8_t>(tag.copy(state.tag, sizeof state.tag));
    }
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.recognised()) {
        const int answer = recognise(flow, payload);
        if (answer != AICORE_YES) return answer;
    }
    const int side = payload.reverse & 1;
    const bool from_server = flow.from_server(payload, kPorts);
    Lines lines(text(payload), payload.flags & AICORE_GAP, state.skipping[side]);
    std::string_view line;
    for (;;) {
        uint64_t &literal = state.literal[side];
        if (state.user_follows && !from_server && literal) {
            if (lines.rest().size() < literal && literal < Lines::kMaxLine) break;
            flow.first(kUser, lines.rest().substr(0, static_cast<size_t>(literal)));
            state.user_follows = false;
        }
        const size_t pass = static_cast<size_t>(std::min<uint64_t>(literal, lines.rest().size()));
        lines.skip(pass);
        literal -= pass;
        if (literal || (!from_server && state.tag_length) || !lines.next(line)) break;
        if (!line.empty()) literal = literal_length(line);
        if (!from_server) {
            client(flow, line, state);
        } else if (state.tag_length && line.starts_with({state.tag, state.tag_length})) {
            line.remove_prefix(state.tag_length);
            state.tag_length = 0;
            if (!starts_nocase(line, " ok")) continue;
            flow.set(kTls, 1);
            flow.hand_over();
            break;
        }
    }
    payload.consumed = lines.at();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"imapuser", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "user.name", "user of LOGIN"},
    {"imaptls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if STARTTLS was accepted"},
    {"imapmechanism", AICORE_STRING, 0, 32, nullptr, nullptr, "mechanism of AUTHENTICATE"},
};
constexpr aicore_prefix kPrefixes[] = {{"* OK", 4}, {"* PREAUTH ", 10}, {"* BYE", 5}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "imap",
    .help = "IMAP4: user, STARTTLS",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *imap() {
    return &kProtocol;
}

} // namespace aicore::protocols
