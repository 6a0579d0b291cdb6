// SPDX-License-Identifier: Apache-2.0
#include "reader.h"

#include <algorithm>

namespace aicore::http {

namespace {

constexpr size_t kMaxValue = 8192;    // a line that we read and that is longer is passed over, as servers refuse it
constexpr uint32_t kOutstanding = 64; // requests without a response whose methods are known: bits of State::heads

// Behind the line's end and those of its continuations (RFC 9112 section 5.2); npos: not all of it is here.
size_t value_end(std::string_view rest, size_t from) {
    for (;;) {
        const size_t newline = rest.find('\n', from);
        if (newline == rest.npos || newline + 1 == rest.size()) return rest.npos;
        if (rest[newline + 1] != ' ' && rest[newline + 1] != '\t') return newline + 1;
        from = newline + 1;
    }
}

std::string_view unfold(std::string_view value, char *out, size_t size) {
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

} // namespace

Reader::Reader(Flow flow, const aicore_payload &payload, State &state, Side side)
    : flow_(flow), state_(state), half_(state.half[side]), side_(side), in_(text(payload)) {
    if (payload.flags & AICORE_GAP) gap();
    if (payload.flags & AICORE_MIDSTREAM && !half_.begun) half_.adrift = true;
    half_.begun = true;
    const bool head = half_.phase == Phase::headers || half_.phase == Phase::trailers;
    if (StartLine line; half_.lost && head && begins(line) == Match::yes) adrift(); // the end of it was missed
}

bool Reader::run() {
    for (bool more = true; more;) {
        switch (half_.phase) {
        case Phase::start_line:
            more = start_line();
            break;
        case Phase::headers:
            more = lines();
            if (more && end_of_headers()) return true;
            break;
        case Phase::trailers:
            more = lines();
            if (more) next_message();
            break;
        case Phase::expected:
            more = expected_body();
            break;
        case Phase::chunk:
            more = chunk();
            break;
        case Phase::chunk_end:
            more = chunk_end();
            break;
        case Phase::tunnel:
            more = tunnel();
            break;
        case Phase::closed:
            at_ = in_.size();
            beyond_ = UINT64_MAX;
            more = false;
            break;
        }
    }
    return false;
}

void Reader::gap() {
    switch (half_.phase) {
    case Phase::headers:
    case Phase::trailers:
        half_.skip_line = half_.lost = true; // goes on at the next line
        break;
    case Phase::tunnel:
        half_.lost = true;
        break;
    case Phase::closed:
        break;
    default:
        adrift();
    }
}

void Reader::adrift() {
    half_.adrift = true;
    half_.phase = Phase::start_line;
}

void Reader::next_message() {
    half_.phase = side_ == kRequest && tunnel_asked() ? Phase::tunnel : Phase::start_line;
    half_.lost = false;
}

Match Reader::begins(StartLine &line) const {
    return side_ == kRequest ? request_line(rest(), line) : status_line(rest(), line);
}

bool Reader::start_line() {
    while (at_ < in_.size() && (in_[at_] == '\r' || in_[at_] == '\n')) // RFC 9112 section 2.2
        ++at_;
    if (at_ == in_.size()) return false;
    StartLine line;
    Match match = begins(line);
    if (match == Match::more) {
        if (rest().size() < kMaxValue) return false;
        match = cut_request(line) ? Match::yes : Match::no;
    }
    if (match == Match::no) {
        if (!half_.adrift) flow_.anomaly(kBadStartLine);
        half_.adrift = true;
        at_ = in_.size();
        return false;
    }
    const bool cut = in_[at_ + line.length - 1] != '\n';
    at_ += line.length;
    side_ == kRequest ? request(line) : response(line.status);
    half_.skip_line = cut;
    return true;
}

// A target that is longer than servers take: its request is read all the same.
bool Reader::cut_request(StartLine &line) const {
    if (side_ != kRequest || half_.adrift) return false;
    const size_t space = rest().find(' ');
    if (space == rest().npos) return false;
    line = {rest().substr(0, space), rest().substr(space + 1), 0, rest().size()};
    return true;
}

void Reader::request(const StartLine &line) {
    half_.begin_headers();
    const uint64_t bit = uint64_t{1} << state_.requests % kOutstanding;
    state_.heads = line.method == "HEAD" ? state_.heads | bit : state_.heads & ~bit;
    ++state_.requests;
    state_.connect = line.method == "CONNECT";
    state_.upgrade = state_.host_seen = state_.expect = false;
    flow_.first(kMethod, line.method);
    flow_.first(kUri, line.target);
    const std::string_view host = strip_port(target_authority(line.method, line.target));
    flow_.first(kHost, host); // the first Host header replaces it
    flow_.add(kHosts, host);
}

void Reader::response(int status) {
    if (half_.adrift) state_.responses = state_.requests ? state_.requests - 1 : 0; // as without pipelining
    half_.begin_headers();
    if (!state_.final_status && (state_.status || !flow_.has(kStatus))) flow_.set(kStatus, status);
    state_.final_status |= status >= 200;
    state_.status = static_cast<uint16_t>(status);
    state_.upgrade_websocket = false;
}

// Header lines or trailers. True: they are over.
bool Reader::lines() {
    while (at_ < in_.size()) {
        if (half_.skip_line) {
            const size_t newline = in_.find('\n', at_);
            at_ = newline == in_.npos ? in_.size() : newline + 1;
            half_.skip_line = newline == in_.npos;
            continue;
        }
        const std::string_view line = rest();
        if (line[0] == '\n' || line.starts_with("\r\n")) {
            at_ += line[0] == '\n' ? 1 : 2;
            return true;
        }
        if (line == "\r") return false;
        size_t value = 0;
        bool spaced = false;
        const Header header = half_.phase == Phase::trailers ? Header::other : header_name(line, value, spaced);
        if (header == Header::undecided && line.size() < kMaxValue) return false;
        if (header == Header::other || header == Header::undecided) { // also a folded line's continuation
            half_.skip_line = true;
            continue;
        }
        const size_t end = value_end(line, value);
        if (end == line.npos && line.size() < kMaxValue) return false;
        if (spaced || end == line.npos) flow_.anomaly(kBadHeader);
        if (end == line.npos) {
            half_.skip_line = true;
            continue;
        }
        take(header, line.substr(value, end - value));
        at_ += end;
    }
    return false;
}

void Reader::take(Header header, std::string_view value) {
    constexpr std::string_view kSpace = " \t\r\n";
    const size_t begin = std::min(value.find_first_not_of(kSpace), value.size());
    value = value.substr(begin, value.find_last_not_of(kSpace) + 1 - begin);
    char unfolded[1024]; // the core keeps no more of a string
    if (value.find('\n') != value.npos) value = unfold(value, unfolded, sizeof unfolded);
    switch (header) {
    case Header::host:
        if (side_ == kRequest) take_host(value);
        break;
    case Header::user_agent:
        if (side_ == kRequest) flow_.first(kUserAgent, value);
        break;
    case Header::upgrade:
        if (side_ == kRequest)
            state_.upgrade = true;
        else
            state_.upgrade_websocket |= equal_nocase(value.substr(0, value.find_first_of(", \t/")), "websocket");
        break;
    case Header::content_length:
        take_length(value);
        break;
    case Header::transfer_encoding: {
        const std::string_view last = trim(value.substr(value.rfind(',') + 1));
        if (equal_nocase(last, "identity")) break; // of RFC 2616: none
        half_.chunked = equal_nocase(last, "chunked");
        half_.transferred = true;
        break;
    }
    case Header::expect:
        state_.expect = side_ == kRequest;
        break;
    default:
        break;
    }
}

void Reader::take_length(std::string_view value) {
    uint64_t length = 0;
    half_.bad_length |= !content_length(value, length) || (half_.has_length && length != half_.length);
    half_.has_length = true;
    half_.length = length;
}

void Reader::take_host(std::string_view value) {
    const auto odd = [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/' || c == '\\' || c == '@' || c == '"';
    };
    // Two of them, or bytes no authority has, are how a request shows filter and server different hosts.
    if (state_.host_seen || std::any_of(value.begin(), value.end(), odd)) flow_.anomaly(kBadHeader);
    value = strip_port(value);
    if (value.empty()) return;
    flow_.add(kHosts, value);
    if (state_.requests == 1 && !state_.host_seen)
        flow_.set(kHost, value);
    else
        flow_.first(kHost, value);
    state_.host_seen = true;
}

// True: handed over.
bool Reader::end_of_headers() {
    if (half_.bad_length || (half_.has_length && half_.transferred)) flow_.anomaly(kBadLength);
    if (side_ == kResponse) return end_of_response_head();
    if (half_.lost)
        adrift();
    else if (state_.connect)
        next_message(); // it has no body
    else if (state_.expect && (half_.chunked || half_.length > 0))
        half_.phase = Phase::expected;
    else
        body();
    return false;
}

bool Reader::end_of_response_head() {
    const bool switched = state_.status == 101;
    if (!switched && state_.status < 200) { // 100 Continue and the like: the final response follows
        half_.phase = Phase::start_line;
        return false;
    }
    const uint32_t number = state_.responses++;
    const uint32_t later = state_.requests - 1 - number; // requests behind the one that this answers
    const bool answers_last = static_cast<int32_t>(later) <= 0;
    if (switched || (answers_last && state_.connect && state_.status < 300)) {
        if (half_.lost) { // no telling where the tunnel begins
            state_.half[kRequest].phase = half_.phase = Phase::closed;
            return false;
        }
        flow_.hand_over(switched && state_.upgrade_websocket ? "websocket" : nullptr);
        return true;
    }
    if (answers_last && tunnel_asked()) {
        // Refused. A proxy that wants to know who asks (407) is asked again on the same connection.
        state_.connect = state_.upgrade = false;
        Half &request = state_.half[kRequest];
        if (request.phase == Phase::tunnel) {
            request.phase = Phase::start_line;
            request.adrift |= request.lost;
        }
    }
    if (half_.lost || (half_.bad_length && !half_.transferred))
        adrift();
    else if (state_.status == 204 || state_.status == 304)
        next_message();
    else if (later >= kOutstanding) // HEAD or not: the request was not seen
        adrift();
    else if (state_.heads >> number % kOutstanding & 1)
        next_message();
    else
        body();
    return false;
}

// RFC 9112 section 6.3.
void Reader::body() {
    if (half_.chunked) {
        half_.phase = Phase::chunk;
    } else if (half_.transferred || half_.bad_length) {
        // Until the connection closes; a request's is refused.
        if (side_ == kResponse)
            half_.phase = Phase::closed;
        else
            adrift();
    } else if (half_.has_length || side_ == kRequest) {
        pass_over(half_.length);
        next_message();
    } else {
        half_.phase = Phase::closed;
    }
}

void Reader::pass_over(uint64_t bytes) {
    const size_t here = static_cast<size_t>(std::min<uint64_t>(bytes, in_.size() - at_));
    at_ += here;
    beyond_ = bytes - here;
}

// A final response instead of 100 Continue: the client may send its next request instead of the body.
bool Reader::expected_body() {
    if (at_ == in_.size()) return false;
    StartLine line;
    const bool answered = static_cast<int32_t>(state_.responses - state_.requests) >= 0;
    const Match next = answered ? request_line(rest(), line) : Match::no;
    if (next == Match::more && rest().size() < kMaxValue) return false;
    if (next == Match::yes)
        next_message();
    else
        body();
    return true;
}

bool Reader::chunk() {
    uint64_t size = 0;
    size_t line = 0;
    switch (chunk_line(rest(), size, line)) {
    case Match::yes:
        at_ += line;
        half_.phase = size ? Phase::chunk_end : Phase::trailers;
        pass_over(size);
        return true;
    case Match::more:
        if (rest().size() < kMaxValue) return false;
        [[fallthrough]];
    default:
        flow_.anomaly(kBadLength);
        adrift();
        return true;
    }
}

bool Reader::chunk_end() {
    if (at_ == in_.size() || rest() == "\r") return false;
    if (in_[at_] != '\n' && !rest().starts_with("\r\n")) {
        flow_.anomaly(kBadLength);
        adrift();
        return true;
    }
    at_ += in_[at_] == '\n' ? 1 : 2;
    half_.phase = Phase::chunk;
    return true;
}

// What follows is the tunnel's and waits for it, unless it is a request: of a client that does not wait whether it
// is refused.
bool Reader::tunnel() {
    StartLine line;
    if (request_line(rest(), line) == Match::yes) {
        half_.phase = Phase::start_line;
        return true;
    }
    if (half_.lost) at_ = in_.size();
    return false;
}

} // namespace aicore::http
