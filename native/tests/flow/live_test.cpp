// SPDX-License-Identifier: Apache-2.0
// From an interface the engine never waits; what is lost then is updates and new flows, never a remove. Stopping and
// closing from other threads.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <thread>

#include "external_scenario.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

int64_t wall() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}
Frame now(Frame f) {
    f.time = wall();
    return f;
}
Endpoints ends(int i) {
    return {"10.0." + std::to_string(i / 60'000) + ".1", "10.0.0.2", static_cast<uint16_t>(1000 + i % 60'000), 53};
}

struct Live {
    LiveSource *source;
    std::unique_ptr<Engine> engine;
    Result result;
    size_t given = 0;

    explicit Live(const EngineOptions &o) {
        engine = std::make_unique<Engine>(std::make_shared<Registry>(), o);
        auto s = std::make_unique<LiveSource>(2);
        source = s.get();
        engine->open(std::move(s));
        engine->start();
    }
    void give(Frames frames) {
        given += frames.size();
        source->give(std::move(frames));
    }
    void wait_until_read() {
        while (source->given() < given)
            std::this_thread::sleep_for(milliseconds(1));
    }
    bool pull(int ms) {
        const auto batch = engine->pull(ms);
        if (batch) collect(result.events, *batch);
        return batch != nullptr;
    }
    void pull_until(const std::function<bool()> &enough) {
        const auto limit = Clock::now() + std::chrono::seconds(20);
        while (!enough()) {
            pull(10);
            ASSERT_LT(Clock::now(), limit);
        }
    }
    void finish() {
        source->end();
        drain();
    }
    void drain() {
        while (!engine->finished())
            pull(100);
        for (const auto &[name, value] : engine->counters())
            result.counters[name] = value;
    }
};

// Per flow id: an insert, updates, one remove, nothing behind it; packets never go back.
void expect_whole(const std::vector<Event> &events) {
    std::map<std::string, uint64_t> packets;
    std::map<std::string, bool> ended;
    uint64_t seq = 0;
    for (const Event &e : events) {
        EXPECT_EQ(e.seq, ++seq);
        const std::string id = e.id();
        EXPECT_EQ(e.kind == EventKind::insert, packets.count(id) == 0) << line(e);
        EXPECT_FALSE(ended[id]) << line(e);
        EXPECT_GE(e.packets, packets[id]);
        packets[id] = e.packets;
        if (e.kind == EventKind::remove) ended[id] = true;
    }
    for (const auto &[id, end] : ended)
        EXPECT_TRUE(end) << id;
}

TEST(Live, events_come_within_the_flush_time_and_flows_expire_without_packets) {
    EngineOptions o;
    o.flush = 20'000'000;
    o.idle_udp = 100'000'000;
    Live live(o);
    live.give({now(udp_frame(0, ends(0)))});
    live.pull_until([&] { return live.result.events.size() == 3; });
    EXPECT_EQ(live.result.lines(),
              (std::vector<std::string>{"insert " + ends(0).key(17) + " 1", "update " + ends(0).key(17) + " 1 idle",
                                        "remove " + ends(0).key(17) + " 1 idle"}));
    live.finish();
    EXPECT_EQ(live.result.events.size(), 3u);
}

TEST(Live, packets_of_a_wrong_clock_expire_by_the_right_one) {
    EngineOptions o;
    o.flush = 0;
    o.idle_udp = 150'000'000;
    Live live(o);
    Frame past = udp_frame(0, ends(0)), future = udp_frame(0, ends(1));
    past.time = wall() - seconds(86400);
    future.time = wall() + seconds(86400);
    live.give({past, future});
    live.pull_until([&] { return live.result.of(EventKind::remove).size() == 2; });
    for (const Event &e : live.result.of(EventKind::remove))
        EXPECT_EQ(e.end_reason, EndReason::idle);
    live.finish();
}

TEST(Live, reader_that_stalls_costs_updates_and_new_flows_alone) {
    EngineOptions o;
    o.udp_flows = 500;
    o.every_udp = 1;
    o.batch_rows = 64;
    o.queue_batches = 4;
    o.flush = 0;
    Live live(o);
    for (int i = 0; i < 200; ++i) {
        live.give({now(udp_frame(0, ends(i)))});
        live.pull_until([&] { return live.result.events.size() == 2u * static_cast<size_t>(i + 1); });
    }
    // Nobody reads: room for 5 batches is all.
    const auto begin = Clock::now();
    uint64_t sent = 200;
    for (int round = 0; round < 50; ++round) {
        Frames f;
        for (int i = 0; i < 200; ++i)
            f.push_back(now(udp_frame(0, ends(i)))); // the old ones go on
        for (int i = 0; i < 200; ++i)
            f.push_back(now(udp_frame(0, ends(1000 + round * 200 + i)))); // a scan
        sent += f.size();
        live.give(std::move(f));
    }
    live.wait_until_read();
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
    std::this_thread::sleep_for(milliseconds(150)); // counters are published
    std::map<std::string, uint64_t> stalled;
    for (const auto &[name, value] : live.engine->counters())
        stalled[name] = value;
    EXPECT_GT(stalled["updates_shed"], 1000u);
    EXPECT_GT(stalled["not_admitted"], 1000u);
    EXPECT_EQ(stalled["evicted"], 0u); // nothing is ended in vain
    live.finish();
    expect_whole(live.result.events);
    uint64_t counted = 0;
    std::map<uint16_t, uint64_t> old;
    for (const Event &e : live.result.of(EventKind::remove)) {
        counted += e.packets;
        if (e.portsrc < 1200) old[e.portsrc] = e.packets;
    }
    EXPECT_EQ(counted + live.result.count("not_admitted"), sent);
    ASSERT_EQ(old.size(), 200u);
    for (const auto &[port, packets] : old)
        EXPECT_EQ(packets, 51u); // the records say everything
}

TEST(Live, flows_that_end_while_nobody_reads_keep_their_slot_and_their_remove) {
    EngineOptions o;
    o.udp_flows = 300;
    o.batch_rows = 16;
    o.queue_batches = 1;
    o.flush = 0;
    o.idle_udp = 200'000'000;
    Live live(o);
    Frames f;
    for (int i = 0; i < 300; ++i)
        f.push_back(now(udp_frame(0, ends(i))));
    live.give(std::move(f));
    live.wait_until_read();
    std::this_thread::sleep_for(milliseconds(500)); // all are idle, few can be told
    Frames again;
    for (int i = 0; i < 300; ++i)
        again.push_back(now(udp_frame(0, ends(i))));
    live.give(std::move(again));
    live.wait_until_read();
    live.finish();
    expect_whole(live.result.events);
    uint64_t counted = 0;
    for (const Event &e : live.result.of(EventKind::remove))
        counted += e.packets;
    EXPECT_EQ(counted + live.result.count("not_admitted"), 600u);
    EXPECT_GT(live.result.count("not_admitted"), 200u);
}

TEST(Live, stop_ends_the_input_and_final_events_follow) {
    EngineOptions o;
    o.batch_rows = 8;
    o.queue_batches = 1;
    Live live(o);
    Frames f;
    for (int i = 0; i < 3; ++i)
        f.push_back(now(udp_frame(0, ends(i))));
    live.give(std::move(f));
    live.wait_until_read();
    const auto begin = Clock::now();
    std::thread([&] { live.engine->stop(); }).join();
    live.drain();
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
    expect_whole(live.result.events);
    EXPECT_EQ(live.result.of(EventKind::remove).size(), 3u);
    for (const Event &e : live.result.of(EventKind::remove))
        EXPECT_EQ(e.end_reason, EndReason::shutdown);
}

// Threads ----------------------------------------------------------------------------------------------------------

TEST(Threads, stop_and_close_at_any_time) {
    std::mt19937 random(99);
    Frames f;
    for (int i = 0; i < 3000; ++i) {
        f.push_back(udp_frame(i * 0.001, ends(i % 700)));
        Connection c(f, ends(i % 300));
        c.open(i * 0.001);
        c.data(i * 0.001, 0, "hello");
    }
    for (int round = 0; round < 150; ++round) {
        EngineOptions o;
        o.batch_rows = 32;
        o.queue_batches = 1 + random() % 3;
        o.every_udp = o.every_tcp = 2;
        o.top = true;
        o.flush = 0;
        const bool live = round % 2;
        Engine engine(std::make_shared<Registry>(), o);
        LiveSource *source = nullptr;
        if (live) {
            auto s = std::make_unique<LiveSource>(1);
            source = s.get();
            source->give(f);
            engine.open(std::move(s));
        } else {
            engine.open(std::make_unique<FileSource>(std::vector<Frames>{f, f}));
        }
        if (round % 10 != 9) engine.start(); // else closed before it began
        std::atomic<bool> watching{true};
        std::thread watcher([&] { // what other threads may ask for
            while (watching) {
                engine.counters();
                engine.progress();
                engine.tops(3);
                engine.warnings();
                engine.error();
                engine.finished();
                std::this_thread::yield();
            }
        });
        const auto delay = std::chrono::microseconds(random() % 4000);
        std::thread stopper([&] {
            std::this_thread::sleep_for(delay);
            engine.stop();
        });
        std::vector<Event> events;
        const auto until = Clock::now() + std::chrono::microseconds(random() % 6000);
        const bool to_the_end = round % 3 == 0 && round % 10 != 9;
        while (to_the_end ? !engine.finished() : Clock::now() < until)
            if (const auto batch = engine.pull(1)) collect(events, *batch);
        if (to_the_end) {
            expect_whole(events);
        } else {
            engine.close();
            engine.close(); // again is nothing
        }
        stopper.join();
        watching = false;
        watcher.join();
        while (engine.pull(0)) {
        }
        EXPECT_TRUE(engine.finished());
    }
}

TEST(Threads, the_reader_inspects_while_packets_go_on) {
    auto registry = std::make_shared<Registry>();
    registry->add_external(external("alpha"));
    Frames f;
    for (int i = 0; i < 20'000; ++i)
        f.push_back(udp_frame(i * 0.001, ends(i % 5000), "payload"));
    EngineOptions o;
    o.batch_rows = 64;
    Engine engine(registry, o);
    engine.open(std::make_unique<FileSource>(std::vector<Frames>{f}));
    engine.start();
    std::vector<Event> events;
    uint64_t n = 0;
    Answers answers;
    answers.reply = [&](const Asked &) {
        ++n;
        return Reply{static_cast<int>(n % 4),
                     n % 8 ? "" : "name" + std::to_string(n % 500),
                     {{"alphafield", std::to_string(n)}}};
    };
    while (!engine.finished()) {
        const auto batch = engine.pull(10);
        if (!batch) continue;
        collect(events, *batch);
        engine.inspect(*batch, answers);
    }
    expect_whole(events);
    EXPECT_GT(n, 5000u);
    EXPECT_TRUE(answers.live.empty());
}

TEST(Options, out_of_range_are_refused) {
    const auto refused = [](const std::function<void(EngineOptions &)> &change) {
        EngineOptions o;
        change(o);
        try {
            Engine(std::make_shared<Registry>(), o);
        } catch (const std::invalid_argument &) {
            return true;
        }
        return false;
    };
    EXPECT_FALSE(refused([](EngineOptions &) {}));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.tcp_flows = 0; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.udp_flows = UINT32_MAX; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.batch_rows = 1; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.queue_batches = 0; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.idle_tcp = -1; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.linger = INT64_MAX; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.stream_bytes = 0; }));
    EXPECT_TRUE(refused([](EngineOptions &o) { o.streams_bytes = o.stream_bytes - 1; }));
}

TEST(Options, engine_begins_once_and_with_a_source) {
    Engine engine(std::make_shared<Registry>(), {});
    EXPECT_THROW(engine.start(), std::invalid_argument);
    engine.open(std::make_unique<FileSource>(std::vector<Frames>{}));
    engine.start();
    EXPECT_THROW(engine.start(), std::invalid_argument);
}

} // namespace
} // namespace aicore::test
