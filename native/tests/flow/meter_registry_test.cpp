// SPDX-License-Identifier: Apache-2.0
// What is wrong with a meter's structures, and structures of other versions of the header.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

#include "abi.h"
#include "fake_meter.h"
#include "fake_protocol.h"

namespace aicore::test {
namespace {

std::string problem(const std::function<void(aicore_meter &, std::vector<aicore_field> &)> &spoil) {
    std::vector<aicore_field> fields{{"mint", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr}};
    aicore_meter m{};
    m.abi = AICORE_METER_ABI;
    m.size = sizeof m;
    m.name = "m";
    m.field_size = sizeof(aicore_field);
    m.field_count = 1;
    m.fields = fields.data();
    spoil(m, fields);
    return Registry::check(&m);
}

TEST(MeterRegistry, a_good_meter_and_what_is_wrong_with_bad_ones) {
    EXPECT_EQ(problem([](auto &, auto &) {}), "");
    EXPECT_EQ(problem([](auto &m, auto &) { m.abi = 99; }),
              "it is built for meter ABI 99, this aicore has 1: build it again with this aicore's header");
    EXPECT_EQ(problem([](auto &m, auto &) { m.size = offsetof(aicore_meter, stream_bytes) + 3; }),
              "size is 31, must be sizeof(aicore_meter), at least 32");
    EXPECT_EQ(problem([](auto &m, auto &) { m.name = nullptr; }), "its name is missing or not ^[a-z][a-z0-9_-]{0,31}$");
    EXPECT_EQ(problem([](auto &m, auto &) { m.name = "Upper"; }), "its name is missing or not ^[a-z][a-z0-9_-]{0,31}$");
    EXPECT_EQ(problem([](auto &m, auto &) { m.state_size = AICORE_METER_STATE_MAX; }), "");
    EXPECT_EQ(problem([](auto &m, auto &) { m.state_size = AICORE_METER_STATE_MAX + 1; }),
              "meter 'm': state_size is above 16384");
    const auto stream = [](void *, aicore_meter_flow *, const aicore_chunk *, void *) {};
    EXPECT_EQ(problem([&](auto &m, auto &) { m.stream = stream; }),
              "meter 'm': stream is set while stream_bytes is 0: it would never be called");
    EXPECT_EQ(problem([&](auto &m, auto &) { m.stream = stream, m.stream_bytes = 1; }), "");
    EXPECT_EQ(problem([](auto &m, auto &) { m.fields = nullptr; }),
              "meter 'm': field_count is above 0 while fields is NULL");
    EXPECT_EQ(problem([](auto &m, auto &) { m.field_size = 11; }),
              "meter 'm': field_size is 11, must be sizeof(aicore_field), at least 12");
    EXPECT_EQ(problem([](auto &, auto &f) { f[0].type = AICORE_TIME + 1; }),
              "meter 'm': field 'mint' has an unknown type");
    EXPECT_EQ(problem([](auto &, auto &f) { f[0].name = "bytes"; }),
              "meter 'm': field 'bytes' is a name of the core record");
    EXPECT_EQ(problem([](auto &, auto &f) { f[0].name = "a b"; }),
              "meter 'm': field 0 has no name of the form ^[a-z][a-z0-9_]{0,47}$");
}

TEST(MeterRegistry, a_structure_of_an_older_header_has_zeros_where_it_ends) {
    // Ends with stream_bytes; what lies behind it is something else.
    FakeMeter<0> m("m", {}, "packet");
    m.field("mint").m.size = AICORE_END_OF(aicore_meter, stream_bytes);
    Metering run{{&m.m}};
    EXPECT_EQ(run.run(datagrams(2)).events.size(), 3u);
    EXPECT_TRUE(m.log.empty()) << "packet is behind its end";
}

TEST(MeterRegistry, a_structure_of_a_newer_header_has_members_that_are_ignored) {
    struct Newer {
        aicore_meter known;
        uint64_t more[4];
    };
    struct NewerField {
        aicore_field known;
        uint64_t more;
    };
    FakeMeter<0> m(
        "m", [](const Metered &x) { x.host().set_integer(x.flow, 1, 5); }, "record");
    const NewerField fields[] = {{{"mfirst", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr}, 1},
                                 {{"msecond", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr}, 2}};
    Newer newer{m.m, {1, 2, 3, 4}};
    newer.known.size = sizeof newer;
    newer.known.fields = &fields[0].known;
    newer.known.field_count = 2;
    newer.known.field_size = sizeof(NewerField);
    const Result r = Metering{{&newer.known}}.run(datagrams(1));
    EXPECT_EQ(r.events.at(0).fields, (std::map<std::string, std::string>{{"msecond", "5"}}));
}

TEST(MeterRegistry, the_structures_of_the_plugin_are_copied) {
    FakeMeter<0> m("m", {}, "packet");
    auto registry = std::make_shared<Registry>();
    registry->add_meter(&m.m, "");
    m.m.packet = nullptr;
    m.m.state_size = 1 << 30;
    Engine e(registry, {});
    e.open(std::make_unique<FileSource>(std::vector<Frames>{datagrams(2)}));
    e.start();
    while (!e.finished())
        e.pull(1000);
    EXPECT_EQ(m.log.size(), 2u);
}

TEST(MeterRegistry, names_are_taken_once) {
    Fake<0> p("alpha", [](const Shown &) { return AICORE_NO; });
    p.field("shared");
    FakeMeter<0> m("m");
    FakeMeter<3> again("m");
    FakeMeter<1> other("other");
    m.field("mint");
    other.field("otherint").field("shared");
    Registry registry;
    registry.add(&p.p);
    registry.add_meter(&m.m, "");
    const auto message = [&](const auto &add) {
        try {
            add();
        } catch (const std::invalid_argument &error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(message([&] { registry.add_meter(&again.m, ""); }), "meter 'm' is there already");
    EXPECT_EQ(message([&] { registry.add_meter(&other.m, ""); }),
              "meter 'other': field 'shared' is declared by alpha already");
    FakeMeter<2> third("third");
    third.field("mint");
    EXPECT_EQ(message([&] { registry.add_meter(&third.m, ""); }),
              "meter 'third': field 'mint' is declared by meter:m already");
    ASSERT_EQ(registry.schema()->fields.size(), 2u); // nothing of those that were not taken
    EXPECT_EQ(registry.schema()->fields[1].protocol, "meter:m");
    Fake<1> late("beta", [](const Shown &) { return AICORE_NO; });
    EXPECT_NE(message([&] { registry.add(&late.p); }), "");
    registry.freeze({});
    EXPECT_NE(message([&] { registry.add_meter(&third.m, ""); }), "");
}

TEST(MeterRegistry, fields_given_beside_the_structure_replace_its_own) {
    FakeMeter<0> m(
        "m", [](const Metered &x) { x.host().set_real(x.flow, 0, 2.5); }, "record");
    m.field("mint");
    const std::vector<FieldInfo> given{{"mreal", FieldType::real, false, 64, "s", "", "", ""}};
    auto registry = std::make_shared<Registry>();
    registry->add_meter(&m.m, "", &given);
    Engine e(registry, {});
    e.open(std::make_unique<FileSource>(std::vector<Frames>{datagrams(1)}));
    e.start();
    std::vector<Event> events;
    while (!e.finished())
        if (const auto batch = e.pull(1000)) collect(events, *batch);
    EXPECT_EQ(events.at(0).fields, (std::map<std::string, std::string>{{"mreal", "2.500000"}}));
    EXPECT_NO_THROW(e.reload_meter(&m.m, "", &given));
}

} // namespace
} // namespace aicore::test
