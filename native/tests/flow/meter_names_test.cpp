// SPDX-License-Identifier: Apache-2.0
// Names and rules that meters are told, and the updates that they ask for.
#include <gtest/gtest.h>

#include "aicore/external.h"
#include "fake_meter.h"
#include "fake_protocol.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;

TEST(MeterNames, notify_and_detected_make_exactly_one_update_at_their_packet) {
    for (const std::string where : {"opened", "packet", "stream", "named"}) {
        Fake<0> p("alpha", names);
        p.field("alphaname");
        FakeMeter<0> m("m", [&](const Metered &x) {
            const bool second = x.flow->packets[0] + x.flow->packets[1] == 2;
            if (x.what != where || (where != "opened" && !second)) return;
            x.host().notify(x.flow);
            x.host().detected(x.flow, "rule");
            x.host().notify(x.flow);
        });
        m.streams(1000);
        Frames f;
        for (int i = 0; i < 4; ++i)
            f.push_back(udp_frame(i, kDatagrams, "name x"));
        EngineOptions o;
        o.every_udp = 0;
        const Result r = Metering{{&m.m}, {&p.p}, o}.run(f);
        std::vector<uint64_t> updates;
        for (const Event &e : r.of(EventKind::update))
            updates.push_back(e.packets);
        // The first is alpha's own, the last one the end's.
        EXPECT_EQ(updates, (where == "opened" ? std::vector<uint64_t>{1, 4} : std::vector<uint64_t>{1, 2, 4})) << where;
        EXPECT_GT(r.count("detections"), 0u);
    }
}

TEST(MeterNames, a_detection_without_a_rule_is_ignored) {
    FakeMeter<0> m("m", [&](const Metered &x) { x.host().detected(x.flow, nullptr); });
    FakeMeter<1> other(
        "other", [](const Metered &) {}, "named");
    const Result r = Metering{{&m.m, &other.m}}.run(datagrams(3));
    EXPECT_EQ(r.count("detections"), 0u);
}

TEST(MeterNames, notify_in_record_and_ended_is_ignored) {
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            x.host().notify(x.flow);
            x.host().detected(x.flow, "rule");
        },
        "record ended");
    EngineOptions o;
    o.every_udp = 0;
    const Result r = Metering{{&m.m}, {}, o}.run(datagrams(3));
    EXPECT_EQ(r.events.size(), 3u);
    EXPECT_EQ(r.count("detections"), 0u);
}

TEST(MeterNames, a_rule_is_told_to_the_other_meters_and_may_lead_to_the_next) {
    std::vector<std::string> told;
    FakeMeter<0> first(
        "first",
        [&](const Metered &x) {
            if (x.what == "packet") x.host().detected(x.flow, "one");
            if (x.what == "named") told.push_back("first " + std::string(x.name->field) + " " + x.value());
        },
        "packet named");
    FakeMeter<1> second(
        "second",
        [&](const Metered &x) {
            EXPECT_EQ(x.name->kind, AICORE_NAME_RULE);
            told.push_back("second " + x.value());
            if (x.value() == "one") x.host().detected(x.flow, "two");
        },
        "named");
    FakeMeter<2> third(
        "third", [&](const Metered &x) { told.push_back("third " + x.value()); }, "named");
    const Result r = Metering({{&first.m, &second.m, &third.m}}).run(datagrams(1));
    EXPECT_EQ(told, (Lines{"second one", "third one", "first detections two", "third two"}));
    EXPECT_EQ(r.count("detections"), 2u);
}

TEST(MeterNames, two_meters_that_answer_each_other_for_ever_are_stopped_at_the_bound) {
    size_t calls = 0;
    const auto answer = [&](const Metered &x) {
        ++calls;
        x.host().detected(x.flow, "again");
    };
    FakeMeter<0> a("a", answer, "packet named");
    FakeMeter<1> b("b", answer, "named");
    const Result r = Metering({{&a.m, &b.m}}).run(datagrams(2));
    EXPECT_EQ(calls, 2u * (1 + 64));
    EXPECT_EQ(r.count("detections"), 2u * 65);
    EXPECT_EQ(r.count("names_untold"), 2u);
}

TEST(MeterNames, names_are_told_every_time_as_they_were_on_the_wire) {
    Frames f;
    Connection c(f);
    c.open(0);
    const std::string raw = "name b\xff" + std::string(2000, 'x');
    for (const std::string &s : {std::string("name a"), std::string("name a"), raw})
        c.data(1, 0, s);
    Fake<0> p("alpha", names);
    p.field("alphaname", AICORE_STRING, AICORE_NOTIFY);
    std::vector<std::string> values;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            if (x.name->kind != AICORE_NAME_TEXT) return;
            EXPECT_EQ(x.name->flags, AICORE_NOTIFY);
            EXPECT_EQ(x.name->time, kStart + seconds(1));
            EXPECT_STREQ(x.host().layer7(x.flow), "alpha");
            values.push_back(x.value());
        },
        "named");
    Metering{{&m.m}, {&p.p}}.run(f);
    EXPECT_EQ(values, (Lines{"a", "a", raw.substr(5)}));
}

TEST(MeterNames, names_of_a_protocol_that_does_not_recognise_the_flow_are_not_told) {
    Fake<0> liar("liar", [](const Shown &s) {
        s.set(0, "lie");
        return s.data.size() < 10 ? AICORE_MORE : AICORE_NO;
    });
    Fake<1> p("alpha", [](const Shown &s) {
        s.set(0, s.data);
        return s.data.size() < 8 ? AICORE_MORE : AICORE_DONE;
    });
    liar.field("liename").rank(1);
    p.field("alphaname");
    Frames f;
    Connection c(f);
    c.open(0);
    c.data(1, 0, "1234");
    c.data(2, 0, "5678");
    FakeMeter<0> m("m", {}, "named");
    Metering{{&m.m}, {&liar.p, &p.p}}.run(f);
    EXPECT_EQ(m.log, (Lines{"named layer7=alpha", "named alphaname=12345678"}));
}

TEST(MeterNames, names_of_a_recognising_call_at_the_bound) {
    const auto run = [](int n) {
        Fake<0> p("alpha", [n](const Shown &s) {
            for (int i = 0; i < n; ++i)
                s.add(0, "n" + std::to_string(i));
            return AICORE_DONE;
        });
        p.field("alphanames", AICORE_STRINGS);
        FakeMeter<0> m("m", {}, "named");
        const Result r = Metering{{&m.m}, {&p.p}}.run(datagrams(1));
        return std::pair(m.log.size() - 1, r.count("names_untold")); // without layer7
    };
    EXPECT_EQ(run(4096), (std::pair<size_t, uint64_t>(4096, 0)));
    EXPECT_EQ(run(4100), (std::pair<size_t, uint64_t>(4096, 4)));
}

TEST(MeterNames, a_name_by_port_is_told_before_the_last_update) {
    Fake<0> p("alpha", [](const Shown &) { return AICORE_NO; });
    p.ports({5001});
    FakeMeter<0> m(
        "m", [](const Metered &x) { x.host().notify(x.flow); }, "named record");
    EngineOptions o;
    o.every_udp = 2;
    const Result r = Metering{{&m.m}, {&p.p}, o}.run(datagrams(2));
    EXPECT_EQ(m.log, (Lines{"record insert", "record update", "named layer7=alpha", "record update", "record remove"}));
    EXPECT_EQ(r.lines().size(), 4u);
}

// Knows every flow, and a name in it.
class Outside final : public ExternalProtocols {
  public:
    int inspect(const Question &q) noexcept override {
        q.flow.host->set_string(&q.flow, 0, "x", 1);
        return AICORE_DONE;
    }
    void ended(uint64_t) noexcept override {}
};

TEST(MeterNames, names_that_external_protocols_find) {
    auto registry = std::make_shared<Registry>();
    ExternalProtocol outside;
    outside.name = "outside";
    outside.transports = AICORE_UDP;
    outside.fields = {{"outname", FieldType::string, true, 64, "", "", "", ""}};
    registry->add_external(outside);
    FakeMeter<0> m(
        "m", [](const Metered &x) { x.host().notify(x.flow); }, "named");
    registry->add_meter(&m.m, "");
    Engine e(registry, {});
    e.open(std::make_unique<FileSource>(std::vector<Frames>{datagrams(1)}));
    e.start();
    Outside protocols;
    std::vector<Event> events;
    while (!e.finished()) {
        const auto batch = e.pull(1000);
        if (!batch) continue;
        collect(events, *batch);
        e.inspect(*batch, protocols);
    }
    EXPECT_EQ(m.log, (Lines{"named layer7=outside", "named outname=x"}));
    EXPECT_EQ(events.back().fields.at("outname"), "x");
}

} // namespace
} // namespace aicore::test
