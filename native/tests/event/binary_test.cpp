// SPDX-License-Identifier: Apache-2.0
// The binary form: fields of every type and origin come back; what is no batch is refused.
#include "aicore/binary.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "batches.h"
#include "binary_form.h"
#include "json_checker.h"

namespace aicore::test {
namespace {

std::string bytes_of(const Batch &batch) {
    std::string out;
    append_binary(out, batch);
    return out;
}

std::string json_of(const Batch &batch) {
    std::string out;
    std::vector<size_t> ends;
    append_json(out, ends, batch, true, true);
    return out;
}

TEST(Binary, FieldsOfEveryTypeAndOriginComeBack) {
    const auto batch = full_batch();
    const std::string schema = schema_bytes(*batch);
    BinaryReader reader(schema);
    const auto back = reader.read(bytes_of(*batch));
    EXPECT_EQ(json_of(*back), json_of(*batch));
    EXPECT_EQ(schema_bytes(*back), schema);
    EXPECT_EQ(bytes_of(*back), bytes_of(*batch));
    ASSERT_EQ(back->rows.size(), batch->rows.size());
    for (size_t i = 0; i < back->rows.size(); ++i) {
        Row expected = batch->rows[i];
        Row found = back->rows[i];
        for (Row *row : {&expected, &found})
            row->layer7 = row->anomaly = row->sensor = 0; // by name: JSON has compared them
        expected.attribute_first = found.attribute_first; // stored in the order of rows
        EXPECT_EQ(std::memcmp(&found, &expected, sizeof found), 0) << i;
    }
    const FieldInfo &field = back->schema->fields[0];
    EXPECT_EQ(field.help, "what it means");
    EXPECT_EQ(field.unit, "ms");
    EXPECT_EQ(field.ecs, "a.b");
    EXPECT_EQ(field.protocol, "test");
    EXPECT_EQ(field.width, 255u);
    EXPECT_TRUE(field.notify);
}

TEST(Binary, RowsOfAnotherOrderAndFew) {
    const auto batch = full_batch();
    BinaryReader reader(schema_bytes(*batch));
    for (const std::vector<uint32_t> &rows : {std::vector<uint32_t>{}, {2}, {2, 0, 0}}) {
        const auto part = batch->take(rows);
        EXPECT_EQ(json_of(*reader.read(bytes_of(*part))), json_of(*part));
    }
}

TEST(Binary, BatchesOfOneReaderShareASchemaUntilNamesAreAdded) {
    const auto batch = full_batch();
    const std::string bytes = bytes_of(*batch);
    BinaryReader reader(schema_bytes(*batch));
    const auto first = reader.read(bytes);
    EXPECT_EQ(reader.read(bytes)->schema, first->schema);
    auto schema = std::make_shared<Schema>(*batch->schema);
    schema->names.push_back("later");
    batch->rows[0].layer7 = static_cast<uint16_t>(schema->names.size() - 1);
    batch->schema = schema;
    const auto other = reader.read(bytes_of(*batch));
    EXPECT_NE(other->schema, first->schema);
    EXPECT_NE(json_of(*other).find("\"layer7\":\"later\""), std::string::npos);
    EXPECT_EQ(reader.read(bytes)->schema, other->schema);
}

// A batch of rows that have each a layer7 of its own.
std::shared_ptr<Batch> with_names(const std::string &prefix, size_t count) {
    const auto batch = full_batch();
    const Row row = batch->rows[0];
    auto schema = std::make_shared<Schema>(*batch->schema);
    schema->names = {""};
    batch->added.clear();
    batch->rows.clear();
    for (size_t i = 1; i <= count; ++i) {
        schema->names.push_back(prefix + std::to_string(i));
        batch->rows.push_back(row);
        batch->rows.back().layer7 = static_cast<uint16_t>(i);
        batch->rows.back().anomaly = batch->rows.back().sensor = 0;
        batch->rows.back().attribute_count = 0;
    }
    batch->schema = schema;
    return batch;
}

// The empty name counts twice: it is in the schema and in each batch.
TEST(Binary, NamesAreKeptFromBatchToBatchUpToTheBound) {
    const auto a = with_names("a", 40'000);
    const std::string bytes = bytes_of(*a);
    for (const size_t more : {65'536 - 40'002, 65'536 - 40'002 + 1}) {
        BinaryReader reader(schema_bytes(*a));
        reader.read(bytes);
        const auto b = reader.read(bytes_of(*with_names("b", more)));
        ASSERT_EQ(b->rows.size(), more);
        for (size_t i = 0; i < more; ++i)
            ASSERT_EQ(b->schema->names.at(b->rows[i].layer7), "b" + std::to_string(i + 1));
        EXPECT_EQ(b->schema->names.size(), more == 25'534 ? 65'535u : more + 1);
        EXPECT_EQ(reader.read(bytes)->schema == b->schema, more == 25'534);
    }
}

TEST(Binary, TextsOfManyRowsAreStoredOnce) {
    const auto batch = full_batch();
    const size_t one = bytes_of(*batch->take({0})).size(), many = bytes_of(*batch->take({0, 0, 0, 0, 0})).size();
    EXPECT_LT(many - one, 4 * 300u); // `text` alone has 306 bytes
    EXPECT_GT(one, 500u);            // the texts of a row
}

// As many texts as a table has places, and all of one hash would be: found or not, they come back.
TEST(Binary, ManyDifferentTexts) {
    const auto batch = full_batch();
    Row row = batch->rows[0];
    batch->rows.clear();
    batch->added.clear();
    for (int i = 0; i < 3000; ++i) {
        const std::string text = "text number " + std::to_string(i % 1000);
        row.attribute_first = static_cast<uint32_t>(batch->strings->attributes.size());
        row.attribute_count = 1;
        batch->strings->attributes.push_back({static_cast<int64_t>(batch->strings->text.size()),
                                              static_cast<uint32_t>(text.size()), 0,
                                              static_cast<uint16_t>(FieldType::string)});
        batch->strings->text += text;
        batch->rows.push_back(row);
    }
    const auto back = BinaryReader(schema_bytes(*batch)).read(bytes_of(*batch));
    EXPECT_EQ(json_of(*back), json_of(*batch));
}

std::string error_of(const std::string &schema, const std::string &batch) {
    try {
        BinaryReader(schema).read(batch);
        return "";
    } catch (const BinaryError &e) {
        return e.what();
    }
}

TEST(Binary, WhatIsRefused) {
    const auto batch = full_batch();
    const std::string schema = schema_bytes(*batch), bytes = bytes_of(*batch);
    EXPECT_EQ(error_of(schema, bytes), "");
    for (size_t size = 0; size < schema.size(); ++size)
        EXPECT_NE(error_of(schema.substr(0, size), bytes), "") << size;
    for (size_t size = 0; size < bytes.size(); ++size)
        EXPECT_NE(error_of(schema, bytes.substr(0, size)), "") << size;
    EXPECT_EQ(error_of(schema + "x", bytes), "bytes behind the end of the schema");
    EXPECT_EQ(error_of(schema, bytes + "x"), "bytes behind the end of the batch");
    EXPECT_EQ(error_of("AICX" + schema.substr(4), bytes), "this is no schema of a batch");
    std::string later = bytes;
    later[4] = 2;
    EXPECT_EQ(error_of(schema, later), "batch of version 2; this aicore reads version 1");
    std::string rows = bytes; // more rows than bytes could be
    rows.replace(14, 4, "\xff\xff\xff\xff");
    EXPECT_EQ(error_of(schema, rows), "it ends too early");
}

template <typename Change> std::string error_of_changed(Change change) {
    const auto batch = full_batch();
    const std::string schema = schema_bytes(*batch); // before the change
    change(*batch);
    return error_of(schema, bytes_of(*batch));
}

TEST(Binary, ValuesThatNoBatchHas) {
    EXPECT_EQ(error_of_changed([](Batch &) {}), "");
    EXPECT_EQ(error_of_changed([](Batch &b) { b.rows[1].ip_version = 5; }), "an address of neither IPv4 nor IPv6");
    EXPECT_EQ(error_of_changed([](Batch &b) { b.rows[1].kind = EventKind(3); }), "event is too large");
    EXPECT_EQ(error_of_changed([](Batch &b) { b.rows[1].is_new = 2; }), "new is too large");
    EXPECT_EQ(error_of_changed([](Batch &b) { b.strings->text[0] = '\xff'; }), "a text is no UTF-8");
    EXPECT_EQ(error_of_changed([](Batch &b) { std::swap(b.strings->attributes[0], b.strings->attributes[1]); }),
              "fields are out of order");
    EXPECT_EQ(error_of_changed([](Batch &b) { b.added[0].values.valid[0] = 2; }), "a flag is neither 0 nor 1");
    // Kinds whose last value is the limit of kMembers.
    EXPECT_EQ(error_of_changed([](Batch &b) {
                  b.rows[0].kind = EventKind::remove;
                  b.rows[0].layer7_by = Layer7By::port;
                  b.rows[0].tcp_state = TcpState::reset;
                  b.rows[0].end_reason = EndReason::shutdown;
                  b.rows[0].tunnel = Tunnel::teredo;
              }),
              "");
}

TEST(Binary, TextOfARecordAtTheBound) {
    for (const size_t over : {0u, 1u}) {
        const auto batch = full_batch();
        batch->rows.resize(1);
        batch->added.clear();
        batch->strings->text.assign(BinaryReader::kMaxRecordText + over, 'x');
        const auto half = static_cast<uint32_t>(BinaryReader::kMaxRecordText / 2);
        const auto type = static_cast<uint16_t>(FieldType::strings);
        batch->strings->attributes = {{0, half, kListField, type},
                                      {half, static_cast<uint32_t>(half + over), kListField, type}};
        batch->rows[0].attribute_first = 0;
        batch->rows[0].attribute_count = 2;
        EXPECT_EQ(error_of(schema_bytes(*batch), bytes_of(*batch)), over ? "a record has too much text" : "");
    }
}

// Bytes changed at random: refused, or a batch of which every form can be made.
TEST(Binary, Mutation) {
    const auto batch = full_batch();
    const std::string seed_schema = schema_bytes(*batch), seed = bytes_of(*batch);
    std::mt19937 random(20251125);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    const auto change = [&](std::string &bytes) {
        for (size_t n = 1 + below(3); n > 0; --n) {
            constexpr uint8_t kValues[] = {0, 1, 0x7f, 0x80, 0xff};
            bytes[below(bytes.size())] = static_cast<char>(below(2) ? kValues[below(5)] : random());
        }
    };
    int whole = 0;
    for (int round = 0; round < 8000; ++round) {
        std::string schema = seed_schema, bytes = seed;
        if (below(4) == 0) change(schema);
        if (below(8) != 0) change(bytes);
        const uint64_t right = binary::little(binary::fingerprint(schema));
        std::memcpy(bytes.data() + 6, &right, sizeof right);
        try {
            BinaryReader reader(schema);
            const auto back = reader.read(bytes);
            JsonReader::read(json_of(*back).substr(0, json_of(*back).find('\n')));
            ++whole;
        } catch (const BinaryError &) {
        }
    }
    EXPECT_GT(whole, 800);
}

} // namespace
} // namespace aicore::test
