// SPDX-License-Identifier: Apache-2.0
// Telnet (RFC 854): the client's terminal (RFC 1091). Recognised by option negotiations: two at the beginning of a
// direction, or on port 23 one.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kTerminal };

constexpr uint8_t kIac = 255, kSb = 250, kSe = 240, kWill = 251;
constexpr uint8_t kTerminalType = 24, kIs = 0;
constexpr uint8_t kMaxPayloads = 64; // negotiation is at the beginning
constexpr size_t kMaxCommand = 256;
constexpr uint16_t kPorts[] = {23};

struct State {
    uint8_t payloads;
};

// Assigned options: 0 to 49, 138 to 140, 255 (IANA "Telnet Options").
bool known_option(uint8_t option) {
    return option <= 49 || (option >= 138 && option <= 140) || option == 255;
}

// Negotiations at the beginning; -1: it begins with something else, or has an unknown option among them.
int negotiations(Bytes in) {
    int count = 0;
    while (in.left() >= 3 && in.data()[0] == kIac) {
        const uint8_t verb = in.data()[1], option = in.data()[2];
        if (verb < kWill || verb == kIac) return verb == kSb && count ? count : -1;
        if (!known_option(option)) return -1;
        in.skip(3);
        ++count;
    }
    return count || in.left() < 3 ? count : -1;
}

constexpr char kStart[] = {char(kIac), char(kSb)}, kEnd[] = {char(kIac), char(kSe)};
constexpr std::string_view kSubStart(kStart, 2), kSubEnd(kEnd, 2);

// RFC 1091: IAC SB TERMINAL-TYPE IS name IAC SE.
void terminal(Flow flow, std::string_view in) {
    static constexpr char kTerminalIs[] = {char(kIac), char(kSb), char(kTerminalType), char(kIs)};
    const size_t start = in.find(std::string_view(kTerminalIs, sizeof kTerminalIs));
    if (start == in.npos) return;
    in.remove_prefix(start + sizeof kTerminalIs);
    const size_t end = in.find(kSubEnd);
    if (end != in.npos && end <= 40 && printable(in.substr(0, end))) flow.first(kTerminal, in.substr(0, end));
}

// Where a command begins that is not all there.
size_t incomplete(std::string_view in) {
    const size_t start = in.rfind(kSubStart);
    if (start != in.npos && in.find(kSubEnd, start) == in.npos && in.size() - start < kMaxCommand) return start;
    return in.size() - in.ends_with(static_cast<char>(kIac));
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.recognised()) {
        const int count = negotiations(bytes(payload));
        if (count < 0) return AICORE_NO;
        if (count < (flow.port(kPorts[0]) ? 1 : 2)) return AICORE_MORE;
    }
    const std::string_view in = text(payload);
    terminal(flow, in);
    if (flow.recognised() && (flow.has(kTerminal) || ++state.payloads >= kMaxPayloads)) return AICORE_DONE;
    payload.consumed = incomplete(in);
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"telnetterminal", AICORE_STRING, 0, 40, nullptr, nullptr, "type of the client's terminal"},
};
constexpr aicore_prefix kPrefixes[] = {{"\xff\xfb", 2}, {"\xff\xfc", 2}, {"\xff\xfd", 2}, {"\xff\xfe", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "telnet",
    .help = "Telnet: terminal",
    .transports = AICORE_TCP,
    .rank = 40,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *telnet() {
    return &kProtocol;
}

} // namespace aicore::protocols
