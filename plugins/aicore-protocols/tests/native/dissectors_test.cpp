// SPDX-License-Identifier: Apache-2.0
// Every dissector without an engine: the same however a stream is cut, nobody else's flows, and whatever comes instead
// of a message: the host frees what it has shown after each call (AddressSanitizer sees who reads behind it), and
// throws where the contract is broken.
#include <gtest/gtest.h>

#include <random>

#include "host.h"
#include "seeds.h"

namespace aicore::test {
namespace {

void ports(Flow &f, const Seed &seed) {
    f.flow.src_port = seed.client_port;
    f.flow.dst_port = seed.server_port;
}

uint8_t flags(const Seed &seed) {
    return seed.middle ? AICORE_MIDSTREAM : 0;
}

// As the engine does: in datagrams, whoever does not recognise the first one is asked again.
void talk(Flow &f, const Seed &seed) {
    for (const SeedTurn &turn : seed.turns) {
        if (seed.transport == AICORE_UDP) f.dropped[0] = f.dropped[1] = false;
        f.feed(turn.data, turn.from_server, flags(seed));
    }
}

void each(void (*test)(const aicore_protocol *, const Seed &)) {
    for (const Seed &seed : seeds())
        for (const aicore_protocol *p : protocols())
            if (p->transports & seed.transport) test(p, seed);
}

TEST(Dissectors, TheStructuresAreWhole) {
    ASSERT_FALSE(protocols().empty());
    for (const aicore_protocol *p : protocols()) {
        EXPECT_TRUE(p->inspect && p->help && p->rank <= 100) << p->name;
        EXPECT_TRUE(p->prefix_count || p->port_count) << p->name << " would be asked about every flow";
    }
}

// On a port that says nothing: who recognises a flow has a proof for it.
TEST(Dissectors, RecogniseNobodyElsesFlows) {
    each([](const aicore_protocol *p, const Seed &seed) {
        if (seed.protocol() == p->name || p->prefix_count == 0) return; // without prefixes: asked on its ports alone
        Flow f(p, seed.transport);
        talk(f, seed);
        // DTLS behind STUN is named by both alike.
        EXPECT_FALSE(f.flow.recognised && f.layer7 != seed.layer7) << p->name << " takes " << seed.name;
    });
}

TEST(Dissectors, StreamsMayBeCutAnywhere) {
    each([](const aicore_protocol *p, const Seed &seed) {
        if (seed.protocol() != p->name || seed.transport != AICORE_TCP || seed.middle) return;
        std::vector<Piece> pieces;
        size_t size = 0;
        for (const SeedTurn &turn : seed.turns) {
            pieces.push_back({turn.from_server, turn.data});
            size += turn.data.size();
        }
        if (size > 6000) return; // quadratic
        every_split(p, pieces, [&](const std::string &where) { ADD_FAILURE() << seed.name << ": " << where; });
    });
}

TEST(Dissectors, EveryTruncation) {
    each([](const aicore_protocol *p, const Seed &seed) {
        if (seed.protocol() != p->name) return;
        for (size_t last = 0; last < seed.turns.size(); ++last)
            for (size_t cut = 0; cut < std::min<size_t>(seed.turns[last].data.size(), 1500); ++cut)
                for (const uint8_t extra : {0, int{AICORE_TRUNCATED}}) {
                    Flow f(p, seed.transport);
                    ports(f, seed);
                    for (size_t i = 0; i < last; ++i)
                        f.feed(seed.turns[i].data, seed.turns[i].from_server, flags(seed));
                    f.feed(seed.turns[last].data.substr(0, cut), seed.turns[last].from_server,
                           static_cast<uint8_t>(flags(seed) | extra));
                }
    });
}

class Mutator {
  public:
    explicit Mutator(unsigned seed) : random_(seed) {}

    size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

    std::string change(std::string bytes) {
        for (size_t n = below(6); n > 0 && !bytes.empty(); --n) {
            const size_t at = below(bytes.size());
            switch (below(5)) {
            case 0:
                bytes[at] = static_cast<char>(random_());
                break;
            case 1:
                bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
                break;
            case 2:
                bytes[at] = static_cast<char>(below(2) ? 0xff : 0x00);
                break;
            case 3:
                bytes.resize(at + 1);
                break;
            default:
                bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(30)));
                break;
            }
        }
        return bytes;
    }

  private:
    std::mt19937 random_;
};

TEST(Dissectors, Mutations) {
    Mutator mutator(20240229);
    for (const Seed &seed : seeds())
        for (const aicore_protocol *p : protocols()) {
            if (p->name != seed.protocol() || !(p->transports & seed.transport)) continue;
            for (int round = 0; round < 1500; ++round) {
                Flow f(p, seed.transport);
                ports(f, seed);
                for (const SeedTurn &turn : seed.turns) {
                    const size_t odd = mutator.below(20);
                    const uint8_t extra = odd < 8 ? static_cast<uint8_t>(odd) : 0; // every combination of the flags
                    f.feed(mutator.change(turn.data), turn.from_server, static_cast<uint8_t>(flags(seed) | extra));
                }
                for (const auto &[name, value] : f.strings)
                    ASSERT_FALSE(value.empty()) << seed.name << ": " << name;
                for (const auto &[name, list] : f.lists)
                    ASSERT_LE(list.size(), 16u) << seed.name << ": " << name;
            }
        }
}

// Random bytes are nobody's protocol.
TEST(Dissectors, NoiseIsNotRecognised) {
    Mutator random(7);
    for (int round = 0; round < 20000; ++round) {
        std::string bytes(1 + random.below(200), 0);
        for (char &c : bytes)
            c = static_cast<char>(random.below(256));
        for (const aicore_protocol *p : protocols()) {
            if (p->prefix_count == 0) continue;
            // With a first byte that the core looks for, so that the checks behind it are met, too.
            const aicore_prefix &prefix = p->prefixes[random.below(p->prefix_count)];
            bytes[0] = prefix.bytes[0];
            for (const uint8_t transport : {AICORE_TCP, AICORE_UDP}) {
                if (!(p->transports & transport)) continue;
                Flow f(p, transport);
                f.feed(bytes, round & 1, round & 2 ? AICORE_MIDSTREAM : 0);
                ASSERT_FALSE(f.flow.recognised) << p->name << " in round " << round;
            }
        }
    }
}

} // namespace
} // namespace aicore::test
