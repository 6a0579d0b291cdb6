// SPDX-License-Identifier: Apache-2.0
// SIP over UDP and TCP (RFC 3261): the first request, the parties, the addresses that a call's session descriptions
// (RFC 4566) name for its media.
#include "aicore/dissector.h"
#include "headers.h"

namespace aicore::protocols {

namespace {

// Media: the address and port that the sender of the flow's first packet offers, and those of the other side.
enum Field : uint32_t {
    kMethod,
    kUri,
    kFrom,
    kTo,
    kVia,
    kStatus,
    kCallId,
    kUserAgent,
    kMediaIpSrc,
    kMediaPortSrc,
    kMediaIpDst,
    kMediaPortDst
};
enum Anomaly : uint32_t { kBadMessage };

constexpr uint16_t kPorts[] = {5060};
constexpr size_t kMaxHead = 12288;
constexpr int64_t kMaxBody = 1 << 20;

struct State {
    uint32_t skip[2]; // rest of a body
    int64_t status;
    bool lost[2]; // where a message begins: payloads that begin with a start line are read
};

struct Start {
    std::string_view method, uri;
    int status = 0;
};

// RFC 3261 sections 7.1 and 7.2; the URI's scheme is any (section 25.1: absoluteURI).
bool parse_start(std::string_view line, Start &out) {
    if (starts_nocase(line, "sip/2.0 ")) { // section 7.1: without case
        const std::string_view code = line.substr(8, 3);
        out.status = static_cast<int>(decimal(code));
        return code.size() == 3 && out.status >= 100 && out.status < 700 && (line.size() == 11 || line[11] == ' ');
    }
    const size_t first = line.find(' '), last = line.rfind(' ');
    if (first == line.npos || first == 0 || first == last || !equal_nocase(line.substr(last + 1), "sip/2.0"))
        return false;
    out.method = line.substr(0, first);
    out.uri = line.substr(first + 1, last - first - 1);
    const size_t colon = out.uri.find(':');
    const auto letter = [](char c) { return c >= 'A' && c <= 'Z'; };
    return out.method.size() < 32 && std::all_of(out.method.begin(), out.method.end(), letter) &&
           colon != out.uri.npos && colon > 0 && is_alpha(out.uri[0]) && printable(out.uri);
}

// RFC 4566: the first audio or video medium, at the address of its own "c=" or the session's.
void session(Flow flow, std::string_view body, bool reverse) {
    bool skipping = false;
    Lines lines(body, false, skipping);
    std::string_view line, address, port;
    while (lines.next(line)) {
        if (line.starts_with("c=IN IP")) {
            address = line.substr(std::min<size_t>(9, line.size()));
            address = address.substr(0, address.find('/'));
        } else if (line.starts_with("m=")) {
            if (!port.empty()) break;
            line.remove_prefix(2);
            const std::string_view kind = take_word(line);
            if (kind == "audio" || kind == "video") port = take_word(line);
            port = port.substr(0, port.find('/'));
        }
    }
    const int64_t number = decimal(port);
    if (number <= 0 || number > 65535 || address.empty() || !printable(address)) return;
    flow.set(reverse ? kMediaIpDst : kMediaIpSrc, trim(address));
    flow.set(reverse ? kMediaPortDst : kMediaPortSrc, number);
}

struct Head {
    size_t length = 0;      // with the empty line
    int64_t body = -1;      // Content-Length; -1: not given
    bool described = false; // the body is a session description
};

void read_head(Flow flow, const Start &start, std::string_view head, Head &out, State &state) {
    if (start.status == 0) {
        flow.first(kMethod, start.method);
        flow.first(kUri, start.uri);
    } else if (state.status < 200) { // the first that is final
        state.status = start.status;
        flow.set(kStatus, start.status);
    }
    Headers headers(head);
    std::string_view name, value;
    const auto is = [&](std::string_view full, char compact) { // section 7.3.3
        return equal_nocase(name, full) || (name.size() == 1 && lower(name[0]) == compact);
    };
    while (headers.next(name, value)) {
        if (is("from", 'f'))
            flow.first(kFrom, value);
        else if (is("to", 't'))
            flow.first(kTo, value);
        else if (is("via", 'v'))
            flow.first(kVia, value);
        else if (is("call-id", 'i'))
            flow.first(kCallId, value);
        else if (equal_nocase(name, "user-agent") && start.status == 0)
            flow.first(kUserAgent, value);
        else if (is("content-length", 'l'))
            out.body = decimal(value);
        else if (is("content-type", 'c'))
            out.described = starts_nocase(value, "application/sdp");
    }
}

// One message, or with `cut` what there is of it. 0: no message; else the bytes of its head.
Head message(Flow flow, std::string_view in, bool reverse, bool cut, State &state) {
    bool whole = false;
    Start start;
    Head head;
    const std::string_view line = first_line(in, whole);
    if ((!whole && !cut) || !parse_start(line, start)) return head;
    head.length = head_length(in);
    if (head.length == 0) head.length = in.size(); // a datagram that was cut: its headers as far as they go
    read_head(flow, start, in.substr(0, head.length), head, state);
    if (head.described && (start.method == "INVITE" || start.method == "ACK" || start.method == "UPDATE" ||
                           start.method == "PRACK" || start.status / 100 <= 2))
        session(flow, in.substr(head.length), reverse);
    return head;
}

int stream(Flow flow, aicore_payload &payload, State &state) {
    const int side = payload.reverse & 1;
    bool recognised = flow.recognised();
    std::string_view in = text(payload);
    if (payload.flags & AICORE_GAP) {
        state.skip[side] = 0;
        state.lost[side] = true;
    }
    for (;;) {
        const size_t rest = std::min<size_t>(state.skip[side], in.size());
        in.remove_prefix(rest);
        state.skip[side] -= static_cast<uint32_t>(rest);
        while (in.starts_with('\r') || in.starts_with('\n')) // section 7.5, RFC 5626 section 3.5.1
            in.remove_prefix(1);
        if (in.empty()) break;
        bool whole = false;
        Start start;
        const std::string_view line = first_line(in, whole);
        if (whole && !parse_start(line, start)) {
            if (!recognised) return AICORE_NO;
            if (!state.lost[side]) flow.anomaly(kBadMessage);
            state.lost[side] = true;
            in = {};
            break;
        }
        const size_t head_size = head_length(in);
        if (head_size == 0) {
            if (in.size() < kMaxHead) break; // the rest of it is to come
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadMessage);
            return AICORE_DONE;
        }
        const Head head = message(flow, in, payload.reverse, false, state);
        const size_t body = static_cast<size_t>(std::clamp<int64_t>(head.body, 0, kMaxBody));
        recognised = true;
        state.lost[side] = false;
        // A session description is read again when all of it is here.
        if (head.described && head_size + body < kMaxHead && in.size() < head_size + body) break;
        in.remove_prefix(head_size);
        state.skip[side] = static_cast<uint32_t>(body);
    }
    payload.consumed = payload.length - in.size();
    return recognised ? AICORE_YES : AICORE_MORE;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.tcp()) return stream(flow, payload, state);
    const Head head = message(flow, text(payload), payload.reverse, payload.flags & AICORE_TRUNCATED, state);
    if (head.length) return AICORE_YES;
    if (!flow.recognised()) return AICORE_NO;
    if (payload.length > 4) flow.anomaly(kBadMessage); // else a keep-alive, RFC 5626 section 3.5.1
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"sipmethod", AICORE_STRING, 0, 32, nullptr, nullptr, "method of the first request"},
    {"sipuri", AICORE_STRING, 0, 512, nullptr, nullptr, "URI of the first request"},
    {"sipfrom", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "From of the first message"},
    {"sipto", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "To of the first message"},
    {"sipvia", AICORE_STRING, 0, 255, nullptr, nullptr, "topmost Via of the first message"},
    {"sipstatus", AICORE_INTEGER, 0, 0, nullptr, nullptr, "status code of the first final response, else the last one"},
    {"sipcallid", AICORE_STRING, 0, 255, nullptr, nullptr, "Call-ID of the first message"},
    {"sipuseragent", AICORE_STRING, 0, 255, nullptr, "user_agent.original", "software that sent the first request"},
    {"sipmediaipsrc", AICORE_STRING, 0, 0, nullptr, nullptr, "where the flow's source wants the media of a call"},
    {"sipmediaportsrc", AICORE_INTEGER, 0, 0, nullptr, nullptr, "port to it"},
    {"sipmediaipdst", AICORE_STRING, 0, 0, nullptr, nullptr, "where the flow's destination wants the media"},
    {"sipmediaportdst", AICORE_INTEGER, 0, 0, nullptr, nullptr, "port to it"},
};
constexpr const char *kAnomalies[] = {"sip_bad_message"};
constexpr aicore_prefix kPrefixes[] = { // RFC 3261 and its extensions; over TCP a keep-alive may be first
    {"\r\n\r\n", 4}, {"SIP/2.0 ", 8},  {"INVITE ", 7},  {"ACK ", 4},        {"BYE ", 4},    {"CANCEL ", 7},
    {"OPTIONS ", 8}, {"REGISTER ", 9}, {"PRACK ", 6},   {"SUBSCRIBE ", 10}, {"NOTIFY ", 7}, {"PUBLISH ", 8},
    {"INFO ", 5},    {"REFER ", 6},    {"MESSAGE ", 8}, {"UPDATE ", 7}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "sip",
    .help = "SIP over UDP and TCP: the first request, the parties, the media of a call",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *sip() {
    return &kProtocol;
}

} // namespace aicore::protocols
