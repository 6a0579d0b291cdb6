// SPDX-License-Identifier: Apache-2.0
// A decoder with its counters, for tests.
#pragma once

#include <gtest/gtest.h>
#include <pcap/dlt.h>

#include <memory>
#include <string>

#include "aicore/decode.h"
#include "packets.h"

namespace aicore::test {

struct Decoding {
    Counters counters;
    Decoder decoder;
    Packet packet;
    std::unique_ptr<uint8_t[]> frame; // of exactly the captured size, so that AddressSanitizer sees a byte too many

    explicit Decoding(const DecodeOptions &options = {}) : decoder(options, counters) {}

    bool operator()(const Bytes &bytes, int64_t time = 0, int linktype = DLT_EN10MB, uint32_t wire = 0) {
        frame = std::make_unique<uint8_t[]>(bytes.size());
        if (!bytes.empty()) std::memcpy(frame.get(), bytes.data(), bytes.size());
        RawPacket raw = aicore::test::packet(bytes, time, linktype, wire);
        raw.data = frame.get();
        std::memset(&packet, 0xaa, sizeof packet); // what decode forgets to set shows
        return decoder.decode(raw, packet);
    }

    uint64_t operator[](Counter c) const { return counters[c]; }

    std::string payload() const { return {reinterpret_cast<const char *>(packet.payload), packet.payload_length}; }

    // "10.0.0.1 40000 > 10.0.0.2 80", from sender to receiver.
    std::string flow() const {
        const FlowKey &k = packet.key;
        auto host = [&k](const uint8_t *a) {
            char buffer[INET6_ADDRSTRLEN];
            return std::string(inet_ntop(k.version == 4 ? AF_INET : AF_INET6, a, buffer, sizeof buffer));
        };
        std::string a = host(k.a) + " " + std::to_string(k.port_a), b = host(k.b) + " " + std::to_string(k.port_b);
        return packet.reversed ? b + " > " + a : a + " > " + b;
    }

    Counter anomaly() const { return static_cast<Counter>(packet.anomaly); }
};

inline const Bytes kWeb = ipv4({}, tcp({}, text("GET / HTTP/1.1")));
inline const Bytes kWeb6 = ipv6({}, tcp({}, text("GET / HTTP/1.1")));
inline const Bytes kQuery = ipv4({.src = "192.168.1.9", .dst = "9.9.9.9", .proto = kUdp}, udp({}, text("query")));
inline const std::string kWebFlow = "10.0.0.1 40000 > 10.0.0.2 80";
inline const std::string kWeb6Flow = "2001:db8::1 40000 > 2001:db8::2 80";
inline const std::string kQueryFlow = "192.168.1.9 40000 > 9.9.9.9 53";

} // namespace aicore::test
