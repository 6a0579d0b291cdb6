// SPDX-License-Identifier: Apache-2.0
// Live, each worker reads a socket of its own. Whatever socket a packet comes in by, it counts in its owner's flow.
#include <gtest/gtest.h>

#include <map>

#include "aicore/workers.h"
#include "scenario.h"

namespace aicore::test {
namespace {

struct Sockets {
    std::vector<LiveSource *> sockets;
    Workers engines;

    Sockets(size_t count, const EngineOptions &o) : engines(std::make_shared<Registry>(), o, count) {
        std::vector<std::unique_ptr<Source>> sources;
        for (size_t n = 0; n < count; ++n) {
            auto source = std::make_unique<LiveSource>(2);
            sockets.push_back(source.get());
            sources.push_back(std::move(source));
        }
        engines.open(std::move(sources), std::make_shared<Fanout>(count));
        engines.start();
    }
    std::vector<Event> rest() {
        std::vector<Event> events;
        while (!engines.finished())
            if (const auto batch = engines.pull(1000)) collect(events, *batch);
        return events;
    }
};

std::map<std::string, uint64_t> ends_of(const std::vector<Event> &events) { // packets by key; no flow ends twice
    std::map<std::string, uint64_t> packets;
    for (const Event &e : events)
        if (e.kind == EventKind::remove) {
            EXPECT_TRUE(packets.emplace(e.key, e.packets).second) << e.key;
        }
    return packets;
}

TEST(WorkersExchange, packets_count_in_their_flow_whatever_socket_they_come_in_by) {
    Sockets live(3, {});
    constexpr int kFlows = 500, kPackets = 12;
    for (int packet = 0; packet < kPackets; ++packet)
        for (int flow = 0; flow < kFlows; ++flow) {
            const Endpoints e{"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + flow), 5001};
            live.sockets[static_cast<size_t>(flow + packet) % 3]->give({udp_frame(0, packet % 2 ? e.back() : e)});
        }
    for (LiveSource *socket : live.sockets)
        while (socket->given() < kFlows * kPackets / 3)
            live.engines.pull(1);
    live.engines.stop();
    // Batches that were pulled while waiting are not looked at: removes come at the end.
    const auto packets = ends_of(live.rest());
    ASSERT_EQ(packets.size(), static_cast<size_t>(kFlows));
    for (const auto &[key, count] : packets)
        EXPECT_EQ(count, static_cast<uint64_t>(kPackets)) << key;
    std::map<std::string, uint64_t> counters;
    for (const auto &[name, value] : live.engines.counters())
        counters[name] = value;
    EXPECT_EQ(counters["packets"], static_cast<uint64_t>(kFlows * kPackets));
    EXPECT_EQ(counters["flows_udp"], static_cast<uint64_t>(kFlows));
}

TEST(WorkersExchange, the_run_ends_with_the_first_source_that_ends) {
    Sockets live(4, {});
    for (size_t n = 0; n < 4; ++n)
        live.sockets[n]->give({udp_frame(0, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + n), 5001})});
    for (LiveSource *socket : live.sockets)
        while (socket->given() < 1)
            live.engines.pull(1);
    live.sockets[2]->end();
    EXPECT_EQ(ends_of(live.rest()).size(), 4u);
}

TEST(WorkersExchange, closes_while_packets_are_on_their_way) {
    for (int round = 0; round < 20; ++round) {
        EngineOptions o;
        o.batch_rows = 16;
        o.queue_batches = 1;
        Sockets live(3, o);
        for (int i = 0; i < 2000; ++i)
            live.sockets[static_cast<size_t>(i) % 3]->give(
                {udp_frame(0, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i / 2), 5001})});
        for (int pulls = 0; pulls < round; ++pulls)
            live.engines.pull(1);
        live.engines.close();
        while (live.engines.pull(0)) {
        }
        EXPECT_TRUE(live.engines.finished());
    }
}

} // namespace
} // namespace aicore::test
