// SPDX-License-Identifier: Apache-2.0
// Start lines, header names and the framing of bodies of HTTP/1.x (RFC 9112) in a stream that may end anywhere. Nothing
// is copied: results point into the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aicore::http {

enum class Match : uint8_t { no, more, yes }; // more: as far as it goes

struct StartLine {
    std::string_view method; // empty for a response
    std::string_view target; // as on the wire
    int status = 0;          // of a response
    size_t length = 0;       // with its line ending
};

// RFC 9112 section 3. Stricter than servers: upper-case method and the version token of HTTP/1.x, so that RTSP and SIP
// do not match. A target with spaces is taken, as servers do.
Match request_line(std::string_view in, StartLine &out);

// RFC 9112 section 4.
Match status_line(std::string_view in, StartLine &out);

enum class Header : uint8_t { other, undecided, host, user_agent, upgrade, content_length, transfer_encoding, expect };

// Which of the headers we read `line` begins with; undecided if it ends before that can be told. `value` is the offset
// behind the colon, `spaced` tells of blanks before the colon (forbidden by RFC 9112 section 5.1, evades filters).
Header header_name(std::string_view line, size_t &value, bool &spaced);

// The authority in a request target: absolute form, or the whole of CONNECT's (RFC 9112 section 3.2). Else empty.
std::string_view target_authority(std::string_view method, std::string_view target);

// RFC 9112 section 6.3: a number, or the same one several times. False: neither, or above 2^63 - 1.
bool content_length(std::string_view value, uint64_t &length);

// The line before a chunk (section 7.1): its size, and the line's length with its ending.
Match chunk_line(std::string_view in, uint64_t &size, size_t &length);

// Without the port; an IPv6 literal keeps its brackets.
std::string_view strip_port(std::string_view authority);

} // namespace aicore::http
