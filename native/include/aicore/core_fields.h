// SPDX-License-Identifier: Apache-2.0
// The fields that every record has, in one table. Columns, JSON, packed rows, the binary form, from_rows(), the names
// that no plugin may take and the schema that Python and the documentation show are made from it: a new field is a
// member of Row, a line here, and the code that fills it.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "aicore/batch.h"
#include "aicore/text.h"

namespace aicore {

// When a flow has no value.
enum class Absent : uint8_t {
    never,
    none,    // where it is 0 or an empty text
    not_tcp, // in flows that are not TCP
};

// How a value is got from a row, and put into one; of what cannot be put there, why: see text.h.
namespace source {

template <auto Member, FieldType Type = FieldType::integer> struct Number {
    using Stored = std::remove_reference_t<decltype(std::declval<Row &>().*Member)>;
    static constexpr FieldType type = Type;
    static constexpr auto member = Member;
    static constexpr int64_t limit =
        Type == FieldType::boolean ? 1 : static_cast<int64_t>(std::numeric_limits<Stored>::max());

    static int64_t get(const Row &row) { return static_cast<int64_t>(row.*Member); }
    static const char *set(Row &row, int64_t value) {
        if (type != FieldType::time && value < 0) return "must not be negative";
        if (value > limit)
            return limit == 1 ? "must be 0 or 1" : limit == UINT8_MAX ? "must be at most 255" : "must be at most 65535";
        row.*Member = static_cast<Stored>(value);
        return nullptr;
    }
};
template <auto Member> using Time = Number<Member, FieldType::time>;
template <auto Member> using Boolean = Number<Member, FieldType::boolean>;

// A text that many rows share, by its index in Schema::names.
template <auto Member> struct Name {
    static constexpr FieldType type = FieldType::string;
    static constexpr auto member = Member;
    static size_t code(const Row &row) { return row.*Member; }
    static std::string_view get(const Schema &schema, size_t code) { return schema.names[code]; }
    static const char *set(Schema &schema, Row &row, std::string_view text) {
        row.*Member = schema.name_index(std::string(text));
        return nullptr;
    }
};

// One of a few texts, all of them plain ASCII; the first may be empty.
template <auto Member, const auto &Texts> struct Choice {
    static constexpr FieldType type = FieldType::string;
    static constexpr auto member = Member;
    static constexpr size_t last = std::size(Texts) - 1;
    static size_t code(const Row &row) { return static_cast<size_t>(row.*Member); }
    static std::string_view get(const Schema &, size_t code) { return Texts[code]; }
    static const char *set(Schema &, Row &row, std::string_view text) {
        for (size_t i = 0; i <= last; ++i)
            if (text == Texts[i]) {
                row.*Member = static_cast<std::remove_reference_t<decltype(row.*Member)>>(i);
                return nullptr;
            }
        return "has an unknown value";
    }
};

// Texts that are made of several members, all of them plain ASCII and no longer than the field is wide. `costly`: worth
// keeping for the next row of the same flow.
struct Made {
    static constexpr FieldType type = FieldType::string;
    static constexpr bool costly = false;
};
struct Key : Made { // in from_rows() it follows from addresses and ports
    static void append(std::string &out, const Row &row) { append_key(out, row); }
    static const char *set(Row &, std::string_view) { return nullptr; }
};
struct FlowId : Made {
    static void append(std::string &out, const Row &row) { append_flow_id(out, row); }
    static const char *set(Row &row, std::string_view text) { return parse_flow_id(row, text); }
};
template <auto Member> struct Address : Made {
    static void append(std::string &out, const Row &row) { append_address(out, row.*Member, row.ip_version); }
    static const char *set(Row &row, std::string_view text) { return parse_address(row.*Member, row.ip_version, text); }
};
struct TunnelName : Made {
    static void append(std::string &out, const Row &row) { append_tunnel(out, row.tunnel, row.tunnel_id); }
    static const char *set(Row &row, std::string_view text) { return parse_tunnel(row, text); }
};
struct CommunityId : Made { // SHA-1 was a third of the time of a record's JSON; in from_rows() it follows, too
    static constexpr bool costly = true;
    static void append(std::string &out, const Row &row) { append_community_id(out, row); }
    static const char *set(Row &, std::string_view) { return nullptr; }
};

template <typename S>
concept IsNumber = requires {
    S::limit;
};
template <typename S>
concept IsShared = requires(Row row) {
    S::code(row);
}; // Name or Choice
template <typename S>
concept IsName = IsShared<S> && !requires {
    S::last;
};
template <typename S>
concept IsMade = requires(std::string &out, Row row) {
    S::append(out, row);
};

} // namespace source

template <size_t n> struct FixedText {
    char text[n];
    consteval FixedText(const char (&from)[n]) { std::copy(from, from + n, text); }
};

template <FixedText FieldName, typename From> struct CoreField {
    using Source = From;
    static constexpr const char *name = FieldName.text;
    static constexpr size_t name_length = sizeof FieldName.text - 1;

    const char *help;
    const char *unit = "", *ecs = "";
    Absent absent = Absent::never;
    uint32_t width = 64; // bytes in stores of fixed width
    bool meta = false;   // about the event, beside the record
};

// In the order of columns. 39 characters hold every IPv6 address, so a key of two in brackets, two ports and the
// protocol has at most 99.
inline constexpr auto kCoreFields = [] {
    using namespace source;
    return std::tuple(
        CoreField<"key", Key>{.help = "ipsrc:portsrc:proto:ipdst:portdst of the flow, IPv6 addresses in brackets",
                              .width = 104},
        CoreField<"event", Choice<&Row::kind, kEventNames>>{.help = "insert, update or remove", .meta = true},
        CoreField<"new", Boolean<&Row::is_new>>{
            .help = "the row is the flow's insert, or its insert was merged into the row", .meta = true},
        CoreField<"sampled", Boolean<&Row::sampled>>{
            .help = "an update that was made for nothing but the number of packets", .meta = true},
        CoreField<"version", Number<&Row::version>>{
            .help = "start of the run in microseconds since the epoch, plus seq", .meta = true},
        CoreField<"flow_id", FlowId>{
            .help = "identity of the flow, 128 bits in hexadecimal: the same packets give the same one"},
        CoreField<"seq", Number<&Row::seq>>{.help = "number of the event in its run", .ecs = "event.sequence"},
        CoreField<"sensor", Name<&Row::sensor>>{.help = "vantage point: empty for files, else host/interface or as set",
                                                .ecs = "observer.name",
                                                .absent = Absent::none},
        CoreField<"ipsrc", Address<&Row::ipsrc>>{
            .help = "address of the initiator: who sent the SYN, else the sender of the first packet",
            .ecs = "source.ip"},
        CoreField<"portsrc", Number<&Row::portsrc>>{.help = "port of the initiator", .ecs = "source.port"},
        CoreField<"proto", Number<&Row::proto>>{.help = "IP protocol number: 6 TCP, 17 UDP",
                                                .ecs = "network.iana_number"},
        CoreField<"ipdst", Address<&Row::ipdst>>{.help = "address of the responder", .ecs = "destination.ip"},
        CoreField<"portdst", Number<&Row::portdst>>{.help = "port of the responder", .ecs = "destination.port"},
        CoreField<"vlan", Number<&Row::vlan>>{
            .help = "outermost VLAN id", .ecs = "network.vlan.id", .absent = Absent::none},
        CoreField<"vlan_inner", Number<&Row::vlan_inner>>{
            .help = "second VLAN id (802.1ad)", .ecs = "network.inner.vlan.id", .absent = Absent::none},
        CoreField<"tunnel", TunnelName>{.help = "innermost tunnel that carried the flow, with its id where it has one",
                                        .absent = Absent::none},
        CoreField<"community_id", CommunityId>{.help = "Community ID 1.0 flow hash, seed 0",
                                               .ecs = "network.community_id"},
        CoreField<"opened", Time<&Row::opened>>{.help = "time of the packet that opened the flow; never changes",
                                                .unit = "ns"},
        CoreField<"first_seen", Time<&Row::first_seen>>{
            .help = "time of the earliest packet; falls if an earlier one comes later",
            .unit = "ns",
            .ecs = "event.start"},
        CoreField<"last_seen", Time<&Row::last_seen>>{
            .help = "time of the latest packet", .unit = "ns", .ecs = "event.end"},
        CoreField<"duration", Number<&Row::duration>>{
            .help = "last_seen less first_seen", .unit = "ns", .ecs = "event.duration"},
        CoreField<"packets", Number<&Row::packets>>{
            .help = "packets of both directions", .unit = "packets", .ecs = "network.packets"},
        CoreField<"bytes", Number<&Row::bytes>>{
            .help = "bytes of both directions from the IP header on (IPFIX octetDeltaCount)",
            .unit = "bytes",
            .ecs = "network.bytes"},
        CoreField<"payload_bytes", Number<&Row::payload_bytes>>{
            .help = "bytes behind the TCP or UDP headers, both directions", .unit = "bytes"},
        CoreField<"src_packets", Number<&Row::src_packets>>{
            .help = "packets sent by ipsrc", .unit = "packets", .ecs = "source.packets"},
        CoreField<"dst_packets", Number<&Row::dst_packets>>{
            .help = "packets sent by ipdst", .unit = "packets", .ecs = "destination.packets"},
        CoreField<"src_bytes", Number<&Row::src_bytes>>{
            .help = "bytes sent by ipsrc", .unit = "bytes", .ecs = "source.bytes"},
        CoreField<"dst_bytes", Number<&Row::dst_bytes>>{
            .help = "bytes sent by ipdst", .unit = "bytes", .ecs = "destination.bytes"},
        CoreField<"src_payload_bytes", Number<&Row::src_payload_bytes>>{.help = "payload bytes sent by ipsrc",
                                                                        .unit = "bytes"},
        CoreField<"dst_payload_bytes", Number<&Row::dst_payload_bytes>>{.help = "payload bytes sent by ipdst",
                                                                        .unit = "bytes"},
        CoreField<"layer7", Name<&Row::layer7>>{
            .help = "application protocol", .ecs = "network.protocol", .absent = Absent::none},
        CoreField<"layer7_by", Choice<&Row::layer7_by, kLayer7ByNames>>{.help = "how layer7 was found: payload or port",
                                                                        .absent = Absent::none},
        CoreField<"src_tcpflags", Number<&Row::src_tcpflags>>{
            .help = "TCP flags seen from ipsrc, or-ed (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128)",
            .absent = Absent::not_tcp},
        CoreField<"dst_tcpflags", Number<&Row::dst_tcpflags>>{.help = "TCP flags seen from ipdst, or-ed",
                                                              .absent = Absent::not_tcp},
        CoreField<"tcp_state", Choice<&Row::tcp_state, kTcpStateNames>>{.help = "state of the TCP connection",
                                                                        .absent = Absent::none},
        CoreField<"end_reason", Choice<&Row::end_reason, kEndReasonNames>>{
            .help = "why the flow ended: fin, rst, idle, active, evicted, shutdown, reused; absent while it lives",
            .absent = Absent::none},
        CoreField<"continued", Boolean<&Row::continued>>{
            .help = "the record goes on from one of its key that ended by the active timeout", .absent = Absent::none},
        CoreField<"retransmissions", Number<&Row::retransmissions>>{
            .help = "TCP segments of which every byte was seen before", .unit = "packets", .absent = Absent::not_tcp},
        CoreField<"anomaly", Name<&Row::anomaly>>{.help = "first decode or dissector counter that the flow hit",
                                                  .absent = Absent::none});
}();
inline constexpr size_t kCoreFieldCount = std::tuple_size_v<decltype(kCoreFields)>;

// visit.template operator()<i>() for each index of the table, in order.
template <typename Visit> constexpr void each_core_field(Visit &&visit) {
    [&]<size_t... i>(std::index_sequence<i...>) {
        (visit.template operator()<i>(), ...);
    }
    (std::make_index_sequence<kCoreFieldCount>());
}

} // namespace aicore
