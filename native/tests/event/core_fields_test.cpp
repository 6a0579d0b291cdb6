// SPDX-License-Identifier: Apache-2.0
// The core's fields are in every form of a batch, and what leaves a row can be put back.
#include "aicore/core_fields.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "aicore/binary.h"
#include "aicore/columns.h"
#include "json_checker.h"

namespace aicore::test {
namespace {

// A TCP row in which every field has a value, no two numbers the same where they need not be.
Row every_field(Schema &schema) {
    Row row{};
    row.ip_version = 4;
    int64_t n = 100;
    for (const CoreColumn &c : core_columns()) {
        const char *why = "";
        const std::string_view name = c.name;
        if (c.type == FieldType::boolean)
            why = c.set_number(row, 1);
        else if (c.number)
            why = c.set_number(row, name == "proto" ? kProtoTcp : ++n);
        else if (name == "flow_id")
            why = c.set_text(schema, row, "0123456789abcdef0123456789abcdef");
        else if (name.starts_with("ip"))
            why = c.set_text(schema, row, name == "ipsrc" ? "192.0.2.1" : "192.0.2.2");
        else if (name == "tunnel")
            why = c.set_text(schema, row, "vxlan:7");
        else if (name == "layer7_by")
            why = c.set_text(schema, row, "port");
        else if (name == "tcp_state")
            why = c.set_text(schema, row, "closed");
        else if (name == "end_reason")
            why = c.set_text(schema, row, "idle");
        else if (name == "event")
            why = c.set_text(schema, row, "remove");
        else // of any text
            why = c.set_text(schema, row, "any text");
        EXPECT_EQ(why, nullptr) << name;
    }
    return row;
}

struct OneRow : Batch {
    explicit OneRow(const std::shared_ptr<Schema> &s) : Batch(s) { rows.push_back(every_field(*s)); }
};

std::string text_of(const CoreColumn &c, const Batch &batch) {
    std::string out;
    if (c.text)
        c.text(out, batch, batch.rows[0]);
    else
        out = std::to_string(c.number(batch.rows[0]));
    return out;
}

TEST(CoreFields, each_is_described) {
    std::set<std::string> names;
    for (const CoreColumn &c : core_columns()) {
        EXPECT_TRUE(names.insert(c.name).second) << c.name;
        EXPECT_TRUE(valid_column_name(c.name)) << c.name;
        EXPECT_GT(std::strlen(c.help), 5u) << c.name;
        EXPECT_GT(c.width, 0u) << c.name;
        EXPECT_EQ(find_core_column(c.name), &c);
        EXPECT_FALSE(is_list(c.type));
        EXPECT_NE(c.number == nullptr, c.text == nullptr) << c.name;
    }
    EXPECT_EQ(names.size(), kCoreFieldCount);
    EXPECT_EQ(find_core_column("nobody"), nullptr);
}

TEST(CoreFields, each_is_in_the_json_in_the_order_of_the_table) {
    const OneRow batch(std::make_shared<Schema>());
    for (const bool meta : {false, true}) {
        std::string out;
        std::vector<size_t> ends;
        append_json(out, ends, batch, meta, false);
        const Json read = JsonReader::read(out);
        size_t at = 0;
        for (const CoreColumn &c : core_columns()) {
            EXPECT_EQ(read.has(c.name), meta || !c.meta) << c.name;
            if (c.meta && !meta) continue;
            const size_t found = out.find("\"" + std::string(c.name) + "\":", at);
            ASSERT_NE(found, out.npos) << c.name;
            at = found;
            if (c.type == FieldType::string || c.type == FieldType::integer) {
                EXPECT_EQ(read.at(c.name).text, text_of(c, batch)) << c.name;
            }
        }
    }
}

TEST(CoreFields, each_is_in_nested_json_and_in_packed_rows) {
    const OneRow batch(std::make_shared<Schema>());
    NestedPlaces places;
    for (const CoreColumn &c : core_columns())
        places[c.name] = std::string("in.") + c.name;
    std::string nested;
    std::vector<size_t> ends;
    append_nested_json(nested, ends, batch, places);
    for (const CoreColumn &c : core_columns()) {
        EXPECT_EQ(nested.find("\"" + std::string(c.name) + "\":") != nested.npos, !c.meta) << c.name;
        std::string packed(104, 'x');
        const size_t width = c.text ? packed.size() : 8;
        write_packed(reinterpret_cast<uint8_t *>(packed.data()), batch, {{place_kind(c.type), {c.name}, 0, width}},
                     packed.size());
        if (c.text) {
            EXPECT_EQ(packed.substr(0, packed.find('\0')), text_of(c, batch)) << c.name;
            continue;
        }
        int64_t number;
        std::memcpy(&number, packed.data(), sizeof number);
        EXPECT_EQ(number, c.number(batch.rows[0])) << c.name;
    }
}

TEST(CoreFields, each_survives_the_binary_form) {
    const OneRow batch(std::make_shared<Schema>());
    std::string bytes;
    append_binary(bytes, batch);
    const auto read = BinaryReader(schema_bytes(batch)).read(bytes);
    for (const CoreColumn &c : core_columns())
        EXPECT_EQ(text_of(c, *read), text_of(c, batch)) << c.name;
}

TEST(CoreFields, what_leaves_a_row_can_be_put_into_another) {
    const auto schema = std::make_shared<Schema>();
    const OneRow batch(schema);
    Row copy{};
    for (const CoreColumn &c : core_columns()) {
        if (c.number)
            EXPECT_EQ(c.set_number(copy, c.number(batch.rows[0])), nullptr) << c.name;
        else
            EXPECT_EQ(c.set_text(*schema, copy, text_of(c, batch)), nullptr) << c.name;
    }
    EXPECT_EQ(std::memcmp(&copy, &batch.rows[0], sizeof(Row)), 0);
}

TEST(CoreFields, are_bounded_by_their_members) {
    for (const CoreColumn &c : core_columns()) {
        if (!c.number) continue;
        Row row{};
        int64_t most = INT64_MAX;
        for (const int64_t limit : {int64_t{1}, int64_t{UINT8_MAX}, int64_t{UINT16_MAX}})
            if (c.set_number(row, limit + 1)) {
                most = limit;
                break;
            }
        EXPECT_EQ(c.set_number(row, most), nullptr) << c.name;
        EXPECT_EQ(c.number(row), most) << c.name;
        EXPECT_EQ(c.set_number(row, -1) == nullptr, c.type == FieldType::time) << c.name;
        EXPECT_EQ(most == INT64_MAX, c.offset >= 0) << c.name; // such columns are looked at in place
        if (c.offset < 0) continue;
        int64_t in_place;
        c.set_number(row, 12345);
        std::memcpy(&in_place, reinterpret_cast<const char *>(&row) + c.offset, sizeof in_place);
        EXPECT_EQ(in_place, 12345) << c.name;
    }
}

TEST(CoreFields, absence_is_that_of_the_table) {
    Row udp{}, tcp{};
    udp.proto = kProtoUdp;
    tcp.proto = kProtoTcp;
    for (const CoreColumn &c : core_columns()) {
        if (!c.number) continue;
        EXPECT_EQ(c.present(udp), c.absent == Absent::never) << c.name;
        EXPECT_EQ(c.present(tcp), c.absent != Absent::none || std::string_view(c.name) == "proto") << c.name;
    }
    for (const char *name : {"src_tcpflags", "dst_tcpflags", "retransmissions"})
        EXPECT_EQ(find_core_column(name)->absent, Absent::not_tcp);
    for (const char *name : {"vlan", "vlan_inner"}) {
        EXPECT_EQ(find_core_column(name)->absent, Absent::none);
        EXPECT_EQ(find_core_column(name)->set_number(tcp, 1), nullptr);
        EXPECT_TRUE(find_core_column(name)->present(tcp));
    }
}

} // namespace
} // namespace aicore::test
