// SPDX-License-Identifier: Apache-2.0
// Every counter of the native core, in one list. A counter's name is also the text of a record's `anomaly`.
// Written by the engine thread alone, copied for readers at the end of a batch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace aicore {

// X(name, meaning). Order is not a contract; names are.
#define AICORE_COUNTERS(X)                                                                                             \
    X(none, "never counted: 0 means no anomaly")                                                                       \
    /* source */                                                                                                       \
    X(packets, "packets read")                                                                                         \
    X(wire_bytes, "bytes of those packets on the wire, link layer included")                                           \
    X(files_read, "captures of a followed folder that were read to their end")                                         \
    X(files_broken, "captures that could not be read, or not to their end")                                            \
    X(truncated_packets, "captured shorter than they were on the wire")                                                \
    /* decode: what is counted, not tracked */                                                                         \
    X(ipv4, "packets whose innermost IP header is IPv4")                                                               \
    X(ipv6, "packets whose innermost IP header is IPv6")                                                               \
    X(tcp, "TCP packets")                                                                                              \
    X(udp, "UDP packets")                                                                                              \
    X(icmp, "ICMP and ICMPv6 packets")                                                                                 \
    X(sctp, "SCTP packets")                                                                                            \
    X(igmp, "IGMP packets")                                                                                            \
    X(esp, "IPsec ESP packets")                                                                                        \
    X(other_ip, "packets of other IP protocols")                                                                       \
    X(arp, "ARP frames")                                                                                               \
    X(other_link, "frames that carry no IP")                                                                           \
    X(fragments, "IP fragments")                                                                                       \
    X(orphan_fragments, "fragments whose first one, which tells their flow, did not come in time")                     \
    X(tunnel_fragments, "fragments of a tunnel's outer packets, beyond the one that what it carries is counted with")  \
    X(duplicate_fragments, "fragments that came again: counted in their flow, their payload is not")                   \
    X(fragment_overlaps, "fragmented datagrams given up because two fragments contradict each other")                  \
    X(fragment_table_full, "fragmented datagrams forgotten or given up early for want of room")                        \
    X(tunnelled, "packets found inside a tunnel")                                                                      \
    /* decode: broken headers */                                                                                       \
    X(short_link, "frame ends inside its link-layer header")                                                           \
    X(bad_link, "a link-layer header or tag that is impossible")                                                       \
    X(short_ip, "frame ends inside its IP header")                                                                     \
    X(bad_ip_version, "IP version is not what the layer below says")                                                   \
    X(bad_ip_length, "IP header length or total length is impossible")                                                 \
    X(bad_ipv6_extension, "IPv6 extension header is broken, or there are too many")                                    \
    X(short_transport, "packet ends inside its TCP or UDP header")                                                     \
    X(bad_tcp_offset, "TCP data offset is impossible")                                                                 \
    X(bad_udp_length, "UDP length is impossible")                                                                      \
    X(bad_fragment, "fragment overlaps the transport header or is impossible")                                         \
    X(too_deep, "more tunnels, tags or labels than the bound")                                                         \
    X(bad_tunnel, "a tunnel header that does not hold what it says: counted as the outer flow")                        \
    /* time */                                                                                                         \
    X(time_backwards, "packets older than the clock")                                                                  \
    X(time_jumps, "packets more than 300 s from the clock, which it did not follow: 128 in a row move it")             \
    /* flow table */                                                                                                   \
    X(flows_tcp, "TCP flows admitted")                                                                                 \
    X(flows_udp, "UDP flows admitted")                                                                                 \
    X(evicted, "flows ended early because a table was full")                                                           \
    X(not_admitted, "packets of new flows turned away: table full of ending flows, or events not taken in time")       \
    X(not_selected, "packets of a transport that this run does not track")                                             \
    X(retransmissions, "TCP segments of which every byte was seen before")                                             \
    X(outside_window, "TCP segments outside the receive window, as far as it was seen: not shown to dissectors")       \
    /* reassembly and dissection */                                                                                    \
    X(reassembly_gaps, "places where stream bytes were missing and were skipped")                                      \
    X(reassembly_full, "streams whose buffer reached its bound")                                                       \
    X(reassembly_evicted, "stream buffers given up because all of them together reached their bound")                  \
    X(inspection_full, "flows not shown to external protocols: as many as the bound were")                             \
    X(inspection_lost, "payloads not shown to external protocols: too much was out, or no batch was free")             \
    X(inspection_late, "flows that ended before external protocols had looked at all of their payload")                \
    X(strings_cut, "values cut or left out: a string over 1 KiB, a record over 32 KiB or its number of values")        \
    X(values_refused, "values that plugins gave to fields that they do not have, or that are of another type")         \
    X(names_beyond_list, "host and domain names that gave way in a record's list to later ones of their flow")         \
    X(detections, "rules that meters reported as matched")                                                             \
    X(names_untold, "names that meters were not told: beyond 64 rules at a packet, or 4096 at a flow's recognition")   \
    /* events */                                                                                                       \
    X(events, "events emitted")                                                                                        \
    X(updates_shed, "updates dropped live because no batch was free")                                                  \
    X(batches, "batches handed over")

enum class Counter : uint16_t {
#define X(name, meaning) name,
    AICORE_COUNTERS(X)
#undef X
        count_
};

constexpr size_t kCounterCount = static_cast<size_t>(Counter::count_);

struct Counters {
    std::array<uint64_t, kCounterCount> value{};
    uint64_t &operator[](Counter c) { return value[static_cast<size_t>(c)]; }
    uint64_t operator[](Counter c) const { return value[static_cast<size_t>(c)]; }
};

struct CounterInfo {
    const char *name;
    const char *meaning;
};
inline constexpr std::array<CounterInfo, kCounterCount> kCounterInfo = {{
#define X(name, meaning) {#name, meaning},
    AICORE_COUNTERS(X)
#undef X
}};

} // namespace aicore
