// SPDX-License-Identifier: Apache-2.0
// HTTP/1.x: the first request and the first final response of a flow (RFC 9110, RFC 9112). Of later messages nothing is
// read. CONNECT and Upgrade hand the flow over at the first byte that is no longer HTTP. Over UDP it is SSDP, which is
// HTTP's messages in datagrams (UPnP Device Architecture 2.0 section 1).
#include <algorithm>

#include "aicore/builtin_protocols.h"
#include "aicore/dissector.h"
#include "lines.h"

namespace aicore::http {

namespace {

enum Field : uint32_t { kHost, kUri, kMethod, kStatus, kUserAgent };
enum Anomaly : uint32_t { kBadStartLine, kBadHeader };
enum Alias : uint32_t { kSsdp };
enum Side : uint8_t { kRequest, kResponse };
enum class Phase : uint8_t { start_line, headers, finished };

constexpr size_t kMaxValue = 8192; // a header we read that is longer is passed over, as servers refuse it
constexpr uint16_t kMaxTries = 64; // payloads that are looked at for a start line after one was missed

struct State {
    Phase phase[2];
    bool skip_line[2]; // the rest of a header line that we do not read is still to come
    uint8_t request_reverse;
    bool connect, websocket_asked; // of the request
    bool host_seen;
    bool upgrade_websocket; // of the response
    bool restarted;         // a start line was missed, or CONNECT was refused: payloads may begin anywhere
    bool lost;              // a part of the request's head, maybe with its end
    uint16_t status, tries;
};

// One call's view: the payload of one side, read from `at` on.
class Reader {
  public:
    Reader(Flow flow, const aicore_payload &payload, State &state, Side side)
        : flow_(flow), state_(state), side_(side), in_(text(payload)) {
        if (payload.flags & (AICORE_GAP | AICORE_MIDSTREAM)) state_.restarted = true;
    }

    // Reads on until the input or the side's part of interest ends. True: handed over.
    bool run() {
        for (;;) {
            switch (state_.phase[side_]) {
            case Phase::start_line:
                if (!start_line()) return false;
                break;
            case Phase::headers:
                if (!headers()) return false;
                if (end_of_headers()) return true;
                break;
            case Phase::finished:
                // What follows the head of a request for a tunnel already belongs to the tunnel.
                if (side_ == kResponse || !tunnel_pending()) at_ = in_.size();
                return false;
            }
        }
    }

    size_t consumed() const { return at_; }

  private:
    bool tunnel_pending() const { return state_.connect || state_.websocket_asked; }

    bool start_line() {
        if (side_ == kRequest) // RFC 9112 section 2.2: empty lines before it
            while (at_ < in_.size() && (in_[at_] == '\r' || in_[at_] == '\n'))
                ++at_;
        StartLine line;
        const Match match =
            side_ == kRequest ? request_line(in_.substr(at_), line) : status_line(in_.substr(at_), line);
        if (match == Match::more) return false;
        if (match == Match::no) {
            if (!state_.restarted && side_ == kResponse) flow_.anomaly(kBadStartLine);
            state_.restarted = true;
            if (++state_.tries >= kMaxTries) state_.phase[side_] = Phase::finished;
            at_ = in_.size();
            return false;
        }
        at_ += line.length;
        if (side_ == kRequest)
            request(line);
        else
            response(line.status);
        return true;
    }

    void request(const StartLine &line) {
        state_.phase[kRequest] = Phase::headers;
        state_.connect = line.method == "CONNECT";
        state_.websocket_asked = false;
        flow_.first(kMethod, line.method);
        flow_.first(kUri, line.target);
        flow_.first(kHost, strip_port(target_authority(line.method, line.target))); // a Host header replaces it
    }

    void response(int status) {
        if (state_.status ? state_.status < 200 : !flow_.has(kStatus)) flow_.set(kStatus, status);
        state_.status = static_cast<uint16_t>(status);
        // Of other responses no header is read.
        const bool head_matters = status < 200 || (state_.connect && status < 300);
        state_.phase[kResponse] = head_matters ? Phase::headers : Phase::finished;
        if (!head_matters && state_.connect) refused();
    }

    // A proxy that refuses CONNECT (407) is asked again on the same connection.
    void refused() {
        state_.connect = false;
        state_.restarted = true;
        state_.phase[kRequest] = state_.phase[kResponse] = Phase::start_line;
        at_ = in_.size();
    }

    bool headers() {
        while (at_ < in_.size()) {
            if (state_.skip_line[side_]) {
                const size_t newline = in_.find('\n', at_);
                at_ = newline == in_.npos ? in_.size() : newline + 1;
                state_.skip_line[side_] = newline == in_.npos;
                continue;
            }
            const std::string_view rest = in_.substr(at_);
            if (rest[0] == '\n' || rest.starts_with("\r\n")) {
                at_ += rest[0] == '\n' ? 1 : 2;
                return true;
            }
            if (rest == "\r") return false;
            size_t value = 0;
            bool spaced = false;
            const Header header = header_name(rest, value, spaced);
            if (header == Header::undecided && rest.size() < kMaxValue) return false;
            if (header == Header::other || header == Header::undecided) { // also a folded line's continuation
                state_.skip_line[side_] = true;
                continue;
            }
            const size_t end = value_end(rest, value);
            if (end == rest.npos && rest.size() < kMaxValue) return false;
            if (spaced || end == rest.npos) flow_.anomaly(kBadHeader);
            if (end == rest.npos) {
                state_.skip_line[side_] = true;
                continue;
            }
            take(header, rest.substr(value, end - value));
            at_ += end;
        }
        return false;
    }

    // Behind the line's end and those of its continuations (RFC 9112 section 5.2); npos: not all of it is here.
    static size_t value_end(std::string_view rest, size_t from) {
        for (;;) {
            const size_t newline = rest.find('\n', from);
            if (newline == rest.npos || newline + 1 == rest.size()) return rest.npos;
            if (rest[newline + 1] != ' ' && rest[newline + 1] != '\t') return newline + 1;
            from = newline + 1;
        }
    }

    void take(Header header, std::string_view value) {
        constexpr std::string_view kSpace = " \t\r\n";
        const size_t begin = std::min(value.find_first_not_of(kSpace), value.size());
        value = value.substr(begin, value.find_last_not_of(kSpace) + 1 - begin);
        char unfolded[1024]; // the core keeps no more of a string
        if (value.find('\n') != value.npos) value = unfold(value, unfolded, sizeof unfolded);
        switch (header) {
        case Header::host:
            take_host(value);
            break;
        case Header::user_agent:
            if (side_ == kRequest) flow_.first(kUserAgent, value);
            break;
        case Header::upgrade: {
            const bool websocket = equal_nocase(value.substr(0, value.find_first_of(", \t/")), "websocket");
            if (side_ == kRequest)
                state_.websocket_asked |= websocket;
            else
                state_.upgrade_websocket |= websocket;
            break;
        }
        default:
            break;
        }
    }

    void take_host(std::string_view value) {
        if (side_ != kRequest) return;
        const auto odd = [](char c) {
            return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/' || c == '\\' || c == '@' || c == '"';
        };
        // Two of them, or bytes no authority has, are how a request shows filter and server different hosts.
        if (state_.host_seen || std::any_of(value.begin(), value.end(), odd)) flow_.anomaly(kBadHeader);
        value = strip_port(value);
        if (state_.host_seen || value.empty()) return;
        state_.host_seen = true;
        flow_.set(kHost, value);
    }

    static std::string_view unfold(std::string_view value, char *out, size_t size) {
        size_t used = 0;
        for (size_t i = 0; i < value.size() && used < size;) {
            if (value[i] == '\r' || value[i] == '\n') {
                i = std::min(value.find_first_not_of(" \t\r\n", i), value.size());
                out[used++] = ' ';
            } else {
                out[used++] = value[i++];
            }
        }
        return {out, used};
    }

    bool end_of_headers() {
        if (side_ == kRequest) {
            state_.phase[kRequest] = Phase::finished;
            return false;
        }
        const bool switched = state_.status == 101;
        if (!switched && state_.status < 200) { // 100 Continue and the like: the final response follows
            state_.phase[kResponse] = Phase::start_line;
            return false;
        }
        state_.phase[kRequest] = state_.phase[kResponse] = Phase::finished;
        flow_.hand_over(switched && state_.upgrade_websocket ? "websocket" : nullptr);
        return true;
    }

    Flow flow_;
    State &state_;
    Side side_;
    std::string_view in_;
    size_t at_ = 0;
};

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
    if (flow.recognised() && payload.flags & AICORE_GAP && state.phase[side] == Phase::headers) {
        state.lost |= side == kRequest;
        if (side == kRequest)
            state.skip_line[side] = true; // goes on at the next line
        else
            state.phase[side] = Phase::finished; // no telling where a tunnel begins
    }
    Reader reader(flow, payload, state, side);
    const bool handed_over = reader.run();
    if (!flow.tcp()) {
        flow.set_layer7(kSsdp);
        return AICORE_DONE;
    }
    payload.consumed = reader.consumed();
    const bool finished =
        state.phase[kResponse] == Phase::finished && (state.phase[kRequest] == Phase::finished || state.lost);
    return finished && !handed_over ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"httphost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "url.domain",
     "host of the first request: its Host header without port, else the authority of its target"},
    {"httpuri", AICORE_STRING, 0, 512, nullptr, "url.original", "target of the first request as on the wire"},
    {"httpmethod", AICORE_STRING, 0, 64, nullptr, "http.request.method", "method of the first request"},
    {"httpstatus", AICORE_INTEGER, 0, 0, nullptr, "http.response.status_code", "status of the first final response"},
    {"useragent", AICORE_STRING, 0, 255, nullptr, "user_agent.original", "User-Agent header of the first request"},
};

constexpr const char *kAnomalies[] = {"http_bad_start_line", "http_bad_header"};
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
    .help = "HTTP/1.x: the first request and response of a connection; SSDP",
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
