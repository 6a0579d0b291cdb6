// SPDX-License-Identifier: Apache-2.0
// RTSP 1.0 (RFC 2326) and 2.0 (RFC 7826): the first request and the first final response.
#include "aicore/dissector.h"
#include "headers.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kMethod, kUri, kStatus, kUserAgent, kServer };

constexpr size_t kMaxHead = 8192;

struct Start {
    std::string_view method, uri;
    int64_t status = 0;
};

// RFC 2326 sections 6.1 and 7.1.
bool parse_start(std::string_view line, Start &out) {
    if (line.starts_with("RTSP/1.0 ") || line.starts_with("RTSP/2.0 ")) {
        out.status = decimal(line.substr(9, 3));
        return out.status >= 100 && out.status < 600 && (line.size() == 12 || line[12] == ' ');
    }
    const size_t first = line.find(' '), last = line.rfind(' ');
    if (first == line.npos || first == 0 || first == last) return false;
    const std::string_view version = line.substr(last + 1);
    out.method = line.substr(0, first);
    out.uri = line.substr(first + 1, last - first - 1);
    return (version == "RTSP/1.0" || version == "RTSP/2.0") && printable(out.uri) && out.method.size() < 32 &&
           std::all_of(out.method.begin(), out.method.end(), [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
}

int inspect(Flow flow, aicore_payload &payload) {
    const std::string_view in = text(payload);
    bool whole = false;
    const std::string_view line = first_line(in, whole);
    Start start;
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_YES;
    if (whole ? !parse_start(line, start) : line.size() >= kMaxHead)
        return flow.recognised() ? AICORE_YES : AICORE_NO; // interleaved data (section 10.12), or a body
    const size_t head = head_length(in);
    if (head == 0 && in.size() < kMaxHead) {
        if (!flow.recognised()) return AICORE_MORE;
        payload.consumed = 0;
        return AICORE_YES;
    }
    if (start.status) {
        flow.set(kStatus, start.status);
    } else {
        flow.first(kMethod, start.method);
        flow.first(kUri, start.uri);
    }
    Headers headers(in.substr(0, head ? head : in.size()));
    std::string_view name, value;
    while (headers.next(name, value)) {
        if (!start.status && equal_nocase(name, "user-agent")) flow.first(kUserAgent, value);
        if (start.status && equal_nocase(name, "server")) flow.first(kServer, value);
    }
    return flow.recognised() && flow.has(kMethod) && start.status >= 200 ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"rtspmethod", AICORE_STRING, 0, 32, nullptr, nullptr, "method of the first request"},
    {"rtspuri", AICORE_STRING, AICORE_NOTIFY, 512, nullptr, "url.original", "URI of the first request"},
    {"rtspstatus", AICORE_INTEGER, 0, 0, nullptr, nullptr, "status code of the first final response"},
    {"rtspuseragent", AICORE_STRING, 0, 255, nullptr, "user_agent.original", "software of the client"},
    {"rtspserver", AICORE_STRING, 0, 255, nullptr, nullptr, "software of the server"},
};
constexpr uint16_t kPorts[] = {554, 8554};
constexpr aicore_prefix kPrefixes[] = {
    {"RTSP/1.0 ", 9}, {"RTSP/2.0 ", 9}, {"OPTIONS ", 8},        {"DESCRIBE ", 9},       {"ANNOUNCE ", 9},
    {"SETUP ", 6},    {"PLAY ", 5},     {"GET_PARAMETER ", 14}, {"SET_PARAMETER ", 14}, {"TEARDOWN ", 9},
    {"PAUSE ", 6},    {"RECORD ", 7},   {"REDIRECT ", 9}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "rtsp",
    .help = "RTSP 1.0 and 2.0: the first request",
    .transports = AICORE_TCP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *rtsp() {
    return &kProtocol;
}

} // namespace aicore::protocols
