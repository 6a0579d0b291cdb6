// SPDX-License-Identifier: Apache-2.0
// Packets for tests, built from the inside out:
//   Bytes frame = ethernet(kIpv4, ipv4({.src = "10.0.0.1", .proto = 6}, tcp({.dst_port = 80}, text("GET / "))));
//   RawPacket raw = packet(frame, seconds(1));          // points into `frame`
// Lengths are right unless a test sets them; the IPv4 checksum is right, the others are 0 (nobody checks them).
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/packet.h"

namespace aicore::test {

using Bytes = std::vector<uint8_t>;

inline Bytes operator+(Bytes left, const Bytes &right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}
inline Bytes text(std::string_view s) {
    return Bytes(s.begin(), s.end());
}
inline Bytes zeros(size_t n) {
    return Bytes(n, 0);
}
inline Bytes u8(unsigned v) {
    return {static_cast<uint8_t>(v)};
}
inline Bytes u16(unsigned v) {
    return {static_cast<uint8_t>(v >> 8), static_cast<uint8_t>(v)};
}
inline Bytes u24(uint32_t v) {
    return u8(v >> 16) + u16(v & 0xffff);
}
inline Bytes u32(uint32_t v) {
    return u16(v >> 16) + u16(v & 0xffff);
}
inline Bytes cut(const Bytes &b, size_t from, size_t to) {
    return Bytes(b.begin() + static_cast<long>(from), b.begin() + static_cast<long>(to));
}

// "10.0.0.1" or "2001:db8::1", in network order.
inline Bytes address(const std::string &s) {
    bool six = s.find(':') != std::string::npos;
    Bytes out(six ? 16 : 4);
    if (inet_pton(six ? AF_INET6 : AF_INET, s.c_str(), out.data()) != 1) throw std::invalid_argument(s);
    return out;
}

constexpr int64_t seconds(double s) {
    return static_cast<int64_t>(s * 1e9);
}

// `wire` bytes were on the wire, 0 = as many as captured. 1 is DLT_EN10MB.
inline RawPacket packet(const Bytes &b, int64_t time = 0, int linktype = 1, uint32_t wire = 0) {
    uint32_t n = static_cast<uint32_t>(b.size());
    return {b.data(), n, wire ? wire : n, time, linktype};
}

// --- transport

struct Tcp {
    uint16_t src_port = 40000, dst_port = 80;
    uint32_t seq = 1, ack = 0;
    uint8_t flags = kAck;
    uint16_t window = 65535;
    Bytes options = {}; // a multiple of 4
    int offset = -1;    // in words; -1 = right
};
inline Bytes tcp(const Tcp &h, const Bytes &payload = {}) {
    unsigned words = h.offset >= 0 ? static_cast<unsigned>(h.offset) : 5 + static_cast<unsigned>(h.options.size() / 4);
    return u16(h.src_port) + u16(h.dst_port) + u32(h.seq) + u32(h.ack) + u8(words << 4) + u8(h.flags) + u16(h.window) +
           u16(0) + u16(0) + h.options + payload;
}

struct Udp {
    uint16_t src_port = 40000, dst_port = 53;
    int length = -1; // -1 = right
};
inline Bytes udp(const Udp &h, const Bytes &payload = {}) {
    unsigned length = h.length >= 0 ? static_cast<unsigned>(h.length) : 8 + static_cast<unsigned>(payload.size());
    return u16(h.src_port) + u16(h.dst_port) + u16(length) + u16(0) + payload;
}

// --- IP

enum : uint8_t { kIcmp = 1, kIpIp = 4, kTcp = 6, kUdp = 17, kIp6 = 41, kGre = 47, kEsp = 50, kAh = 51, kIcmp6 = 58 };

struct Ipv4 {
    std::string src = "10.0.0.1", dst = "10.0.0.2";
    uint8_t proto = kTcp;
    uint16_t id = 1;
    unsigned offset = 0; // of a fragment, in bytes
    bool more = false;   // fragments follow
    Bytes options = {};  // a multiple of 4
    int total = -1;      // -1 = right
    int version = 4, words = -1;
    uint8_t tos = 0, ttl = 64;
};
inline Bytes ipv4(const Ipv4 &h, const Bytes &payload) {
    unsigned words = h.words >= 0 ? static_cast<unsigned>(h.words) : 5 + static_cast<unsigned>(h.options.size() / 4);
    unsigned total =
        h.total >= 0 ? static_cast<unsigned>(h.total) : 20 + static_cast<unsigned>(h.options.size() + payload.size());
    Bytes head = u8(static_cast<unsigned>(h.version) << 4 | words) + u8(h.tos) + u16(total) + u16(h.id) +
                 u16((h.more ? 0x2000u : 0u) | h.offset / 8) + u8(h.ttl) + u8(h.proto) + u16(0) + address(h.src) +
                 address(h.dst) + h.options;
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < head.size(); i += 2)
        sum += static_cast<uint32_t>(head[i] << 8 | head[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    head[10] = static_cast<uint8_t>(~sum >> 8);
    head[11] = static_cast<uint8_t>(~sum);
    return head + payload;
}

struct Ipv6 {
    std::string src = "2001:db8::1", dst = "2001:db8::2";
    uint8_t next = kTcp;
    int length = -1; // payload length, -1 = right
    int version = 6;
    uint8_t traffic_class = 0, hop_limit = 64;
};
inline Bytes ipv6(const Ipv6 &h, const Bytes &payload) {
    unsigned length = h.length >= 0 ? static_cast<unsigned>(h.length) : static_cast<unsigned>(payload.size());
    return u32(static_cast<uint32_t>(h.version) << 28 | uint32_t{h.traffic_class} << 20) + u16(length) + u8(h.next) +
           u8(h.hop_limit) + address(h.src) + address(h.dst) + payload;
}

// Extension headers; `next` is the type of what follows.
inline Bytes extension(uint8_t next, unsigned size = 8) {
    return u8(next) + u8(size / 8 - 1) + zeros(size - 2);
}
inline Bytes authentication(uint8_t next, unsigned icv = 12) {
    return u8(next) + u8((12 + icv) / 4 - 2) + zeros(10 + icv);
}
inline Bytes fragment_header(uint8_t next, unsigned offset, bool more, uint32_t id) {
    return u8(next) + u8(0) + u16(offset | (more ? 1u : 0u)) + u32(id);
}

// A datagram in fragments of `size` payload bytes (a multiple of 8).
inline std::vector<Bytes> fragments4(Ipv4 h, const Bytes &payload, size_t size) {
    std::vector<Bytes> out;
    for (size_t at = 0; at < payload.size(); at += size) {
        size_t end = std::min(at + size, payload.size());
        h.offset = static_cast<unsigned>(at);
        h.more = end < payload.size();
        out.push_back(ipv4(h, cut(payload, at, end)));
    }
    return out;
}
inline std::vector<Bytes> fragments6(Ipv6 h, uint32_t id, const Bytes &payload, size_t size) {
    std::vector<Bytes> out;
    uint8_t next = h.next;
    h.next = 44;
    for (size_t at = 0; at < payload.size(); at += size) {
        size_t end = std::min(at + size, payload.size());
        out.push_back(ipv6(h, fragment_header(next, static_cast<unsigned>(at), end < payload.size(), id) +
                                  cut(payload, at, end)));
    }
    return out;
}

// --- link layers

enum : uint16_t {
    kIpv4 = 0x0800,
    kArp = 0x0806,
    kTeb = 0x6558,
    kVlan = 0x8100,
    kIpv6 = 0x86dd,
    kMpls = 0x8847,
    kPppoe = 0x8864,
    kQinq = 0x88a8,
    kMacsec = 0x88e5,
    kPbb = 0x88e7,
    kCiscoMetadata = 0x8909,
    kVnTag = 0x8926,
    kHsr = 0x892f,
    kTrillLabel = 0x893b,
    kETag = 0x893f,
    kNsh = 0x894f,
    kTrill = 0x22f3
};

inline Bytes ethernet(unsigned type, const Bytes &payload) {
    return Bytes{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1} + u16(type) + payload;
}
// What stands behind the type kVlan or kQinq.
inline Bytes vlan(unsigned id, unsigned type, const Bytes &payload) {
    return u16(id) + u16(type) + payload;
}
// What stands behind the type of each other tag.
inline Bytes vn_tag(unsigned type, const Bytes &payload) {
    return u32(0x80010002) + u16(type) + payload;
}
inline Bytes e_tag(unsigned type, const Bytes &payload) {
    return u32(0x00001001) + u16(0) + u16(type) + payload;
}
inline Bytes cisco_metadata(unsigned type, const Bytes &payload) { // security group 7
    return u8(1) + u8(1) + u16(1) + u16(7) + u16(type) + payload;
}
inline Bytes hsr(unsigned type, const Bytes &payload) {
    return u16(static_cast<unsigned>(payload.size() + 6)) + u16(9) + u16(type) + payload;
}
inline Bytes macsec(unsigned type, const Bytes &payload, unsigned flags = 0) { // 0x20: with the channel's identifier
    return u8(flags) + u8(0) + u32(1) + ((flags & 0x20) != 0 ? zeros(8) : Bytes{}) + u16(type) + payload;
}
inline Bytes pbb(uint32_t service, const Bytes &frame) {
    return u32(0x60000000 | service) + frame;
}
inline Bytes trill(const Bytes &frame, unsigned words = 0) { // of options
    return u16(words << 6 | 62) + u16(1) + u16(2) + zeros(words * 4) + frame;
}
inline Bytes nsh(unsigned next, const Bytes &payload, unsigned words = 6) {
    return u16(63u << 6 | words) + u8(words == 6 ? 1 : 2) + u8(next) + u32(0x000064ff) + zeros(words * 4 - 8) + payload;
}
inline Bytes snap(unsigned type, const Bytes &payload) {
    return Bytes{0xaa, 0xaa, 3, 0, 0, 0} + u16(type) + payload;
}
// IEEE 802.3: a length instead of a type.
inline Bytes ethernet_llc(const Bytes &llc) {
    return ethernet(static_cast<unsigned>(llc.size()), llc);
}
inline Bytes mpls(std::initializer_list<uint32_t> labels, const Bytes &payload) {
    Bytes out;
    size_t n = 0;
    for (uint32_t label : labels)
        out = out + u32(label << 12 | (++n == labels.size() ? 0x100u : 0u) | 64);
    return out + payload;
}
inline Bytes ppp(unsigned protocol, const Bytes &payload) {
    return u16(protocol) + payload;
}
inline Bytes pppoe(const Bytes &frame) { // of PPP
    return Bytes{0x11, 0, 0, 7} + u16(static_cast<unsigned>(frame.size())) + frame;
}
inline Bytes cooked(unsigned protocol, const Bytes &payload) { // DLT_LINUX_SLL
    return u16(0) + u16(1) + u16(6) + zeros(8) + u16(protocol) + payload;
}
inline Bytes cooked2(unsigned protocol, const Bytes &payload) { // DLT_LINUX_SLL2
    return u16(protocol) + u16(0) + u32(2) + u16(1) + u8(0) + u8(6) + zeros(8) + payload;
}

// --- tunnels: what the outer IP or UDP carries

struct Gre {
    uint16_t type = kIpv4;
    bool checksum = false, sequence = false;
    int64_t key = -1; // -1 = none
};
inline Bytes gre(const Gre &h, const Bytes &payload) {
    unsigned flags = (h.checksum ? 0x8000u : 0u) | (h.key >= 0 ? 0x2000u : 0u) | (h.sequence ? 0x1000u : 0u);
    Bytes out = u16(flags) + u16(h.type);
    if (h.checksum) out = out + u32(0);
    if (h.key >= 0) out = out + u32(static_cast<uint32_t>(h.key));
    if (h.sequence) out = out + u32(1);
    return out + payload;
}
inline Bytes pptp(const Bytes &ppp_frame) {
    return u16(0x3081) + u16(0x880b) + u16(static_cast<unsigned>(ppp_frame.size())) + u16(7) + u32(1) + u32(1) +
           ppp_frame;
}
inline Bytes vxlan(uint32_t vni, const Bytes &frame) {
    return Bytes{8, 0, 0, 0} + u24(vni) + u8(0) + frame;
}
inline Bytes vxlan_gpe(uint32_t vni, unsigned next, const Bytes &payload, unsigned flags = 0x0c) {
    return u8(flags) + zeros(2) + u8(next) + u24(vni) + u8(0) + payload;
}
// Version 2; `optional` stands behind tunnel and session. Flags as in RFC 2661.
inline Bytes l2tp(const Bytes &ppp_frame, unsigned flags = 0, const Bytes &optional = {}) {
    Bytes rest = u16(5) + u16(6) + optional + ppp_frame;
    return u16(flags | 2) + ((flags & 0x4000) != 0 ? u16(static_cast<unsigned>(rest.size()) + 4) : Bytes{}) + rest;
}
inline Bytes l2tp3(const Bytes &payload, uint32_t session = 7) { // over UDP; over IP from the session on
    return u16(3) + u16(0) + u32(session) + payload;
}
// `more` stands behind the first 8 bytes; flags as in RFC 5415, whose header's fourth byte they are with the one
// before.
inline Bytes capwap(const Bytes &frame, const Bytes &more = {}, unsigned flags = 0, unsigned fragment = 0) {
    unsigned words = static_cast<unsigned>(more.size()) / 4 + 2;
    return u32(words << 19 | 1u << 14 | 1u << 9 | flags) + u16(3) + u16(fragment) + more + frame;
}
inline Bytes ayiya(uint8_t next, const Bytes &payload, unsigned operation = 1) {
    return Bytes{0x41, 0x52} + u8(0x10 | operation) + u8(next) + u32(1) + zeros(16) + zeros(20) + payload;
}
inline Bytes pim_register(const Bytes &ip, uint32_t flags = 0) {
    return u32(0x2100def0) + u32(flags) + ip;
}
inline Bytes stored(const Bytes &payload) { // DEFLATE
    unsigned n = static_cast<unsigned>(payload.size());
    return u8(1) +
           Bytes{static_cast<uint8_t>(n), static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(~n),
                 static_cast<uint8_t>(~n >> 8)} +
           payload;
}
inline Bytes ipcomp(uint8_t next, uint16_t index, const Bytes &payload) {
    return u8(next) + u8(0) + u16(index) + payload;
}
inline Bytes geneve(uint32_t vni, unsigned type, const Bytes &payload, const Bytes &options = {}) {
    return u8(static_cast<unsigned>(options.size() / 4)) + u8(0) + u16(type) + u24(vni) + u8(0) + options + payload;
}
// `extensions` stand behind the first 8 bytes, with the optional fields; flags as in 3GPP TS 29.281.
inline Bytes gtpu(uint32_t teid, const Bytes &payload, const Bytes &extensions = {}, unsigned flags = 0x30,
                  unsigned type = 0xff) {
    return u8(flags) + u8(type) + u16(static_cast<unsigned>(extensions.size() + payload.size())) + u32(teid) +
           extensions + payload;
}

} // namespace aicore::test
