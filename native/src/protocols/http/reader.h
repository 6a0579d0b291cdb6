// SPDX-License-Identifier: Apache-2.0
// The messages of one HTTP/1.x connection: each side's stream from start line to start line, bodies passed over by
// their framing (RFC 9112 section 6). Where the framing is lost (a gap, a length that is none) a start line is looked
// for at the beginning of each payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "aicore/dissector.h"
#include "lines.h"

namespace aicore::http {

enum Field : uint32_t { kHost, kHosts, kUri, kMethod, kStatus, kUserAgent };
enum Anomaly : uint32_t { kBadStartLine, kBadHeader, kBadLength };
enum Side : uint8_t { kRequest, kResponse };
enum class Phase : uint8_t {
    start_line,
    headers,
    expected,  // a body that may not come: the request waits for 100 Continue
    chunk,     // the line before one
    chunk_end, // the line end behind one
    trailers,
    tunnel, // the request that asks for one is over: what follows may be the tunnel's
    closed  // nothing more is read
};

struct Half {        // one side's stream
    uint64_t length; // Content-Length
    Phase phase;
    bool begun;
    bool skip_line; // the rest of a line that we do not read is still to come
    bool lost;      // a part of the message's head, maybe with its end; of a tunnel: bytes of it
    bool adrift;    // where a message begins is not known: maybe at the next payload
    bool has_length, bad_length;
    bool transferred, chunked; // Transfer-Encoding; the last of them is "chunked"

    void begin_headers() {
        length = 0;
        phase = Phase::headers;
        skip_line = lost = adrift = has_length = bad_length = transferred = chunked = false;
    }
};

struct State {
    Half half[2];
    uint64_t heads; // bit i % 64: request i is HEAD, whose response has no body
    uint32_t requests, responses;
    uint16_t status;
    uint8_t request_reverse;
    bool connect, upgrade, expect, host_seen; // of the last request
    bool upgrade_websocket;                   // of the last response
    bool final_status;
};

// One call's view: the payload of one side.
class Reader {
  public:
    Reader(Flow flow, const aicore_payload &payload, State &state, Side side);

    bool run();                                 // reads on until the input ends; true: handed over
    size_t at() const { return at_; }           // behind what is read
    uint64_t beyond() const { return beyond_; } // bytes to pass over from there on

  private:
    bool tunnel_asked() const { return state_.connect || state_.upgrade; }
    std::string_view rest() const { return in_.substr(at_); }
    void gap();
    void adrift();
    void next_message();
    void pass_over(uint64_t bytes);
    // Phases. False: the input ends.
    bool start_line();
    bool lines(); // of a head, or trailers; true: they are over
    bool expected_body();
    bool chunk();
    bool chunk_end();
    bool tunnel();

    Match begins(StartLine &line) const;
    bool cut_request(StartLine &line) const;
    void request(const StartLine &line);
    void response(int status);
    void take(Header header, std::string_view value);
    void take_length(std::string_view value);
    void take_host(std::string_view value);
    bool end_of_headers(); // true: handed over
    bool end_of_response_head();
    void body();

    Flow flow_;
    State &state_;
    Half &half_;
    Side side_;
    std::string_view in_;
    size_t at_ = 0;
    uint64_t beyond_ = 0;
};

} // namespace aicore::http
