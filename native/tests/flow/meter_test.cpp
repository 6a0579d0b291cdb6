// SPDX-License-Identifier: Apache-2.0
// Meters: which calls a flow leads to, in which order, with which state; instances and their replacement.
#include <gtest/gtest.h>

#include "fake_meter.h"
#include "fake_protocol.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;

TEST(Meter, calls_come_in_the_order_that_the_header_promises) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(0.1, 0, "name a");
    c.data(0.2, 1, "ok");
    c.close(0.3);
    Fake<0> p("alpha", names);
    p.field("alphaname", AICORE_STRING, AICORE_NOTIFY);
    FakeMeter<0> m("m");
    m.streams(100);
    Metering{{&m.m}, {&p.p}}.run(f);
    EXPECT_EQ(m.log, (Lines{"opened", "packet 1", "record insert", "packet 2", "packet 3", "packet 4", "stream name a",
                            "named layer7=alpha", "named alphaname=a", "record update", "packet 5", "stream <ok",
                            "packet 6", "packet 7", "packet 8", "record update", "record remove", "ended"}));
}

TEST(Meter, meters_are_called_in_the_order_of_the_run) {
    std::vector<std::string> order;
    FakeMeter<0> a(
        "a", [&](const Metered &x) { order.push_back("a " + x.what); }, "packet record");
    FakeMeter<1> b(
        "b", [&](const Metered &x) { order.push_back("b " + x.what); }, "packet record");
    Metering{{&b.m, &a.m}}.run(datagrams(1));
    EXPECT_EQ(order,
              (Lines{"b packet", "a packet", "b record", "a record", "b record", "a record", "b record", "a record"}));
}

TEST(Meter, every_function_may_be_null) {
    FakeMeter<0> m("m", {}, "none");
    m.state(8).streams(100);
    EXPECT_EQ(Metering{{&m.m}}.run(datagrams(2)).events.size(), 3u);
}

TEST(Meter, opened_and_ended_come_once_per_flow_whatever_ends_it) {
    Frames f;
    for (uint16_t i = 0; i < 50; ++i) // the table holds 10
        f.push_back(udp_frame(i * 0.01, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}));
    f.push_back(udp_frame(1000, {"10.0.0.1", "10.0.0.2", 999, 53})); // the rest is idle
    int open = 0, opened = 0;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            open += x.what == "opened" ? 1 : -1;
            opened += x.what == "opened";
            EXPECT_GE(open, 0);
        },
        "opened ended");
    EngineOptions o;
    o.udp_flows = 10;
    Metering{{&m.m}, {}, o}.run(f);
    EXPECT_EQ(opened, 51);
    EXPECT_EQ(open, 0);
}

TEST(Meter, ended_comes_also_to_flows_whose_last_events_nobody_takes) {
    Frames f;
    for (uint16_t i = 0; i < 100; ++i)
        f.push_back(udp_frame(i * 0.01, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}));
    FakeMeter<0> m("m", {}, "opened ended");
    m.instances();
    EngineOptions o;
    o.batch_rows = 2;
    o.queue_batches = 1;
    const auto e = Metering{{&m.m}, {}, o}.engine(std::make_unique<FileSource>(std::vector<Frames>{f}));
    e->start();
    e->pull(1000);
    e->close(); // with flows alive and nobody to pull
    const auto n = std::count(m.log.begin(), m.log.end(), "opened");
    EXPECT_GT(n, 0);
    EXPECT_EQ(std::count(m.log.begin(), m.log.end(), "ended"), n);
    EXPECT_TRUE(m.destroyed.empty()); // not before the engine goes
}

TEST(Meter, the_view_of_the_flow) {
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(0.5, 1, "abc");
    FakeMeter<0> m("m", [](const Metered &x) {
        const aicore_meter_flow &v = *x.flow;
        EXPECT_EQ(v.size, sizeof v);
        EXPECT_EQ(v.ip_version, 4);
        EXPECT_EQ(v.proto, 6);
        EXPECT_EQ(v.midstream, 0);
        EXPECT_EQ(v.src_port, 40000);
        EXPECT_EQ(v.dst_port, 80);
        EXPECT_EQ(std::memcmp(v.src, "\x0a\0\0\1", 4), 0);
        EXPECT_EQ(std::memcmp(v.dst, "\x0a\0\0\2", 4), 0);
        EXPECT_EQ(v.host->size, sizeof *v.host);
        EXPECT_STREQ(v.host->layer7(&v), "");
        EXPECT_EQ(v.event, x.what == "record" ? v.event : 0);
        if (x.what != "ended") return;
        EXPECT_EQ(v.packets[0], 2u);
        EXPECT_EQ(v.packets[1], 2u);
        EXPECT_EQ(v.bytes[0], 80u);
        EXPECT_EQ(v.bytes[1], 83u);
        EXPECT_EQ(v.payload[0], 0u);
        EXPECT_EQ(v.payload[1], 3u);
        EXPECT_EQ(v.last_seen, kStart + seconds(0.5));
    });
    Metering{{&m.m}}.run(f);
    EXPECT_FALSE(m.log.empty());
}

TEST(Meter, state_is_zeroed_for_every_flow_also_in_a_slot_used_before) {
    Frames f;
    for (uint16_t i = 0; i < 20; ++i) { // one slot: each flow evicts the one before
        f.push_back(udp_frame(i, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}));
        f.push_back(udp_frame(i + 0.1, {"10.0.0.1", "10.0.0.2", static_cast<uint16_t>(1000 + i), 53}));
    }
    EngineOptions o;
    o.udp_flows = 1;
    int flows = 0;
    const auto body = [&](const Metered &x) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(x.state) % 8, 0u);
        auto *bytes = static_cast<uint8_t *>(x.state);
        if (x.what == "opened") {
            ++flows;
            for (size_t i = 0; i < 13; ++i)
                EXPECT_EQ(bytes[i], 0);
            std::memset(bytes, 0xff, 13);
        } else {
            for (size_t i = 0; i < 13; ++i)
                EXPECT_EQ(bytes[i], 0xff) << x.what;
        }
    };
    FakeMeter<0> a("a", body);
    FakeMeter<1> b("b", body);
    FakeMeter<2> none("none", [](const Metered &x) { EXPECT_EQ(x.state, nullptr); });
    a.state(13).streams(5);
    b.state(13);
    Metering{{&a.m, &none.m, &b.m}, {}, o}.run(f);
    EXPECT_EQ(flows, 40);
}

TEST(Meter, state_at_the_bound_of_all_meters) {
    FakeMeter<0> a("a", [](const Metered &x) { static_cast<uint8_t *>(x.state)[AICORE_METER_STATE_MAX - 9] = 1; });
    FakeMeter<1> b("b", [](const Metered &x) { static_cast<uint8_t *>(x.state)[7] = 1; });
    a.state(AICORE_METER_STATE_MAX - 8);
    b.state(8);
    EXPECT_EQ(Metering({{&a.m, &b.m}}).run(datagrams(2)).events.size(), 3u);
    b.state(9); // takes 16
    EXPECT_THROW(Metering({{&a.m, &b.m}}).run(datagrams(2)), std::invalid_argument);
}

TEST(Meter, create_gets_its_configuration_and_destroy_its_instance) {
    FakeMeter<0> m("m",
                   [](const Metered &x) { EXPECT_EQ(*static_cast<std::string *>(x.self), std::string("a\0b", 3)); });
    m.instances();
    Metering{{&m.m}, {}, {}, std::string("a\0b", 3)}.run(datagrams(1));
    EXPECT_EQ(m.made, m.destroyed);
    EXPECT_EQ(m.made.size(), 1u);
}

TEST(Meter, a_create_that_fails_keeps_the_engine_from_starting_and_says_why) {
    FakeMeter<0> good("good");
    FakeMeter<1> bad("bad");
    good.instances();
    bad.m.create = [](const aicore_meter_setup *setup) -> void * {
        std::memset(setup->error, 'x', setup->error_size); // not terminated
        return nullptr;
    };
    try {
        Metering({{&good.m, &bad.m}}).run(datagrams(1));
        FAIL();
    } catch (const std::invalid_argument &error) {
        EXPECT_EQ(std::string(error.what()), "meter 'bad': " + std::string(511, 'x'));
    }
    EXPECT_EQ(good.destroyed.size(), 1u);
}

TEST(Meter, reload_replaces_the_instance_between_two_packets_and_state_stays) {
    auto source = std::make_unique<LiveSource>();
    LiveSource &live = *source;
    std::vector<std::string> seen;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            seen.push_back(*static_cast<std::string *>(x.self) + " " + std::to_string(++x.word()));
        },
        "packet");
    m.state(8).instances();
    const auto e = Metering{{&m.m}, {}, {}, "one"}.engine(std::move(source));
    e->start();
    const auto given = [&](size_t n) {
        while (live.given() < n)
            e->pull(1);
    };
    const auto round = [&] { // one read of the source that begins after this call has ended
        const size_t reads = live.reads();
        while (live.reads() < reads + 2)
            e->pull(1);
    };
    live.give(datagrams(2));
    given(2);
    EXPECT_THROW(e->reload_meter(&m.m, "bad: no"), std::invalid_argument);
    live.give(datagrams(1));
    given(3);
    e->reload_meter(&m.m, "two");
    round();
    live.give(datagrams(1));
    given(4);
    e->pull(1); // destroys the old one
    EXPECT_EQ(m.destroyed, Lines{"one"});
    e->reload_meter(&m.m, "three");
    e->reload_meter(&m.m, "four");
    round();
    live.give(datagrams(1));
    live.end();
    while (!e->finished())
        e->pull(100);
    e->reload_meter(&m.m, "too late");
    e->close();
    EXPECT_EQ(seen, (Lines{"one 1", "one 2", "one 3", "two 4", "four 5"}));
    EXPECT_EQ(m.taken_over, (Lines{"one>two", "two>three", "three>four"}));
}

TEST(Meter, reload_takes_no_other_meter) {
    FakeMeter<0> m("m");
    FakeMeter<1> other("other");
    FakeMeter<2> wider("m");
    m.instances().state(8).field("mint");
    wider.instances().state(16).field("mint");
    const auto e = Metering{{&m.m}, {}, {}, "one"}.engine(std::make_unique<FileSource>(std::vector<Frames>{}));
    EXPECT_THROW(e->reload_meter(&other.m, ""), std::invalid_argument);
    EXPECT_THROW(e->reload_meter(&wider.m, ""), std::invalid_argument);
    const std::vector<FieldInfo> same{{"mint", FieldType::integer, false, 64, "", "", "", ""}};
    const std::vector<FieldInfo> more{same[0], {"mreal", FieldType::real, false, 64, "", "", "", ""}};
    EXPECT_THROW(e->reload_meter(&m.m, "", &more), std::invalid_argument);
    EXPECT_EQ(m.made, Lines{"one"});
}

} // namespace
} // namespace aicore::test
