// SPDX-License-Identifier: Apache-2.0
// A meter has an instance for each worker; reload replaces all of them while packets go on, or none.
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "aicore/workers.h"
#include "fake_meter.h"
#include "scenario.h"

namespace aicore::test {
namespace {

// Counts packets in the flow's state, and instances.
struct CountingMeter {
    static inline std::atomic<int> made{0}, living{0}, made_before_failure{1 << 30};

    static void *create(const aicore_meter_setup *setup) {
        if (made >= made_before_failure) {
            std::strncpy(setup->error, "no more of it", setup->error_size - 1);
            return nullptr;
        }
        ++made;
        ++living;
        return new int(0);
    }
    static void destroy(void *self) {
        --living;
        delete static_cast<int *>(self);
    }
    static void packet(void *self, aicore_meter_flow *, const aicore_packet *, void *state) {
        ++*static_cast<int *>(self); // one thread at a time: ThreadSanitizer sees it
        ++*static_cast<uint64_t *>(state);
    }
    static void record(void *, aicore_meter_flow *flow, void *state) {
        flow->host->set_integer(flow, 0, static_cast<int64_t>(*static_cast<uint64_t *>(state)));
    }

    CountingMeter() {
        made = living = 0;
        made_before_failure = 1 << 30;
        meter.abi = AICORE_METER_ABI;
        meter.size = sizeof meter;
        meter.name = "counting";
        meter.help = "A meter of a test.";
        meter.create = create;
        meter.destroy = destroy;
        meter.packet = packet;
        meter.record = record;
        meter.state_size = 8;
        meter.fields = &field;
        meter.field_count = 1;
        meter.field_size = sizeof field;
    }
    aicore_field field{"counted", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr};
    aicore_meter meter{};
};

TEST(WorkersReload, replaces_the_instances_of_all_while_packets_go_on) {
    CountingMeter m;
    {
        auto registry = std::make_shared<Registry>();
        registry->add_meter(&m.meter, "");
        EngineOptions o;
        o.batch_rows = 64;
        Workers engines(registry, o, 3);
        EXPECT_EQ(CountingMeter::living, 3);
        Frames frames;
        for (int i = 0; i < 20'000; ++i)
            frames.push_back(
                udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i % 5000), 5001}));
        engines.open(std::make_unique<FileSource>(std::vector<Frames>{frames}));
        engines.start();
        std::vector<Event> events;
        int reloads = 0;
        while (!engines.finished())
            if (const auto batch = engines.pull(1000)) {
                collect(events, *batch);
                if (reloads < 20) engines.reload_meter(&m.meter, ""), ++reloads;
            }
        EXPECT_EQ(reloads, 20);
        EXPECT_EQ(CountingMeter::made, 3 + 3 * 20);
        std::map<std::string, std::string> counted;
        for (const Event &e : events)
            if (e.kind == EventKind::remove) counted[e.id()] = e.fields.at("counted");
        EXPECT_EQ(counted.size(), 5000u);
        for (const auto &[id, n] : counted)
            EXPECT_EQ(n, "4"); // what a flow remembers outlives the instance
    }
    EXPECT_EQ(CountingMeter::living, 0);
}

TEST(WorkersReload, replaces_none_if_one_cannot_be_made) {
    CountingMeter m;
    {
        auto registry = std::make_shared<Registry>();
        registry->add_meter(&m.meter, "");
        Workers engines(registry, {}, 3);
        CountingMeter::made_before_failure = 3 + 2;
        EXPECT_THROW(engines.reload_meter(&m.meter, ""), std::invalid_argument);
        EXPECT_EQ(CountingMeter::living, 3);
    }
    EXPECT_EQ(CountingMeter::living, 0);
}

} // namespace
} // namespace aicore::test
