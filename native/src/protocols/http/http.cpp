// SPDX-License-Identifier: Apache-2.0
// HTTP/1.x (RFC 9110, RFC 9112): every request of a connection is read for the hosts that it names, pipelined or behind
// a body; the other fields are of the first request and the first final response. CONNECT and Upgrade hand the flow
// over at the first byte that is no longer HTTP. Over UDP it is SSDP, which is HTTP's messages in datagrams (UPnP
// Device Architecture 2.0 section 1).
#include "aicore/builtin_protocols.h"
#include "aicore/dissector.h"
#include "reader.h"

namespace aicore::http {

namespace {

enum Alias : uint32_t { kSsdp };

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.recognised()) {
        const std::string_view in = text(payload);
        StartLine line;
        const Match request = request_line(in, line);
        if (request == Match::yes && !flow.tcp() && line.target != "*") return AICORE_NO;
        const Match response = request == Match::yes ? Match::no : status_line(in, line);
        if (request != Match::yes && response != Match::yes)
            return (request == Match::more || response == Match::more) && flow.tcp() ? AICORE_MORE : AICORE_NO;
        state.request_reverse = request == Match::yes ? payload.reverse : !payload.reverse;
    }
    const Side side = payload.reverse == state.request_reverse ? kRequest : kResponse;
    Reader reader(flow, payload, state, side);
    const bool handed_over = reader.run();
    if (!flow.tcp()) {
        flow.set_layer7(kSsdp);
        return AICORE_DONE;
    }
    pass_over(payload, reader.at(), reader.beyond());
    const bool closed = state.half[kRequest].phase == Phase::closed && state.half[kResponse].phase == Phase::closed;
    return closed && !handed_over ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"httphost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "url.domain",
     "host of the first request that names one: its Host header without port, else the authority of its target"},
    {"httphosts", AICORE_STRINGS, AICORE_NOTIFY, 255, nullptr, nullptr,
     "hosts that requests of the connection named, in Host headers and targets: the latest 16"},
    {"httpuri", AICORE_STRING, 0, 512, nullptr, "url.original", "target of the first request as on the wire"},
    {"httpmethod", AICORE_STRING, 0, 64, nullptr, "http.request.method", "method of the first request"},
    {"httpstatus", AICORE_INTEGER, 0, 0, nullptr, "http.response.status_code", "status of the first final response"},
    {"useragent", AICORE_STRING, 0, 255, nullptr, "user_agent.original", "User-Agent header, the first in the flow"},
};

constexpr const char *kAnomalies[] = {"http_bad_start_line", "http_bad_header", "http_bad_length"};
constexpr const char *kAliases[] = {"ssdp"};

// IANA's HTTP Method Registry, and UPnP's (GENA). Others are looked for on the ports alone.
// One a line would be longer than the dissector.
// clang-format off
constexpr aicore_prefix kPrefixes[] = {
    prefix("GET "), prefix("POST "), prefix("HEAD "), prefix("CONNECT "), prefix("HTTP/1."), prefix("PUT "),
    prefix("DELETE "), prefix("OPTIONS "), prefix("PATCH "), prefix("TRACE "), prefix("PROPFIND "),
    prefix("PROPPATCH "), prefix("MKCOL "), prefix("COPY "), prefix("MOVE "), prefix("LOCK "), prefix("UNLOCK "),
    prefix("REPORT "), prefix("SEARCH "), prefix("ACL "), prefix("BIND "), prefix("UNBIND "), prefix("REBIND "),
    prefix("LINK "), prefix("UNLINK "), prefix("LABEL "), prefix("MERGE "), prefix("UPDATE "), prefix("CHECKIN "),
    prefix("CHECKOUT "), prefix("UNCHECKOUT "), prefix("MKACTIVITY "), prefix("MKCALENDAR "), prefix("MKWORKSPACE "),
    prefix("MKREDIRECTREF "), prefix("ORDERPATCH "), prefix("BASELINE-CONTROL"), prefix("VERSION-CONTROL "),
    prefix("UPDATEREDIRECTR"), prefix("SUBSCRIBE "), prefix("UNSUBSCRIBE "), prefix("NOTIFY "), prefix("M-SEARCH "),
};
// clang-format on

constexpr uint16_t kPorts[] = {80, 8080};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "http",
    .help = "HTTP/1.x: the hosts of all requests, the first request and response; SSDP",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
    .aliases = kAliases,
});

} // namespace

} // namespace aicore::http

const aicore_protocol *aicore_http(void) {
    return &aicore::http::kProtocol;
}
