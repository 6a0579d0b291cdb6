// SPDX-License-Identifier: Apache-2.0
// Protocol dissectors in C++20: aicore/protocol.h with C++ types. Header-only; needs the standard library and the
// headers beside it. How a flow is recognised, what `consumed` means, threads and versions: see protocol.h.
//
//     enum Field : uint32_t { kSubject }; // indexes into kFields
//
//     int inspect(aicore::Flow flow, aicore_payload &payload) {
//         aicore::Bytes in = aicore::bytes(payload); // reads past the end give 0 and clear ok()
//         if (in.u16() != 0x4711 || !in.ok()) return AICORE_NO;
//         flow.set(kSubject, aicore::text(in));
//         return AICORE_DONE;
//     }
//
//     constexpr aicore_field kFields[] = {{"mysubject", AICORE_STRING, 0, 0, nullptr, nullptr, "what it is about"}};
//     constexpr aicore_prefix kPrefixes[] = {aicore::prefix("\x47\x11")};
//     constexpr aicore_protocol kProtocol = aicore::define_protocol<inspect>({
//         .name = "mine", .help = "An example", .transports = AICORE_UDP, .rank = 10,
//         .prefixes = kPrefixes, .fields = kFields});
//
// The address of kProtocol goes into the capsule.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "aicore/bytes.h"
#include "aicore/protocol.h"

namespace aicore {

template <typename Number>
concept Arithmetic = std::integral<Number> || std::floating_point<Number>;

// The flow of a call: what a dissector may ask and report. `field`, `index` and `alias` are those of the protocol's
// arrays, as a rule an enumeration.
class Flow {
  public:
    explicit Flow(aicore_flow *flow) : flow_(flow) {}

    bool recognised() const { return flow_->recognised; }
    bool tcp() const { return flow_->transport == AICORE_TCP; }
    bool port(uint16_t number) const { return flow_->src_port == number || flow_->dst_port == number; }
    uint16_t src_port() const { return flow_->src_port; }
    uint16_t dst_port() const { return flow_->dst_port; }
    Bytes src() const { return {flow_->src, address_size()}; } // 4 or 16 bytes
    Bytes dst() const { return {flow_->dst, address_size()}; }

    bool has(uint32_t field) const { return flow_->host->has(flow_, field); }

    // Sets a field; the last value wins. An empty text is no value.
    void set(uint32_t field, std::string_view text) const {
        if (!text.empty()) flow_->host->set_string(flow_, field, text.data(), text.size());
    }
    // AICORE_INTEGER, AICORE_BOOLEAN and AICORE_TIME. What 64 signed bits cannot hold becomes the largest number.
    template <std::integral Number> void set(uint32_t field, Number value) const {
        flow_->host->set_integer(flow_, field, saturated(value));
    }
    template <std::floating_point Number> void set(uint32_t field, Number value) const {
        flow_->host->set_real(flow_, field, static_cast<double>(value));
    }

    // Sets a field that has no value yet.
    void first(uint32_t field, std::string_view text) const {
        if (!has(field)) set(field, text);
    }
    template <Arithmetic Number> void first(uint32_t field, Number value) const {
        if (!has(field)) set(field, value);
    }

    // Appends to a list: a text that is there already, or an empty one, changes nothing.
    void add(uint32_t field, std::string_view text) const {
        if (!text.empty()) flow_->host->add_string(flow_, field, text.data(), text.size());
    }
    template <std::integral Number> void add(uint32_t field, Number value) const {
        flow_->host->add_integer(flow_, field, saturated(value));
    }
    template <std::floating_point Number> void add(uint32_t field, Number value) const {
        flow_->host->add_real(flow_, field, static_cast<double>(value));
    }

    void anomaly(uint32_t index) const { flow_->host->anomaly(flow_, index); }
    void set_layer7(uint32_t alias) const { flow_->host->set_layer7(flow_, alias); }
    // From the next payload on the flow belongs to `protocol`, or is recognised anew (TLS behind STARTTLS).
    void hand_over(const char *protocol = nullptr) const { flow_->host->hand_over(flow_, protocol); }

    // Whether the payload comes from the server: the side that did not open the connection. Where the opening was not
    // seen, the side with a port of the protocol is the server.
    bool from_server(const aicore_payload &payload, std::span<const uint16_t> ports) const {
        if (tcp() && !(payload.flags & AICORE_MIDSTREAM)) return payload.reverse;
        const auto listed = [&](uint16_t p) { return std::find(ports.begin(), ports.end(), p) != ports.end(); };
        const bool src = listed(flow_->src_port), dst = listed(flow_->dst_port);
        return src && !dst ? !payload.reverse : payload.reverse;
    }

    aicore_flow *get() const { return flow_; }

  private:
    size_t address_size() const { return flow_->ip_version == 4 ? 4 : 16; }
    template <std::integral Number> static constexpr int64_t saturated(Number value) {
        if constexpr (std::is_same_v<Number, bool>)
            return value;
        else
            return std::in_range<int64_t>(value) ? static_cast<int64_t>(value) : std::numeric_limits<int64_t>::max();
    }

    aicore_flow *flow_;
};

// Views of payloads ------------------------------------------------------------------------------------------------
// text(Bytes) is in bytes.h.

inline Bytes bytes(const aicore_payload &p) {
    return {p.data, p.length};
}
inline std::string_view text(const aicore_payload &p) {
    return {reinterpret_cast<const char *>(p.data), p.length};
}
inline std::string_view other_text(const aicore_payload &p) {
    return {reinterpret_cast<const char *>(p.other), p.other_length};
}

// With AICORE_YES: the next payload shown begins `bytes` behind `at`, an offset in this one, however far that is.
inline void pass_over(aicore_payload &p, size_t at, uint64_t bytes) {
    p.consumed = bytes < SIZE_MAX - 1 - at ? at + static_cast<size_t>(bytes) : SIZE_MAX - 1;
}

// Definition of a protocol -----------------------------------------------------------------------------------------

// All that is pointed to must live as long as the process: constexpr arrays do.
struct ProtocolDefinition {
    const char *name;
    const char *help;
    uint32_t transports;
    uint32_t rank;
    std::span<const uint16_t> ports = {};
    std::span<const aicore_prefix> prefixes = {};
    std::span<const aicore_field> fields = {};
    std::span<const char *const> anomalies = {};
    std::span<const char *const> aliases = {};
};

struct Stateless {};

// The ABI's structure for `inspect(Flow, aicore_payload &)`, or `inspect(Flow, aicore_payload &, State &)` whose state
// lies in the core's zeroed memory.
template <auto inspect, typename State = Stateless>
constexpr aicore_protocol define_protocol(const ProtocolDefinition &d) {
    static_assert(std::is_trivially_copyable_v<State> && std::is_trivially_destructible_v<State>);
    static_assert(sizeof(State) <= AICORE_STATE_MAX && alignof(State) <= 8);
    aicore_protocol p{};
    p.abi = AICORE_PROTOCOL_ABI;
    p.size = sizeof(aicore_protocol);
    p.name = d.name;
    p.help = d.help;
    p.transports = d.transports;
    p.rank = d.rank;
    p.ports = d.ports.data();
    p.port_count = static_cast<uint32_t>(d.ports.size());
    p.prefixes = d.prefixes.data();
    p.prefix_count = static_cast<uint32_t>(d.prefixes.size());
    p.prefix_size = sizeof(aicore_prefix);
    p.fields = d.fields.data();
    p.field_count = static_cast<uint32_t>(d.fields.size());
    p.field_size = sizeof(aicore_field);
    p.anomalies = d.anomalies.data();
    p.anomaly_count = static_cast<uint32_t>(d.anomalies.size());
    p.aliases = d.aliases.data();
    p.alias_count = static_cast<uint32_t>(d.aliases.size());
    if constexpr (std::is_empty_v<State>) {
        p.inspect = [](aicore_flow *flow, aicore_payload *payload, void *) -> int {
            return inspect(Flow(flow), *payload);
        };
    } else {
        p.state_size = sizeof(State);
        p.inspect = [](aicore_flow *flow, aicore_payload *payload, void *state) -> int {
            return inspect(Flow(flow), *payload, *static_cast<State *>(state));
        };
    }
    return p;
}

// Of a string literal, which may hold zero bytes.
template <size_t size> constexpr aicore_prefix prefix(const char (&literal)[size]) {
    static_assert(size - 1 <= 16, "a prefix has at most 16 bytes");
    return {literal, size - 1};
}

// Text -------------------------------------------------------------------------------------------------------------
// Case is that of US-ASCII.

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
constexpr bool is_alpha(char c) {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

// `pattern` in lower case.
constexpr bool starts_nocase(std::string_view in, std::string_view pattern) {
    if (in.size() < pattern.size()) return false;
    for (size_t i = 0; i < pattern.size(); ++i)
        if (lower(in[i]) != pattern[i]) return false;
    return true;
}
constexpr bool equal_nocase(std::string_view in, std::string_view pattern) {
    return in.size() == pattern.size() && starts_nocase(in, pattern);
}
constexpr bool contains_nocase(std::string_view in, std::string_view pattern) {
    for (size_t i = 0; i + pattern.size() <= in.size(); ++i)
        if (starts_nocase(in.substr(i), pattern)) return true;
    return false;
}

// Without spaces and tabs before it, and those and line ends behind it.
constexpr std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t'))
        s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r' || s.back() == '\n'))
        s.remove_suffix(1);
    return s;
}

// The word before the next space or tab; `in` goes on behind the space.
constexpr std::string_view take_word(std::string_view &in) {
    in = trim(in);
    size_t n = 0;
    while (n < in.size() && in[n] != ' ' && in[n] != '\t')
        ++n;
    const std::string_view word = in.substr(0, n);
    in.remove_prefix(n < in.size() ? n + 1 : n);
    return word;
}

// Printable US-ASCII, or bytes above it, which names in UTF-8 have.
constexpr bool printable(std::string_view s) {
    for (const char c : s)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    return true;
}

// Decimal digits alone, below 10^9; -1: none.
constexpr int64_t decimal(std::string_view s) {
    if (s.empty() || s.size() > 9) return -1;
    int64_t value = 0;
    for (const char c : s) {
        if (!is_digit(c)) return -1;
        value = value * 10 + (c - '0');
    }
    return value;
}

// The first line of `in`, or what there is of it, without its CR LF or LF. `whole`: its end is there.
constexpr std::string_view first_line(std::string_view in, bool &whole) {
    const size_t newline = in.find('\n');
    whole = newline != in.npos;
    std::string_view line = in.substr(0, newline);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

// The lines of one direction's payload; the incomplete one at its end stays unread. A line longer than kMaxLine is
// given as far as it goes, and its rest passed over, in later payloads, too: `skipping` belongs to the direction.
class Lines {
  public:
    static constexpr size_t kMaxLine = 4096;

    // `gap`: bytes are missing before `in`, so that it may begin with the end of any line.
    Lines(std::string_view in, bool gap, bool &skipping) : in_(in), skipping_(skipping) {
        if (gap) skipping_ = true;
    }

    // The next line without its CR LF or LF.
    bool next(std::string_view &line) {
        while (at_ < in_.size()) {
            const std::string_view rest = in_.substr(at_);
            const size_t newline = rest.find('\n');
            const bool whole = newline != rest.npos;
            if (!whole && !skipping_ && rest.size() < kMaxLine) return false;
            at_ += whole ? newline + 1 : rest.size();
            if (std::exchange(skipping_, !whole)) continue;
            line = rest.substr(0, newline);
            if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
            return true;
        }
        return false;
    }

    std::string_view rest() const { return in_.substr(at_); }
    void skip(size_t n) { at_ += std::min(n, in_.size() - at_); }
    size_t at() const { return at_; } // bytes read

  private:
    std::string_view in_;
    size_t at_ = 0;
    bool &skipping_;
};

// An IP address as text: IPv4 dotted, IPv6 as RFC 5952 says.
class AddressText {
  public:
    // Of 4 or 16 bytes; empty otherwise.
    explicit AddressText(const Bytes &address) {
        if (address.left() == 4) ipv4(address.data());
        if (address.left() == 16) ipv6(address.data());
    }
    std::string_view view() const { return {text_.data(), length_}; }

  private:
    void put(char c) { text_[length_++] = c; }
    void number(unsigned value, int base) {
        char *at = text_.data() + length_;
        length_ = static_cast<size_t>(std::to_chars(at, text_.data() + text_.size(), value, base).ptr - text_.data());
    }
    void ipv4(const uint8_t *address) {
        for (int i = 0; i < 4; ++i) {
            if (i) put('.');
            number(address[i], 10);
        }
    }
    void ipv6(const uint8_t *address) {
        std::array<unsigned, 8> group;
        for (size_t i = 0; i < 8; ++i)
            group[i] = static_cast<unsigned>(address[2 * i] << 8 | address[2 * i + 1]);
        size_t run = 8, run_length = 1; // the first of the longest runs of two or more zeros
        for (size_t i = 0, zeros = 0; i < 8; ++i) {
            zeros = group[i] ? 0 : zeros + 1;
            if (zeros > run_length) {
                run_length = zeros;
                run = i + 1 - zeros;
            }
        }
        const bool mapped = run == 0 && run_length == 5 && group[5] == 0xffff; // section 5
        for (size_t i = 0; i < (mapped ? 6u : 8u); ++i) {
            if (i == run) {
                put(':');
                if (i == 0) put(':');
                i += run_length - 1;
                continue;
            }
            number(group[i], 16);
            if (i < 7) put(':');
        }
        if (mapped) ipv4(address + 12);
    }

    std::array<char, 48> text_;
    size_t length_ = 0;
};

} // namespace aicore
