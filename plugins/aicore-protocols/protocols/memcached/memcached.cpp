// SPDX-License-Identifier: Apache-2.0
// memcached (doc/protocol.txt, doc/protocol-binary.txt of the project):
// commands, in lines and in binary, over TCP and UDP. Recognised on 11211 by a
// command, elsewhere by one and its answer. Values are not read.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kCommand, kCommands, kKey, kVersion };
enum Anomaly : uint32_t { kBadMessage };

constexpr size_t kMaxLine = 2048;
constexpr uint32_t kMaxValue = 1 << 30;
constexpr size_t kMaxKey = 250;
constexpr size_t kHeader = 24;
constexpr uint8_t kListBound = 16;
constexpr uint16_t kPorts[] = {11211};

struct State {
    uint32_t skip[2];
    uint8_t server; // 1: the side of the flow's first packet, 2: the other
    uint8_t commands;
};

struct Unit { // a command or an answer
    std::string_view name, key, version;
    uint32_t size = 0; // with its value
    uint32_t number = 0;
    bool answer = false, binary = false;
};

enum class Parsed : uint8_t { none, more, whole };

// By opcode. Those that do not answer ("quiet") have the name of those that do.
constexpr std::string_view kNames[] = {
    "get",     "set",  "add",       "replace", "delete",  "incr",      "decr",  "quit", "flush_all", "get",    "noop",
    "version", "get",  "get",       "append",  "prepend", "stats",     "set",   "add",  "replace",   "delete", "incr",
    "decr",    "quit", "flush_all", "append",  "prepend", "verbosity", "touch", "gat",  "gat",
};

Parsed binary(Bytes in, Unit &out) {
    const Bytes start = in;
    const uint8_t magic = in.u8(), opcode = in.u8();
    const uint16_t key = in.u16();
    const uint8_t extras = in.u8(), type = in.u8();
    in.skip(2); // partition, or status
    const uint32_t total = in.u32();
    out.number = in.u32();
    in.skip(8);
    if (start.left() >= 2 && opcode >= std::size(kNames)) return Parsed::none;
    if (!in.ok()) return Parsed::more;
    if (type || key > kMaxKey || extras > 20 || total > kMaxValue || key + extras > total) return Parsed::none;
    out.answer = magic == 0x81;
    out.binary = true;
    out.name = kNames[opcode];
    out.size = kHeader + total;
    if (!out.answer && in.left() < size_t{key} + extras) return Parsed::more;
    in.skip(extras);
    if (!out.answer)
        out.key = text(in.take(key));
    else if (out.name == "version" && total < 64) {
        if (in.left() < total) return Parsed::more;
        out.version = text(in.take(total));
    }
    return Parsed::whole;
}

// "set key flags time bytes", and answers. A word more than there may be is
// none.
Parsed line(std::string_view in, Unit &out) {
    enum Shape : uint8_t { kAlone, kKeyed, kStored, kAnything, kShown, kMetaValue };
    static constexpr struct {
        std::string_view name;
        bool answer;
        Shape shape;
    } kWords[] = {
        // clang-format off
        {"get", false, kKeyed}, {"gets", false, kKeyed}, {"set", false, kStored}, {"add", false, kStored},
        {"replace", false, kStored}, {"append", false, kStored}, {"prepend", false, kStored},
        {"cas", false, kStored}, {"delete", false, kKeyed}, {"incr", false, kKeyed}, {"decr", false, kKeyed},
        {"touch", false, kKeyed}, {"gat", false, kAnything}, {"gats", false, kAnything}, {"mg", false, kKeyed},
        {"md", false, kKeyed}, {"ma", false, kKeyed}, {"ms", false, kMetaValue}, {"mn", false, kAlone},
        {"stats", false, kAnything}, {"version", false, kAlone}, {"flush_all", false, kAnything},
        {"verbosity", false, kAnything}, {"quit", false, kAlone}, {"STORED", true, kAlone},
        {"NOT_STORED", true, kAlone}, {"EXISTS", true, kAlone}, {"NOT_FOUND", true, kAlone}, {"END", true, kAlone},
        {"DELETED", true, kAlone}, {"TOUCHED", true, kAlone}, {"OK", true, kAlone}, {"RESET", true, kAlone},
        {"ERROR", true, kAlone}, {"CLIENT_ERROR", true, kAnything}, {"SERVER_ERROR", true, kAnything},
        {"STAT", true, kAnything}, {"VERSION", true, kAnything}, {"VALUE", true, kShown}, {"HD", true, kAnything},
        {"EN", true, kAlone}, {"NF", true, kAnything}, {"NS", true, kAnything}, {"EX", true, kAnything},
        {"MN", true, kAlone}, {"VA", true, kMetaValue},
    }; // clang-format on
    bool whole = false;
    std::string_view rest = first_line(in, whole);
    const std::string_view all = rest;
    if (!whole) {
        if (rest.size() > kMaxLine || !printable(rest.substr(0, rest.find('\r')))) return Parsed::none;
        const std::string_view word = take_word(rest);
        for (const auto &w : kWords)
            if (word == w.name || (all.size() == word.size() && w.name.starts_with(word))) return Parsed::more;
        return Parsed::none;
    }
    out.size = static_cast<uint32_t>(in.find('\n') + 1);
    const std::string_view word = take_word(rest);
    for (const auto &w : kWords) {
        if (word != w.name) continue;
        out.name = w.name;
        out.answer = w.answer;
        int64_t length = 0;
        switch (w.shape) {
        case kAlone:
            if (!rest.empty() && rest != "noreply") return Parsed::none;
            break;
        case kKeyed:
            out.key = take_word(rest);
            if (out.key.empty()) return Parsed::none;
            break;
        case kStored:    // key, flags, time, bytes
        case kShown:     // key, flags, bytes
        case kMetaValue: // key, bytes; of an answer bytes alone
            if (w.shape != kMetaValue || !w.answer) out.key = take_word(rest);
            if (w.shape != kMetaValue) take_word(rest);
            if (w.shape == kStored) take_word(rest);
            length = decimal(take_word(rest));
            if (length < 0 || length > kMaxValue) return Parsed::none;
            out.size += static_cast<uint32_t>(length) + 2;
            break;
        case kAnything:
            if (word == "VERSION") out.version = trim(rest);
            if (word == "STAT" && take_word(rest) == "version") out.version = trim(rest);
            break;
        }
        return out.key.size() <= kMaxKey && printable(all) ? Parsed::whole : Parsed::none;
    }
    return Parsed::none;
}

Parsed parse(Bytes in, Unit &out) {
    if (in.left() == 0) return Parsed::more;
    return *in.data() == 0x80 || *in.data() == 0x81 ? binary(in, out) : line(text(in), out);
}

void take(Flow flow, State &state, const Unit &u) {
    flow.first(kVersion, u.version);
    if (u.answer) return;
    flow.set(kCommand, u.name);
    flow.first(kKey, u.key);
    if (state.commands == kListBound) return;
    ++state.commands;
    flow.add(kCommands, u.name);
}

// In a datagram: number of the question, of the part, of all parts, zeros.
int datagram(Flow flow, State &state, Bytes in) {
    in.skip(2);
    const uint16_t part = in.u16(), parts = in.u16(), zero = in.u16();
    Unit u;
    if (!in.ok() || zero || part >= parts || !flow.port(kPorts[0])) return flow.recognised() ? AICORE_YES : AICORE_NO;
    if (part == 0 && parse(in, u) == Parsed::whole) {
        take(flow, state, u);
        return AICORE_YES;
    }
    return flow.recognised() ? AICORE_YES : AICORE_NO;
}

// Who asks: by a command here or before, with its answer here or before, or on
// the port.
int recognise(Flow flow, const aicore_payload &payload, State &state) {
    const uint8_t side = payload.reverse & 1;
    Unit here, other;
    const Parsed parsed = parse(bytes(payload), here);
    if (parsed != Parsed::whole) return parsed == Parsed::more ? AICORE_MORE : AICORE_NO;
    const bool known = parse(Bytes(payload.other, payload.other_length), other) == Parsed::whole;
    const bool pair = known && here.answer != other.answer && here.binary == other.binary &&
                      (!here.binary || (here.number == other.number && here.name == other.name));
    if (!pair && (here.answer || !flow.port(kPorts[0]))) return AICORE_MORE;
    state.server = static_cast<uint8_t>(here.answer ? 1 + side : 2 - side);
    if (here.answer)
        take(flow, state, other); // the question will be shown again with what
                                  // follows it, if anything does
    return AICORE_YES;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.tcp()) return datagram(flow, state, bytes(payload));
    if (!flow.recognised())
        if (const int answer = recognise(flow, payload, state); answer != AICORE_YES) return answer;
    const bool server = state.server == 1 + (payload.reverse & 1);
    Unit u;
    return each_message(
        flow, payload, state.skip, kBadMessage, 0,
        [&](Bytes in) -> int64_t {
            u = {};
            switch (parse(in, u)) {
            case Parsed::more:
                return 0;
            case Parsed::whole:
                return u.size;
            default: // numbers, and what older and newer versions say beyond this
                bool whole = false;
                const std::string_view other = first_line(text(in), whole);
                if (!printable(other) || other.size() > kMaxLine) return -1;
                u = {};
                return whole ? static_cast<int64_t>(text(in).find('\n') + 1) : 0;
            }
        },
        [&](Bytes, bool) {
            if (!u.name.empty() && u.answer == server) take(flow, state, u);
            return Message::proof;
        });
}

constexpr aicore_field kFields[] = {
    {"memcachedcommand", AICORE_STRING, 0, 16, nullptr, nullptr, "last command"},
    {"memcachedcommands", AICORE_STRINGS, 0, 16, nullptr, nullptr, "first 16 commands, each once"},
    {"memcachedkey", AICORE_STRING, 0, 250, nullptr, nullptr, "first key that is named"},
    {"memcachedversion", AICORE_STRING, 0, 64, nullptr, nullptr, "version of the server"},
};
constexpr const char *kAnomalies[] = {"memcached_bad_message"};
// clang-format off
constexpr aicore_prefix kPrefixes[] = {
    {"get", 3}, {"set ", 4}, {"add ", 4}, {"replace ", 8}, {"append ", 7}, {"prepend ", 8}, {"cas ", 4}, {"delete ", 7},
    {"incr ", 5}, {"decr ", 5}, {"touch ", 6}, {"stats", 5}, {"version\r", 8}, {"mg ", 3}, {"ms ", 3}, {"mn\r", 3},
    {"VALUE ", 6}, {"END\r", 4}, {"STORED\r", 7}, {"STAT ", 5}, {"VERSION ", 8}, {"DELETED\r", 8}, {"HD\r", 3},
    {"VA ", 3}, {"NOT_", 4}, {"\x80", 1}, {"\x81", 1},
};
// clang-format on

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "memcached",
    .help = "memcached: commands, first key",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 50,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *memcached() {
    return &kProtocol;
}

} // namespace aicore::protocols
