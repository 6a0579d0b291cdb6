// SPDX-License-Identifier: Apache-2.0
// Packets that Python sealed (tests/conversations.py), cut at every place, changed and opened; and what stands behind
// the seal changed, which only a client with a hostile mind can send: the frame, hello and CHLO readers by themselves.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>

#include <gtest/gtest.h>

#include "aicore/tls.h"
#include "chlo.h"
#include "gquic.h"
#include "host.h"
#include "initial.h"
#include "quic.h"
#include "reassembly.h"
#include "version.h"

namespace aicore::quic {
namespace {

using test::Flow;

struct Seed {
    std::string name, host;
    std::vector<std::string> datagrams;
};

Bytes bytes(const std::string &text) {
    return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

const std::vector<Seed> &seeds() {
    static const std::vector<Seed> all = [] {
        const char *path = std::getenv("AICORE_SEEDS");
        if (!path) throw std::runtime_error("AICORE_SEEDS names no file; tests/test_native.py makes one");
        std::ifstream file(path, std::ios::binary);
        const std::string content{std::istreambuf_iterator<char>(file), {}};
        Bytes in = bytes(content);
        std::vector<Seed> out;
        while (in.left()) {
            Seed seed;
            seed.name = text(in.take(in.u16()));
            seed.host = text(in.take(in.u16()));
            for (uint16_t n = in.u16(); n > 0; --n)
                seed.datagrams.emplace_back(text(in.take(in.u16())));
            out.push_back(std::move(seed));
        }
        if (!in.ok() || out.size() < 20) throw std::runtime_error("the seeds are broken");
        return out;
    }();
    return all;
}

// The frames of a client's first packet.
std::string frames(const std::string &datagram) {
    const auto *data = reinterpret_cast<const uint8_t *>(datagram.data());
    LongHeader header;
    Keys keys;
    std::string out(kMaxPacket, 0);
    size_t size = 0;
    if (read_long_header(data, datagram.size(), header) && header.initial &&
        derive_client_keys(Bytes(data + 1, 4).u32(), header.destination, keys))
        size = open_initial(keys, data, header, reinterpret_cast<uint8_t *>(out.data()));
    out.resize(size);
    return out;
}

class Mutator {
  public:
    explicit Mutator(unsigned seed) : random_(seed) {}
    size_t below(size_t n) { return static_cast<size_t>(random_() % n); }
    std::string change(std::string text) {
        for (size_t n = 1 + below(5); n > 0 && !text.empty(); --n) {
            const size_t at = below(text.size());
            switch (below(4)) {
            case 0:
                text[at] = static_cast<char>(random_());
                break;
            case 1:
                text[at] = static_cast<char>(below(2) ? 0xff : 0x00);
                break;
            case 2:
                text.resize(at + 1);
                break;
            default:
                text.insert(at, text.substr(below(text.size()), 1 + below(20)));
                break;
            }
        }
        return text;
    }

  private:
    std::mt19937 random_;
};

// In memory of its own, so that AddressSanitizer sees a read behind its end.
template <typename Use> void exactly(const std::string &text, Use use) {
    const auto copy = std::make_unique<uint8_t[]>(text.size());
    std::copy(text.begin(), text.end(), copy.get());
    use(Bytes(copy.get(), text.size()));
}

TEST(Quic, SeedsAreRecognised) {
    for (const Seed &seed : seeds()) {
        Flow f(protocol(), AICORE_UDP);
        for (const std::string &datagram : seed.datagrams)
            f.feed(datagram);
        EXPECT_TRUE(f.flow.recognised) << seed.name;
        EXPECT_EQ(f.text("sslhost"), seed.host.empty() ? "(none)" : seed.host) << seed.name;
    }
}

TEST(Quic, NoTruncatedPacketIsRecognised) {
    for (const Seed &seed : seeds()) {
        const std::string &datagram = seed.datagrams[0];
        if (frames(datagram).empty()) continue; // Google's clear text, or another packet before it
        LongHeader header;
        ASSERT_TRUE(read_long_header(bytes(datagram).data(), datagram.size(), header));
        for (size_t cut = 0; cut < header.size; ++cut) {
            Flow f(protocol(), AICORE_UDP);
            EXPECT_EQ(f.feed(datagram.substr(0, cut)), AICORE_NO) << seed.name << " cut at " << cut;
        }
    }
}

TEST(Quic, NoChangedByteGoesUnnoticed) {
    const std::string &datagram = seeds()[0].datagrams[0];
    for (size_t at = 0; at < datagram.size(); ++at) {
        std::string changed = datagram;
        changed[at] = static_cast<char>(changed[at] ^ 0x10);
        Flow f(protocol(), AICORE_UDP);
        EXPECT_EQ(f.feed(changed), AICORE_NO) << at;
    }
}

TEST(Quic, Mutations) {
    Mutator mutator(20251125);
    for (const Seed &seed : seeds())
        for (int round = 0; round < 300; ++round) {
            Flow f(protocol(), AICORE_UDP);
            for (const std::string &datagram : seed.datagrams)
                f.feed(mutator.below(2) ? mutator.change(datagram) : datagram, mutator.below(2));
        }
}

TEST(Hello, MutationsBehindTheSeal) {
    Mutator mutator(7);
    size_t named = 0;
    for (const Seed &seed : seeds()) {
        const std::string plain = frames(seed.datagrams[0]);
        const size_t at = plain.find(std::string("\1\0", 2)); // a hello's type and length
        for (int round = 0; at != std::string::npos && round < 500; ++round)
            exactly(mutator.change(plain.substr(at + 4)), [&](Bytes body) {
                tls::ClientHello hello;
                tls::read_client_hello(body, hello, tls::Carrier::quic);
                named += !hello.server_name.empty();
                tls::ja4(hello, tls::Carrier::quic);
            });
    }
    EXPECT_GT(named, 1000u);
}

TEST(Google, MutationsBehindTheHash) {
    Mutator mutator(9);
    size_t read = 0;
    for (const Seed &seed : seeds()) {
        uint32_t version = 0;
        Bytes clear;
        const std::string &datagram = seed.datagrams[0];
        if (!open_clear(bytes(datagram).data(), datagram.size(), version, clear)) continue;
        const std::string plain(text(clear));
        for (int round = 0; round < 500; ++round)
            exactly(mutator.change(plain), [&](Bytes changed) {
                Chlo out;
                read += read_chlo(handshake_stream(version, changed), out);
            });
    }
    EXPECT_GT(read, 100u);
}

TEST(Hellos, ClaimsAreBoundedAndGivenBack) {
    Hellos &pool = Hellos::of_this_thread();
    std::vector<Claim> claims(kSlots + 1);
    for (Claim &claim : claims)
        ASSERT_NE(pool.find(claim), nullptr);
    EXPECT_EQ(pool.find(claims[0]), nullptr); // the oldest lost its slot
    EXPECT_NE(pool.find(claims[1]), nullptr);
    for (Claim &claim : claims)
        pool.give(claim);
    for (int i = 0; i < 3 * kSlots; ++i) {
        Claim claim{};
        Hello *hello = pool.find(claim);
        ASSERT_NE(hello, nullptr);
        EXPECT_EQ(hello->prefix().left(), 0u);
        hello->put(0, bytes("left behind"));
        pool.give(claim);
    }
}

TEST(Hellos, FirstBytesStayAndEndsAreCut) {
    const auto hello = std::make_unique<Hello>();
    hello->clear();
    hello->put(2, bytes("cd"));
    EXPECT_EQ(hello->prefix().left(), 0u);
    hello->put(0, bytes("abXXe"));
    EXPECT_EQ(text(hello->prefix()), "abcde");
    hello->put(kMaxHello - 1, bytes("zz"));
    hello->put(kMaxHello, bytes("zz"));
    EXPECT_EQ(hello->prefix().left(), 5u);
}

} // namespace
} // namespace aicore::quic
