// SPDX-License-Identifier: Apache-2.0
// Meters while everything else goes on: external protocols that answer late, fragments, flows caught in their middle,
// time that jumps, full flow tables, reloads, early ends. One meter checks at each call what aicore/meter.h promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <thread>

#include "external_scenario.h"
#include "fake_meter.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;

// Every payload begins with the ports of its flow: "HI 1000-53 ".
std::string greeting(const Endpoints &e) {
    return "HI " + std::to_string(e.src_port) + "-" + std::to_string(e.dst_port) + " ";
}
std::string greeted(const std::string &data) { // "1000-53"
    return data.substr(3, data.find(' ', 3) - 3);
}

// Its words in `state`: of the right flow, opened and ended once, each packet and byte once and in order.
struct Audit {
    enum Word { key, packet, removed, last, given, words = given + 2 };
    bool early = false; // the run is closed before all rows were taken
    uint64_t opened = 0, ended = 0, packets = 0, bytes = 0, midstream = 0, fragments = 0;
    Lines names; // texts, of all flows

    void operator()(const Metered &x) {
        const aicore_meter_flow &f = *x.flow;
        const uint64_t ports = uint64_t{1} << 32 | static_cast<uint32_t>(f.src_port) << 16 | f.dst_port;
        if (x.what == "opened") {
            ++opened;
            midstream += f.midstream;
            for (size_t i = 0; i < words; ++i)
                EXPECT_EQ(x.word(i), 0u);
            x.word(key) = ports;
        }
        EXPECT_EQ(x.word(key), ports) << x.what;
        EXPECT_GE(static_cast<uint64_t>(f.last_seen), x.word(last)) << x.what;
        x.word(last) = static_cast<uint64_t>(f.last_seen);
        if (x.what == "packet") {
            packets += f.packets[0] + f.packets[1] - x.word(packet);
            fragments += x.packet->flags & AICORE_FRAGMENT ? 1 : 0;
            const uint64_t all = f.packets[0] + f.packets[1];
            EXPECT_TRUE(++x.word(packet) == all || (x.packet->flags & AICORE_FRAGMENT && x.word(packet) < all));
            x.word(packet) = all; // fragments that waited for their first one are counted without a call
        } else if (x.what == "stream") {
            uint64_t &sum = x.word(given + x.chunk->reverse);
            EXPECT_EQ(x.chunk->offset, sum);
            sum += x.chunk->length;
            bytes += x.chunk->length;
        } else if (x.what == "named" && x.name->kind == AICORE_NAME_TEXT) {
            const auto [server, client] = std::minmax({f.src_port, f.dst_port}); // either may have been first
            EXPECT_EQ(x.value(), std::to_string(client) + "-" + std::to_string(server));
            names.push_back(x.value());
        } else if (x.what == "record") {
            EXPECT_EQ(x.word(packet), f.packets[0] + f.packets[1]);
            EXPECT_TRUE(f.event != AICORE_INSERT || x.word(packet) >= 1u);
            x.word(removed) += f.event == AICORE_REMOVE;
            x.host().set_integer(x.flow, 0, static_cast<int64_t>(x.word(packet)));
        } else if (x.what == "ended") {
            ++ended;
            EXPECT_TRUE(early || x.word(removed) == 1u);
            x.word(key) = 0; // a call behind it would be noticed
        }
    }
};

struct Audited {
    Audit audit;
    FakeMeter<0> meter{"m", std::ref(audit)};
    Audited() { meter.state(Audit::words * 8).streams(UINT32_MAX).field("mpackets").instances(); }

    // What the meter saw is what the records say.
    void check(const Result &r) const {
        EXPECT_EQ(audit.opened, audit.ended);
        EXPECT_EQ(r.of(EventKind::insert).size(), audit.opened);
        EXPECT_EQ(r.of(EventKind::remove).size(), audit.ended);
        uint64_t packets = 0;
        for (const Event &e : r.of(EventKind::remove))
            packets += e.packets;
        EXPECT_EQ(packets, audit.packets);
        for (const Event &e : r.events)
            EXPECT_EQ(e.fields.at("mpackets"), std::to_string(e.packets));
    }
};

Endpoints ends(int flow, uint16_t dst_port = 53) {
    return {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + flow), dst_port};
}

// Packets of 40 flows, drawn by `seed`.
Frames mixture(unsigned seed, bool jumps) {
    std::mt19937 draw(seed);
    const auto below = [&](unsigned n) { return static_cast<int>(draw() % n); };
    std::vector<Frames> made(20);
    std::vector<Connection> connections; // half of them without their SYN
    for (int i = 0; i < 20; ++i) {
        connections.emplace_back(made[static_cast<size_t>(i)], ends(i, 80));
        if (i % 2) connections.back().open(0);
    }
    Frames f;
    double t = 10'000;
    while (f.size() < 600) {
        t += jumps && below(20) == 0 ? std::array{5000.0, -5000.0, -2.0}[static_cast<size_t>(below(3))]
                                     : below(100) * 0.01;
        const int i = below(20);
        if (below(2)) { // TCP
            Connection &c = connections[static_cast<size_t>(i)];
            const int what = below(20);
            if (what == 0)
                c.close(t);
            else if (what == 1)
                c.open(t);
            else if (what == 2)
                c.seq[0] += 100; // the capture lacks them
            else
                c.data(t, below(2), greeting(c.ends) + std::string(static_cast<size_t>(below(200)), 'x'));
            for (Frame &frame : std::exchange(made[static_cast<size_t>(i)], {})) {
                frame.time = kStart + seconds(t);
                f.push_back(std::move(frame));
            }
            continue;
        }
        const Endpoints e = ends(i), from = below(2) ? e : e.back();
        const std::string data = greeting(e) + std::string(100, 'y');
        if (below(4)) {
            f.push_back(udp_frame(t, from, data));
            continue;
        }
        Ipv4 ip{.src = from.src, .dst = from.dst, .proto = kUdp};
        ip.id = static_cast<uint16_t>(f.size());
        auto parts = fragments4(ip, udp({.src_port = from.src_port, .dst_port = from.dst_port}, text(data)), 48);
        if (below(4) == 0) parts.erase(parts.begin() + below(static_cast<unsigned>(parts.size()))); // incomplete
        if (below(4) == 0) std::shuffle(parts.begin(), parts.end(), draw);
        for (const Bytes &part : parts)
            f.push_back({kStart + seconds(t), ethernet(kIpv4, part)});
    }
    return f;
}

TEST(MeterTogether, the_promises_hold_whatever_comes) {
    uint64_t midstream = 0, fragments = 0, bytes = 0, names = 0, evicted = 0, backwards = 0, jumps = 0;
    for (unsigned seed = 1; seed <= 24; ++seed) {
        SCOPED_TRACE(seed);
        Audited a;
        Bench b;
        b.registry->add_external(external("alpha", {"HI "}));
        b.registry->add_meter(&a.meter.m, "one");
        b.answers.reply = [&](const Asked &q) {
            const int answer = seed % 3 == 0 ? AICORE_DONE : AICORE_YES;
            return q.data.rfind("HI ", 0) == 0 ? Reply{answer, "", {{"alphafield", greeted(q.data)}}}
                                               : Reply{AICORE_NO};
        };
        b.options.batch_rows = seed % 2 ? 2 : 1000; // the engine runs little ahead of the answers, or far
        if (seed % 4 < 2) b.options.tcp_flows = b.options.udp_flows = 4;
        b.options.every_udp = seed % 5;
        const Result &r = b.run_file(mixture(seed, seed % 3 != 1));
        a.check(r);
        EXPECT_TRUE(b.answers.live.empty());
        midstream += a.audit.midstream, fragments += a.audit.fragments, bytes += a.audit.bytes;
        names += a.audit.names.size();
        for (const Event &e : r.of(EventKind::remove))
            evicted += e.end_reason == EndReason::evicted;
        backwards += r.count("time_backwards"), jumps += r.count("time_jumps");
    }
    for (const uint64_t seen : {midstream, fragments, bytes, names, evicted, backwards, jumps})
        EXPECT_GT(seen, 20u); // else the mixture lost what it is for
}

TEST(MeterTogether, answers_that_come_late_name_their_own_flow) {
    for (const uint32_t flows : {100u, 4u}) { // all alive when the answers come, and evicted by others before
        Audited a;
        Bench b;
        b.late = true;
        b.options.udp_flows = flows;
        b.registry->add_external(external("alpha"));
        b.registry->add_meter(&a.meter.m, "one");
        b.answers.reply = [](const Asked &q) { return Reply{AICORE_DONE, "", {{"alphafield", greeted(q.data)}}}; };
        b.start();
        Frames f;
        for (int i = 0; i < 20; ++i)
            f.push_back(udp_frame(0, ends(i), greeting(ends(i))));
        b.give(f);
        EXPECT_TRUE(a.audit.names.empty());
        b.look();
        b.finish();
        a.check(b.result);
        size_t named = 0;
        for (const Event &e : b.result.of(EventKind::remove))
            named += e.fields.count("alphafield");
        EXPECT_EQ(a.audit.names.size(), named);
        EXPECT_GE(named, flows == 100 ? 20u : 4u);
    }
}

TEST(MeterTogether, every_opened_flow_ends_also_if_answers_never_come) {
    Audited a;
    a.audit.early = true;
    Bench b;
    b.late = true;
    b.options.udp_flows = 8;
    b.registry->add_external(external("alpha"));
    b.registry->add_meter(&a.meter.m, "one");
    b.start();
    Frames f = mixture(7, false);
    b.give(f);
    EXPECT_GT(a.audit.opened, 8u);
    b.engine->close();
    EXPECT_EQ(a.audit.opened, a.audit.ended);
    b.kept.clear();
    b.engine.reset();
    EXPECT_EQ(a.meter.destroyed, a.meter.made);
}

TEST(MeterTogether, reloads_while_packets_flow_keep_state_and_every_packet) {
    constexpr int kRounds = 400, kPackets = 10;
    Audited a;
    std::vector<int> counted(1000); // packets that each instance saw
    int newest = 0;
    FakeMeter<1> m(
        "counter",
        [&](const Metered &x) {
            const int n = std::stoi(*static_cast<std::string *>(x.self));
            EXPECT_GE(n, newest); // none is called behind its successor
            newest = n;
            EXPECT_EQ(++x.word(), x.flow->packets[0] + x.flow->packets[1]);
            ++counted[static_cast<size_t>(n)];
        },
        "packet");
    m.state(8).instances();
    auto source = std::make_unique<LiveSource>(1);
    LiveSource &live = *source;
    const auto e = Metering{{&a.meter.m, &m.m}, {}, {}, "0"}.engine(std::move(source));
    e->start();
    std::thread giver([&] {
        for (int i = 0; i < kRounds; ++i) {
            Frames f;
            for (int k = 0; k < kPackets; ++k)
                f.push_back(udp_frame(0, ends(k), greeting(ends(k))));
            for (Frame &frame : f)
                frame.time = wall();
            live.give(std::move(f));
            while (live.given() < static_cast<size_t>(i) * kPackets)
                std::this_thread::yield();
        }
        live.end();
    });
    Result r;
    const auto take = [&] {
        if (const auto batch = e->pull(1)) collect(r.events, *batch);
    };
    for (int n = 1; n < 1000 && live.given() < size_t{kRounds} * kPackets; ++n) {
        e->reload_meter(n % 2 ? &m.m : &a.meter.m, std::to_string(n));
        take();
    }
    while (!e->finished())
        take();
    giver.join();
    e->close();
    a.check(r);
    EXPECT_EQ(a.audit.packets, uint64_t{kRounds} * kPackets);
    EXPECT_EQ(std::accumulate(counted.begin(), counted.end(), 0), kRounds * kPackets);
    EXPECT_GT(std::count_if(counted.begin(), counted.end(), [](int n) { return n > 0; }), 2);
    std::string last = "0";
    for (const std::string &step : m.taken_over) { // a chain without a gap
        EXPECT_EQ(step.substr(0, step.find('>')), last);
        last = step.substr(step.find('>') + 1);
    }
}

TEST(MeterTogether, ten_thousand_names_of_one_flow_and_of_as_many_flows) {
    constexpr int kNames = 10'000;
    for (const bool one_flow : {true, false}) {
        Frames f;
        Lines expected;
        for (int i = 0; i < kNames; ++i) {
            const std::string name = "host" + std::to_string(i);
            f.push_back(udp_frame(i * 0.001, one_flow ? kDatagrams : ends(i), "name " + name));
            expected.push_back(name);
        }
        Fake<0> p("alpha", names);
        p.field("alphaname", AICORE_STRING, AICORE_NOTIFY);
        Lines told;
        FakeMeter<0> m(
            "m",
            [&](const Metered &x) {
                if (x.what == "named" && x.name->kind == AICORE_NAME_TEXT) {
                    told.push_back(x.value());
                    ++x.word();
                } else if (x.what == "record") {
                    x.host().set_integer(x.flow, 0, static_cast<int64_t>(x.word()));
                }
            },
            "named record");
        m.state(8).field("mnames");
        EngineOptions o;
        o.udp_flows = 100;
        const Result r = Metering{{&m.m}, {&p.p}, o}.run(f);
        EXPECT_TRUE(told == expected) << told.size();
        EXPECT_EQ(r.count("names_untold"), 0u);
        EXPECT_EQ(r.events.back().fields.at("mnames"), one_flow ? "10000" : "1");
        EXPECT_EQ(r.of(EventKind::remove).size(), one_flow ? 1u : size_t{kNames});
    }
}

} // namespace
} // namespace aicore::test
