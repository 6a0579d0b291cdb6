// SPDX-License-Identifier: Apache-2.0
// What becomes of the values that a meter sets.
#include <gtest/gtest.h>

#include "fake_meter.h"
#include "fake_protocol.h"

namespace aicore::test {
namespace {

using Lines = std::vector<std::string>;

TEST(MeterRecord, the_flow_id_is_that_of_the_record) {
    std::string id;
    FakeMeter<0> m(
        "m",
        [&](const Metered &x) {
            uint8_t bytes[16];
            x.host().flow_id(x.flow, bytes);
            id.clear();
            for (const uint8_t b : bytes) {
                constexpr char kHex[] = "0123456789abcdef";
                id += kHex[b >> 4];
                id += kHex[b & 15];
            }
        },
        "packet");
    const Result r = Metering{{&m.m}}.run(datagrams(1));
    EXPECT_EQ(id, r.events.at(0).id());
}

TEST(MeterRecord, fields_of_every_type_are_in_each_row_and_only_if_set_for_it) {
    Frames f = datagrams(3);
    const auto body = [](const Metered &x) {
        const aicore_meter_host &h = x.host();
        x.set(0, "text");
        h.set_integer(x.flow, 1, -5);
        h.add_string(x.flow, 2, "a", 1);
        h.add_string(x.flow, 2, "b", 1);
        h.set_real(x.flow, 3, 0.5);
        h.set_integer(x.flow, 4, 7); // a boolean
        for (int i = 0; i < 3; ++i)
            h.add_integer(x.flow, 5, i == 2 ? 0 : i); // repetitions stay
        h.add_real(x.flow, 6, 1.5);
        h.set_integer(x.flow, 7, x.flow->last_seen);
        if (x.flow->event == AICORE_INSERT) h.set_integer(x.flow, 8, 1);
        h.set_integer(x.flow, 0, 1); // another type
        h.set_real(x.flow, 1, 1);
        h.add_integer(x.flow, 1, 1);
        h.set_string(x.flow, 99, "x", 1); // out of range
    };
    FakeMeter<0> m("m", body, "record");
    m.field("mtext", AICORE_STRING).field("mint").field("mtexts", AICORE_STRINGS).field("mreal", AICORE_REAL);
    m.field("mbool", AICORE_BOOLEAN).field("mints", AICORE_INTEGERS).field("mreals", AICORE_REALS);
    m.field("mtime", AICORE_TIME).field("monce");
    const Result r = Metering{{&m.m}}.run(f);
    ASSERT_EQ(r.events.size(), 3u);
    for (const Event &e : r.events) {
        std::map<std::string, std::string> expected{
            {"mtext", "text"}, {"mint", "-5"},     {"mtexts", "a,b"},      {"mreal", "0.500000"},
            {"mbool", "1"},    {"mints", "0,1,0"}, {"mreals", "1.500000"}, {"mtime", std::to_string(e.last_seen)}};
        if (e.kind == EventKind::insert) expected["monce"] = "1";
        EXPECT_EQ(e.fields, expected);
    }
    EXPECT_EQ(r.counters.at("values_refused"), 4u * r.events.size());
}

TEST(MeterRecord, its_fields_stand_beside_those_of_protocols_also_in_rows_that_share_them) {
    Frames f;
    for (int i = 0; i < 6; ++i)
        f.push_back(udp_frame(i * 0.1, kDatagrams, i == 0 ? "name one" : "name one more"));
    f.push_back(udp_frame(1, {"10.0.0.7", "10.0.0.8", 1, 2}, "name other"));
    f.push_back(udp_frame(1.1, kDatagrams, "last"));
    Fake<0> p("alpha", [](const Shown &s) {
        if (!s.recognised) s.set(0, s.data.substr(5));
        return AICORE_YES;
    });
    p.field("alphaname");
    FakeMeter<0> m(
        "m", [](const Metered &x) { x.host().set_integer(x.flow, 0, static_cast<int64_t>(x.flow->packets[0])); },
        "record");
    m.field("mcount");
    EngineOptions o;
    o.every_udp = 1;
    for (const size_t rows : {2u, 1024u}) {
        o.batch_rows = rows;
        const Result r = Metering{{&m.m}, {&p.p}, o}.run(f);
        size_t checked = 0;
        for (const Event &e : r.events) {
            if (e.kind == EventKind::insert) continue; // before its payload was looked at
            ++checked;
            const std::string name = e.ipsrc[3] == 1 ? "one" : "other";
            EXPECT_EQ(e.fields,
                      (std::map<std::string, std::string>{{"alphaname", name}, {"mcount", std::to_string(e.packets)}}));
        }
        EXPECT_EQ(checked, 10u);
    }
}

TEST(MeterRecord, values_outside_record_are_refused_and_counted) {
    FakeMeter<0> m("m", [](const Metered &x) {
        if (x.what != "record") x.host().set_integer(x.flow, 0, 1);
    });
    m.field("mint").streams(10);
    const Result r = Metering{{&m.m}}.run(datagrams(2));
    for (const Event &e : r.events)
        EXPECT_TRUE(e.fields.empty());
    EXPECT_GT(r.counters.at("values_refused"), 0u);
}

TEST(MeterRecord, values_of_a_record_at_the_bound) {
    const auto run = [](int n) {
        FakeMeter<0> m(
            "m",
            [n](const Metered &x) {
                for (int i = 0; i < n; ++i)
                    x.host().add_integer(x.flow, 0, i);
            },
            "record");
        m.field("mints", AICORE_INTEGERS);
        EngineOptions o;
        o.events = 1u << static_cast<unsigned>(EventKind::remove);
        return Metering{{&m.m}, {}, o}.run(datagrams(1));
    };
    const auto count = [](const Result &r) {
        const std::string &list = r.events.at(0).fields.at("mints");
        return std::count(list.begin(), list.end(), ',') + 1;
    };
    EXPECT_EQ(count(run(4096)), 4096);
    EXPECT_EQ(run(4096).count("strings_cut"), 0u);
    EXPECT_EQ(count(run(4097)), 4096);
    EXPECT_EQ(run(4097).count("strings_cut"), 1u);
}

} // namespace
} // namespace aicore::test
