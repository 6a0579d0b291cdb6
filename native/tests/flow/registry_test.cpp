// SPDX-License-Identifier: Apache-2.0
// Which protocols are taken, and which are candidates of a flow.
#include "aicore/registry.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "fake_protocol.h"

namespace aicore::test {
namespace {

int no(const Shown &) {
    return AICORE_NO;
}

std::string refusal(const aicore_protocol &p) {
    Registry r;
    try {
        r.add(&p);
    } catch (const std::invalid_argument &e) {
        return e.what();
    }
    return "";
}

TEST(Registry, refuses_what_breaks_the_contract_and_says_why) {
    const auto broken = [](const std::function<void(Fake<0> &)> &change) {
        Fake<0> f("alpha", no);
        change(f);
        return refusal(f.p);
    };
    EXPECT_EQ(broken([](Fake<0> &) {}), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.p.abi = 1; }).find("ABI 1, this aicore has 2"), std::string::npos);
    EXPECT_NE(broken([](Fake<0> &f) { f.p.size = 39; }).find("size is 39"), std::string::npos);
    EXPECT_NE(broken([](Fake<0> &f) { f.field("afield").p.field_size = 11; }).find("field_size is 11"),
              std::string::npos);
    EXPECT_NE(broken([](Fake<0> &f) { f.field("afield").p.field_size = 0; }).find("field_size is 0"),
              std::string::npos);
    EXPECT_NE(broken([](Fake<0> &f) { f.prefixes({"x"}).p.prefix_size = 15; }).find("prefix_size is 15"),
              std::string::npos);
    for (const char *name : {"", "A", "1a", "a b", "a/b", "-a", "waytoolongfornamesasthisoneis1234", "\xc3\xa4"})
        EXPECT_NE(broken([&](Fake<0> &f) { f.p.name = name; }).find("name"), std::string::npos) << name;
    EXPECT_NE(broken([](Fake<0> &f) { f.p.name = nullptr; }), "");
    for (const uint32_t t : {0u, 4u, 7u})
        EXPECT_NE(broken([&](Fake<0> &f) { f.p.transports = t; }), "") << t;
    EXPECT_NE(broken([](Fake<0> &f) { f.p.port_count = 1; }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.p.field_count = 1; }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.p.state_size = AICORE_STATE_MAX + 1; }), "");
    EXPECT_EQ(broken([](Fake<0> &f) { f.p.state_size = AICORE_STATE_MAX; }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.prefixes({std::string(17, 'x')}); }), "");
    EXPECT_EQ(broken([](Fake<0> &f) { f.prefixes({std::string(16, 'x')}); }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.field("Bad"); }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.field("a-b"); }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.field("afield", 0); }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.field("afield", AICORE_TIME + 1); }), "");
    for (uint32_t type = AICORE_STRING; type <= AICORE_TIME; ++type)
        EXPECT_EQ(broken([&](Fake<0> &f) { f.field("afield", type); }), "") << type;
    for (const char *core : {"key", "bytes", "flow_id", "layer7", "anomaly"})
        EXPECT_NE(broken([&](Fake<0> &f) { f.field(core); }).find("core record"), std::string::npos) << core;
    EXPECT_NE(broken([](Fake<0> &f) { f.anomalies({"bad-name"}); }), "");
    EXPECT_NE(broken([](Fake<0> &f) { f.aliases({"Bad"}); }), "");
}

// A copy that is no longer than it says, so that AddressSanitizer sees who reads behind it.
template <typename Structure> std::unique_ptr<uint8_t[]> cut(const Structure &from, size_t size) {
    auto out = std::make_unique<uint8_t[]>(size);
    std::memcpy(out.get(), &from, size);
    return out;
}

TEST(Registry, takes_structures_of_an_older_header_and_what_is_missing_is_zero) {
    Fake<0> f("alpha", no);
    f.field("afield", AICORE_INTEGER, AICORE_NOTIFY).ports({80}).state(8);
    const auto older = [&](size_t size) {
        f.p.size = static_cast<uint32_t>(size);
        const auto bytes = cut(f.p, size);
        Registry r;
        r.add(reinterpret_cast<const aicore_protocol *>(bytes.get()));
        return r.protocols()[0];
    };
    const Registered least = older(offsetof(aicore_protocol, inspect) + sizeof f.p.inspect);
    EXPECT_NE(least.protocol.inspect, nullptr);
    EXPECT_EQ(least.protocol.state_size + least.protocol.port_count, 0u);
    EXPECT_TRUE(least.fields.empty());
    const Registered more = older(offsetof(aicore_protocol, anomalies));
    EXPECT_EQ(more.protocol.state_size, 8u);
    EXPECT_EQ(more.fields.size(), 1u);

    const size_t least_field = offsetof(aicore_field, type) + sizeof(uint32_t);
    const auto field = cut(*f.p.fields, least_field);
    f.p.size = sizeof f.p;
    f.p.field_size = least_field;
    f.p.fields = reinterpret_cast<const aicore_field *>(field.get());
    Registry r;
    r.add(&f.p);
    ASSERT_EQ(r.schema()->fields.size(), 1u);
    EXPECT_EQ(r.schema()->fields[0].name, "afield");
    EXPECT_EQ(r.schema()->fields[0].type, FieldType::integer);
    EXPECT_EQ(r.schema()->fields[0].width, 64u);
    EXPECT_FALSE(r.schema()->fields[0].notify);
}

TEST(Registry, takes_structures_of_a_newer_header_and_leaves_out_what_it_does_not_know) {
    struct NewerProtocol {
        aicore_protocol known;
        uint64_t later = UINT64_MAX;
    };
    struct NewerField {
        aicore_field known;
        uint64_t later = UINT64_MAX;
    };
    struct NewerPrefix {
        aicore_prefix known;
        uint64_t later = UINT64_MAX;
    };
    Fake<0> f("alpha", no);
    const NewerField fields[] = {{{"first", AICORE_STRING, 0, 0, nullptr, nullptr, "one"}},
                                 {{"second", AICORE_INTEGER, 0, 0, nullptr, nullptr, "two"}}};
    const NewerPrefix prefixes[] = {{{"ab", 2}}, {{"cd", 2}}};
    NewerProtocol newer{f.p};
    newer.known.size = sizeof newer;
    newer.known.fields = &fields->known;
    newer.known.field_count = 2;
    newer.known.field_size = sizeof *fields;
    newer.known.prefixes = &prefixes->known;
    newer.known.prefix_count = 2;
    newer.known.prefix_size = sizeof *prefixes;
    Registry r;
    r.add(&newer.known);
    r.freeze({});
    ASSERT_EQ(r.schema()->fields.size(), 2u);
    EXPECT_EQ(r.schema()->fields[1].name, "second");
    EXPECT_EQ(r.schema()->fields[1].help, "two");
    for (const char *data : {"ab", "cd", "c"})
        EXPECT_FALSE(r.select(AICORE_TCP, reinterpret_cast<const uint8_t *>(data), std::strlen(data), 1, 2).empty());
    EXPECT_TRUE(r.select(AICORE_TCP, reinterpret_cast<const uint8_t *>("bc"), 2, 1, 2).empty());
}

TEST(Registry, keeps_its_own_copy_of_the_structures) {
    Fake<0> f("alpha", no);
    Registry r;
    {
        const std::vector<aicore_prefix> prefixes{{"ab", 2}}; // the text itself stays the plugin's
        const std::vector<aicore_field> fields{{"afield", AICORE_STRING, 0, 0, nullptr, nullptr, nullptr}};
        auto p = std::make_unique<aicore_protocol>(f.p);
        p->prefixes = prefixes.data();
        p->prefix_count = 1;
        p->prefix_size = sizeof prefixes[0];
        p->fields = fields.data();
        p->field_count = 1;
        p->field_size = sizeof fields[0];
        r.add(p.get());
    }
    r.freeze({});
    EXPECT_EQ(r.protocols()[0].protocol.rank, 50u);
    EXPECT_STREQ(r.protocols()[0].prefixes[0].bytes, "ab");
    EXPECT_EQ(r.schema()->fields[0].name, "afield");
}

TEST(Registry, names_are_taken_once_and_shared_fields_have_one_type) {
    Fake<0> a("alpha", no), again("alpha", no);
    Fake<1> b("beta", no), c("gamma", no);
    a.field("shared");
    b.field("shared");
    c.field("before").field("shared", AICORE_INTEGER);
    Registry r;
    r.add(&a.p);
    EXPECT_THROW(r.add(&again.p), std::invalid_argument);
    r.add(&b.p);
    EXPECT_THROW(r.add(&c.p), std::invalid_argument);
    ASSERT_EQ(r.schema()->fields.size(), 1u) << "a refused protocol leaves no field behind";
    r.freeze({});
    EXPECT_THROW(r.add(&c.p), std::invalid_argument);
    EXPECT_EQ(r.protocols().size(), 2u);
    EXPECT_EQ(r.find("beta"), 1);
    EXPECT_EQ(r.find("gamma"), kNoProtocol);
}

TEST(Registry, takes_256_protocols_and_no_more) {
    std::vector<std::string> names(257);
    std::vector<aicore_protocol> protocols(257);
    Fake<0> f("alpha", no);
    Registry r;
    for (size_t i = 0; i < 257; ++i) {
        names[i] = "p" + std::to_string(i);
        protocols[i] = f.p;
        protocols[i].name = names[i].c_str();
        if (i < 256)
            r.add(&protocols[i]);
        else
            EXPECT_THROW(r.add(&protocols[i]), std::invalid_argument);
    }
    r.freeze({});
    const uint8_t data[] = "x";
    size_t n = 0;
    r.select(AICORE_TCP, data, 1, 1, 2).each([&](size_t i) {
        EXPECT_EQ(i, n++);
        return true;
    });
    EXPECT_EQ(n, 256u);
}

TEST(Registry, selects_by_prefix_or_port_and_orders_by_rank) {
    Fake<0> a("alpha", no);
    Fake<1> b("beta", no);
    Fake<2> c("gamma", no);
    Fake<3> d("delta", no);
    a.prefixes({"GET ", "PUT"}).ports({80}).rank(30);
    b.prefixes({""}).ports({443}).rank(20); // of any port that has a port to its name
    c.ports({80, 81}).rank(10);
    d.rank(40);
    d.p.transports = AICORE_UDP;
    Registry r;
    for (const aicore_protocol *p : {&a.p, &b.p, &c.p, &d.p})
        r.add(p);
    r.freeze({});
    const auto select = [&](uint8_t transport, std::string_view data, uint16_t port, uint16_t other) {
        std::string out;
        r.select(transport, reinterpret_cast<const uint8_t *>(data.data()), data.size(), port, other)
            .each([&](size_t i) { return out += r.protocols()[i].protocol.name[0], true; });
        return out;
    };
    EXPECT_EQ(select(AICORE_TCP, "GET /", 1, 2), "ba");
    EXPECT_EQ(select(AICORE_TCP, "G", 1, 2), "ba");
    EXPECT_EQ(select(AICORE_TCP, "GETX", 1, 2), "b");
    EXPECT_EQ(select(AICORE_TCP, "PU", 81, 2), "gba");
    EXPECT_EQ(select(AICORE_TCP, "?", 2, 80), "gba");
    EXPECT_EQ(select(AICORE_UDP, "?", 1, 2), "bd");
    const auto name = [&](uint16_t portdst, uint16_t portsrc) {
        return r.schema()->names[r.name_by_port(AICORE_TCP, portdst, portsrc)];
    };
    EXPECT_EQ(name(80, 40000), "gamma"); // the lower rank
    EXPECT_EQ(name(40000, 443), "beta");
    EXPECT_EQ(name(443, 81), "beta"); // the destination's
    EXPECT_EQ(name(81, 443), "gamma");
    EXPECT_EQ(name(1, 2), "");
}

TEST(Registry, counters_have_names_and_more_may_come_while_a_run_goes_on) {
    Registry r;
    r.freeze({"none", "first", "second"});
    EXPECT_EQ(r.schema()->names[r.counter_name(2)], "second");
    EXPECT_EQ(r.counter_name(0), 0);
    const std::string *where = r.schema()->names.data();
    EXPECT_EQ(r.name_later("Not valid"), 0);
    const uint16_t x = r.name_later("xlater");
    EXPECT_NE(x, 0);
    EXPECT_EQ(r.name_later("xlater"), x);
    for (int i = 0; i < 10'000; ++i)
        r.name_later("n" + std::to_string(i));
    EXPECT_EQ(r.schema()->names.data(), where) << "readers look names up meanwhile";
    EXPECT_EQ(r.name_later("onemore"), 0);
    EXPECT_EQ(r.name_later("xlater"), x);
}

} // namespace
} // namespace aicore::test
