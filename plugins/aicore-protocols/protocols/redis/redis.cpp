// SPDX-License-Identifier: Apache-2.0
// Redis and its kin: RESP 2 and 3 (redis.io/docs/latest/develop/reference/protocol-spec). Recognised by a command: a
// list of texts with their lengths, the first a name. Keys and values are not kept.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kCommand, kCommands, kCount, kError };
enum Anomaly : uint32_t { kBadItem };

constexpr size_t kMaxLine = 4096, kMaxName = 32;
constexpr int64_t kMaxCount = 1 << 20;  // of a command, "Bulk strings" and arrays in the server's limits
constexpr int64_t kMaxText = 512 << 20; // proto-max-bulk-len by default
constexpr uint8_t kListBound = 16;

struct State {
    uint32_t skip[2];
    uint32_t count;   // commands
    uint8_t commands; // in the list
    uint8_t client;   // 1: the side of the flow's first packet, 2: the other
    bool name;        // the next text of the client is a command's name
};

bool command_name(std::string_view s) {
    for (const char c : s)
        if (!is_alpha(c) && !is_digit(c) && c != '.' && c != '_' && c != '-' && c != '|') return false;
    return !s.empty() && s.size() <= kMaxName && is_alpha(s[0]);
}

enum class Start : uint8_t { none, more, whole };

// "*2\r\n$3\r\nGET\r\n": a command's start.
Start command(std::string_view in, std::string_view &name) {
    const auto number = [&](char mark, int64_t max, int64_t &out) {
        if (in.empty()) return Start::more;
        if (in[0] != mark) return Start::none;
        const size_t end = in.find('\n');
        const std::string_view digits = in.substr(1, end == in.npos ? end : end - 1);
        if (end == in.npos) {
            for (size_t i = 0; i < digits.size(); ++i)
                if (!is_digit(digits[i]) && !(digits[i] == '\r' && i + 1 == digits.size() && i)) return Start::none;
            return digits.size() > 10 ? Start::none : Start::more;
        }
        if (end < 3 || in[end - 1] != '\r') return Start::none;
        out = decimal(in.substr(1, end - 2));
        in.remove_prefix(end + 1);
        return out >= 1 && out <= max ? Start::whole : Start::none;
    };
    int64_t count = 0, length = 0;
    if (const Start s = number('*', kMaxCount, count); s != Start::whole) return s;
    if (const Start s = number('$', kMaxName, length); s != Start::whole) return s;
    name = in.substr(0, static_cast<size_t>(length));
    if (!name.empty() && !command_name(name)) return Start::none;
    in.remove_prefix(name.size());
    if (!std::string_view("\r\n").starts_with(in.substr(0, 2))) return Start::none;
    return in.size() < 2 ? Start::more : Start::whole;
}

// The client's next command. False: nothing behind it is of interest.
bool took(Flow flow, State &state, std::string_view name) {
    char upper[kMaxName];
    for (size_t i = 0; i < name.size(); ++i)
        upper[i] = static_cast<char>(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
    name = {upper, name.size()};
    flow.set(kCommand, name);
    flow.set(kCount, ++state.count);
    if (state.commands < kListBound) {
        ++state.commands;
        flow.add(kCommands, name);
    }
    return name != "SYNC" && name != "PSYNC"; // a copy of the data follows, not framed as everything else
}

enum class Items : uint8_t { good, bad, last };

// One after the other: lists are flat here, their members items like any other.
Items items(Flow flow, State &state, Bytes &in, uint8_t side) {
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.left());
        in.skip(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        if (in.left() == 0) return Items::good;
        bool whole = false;
        const std::string_view line = first_line(text(in), whole);
        if (!whole) return line.size() > kMaxLine ? Items::bad : Items::good;
        const size_t size = text(in).find('\n') + 1;
        const char mark = line.empty() ? '\0' : line[0];
        const std::string_view value = line.substr(line.empty() ? 0 : 1);
        const bool client = state.client == 1 + side;
        switch (mark) {
        case '$':
        case '!':
        case '=': { // a text with its length, -1: none
            const int64_t length = decimal(value);
            if (length < 0 && value != "-1" && value != "?") return Items::bad;
            if (length > kMaxText) return Items::bad;
            const uint32_t bytes = length < 0 ? 0 : static_cast<uint32_t>(length) + 2;
            if (client && state.name) {
                if (length < 1 || length > static_cast<int64_t>(kMaxName)) return Items::bad;
                if (in.left() < size + bytes) return Items::good;
                Bytes name = in;
                name.skip(size);
                const std::string_view command = text(name.take(static_cast<size_t>(length)));
                if (!command_name(command)) return Items::bad;
                if (!took(flow, state, command)) return Items::last;
                state.name = false;
            }
            state.skip[side] = bytes;
            break;
        }
        case '*':
            if (decimal(value) < 0 && value != "-1" && value != "?") return Items::bad;
            if (client) state.name = decimal(value) > 0;
            break;
        case '-': // "ERR unknown command": what it is, then words
            if (!client) flow.set(kError, value.substr(0, value.find(' ')).substr(0, kMaxName));
            break;
        case '+':
        case ':':
        case '_':
        case ',':
        case '#':
        case '(':
        case '%':
        case '~':
        case '>':
        case '|':
        case '.':
            break;
        default: // commands may be lines of words, too
            if (!client || !printable(line)) return Items::bad;
        }
        in.skip(size);
    }
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const uint8_t side = payload.reverse & 1;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_DONE; // where an item begins is lost
    Bytes in = bytes(payload);
    if (!flow.recognised()) {
        std::string_view name;
        const Start start = command(text(in), name);
        if (start != Start::whole) return start == Start::more ? AICORE_MORE : AICORE_NO;
        state.client = static_cast<uint8_t>(1 + side);
    }
    switch (items(flow, state, in, side)) {
    case Items::bad:
        flow.anomaly(kBadItem);
        return AICORE_DONE;
    case Items::last:
        return AICORE_DONE;
    case Items::good:
        break;
    }
    payload.consumed = payload.length - in.left();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"rediscommand", AICORE_STRING, 0, 32, nullptr, nullptr, "last command"},
    {"rediscommands", AICORE_STRINGS, 0, 32, nullptr, nullptr, "first 16 commands, each once"},
    {"rediscount", AICORE_INTEGER, 0, 0, "commands", nullptr, "commands of the client"},
    {"rediserror", AICORE_STRING, 0, 32, nullptr, nullptr, "kind of the last error: ERR, WRONGPASS, ..."},
};
constexpr const char *kAnomalies[] = {"redis_bad_item"};
constexpr uint16_t kPorts[] = {6379};
constexpr aicore_prefix kPrefixes[] = {{"*", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "redis",
    .help = "Redis: commands and errors",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *redis() {
    return &kProtocol;
}

} // namespace aicore::protocols
