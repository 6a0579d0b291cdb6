// SPDX-License-Identifier: Apache-2.0
// The values of a flow: every type of field, kept in order of the fields, bounded.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "cold.h"

namespace aicore::test {
namespace {

const uint8_t *bytes(const char *text) {
    return reinterpret_cast<const uint8_t *>(text);
}

// The rows' JSON of a record with these values, without the core's fields.
std::string json(const AttributeSet &set, const std::vector<FieldInfo> &fields) {
    auto schema = std::make_shared<Schema>();
    schema->fields = fields;
    Batch batch(schema);
    batch.strings->attributes = set.items;
    batch.strings->text = set.text;
    batch.rows.resize(1);
    batch.rows[0].attribute_count = static_cast<uint32_t>(set.items.size());
    std::string out;
    std::vector<size_t> ends;
    append_json(out, ends, batch, false, false);
    const size_t begin = out.find(",\"" + fields[0].name + "\"");
    return begin == out.npos ? "" : out.substr(begin);
}

constexpr Stored kStored{true, false}, kKnown{false, false}, kLeftOut{false, true};

bool operator==(Stored a, Stored b) {
    return a.changed == b.changed && a.cut == b.cut;
}

FieldInfo field(const char *name, FieldType type) {
    return {name, type, false, 64, "", "", "", ""};
}

const std::vector<FieldInfo> kEveryType = {
    field("string", FieldType::string), field("integer", FieldType::integer), field("strings", FieldType::strings),
    field("real", FieldType::real),     field("boolean", FieldType::boolean), field("integers", FieldType::integers),
    field("reals", FieldType::reals),   field("time", FieldType::time),
};

TEST(AttributeSet, holds_every_type) {
    AttributeSet set;
    EXPECT_TRUE(set.set_time(7, -1) == kStored);
    EXPECT_TRUE(set.add_real(6, 0.5) == kStored);
    EXPECT_TRUE(set.add_real(6, -1e300) == kStored);
    EXPECT_TRUE(set.add_integer(5, INT64_MAX) == kStored);
    EXPECT_TRUE(set.add_integer(5, INT64_MIN) == kStored);
    EXPECT_TRUE(set.set_boolean(4, true) == kStored);
    EXPECT_TRUE(set.set_real(3, 5) == kStored);
    EXPECT_TRUE(set.add_string(2, bytes("a"), 1) == kStored);
    EXPECT_TRUE(set.add_string(2, bytes("b"), 1) == kStored);
    EXPECT_TRUE(set.set_integer(1, INT64_MIN) == kStored);
    EXPECT_TRUE(set.set_string(0, bytes("text"), 4) == kStored);
    EXPECT_EQ(json(set, kEveryType),
              R"(,"string":"text","integer":-9223372036854775808,"strings":["a","b"],"real":5.0,"boolean":true,)"
              R"("integers":[9223372036854775807,-9223372036854775808],"reals":[0.5,-1e+300],)"
              R"("time":"1969-12-31T23:59:59.999999999Z"})");
}

TEST(AttributeSet, the_last_value_of_a_number_wins) {
    AttributeSet set;
    for (const bool value : {true, false})
        EXPECT_TRUE(set.set_boolean(4, value) == kStored);
    for (const double value : {1.5, -0.25})
        EXPECT_TRUE(set.set_real(3, value) == kStored);
    for (const int64_t value : {INT64_MAX, int64_t{0}})
        EXPECT_TRUE(set.set_time(7, value) == kStored);
    EXPECT_EQ(set.items.size(), 3u);
    EXPECT_EQ(json(set, {field("", FieldType::string), field("", FieldType::string), field("", FieldType::string),
                         field("", FieldType::real), field("", FieldType::boolean), field("", FieldType::string),
                         field("", FieldType::string), field("", FieldType::time)}),
              R"(,"":-0.25,"":false,"":"1970-01-01T00:00:00.000000000Z"})");
}

TEST(AttributeSet, a_list_of_numbers_keeps_them_all_in_order_and_one_of_texts_each_once) {
    AttributeSet set;
    for (const int64_t n : {3, 1, 3, 3})
        EXPECT_TRUE(set.add_integer(5, n) == kStored);
    for (const char *text : {"x", "y"})
        EXPECT_TRUE(set.add_string(2, bytes(text), 1) == kStored);
    EXPECT_TRUE(set.add_string(2, bytes("x"), 1) == kKnown);
    EXPECT_TRUE(set.add_integer(5, 2) == kStored);
    EXPECT_EQ(json(set, {field("", FieldType::string), field("", FieldType::string), field("", FieldType::strings),
                         field("", FieldType::real), field("", FieldType::boolean), field("", FieldType::integers)}),
              R"(,"":["x","y"],"":[3,1,3,3,2]})");
}

TEST(AttributeSet, what_is_no_number_is_null_in_json_alone) {
    AttributeSet set;
    for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL})
        EXPECT_TRUE(set.add_real(0, value) == kStored);
    EXPECT_EQ(json(set, {field("x", FieldType::reals)}), R"(,"x":[null,null,null]})");
    EXPECT_EQ(set.items[1].real(), HUGE_VAL);
}

TEST(AttributeSet, what_is_the_same_is_no_change) {
    AttributeSet set;
    EXPECT_TRUE(set.set_string(0, bytes("text"), 4) == kStored);
    EXPECT_TRUE(set.set_string(0, bytes("text"), 4) == kKnown);
    EXPECT_TRUE(set.set_integer(1, 7) == kStored);
    EXPECT_TRUE(set.set_integer(1, 7) == kKnown);
    const std::string large(kMaxString + 1, 'x');
    const Stored cut = set.set_string(0, bytes(large.data()), large.size());
    EXPECT_TRUE(cut.changed && cut.cut);
    EXPECT_TRUE(set.set_string(0, bytes(large.data()), large.size()) == kLeftOut);
}

// The arena is copied into batches as it is, and its bound is of what the record holds.
TEST(AttributeSet, text_that_is_gone_costs_nothing) {
    AttributeSet set;
    for (int i = 0; i < 100'000; ++i) {
        const std::string text = "value " + std::to_string(i), item = "item " + std::to_string(i);
        ASSERT_TRUE(set.set_string(0, bytes(text.data()), text.size()) == kStored);
        ASSERT_TRUE(set.add_string(2, bytes(item.data()), item.size()) == kStored);
        if (i >= 3) set.erase(1);
        ASSERT_LE(set.text.size(), 60u);
    }
    EXPECT_EQ(json(set, kEveryType), R"(,"string":"value 99999","strings":["item 99997","item 99998","item 99999"]})");
    set.erase(0);
    EXPECT_EQ(json(set, kEveryType), "");
    EXPECT_EQ(set.text, "item 99997item 99998item 99999");
}

TEST(AttributeSet, is_bounded) {
    AttributeSet set;
    for (size_t i = 0; i < kMaxAttributes; ++i)
        EXPECT_TRUE(set.add_integer(5, 0) == kStored) << i;
    EXPECT_TRUE(set.add_integer(5, 0) == kLeftOut);
    EXPECT_TRUE(set.add_real(6, 0) == kLeftOut);
    EXPECT_TRUE(set.set_boolean(4, true) == kLeftOut);
    EXPECT_TRUE(set.set_real(3, 1) == kLeftOut);
    EXPECT_TRUE(set.set_time(7, 1) == kLeftOut);
    EXPECT_FALSE(set.has(3));
    EXPECT_EQ(set.items.size(), kMaxAttributes);
}

} // namespace
} // namespace aicore::test
