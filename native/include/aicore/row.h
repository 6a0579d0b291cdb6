// SPDX-License-Identifier: Apache-2.0
// An event's record as the engine writes it: a row of fixed width, what protocols gave beside it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>

#include "aicore/packet.h"
#include "aicore/schema.h"

namespace aicore {

enum class EventKind : uint8_t { insert, update, remove };
enum class Layer7By : uint8_t { none, payload, port };
enum class TcpState : uint8_t { none, syn_sent, syn_received, established, closing, closed, reset };
enum class EndReason : uint8_t { none, fin, rst, idle, active, evicted, shutdown, reused };

inline constexpr const char *kEventNames[] = {"insert", "update", "remove"};
inline constexpr const char *kLayer7ByNames[] = {"", "payload", "port"};
inline constexpr const char *kTcpStateNames[] = {"",        "syn_sent", "syn_received", "established",
                                                 "closing", "closed",   "reset"};
inline constexpr const char *kEndReasonNames[] = {"", "fin", "rst", "idle", "active", "evicted", "shutdown", "reused"};
inline constexpr const char *kTunnelNames[] = {"",       "ipip",   "gre",  "erspan", "vxlan",   "geneve",
                                               "gtpu",   "teredo", "pbb",  "trill",  "etherip", "l2tp",
                                               "capwap", "ayiya",  "mpls", "pim"};
static_assert(std::size(kTunnelNames) == static_cast<size_t>(Tunnel::count_));

// A counter of more than 63 bits, or the sum of two, as a row holds it.
constexpr int64_t saturated(uint64_t n) {
    return static_cast<int64_t>(std::min<uint64_t>(n, INT64_MAX));
}
constexpr int64_t saturated_sum(uint64_t a, uint64_t b) {
    return saturated(b > UINT64_MAX - a ? UINT64_MAX : a + b);
}

// One value that a protocol gave to a flow. Of one row sorted by field; a list is several with the same field.
struct Attribute {
    int64_t value;   // the integer, boolean or time; the bits of the real; the offset of the text in the arena
    uint32_t length; // of the text
    uint16_t field;  // index into Schema::fields
    uint16_t type;   // FieldType

    bool has_text() const { return is_text(static_cast<FieldType>(type)); }
    double real() const { return std::bit_cast<double>(value); }
};

// The flow's whole state at an event. What each member means, and how it leaves the row: core_fields.h.
struct Row {
    uint64_t flow_id[2]; // high, low
    // Counters saturate; times are nanoseconds since the epoch, UTC. Columns look at these members in place.
    int64_t seq;
    int64_t version;
    int64_t opened, first_seen, last_seen;
    int64_t duration; // nanoseconds
    int64_t packets, bytes, payload_bytes;
    int64_t src_packets, dst_packets;
    int64_t src_bytes, dst_bytes;
    int64_t src_payload_bytes, dst_payload_bytes;
    int64_t retransmissions;
    uint8_t ipsrc[16], ipdst[16]; // IPv4 in the first 4
    uint32_t tunnel_id;
    uint32_t attribute_first, attribute_count; // in Strings::attributes
    uint16_t portsrc, portdst;
    uint16_t vlan, vlan_inner;
    uint16_t layer7, anomaly, sensor; // indexes into Schema::names
    uint8_t proto, ip_version;
    uint8_t src_tcpflags, dst_tcpflags; // all flags seen, TcpFlag bits
    EventKind kind;
    uint8_t is_new;  // net(): the flow's insert was merged in
    uint8_t sampled; // an update that was made for nothing but the number of packets
    uint8_t repeats; // a final update that says what the flow's last sampled one said; see EngineOptions::thinned
    Layer7By layer7_by;
    TcpState tcp_state;
    EndReason end_reason;
    Tunnel tunnel;
    uint8_t continued; // the record goes on from one that ended by the active timeout
};

} // namespace aicore
