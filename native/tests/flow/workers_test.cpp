// SPDX-License-Identifier: Apache-2.0
// Several engines give what one gives, record by record; they end together, and one that fails takes nobody's flows
// along.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "aicore/workers.h"
#include "external_scenario.h"
#include "scenario.h"

namespace aicore::test {
namespace {

using std::chrono::milliseconds;

// Connections, datagrams and fragments of many hosts, with pauses that end flows and times that jump and go back.
Frames traffic(unsigned seed, size_t rounds) {
    std::mt19937 random(seed);
    Frames frames;
    double t = 0;
    std::vector<Connection> open;
    for (size_t round = 0; round < rounds; ++round) {
        const auto host = static_cast<int>(random() % 200);
        const Endpoints ends{"10.0." + std::to_string(host) + ".1", "10.1.0." + std::to_string(1 + random() % 5),
                             static_cast<uint16_t>(1024 + random() % 300),
                             static_cast<uint16_t>(random() % 2 ? 80 : 53)};
        t += static_cast<double>(random() % 100) / 1000;
        switch (random() % 12) {
        case 0:
            t += static_cast<double>(random() % 400); // up to more than the clock's step
            break;
        case 1:
            frames.push_back(udp_frame(t - static_cast<double>(random() % 20), ends)); // late
            break;
        case 2:
            frames.push_back(udp_frame(t + static_cast<double>(random() % 100000), ends)); // of a broken clock
            break;
        case 3:
        case 4:
            open.emplace_back(frames, ends).open(t);
            break;
        case 5:
            if (!open.empty()) open[random() % open.size()].close(t); // one that is closed may go on, too
            break;
        case 6: {
            const Bytes datagram =
                udp({.src_port = ends.src_port, .dst_port = ends.dst_port}, text("first and last, 32 bytes in all!!"));
            for (const Bytes &part :
                 fragments4({.src = ends.src, .dst = ends.dst, .proto = kUdp, .id = static_cast<uint16_t>(round)},
                            datagram, 24))
                frames.push_back({kStart + seconds(t), ethernet(kIpv4, part)});
            break;
        }
        default:
            if (open.empty() || random() % 3 == 0)
                frames.push_back(udp_frame(t, random() % 2 ? ends : ends.back()));
            else
                open[random() % open.size()].data(t, static_cast<int>(random() % 2), "GET / HTTP/1.1\r\n");
        }
    }
    return frames;
}

// All of a record but its number, which tells the order of flows among each other.
std::string whole(Event e) {
    std::string s = e.id() + " " + line(e) + " " + e.layer7_name + " " + e.anomaly_name;
    e.seq = e.version = 0;
    for (const int64_t n : {e.opened, e.first_seen, e.last_seen, e.duration, static_cast<int64_t>(e.bytes),
                            static_cast<int64_t>(e.payload_bytes), static_cast<int64_t>(e.src_packets),
                            static_cast<int64_t>(e.dst_packets), static_cast<int64_t>(e.src_bytes),
                            static_cast<int64_t>(e.retransmissions), static_cast<int64_t>(e.src_tcpflags),
                            static_cast<int64_t>(e.dst_tcpflags), static_cast<int64_t>(e.tcp_state)})
        s += " " + std::to_string(n);
    for (const auto &[name, value] : e.fields)
        s += " " + name + "=" + value;
    return s;
}

// The records of each flow in order.
std::map<std::string, std::vector<std::string>> by_flow(const std::vector<Event> &events) {
    std::map<std::string, std::vector<std::string>> flows;
    for (const Event &e : events)
        flows[e.id()].push_back(whole(e));
    return flows;
}

struct Outcome {
    std::vector<Event> events;
    std::map<std::string, uint64_t> counters;
    std::vector<CounterValues> workers;
    std::string error;
};

Outcome run_with(size_t workers, std::unique_ptr<Source> source, const EngineOptions &options = {},
                 std::shared_ptr<Registry> registry = std::make_shared<Registry>(),
                 const std::function<void(Workers &, Batch &)> &with = {}) {
    Workers engines(std::move(registry), options, workers);
    engines.open(std::move(source));
    engines.start();
    Outcome run;
    while (!engines.finished()) {
        const auto batch = engines.pull(1000);
        if (!batch) continue;
        collect(run.events, *batch);
        if (with) with(engines, *batch);
    }
    for (const auto &[name, value] : engines.counters())
        run.counters[name] = value;
    run.workers = engines.worker_counters();
    run.error = engines.error();
    return run;
}

EngineOptions small_batches() {
    EngineOptions o;
    o.batch_rows = 64;
    o.every_tcp = o.every_udp = 2;
    return o;
}

TEST(Workers, give_the_records_of_one) {
    for (const unsigned seed : {1u, 2u}) {
        const Frames frames = traffic(seed, 3000);
        const Outcome one = run_with(1, std::make_unique<FileSource>(std::vector<Frames>{frames}), small_batches());
        const auto expected = by_flow(one.events);
        ASSERT_GT(expected.size(), 500u);
        for (const size_t workers : {2u, 3u, 8u}) {
            const Outcome many =
                run_with(workers, std::make_unique<FileSource>(std::vector<Frames>{frames}), small_batches());
            EXPECT_EQ(by_flow(many.events), expected) << seed << ", " << workers;
            int64_t seq = 0;
            for (const Event &e : many.events)
                ASSERT_EQ(e.seq, ++seq);
            auto counters = many.counters, of_one = one.counters;
            counters.erase("batches"), of_one.erase("batches"); // each has a last one that is not full
            EXPECT_EQ(counters, of_one);
            uint64_t packets = 0;
            ASSERT_EQ(many.workers.size(), workers);
            for (const CounterValues &worker : many.workers)
                for (const auto &[name, value] : worker)
                    if (name == "packets") {
                        EXPECT_GT(value, 0u);
                        packets += value;
                    }
            EXPECT_EQ(packets, one.counters.at("packets"));
        }
    }
}

// What of a fragmented datagram waits, is put together or never comes is the same, whoever tracks its flow.
TEST(Workers, put_fragments_together_as_one_does) {
    Frames frames;
    for (unsigned i = 0; i < 400; ++i) {
        const Endpoints ends{"10.0." + std::to_string(i % 50) + ".1", "10.1.0.1", static_cast<uint16_t>(2000 + i), 53};
        auto parts =
            fragments4({.src = ends.src, .dst = ends.dst, .proto = kUdp, .id = static_cast<uint16_t>(i)},
                       udp({.src_port = ends.src_port, .dst_port = 53}, Bytes(2000, static_cast<uint8_t>(i))), 800);
        if (i % 3 == 0) std::reverse(parts.begin(), parts.end());
        if (i % 5 == 0) parts.pop_back();
        if (i % 7 == 0) // the tunnel's packet comes in fragments
            parts =
                fragments4({.src = "172.16.0.1", .dst = "172.16.0.2", .proto = kUdp, .id = static_cast<uint16_t>(i)},
                           udp({.dst_port = 2152}, gtpu(1, ipv4({.src = ends.src}, tcp({}, Bytes(1500, 'x'))))), 800);
        for (const Bytes &part : parts)
            frames.push_back({kStart + static_cast<int64_t>(frames.size()) * 1000, ethernet(kIpv4, part), 0});
    }
    for (const bool stable : {true, false}) {
        const auto source = [&] { return std::make_unique<FileSource>(std::vector<Frames>{frames}, stable); };
        const Outcome one = run_with(1, source(), small_batches());
        EXPECT_GT(one.counters.at("orphan_fragments"), 0u);
        EXPECT_GT(one.counters.at("tunnel_fragments"), 0u);
        for (const size_t workers : {2u, 3u}) {
            const Outcome many = run_with(workers, source(), small_batches());
            EXPECT_EQ(by_flow(many.events), by_flow(one.events)) << workers;
            for (const char *name : {"packets", "udp", "tcp", "fragments", "orphan_fragments", "tunnel_fragments"})
                EXPECT_EQ(many.counters.at(name), one.counters.at(name)) << name;
        }
    }
}

TEST(Workers, copy_what_a_source_does_not_hold) {
    const Frames frames = traffic(7, 2000);
    const auto source = [&] { return std::make_unique<FileSource>(std::vector<Frames>{frames, frames}, false); };
    EXPECT_EQ(by_flow(run_with(3, source(), small_batches()).events),
              by_flow(run_with(1, source(), small_batches()).events));
}

TEST(Workers, ask_external_protocols_about_their_flows) {
    const auto found = [](size_t workers) {
        auto registry = std::make_shared<Registry>();
        registry->add_external(external("alpha"));
        Frames frames;
        for (int i = 0; i < 3000; ++i)
            frames.push_back(udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i % 700), 53},
                                       "payload " + std::to_string(i % 700)));
        Answers answers;
        answers.reply = [](const Asked &) { return Reply{AICORE_YES, "alpha", {{"alphafield", "7"}}}; };
        const Outcome run =
            run_with(workers, std::make_unique<FileSource>(std::vector<Frames>{frames}), small_batches(), registry,
                     [&](Workers &engines, Batch &batch) { engines.inspect(batch, answers); });
        std::map<std::string, std::string> ends;
        for (const Event &e : run.events)
            if (e.kind == EventKind::remove) ends[e.id()] = whole(e);
        return ends;
    };
    const auto one = found(1);
    EXPECT_EQ(one.size(), 700u);
    EXPECT_EQ(found(3), one);
}

int fail_inspect(aicore_flow *, aicore_payload *payload, void *) {
    if (payload->length > 4 && payload->data[0] == '!') throw std::runtime_error("out of something");
    return AICORE_NO;
}

TEST(Workers, one_that_fails_ends_the_run_with_the_flows_of_all) {
    aicore_protocol protocol{};
    protocol.size = sizeof protocol;
    protocol.abi = AICORE_PROTOCOL_ABI;
    protocol.name = "failing";
    protocol.transports = AICORE_UDP;
    protocol.inspect = fail_inspect;
    Frames frames;
    const auto add = [&](int i, std::string_view payload) {
        frames.push_back(udp_frame(i * 0.001, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}, payload));
    };
    for (int i = 0; i < 2000; ++i)
        add(i, "harmless");
    add(2000, "!deadly");
    for (const size_t workers : {1u, 4u}) {
        auto registry = std::make_shared<Registry>();
        registry->add(&protocol);
        auto source = std::make_unique<LiveSource>(2); // has no end of its own
        source->give(frames);
        const Outcome run = run_with(workers, std::move(source), {}, registry); // room for all: live, nothing waits
        EXPECT_NE(run.error.find("has failed: out of something"), std::string::npos) << run.error;
        std::map<std::string, int> removes;
        for (const Event &e : run.events)
            removes[e.id()] += e.kind == EventKind::remove;
        EXPECT_GE(removes.size(), 2000u);
        for (const auto &[id, count] : removes)
            EXPECT_EQ(count, 1);
    }
}

TEST(Workers, stop_and_close_at_any_time) {
    std::mt19937 random(99);
    const Frames frames = traffic(8, 3000);
    for (int round = 0; round < 40; ++round) {
        EngineOptions o = small_batches();
        o.batch_rows = 32;
        o.queue_batches = 1 + random() % 3;
        o.top = true;
        o.flush = 0;
        Workers engines(std::make_shared<Registry>(), o, 1 + random() % 4);
        if (round % 2) {
            auto live = std::make_unique<LiveSource>(1);
            live->give(frames);
            engines.open(std::move(live));
        } else {
            engines.open(std::make_unique<FileSource>(std::vector<Frames>{frames}));
        }
        if (round % 10 != 9) engines.start(); // else closed before it began
        std::atomic<bool> watching{true};
        std::thread watcher([&] {
            while (watching) {
                engines.counters();
                engines.worker_counters();
                engines.progress();
                engines.tops(3);
                engines.error();
                engines.finished();
                std::this_thread::yield();
            }
        });
        const auto delay = std::chrono::microseconds(random() % 4000);
        std::thread stopper([&] {
            std::this_thread::sleep_for(delay);
            engines.stop();
        });
        std::vector<Event> events;
        const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 6000);
        const bool to_the_end = round % 3 == 0 && round % 10 != 9;
        while (to_the_end ? !engines.finished() : std::chrono::steady_clock::now() < until)
            if (const auto batch = engines.pull(1)) collect(events, *batch);
        if (to_the_end) {
            std::map<std::string, int> open;
            for (const Event &e : events)
                open[e.id()] += (e.kind == EventKind::insert) - (e.kind == EventKind::remove);
            for (const auto &[id, count] : open)
                EXPECT_EQ(count, 0);
        } else {
            engines.close();
            engines.close();
        }
        stopper.join();
        watching = false;
        watcher.join();
        while (engines.pull(0)) {
        }
        EXPECT_TRUE(engines.finished());
    }
}

TEST(Workers, as_many_as_there_may_be) {
    const auto make = [](size_t count) { Workers(std::make_shared<Registry>(), {}, count); };
    EXPECT_THROW(make(0), std::invalid_argument);
    EXPECT_THROW(make(kMaxWorkers + 1), std::invalid_argument);
    EXPECT_NO_THROW(make(kMaxWorkers));
}

} // namespace
} // namespace aicore::test
