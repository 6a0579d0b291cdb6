// SPDX-License-Identifier: Apache-2.0
// Rows of fixed width, of fields that protocols gave and that were added later.
#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "added.h"

namespace aicore::test {
namespace {

using Kind = PackedPlace::Kind;

Batch empty() {
    auto schema = std::make_shared<Schema>();
    schema->fields = {{"s", FieldType::string, false, 64, "", "", "", ""},
                      {"i", FieldType::integer, false, 64, "", "", "", ""},
                      {"l", FieldType::strings, false, 64, "", "", "", ""}};
    return Batch(schema);
}

void fill(Batch &b) {
    b.strings->text = "h\xc3\xa9llo\"world";
    b.strings->attributes = {{0, 6, 0, uint16_t(FieldType::string)},
                             {-5, 0, 1, uint16_t(FieldType::integer)},
                             {6, 1, 2, uint16_t(FieldType::strings)},
                             {7, 5, 2, uint16_t(FieldType::strings)}};
    Row row{};
    row.proto = 6;
    row.bytes = INT64_MAX;
    row.attribute_count = 4;
    b.rows = {row, Row{}};
    b.added.push_back(added("note", FieldType::string, {std::nullopt, "added"}));
    b.added.push_back(added("share", FieldType::real, {"0.5", std::nullopt}));
}

std::vector<std::string> packed(const Batch &b, const std::vector<PackedPlace> &places, size_t size) {
    std::string out(b.rows.size() * size, 'x');
    write_packed(reinterpret_cast<uint8_t *>(out.data()), b, places, size);
    std::vector<std::string> rows;
    for (size_t i = 0; i < b.rows.size(); ++i)
        rows.push_back(out.substr(i * size, size));
    return rows;
}

std::string number(int64_t n) {
    return {reinterpret_cast<const char *>(&n), sizeof n};
}

TEST(Packed, FieldsOfEveryOrigin) {
    Batch b = empty();
    fill(b);
    const auto rows = packed(b,
                             {{Kind::string, {"s"}, 0, 8},
                              {Kind::integer, {"i"}, 8, 8},
                              {Kind::list, {"l"}, 16, 16},
                              {Kind::integer, {"bytes"}, 32, 8},
                              {Kind::real, {"share"}, 40, 8},
                              {Kind::string, {"note", "s"}, 48, 8},
                              {Kind::integer, {"retransmissions"}, 56, 8},
                              {Kind::cut, {}, 64, 1},
                              {Kind::present, {"s", "i", "l", "bytes", "share", "note", "retransmissions"}, 65, 2}},
                             70);
    const double half = 0.5;
    std::string first = std::string("h\xc3\xa9llo\0\0", 8) + number(-5);
    first += std::string("[\"\\\"\",\"world\"]\0\0", 16) + number(INT64_MAX);
    first += std::string(reinterpret_cast<const char *>(&half), 8) + std::string("h\xc3\xa9llo\0\0", 8) + number(0);
    first += std::string("\0\xfa\0\0\0\0", 6);
    EXPECT_EQ(rows[0], first);
    std::string second(70, '\0');
    second.replace(48, 5, "added");
    second[65] = '\x14'; // bytes, note
    EXPECT_EQ(rows[1], second);
}

TEST(Packed, WhatIsTooLongEndsWell) {
    Batch b = empty();
    fill(b);
    const auto rows = packed(b,
                             {{Kind::string, {"s"}, 0, 2},
                              {Kind::list, {"l"}, 2, 13},
                              {Kind::string, {"s", "note"}, 15, 3},
                              {Kind::cut, {}, 18, 1}},
                             19);
    EXPECT_EQ(rows[0], std::string("h\0[\"\\\"\"]\0\0\0\0\0\0\0h\xc3\xa9\2", 19));
    EXPECT_EQ(packed(b, {{Kind::list, {"l"}, 0, 3}}, 3)[0], std::string(3, '\0')) << "no item has room";
    EXPECT_EQ(packed(b, {{Kind::string, {"s"}, 0, 0}}, 1)[0], std::string(1, '\0'));
}

TEST(Packed, AFieldOfAnotherTypeIsNotThere) {
    Batch b = empty();
    fill(b);
    for (const char *name : {"s", "l", "key", "share", "nobody"})
        EXPECT_EQ(packed(b, {{Kind::integer, {name}, 0, 8}}, 8)[0], std::string(8, '\0')) << name;
}

TEST(Packed, AFieldInPlacesOfTwoTypes) {
    Batch b = empty();
    fill(b);
    for (const char *name : {"s", "i", "l", "bytes", "note", "share"})
        for (const Kind kind : {Kind::integer, Kind::real, Kind::string, Kind::list})
            for (const Kind other : {Kind::integer, Kind::real, Kind::string, Kind::list})
                EXPECT_EQ(packed(b, {{other, {name}, 8, 8}, {kind, {name}, 0, 8}}, 16)[0].substr(0, 8),
                          packed(b, {{kind, {name}, 0, 8}}, 8)[0])
                    << name << int(kind) << int(other);
}

TEST(Packed, PlacesThatDoNotFit) {
    Batch b = empty();
    fill(b);
    for (const PackedPlace &place :
         {PackedPlace{Kind::integer, {"i"}, 1, 8}, PackedPlace{Kind::integer, {"i"}, 0, 7},
          PackedPlace{Kind::string, {"s"}, SIZE_MAX, 8}, PackedPlace{Kind::string, {"s"}, 8, SIZE_MAX},
          PackedPlace{Kind::present, {"s"}, 0, 1}, PackedPlace{Kind::cut, {}, 0, 2}})
        EXPECT_THROW(packed(b, {place}, 8), std::invalid_argument);
}

} // namespace
} // namespace aicore::test
