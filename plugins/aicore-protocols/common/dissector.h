// SPDX-License-Identifier: Apache-2.0
// The ABI of aicore/protocol.h with C++ spelling: nothing here is a concept of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "aicore/bytes.h"
#include "aicore/protocol.h"

namespace aicore::protocols {

// The flow of a call: what a dissector may ask and report.
class Flow {
  public:
    explicit Flow(aicore_flow *flow) : flow_(flow) {}

    bool recognised() const { return flow_->recognised; }
    bool tcp() const { return flow_->transport == AICORE_TCP; }
    bool port(uint16_t number) const { return flow_->src_port == number || flow_->dst_port == number; }
    uint16_t src_port() const { return flow_->src_port; }
    uint16_t dst_port() const { return flow_->dst_port; }
    bool has(uint32_t field) const { return flow_->host->has(flow_, field); }

    // An empty text is no value.
    void set(uint32_t field, std::string_view text) const {
        if (!text.empty()) flow_->host->set_string(flow_, field, text.data(), text.size());
    }
    void first(uint32_t field, std::string_view text) const {
        if (!has(field)) set(field, text);
    }
    void add(uint32_t field, std::string_view text) const {
        if (!text.empty()) flow_->host->add_string(flow_, field, text.data(), text.size());
    }
    void number(uint32_t field, int64_t value) const { flow_->host->set_integer(flow_, field, value); }

    void anomaly(uint32_t index) const { flow_->host->anomaly(flow_, index); }
    void layer7(uint32_t alias) const { flow_->host->set_layer7(flow_, alias); }
    // From the next payload on anybody may recognise the flow anew (TLS behind STARTTLS).
    void hand_over() const { flow_->host->hand_over(flow_, nullptr); }

    // Whether the payload comes from the server: the side that did not open the connection. Where the opening was not
    // seen, the side with a port of the protocol is the server.
    bool from_server(const aicore_payload &payload, std::span<const uint16_t> ports) const {
        if (tcp() && !(payload.flags & AICORE_MIDSTREAM)) return payload.reverse;
        const auto listed = [&](uint16_t p) { return std::find(ports.begin(), ports.end(), p) != ports.end(); };
        const bool src = listed(flow_->src_port), dst = listed(flow_->dst_port);
        return src && !dst ? !payload.reverse : payload.reverse;
    }

  private:
    aicore_flow *flow_;
};

inline std::string_view text(const aicore_payload &p) {
    return {reinterpret_cast<const char *>(p.data), p.length};
}
inline std::string_view other_text(const aicore_payload &p) {
    return {reinterpret_cast<const char *>(p.other), p.other_length};
}
inline std::string_view text(const Bytes &b) {
    return {reinterpret_cast<const char *>(b.data()), b.left()};
}
inline Bytes bytes(const aicore_payload &p) {
    return {p.data, p.length};
}

// Little-endian numbers.
inline uint16_t u16le(Bytes &in) {
    const uint16_t v = in.u16();
    return static_cast<uint16_t>(v << 8 | v >> 8);
}
inline uint32_t u32le(Bytes &in) {
    const uint32_t low = u16le(in);
    return low | static_cast<uint32_t>(u16le(in)) << 16;
}

struct Stateless {};

struct Definition {
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

// The ABI's structure for `inspect`, whose state is a State in the core's zeroed memory.
template <auto inspect, typename State = Stateless> constexpr aicore_protocol define(const Definition &d) {
    static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= AICORE_STATE_MAX && alignof(State) <= 8);
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
    p.fields = d.fields.data();
    p.field_count = static_cast<uint32_t>(d.fields.size());
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

} // namespace aicore::protocols
