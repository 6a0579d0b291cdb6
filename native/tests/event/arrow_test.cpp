// SPDX-License-Identifier: Apache-2.0
// Arrow arrays against their specification: buffers, nulls, offsets, splitting, ownership. AddressSanitizer sees what
// is released twice or never; tests/test_arrow.py reads them with Arrow libraries.
#include "aicore/arrow.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <thread>

#include "batches.h"

namespace aicore::test {
namespace {

struct Table {
    ArrowFields fields;
    ArrowArray array{};

    Table(const std::shared_ptr<const Batch> &batch, size_t first, size_t count) : fields(arrow_fields(*batch)) {
        EXPECT_TRUE(export_rows(batch, fields, first, count, &array));
    }
    ~Table() {
        if (array.release) array.release(&array);
    }
    Table(const Table &) = delete;
    Table &operator=(const Table &) = delete;

    const ArrowArray &column(const std::string &name) const {
        for (size_t i = 0; i < fields.size(); ++i)
            if (fields[i].name == name) return *array.children[i];
        throw std::out_of_range(name);
    }
};

bool valid(const ArrowArray &column, size_t i) {
    const auto *bits = static_cast<const uint8_t *>(column.buffers[0]);
    return !bits || (bits[i / 8] >> i % 8 & 1);
}
std::string text(const ArrowArray &column, size_t i) {
    const auto *offsets = static_cast<const int32_t *>(column.buffers[1]);
    return {static_cast<const char *>(column.buffers[2]) + offsets[i],
            static_cast<size_t>(offsets[i + 1] - offsets[i])};
}
template <typename T> T value(const ArrowArray &column, size_t i) {
    return static_cast<const T *>(column.buffers[1])[i];
}

TEST(Arrow, SchemaIsAStructOfTheFields) {
    const auto batch = full_batch();
    ArrowSchema schema;
    export_schema(arrow_fields(*batch), &schema);
    EXPECT_STREQ(schema.format, "+s");
    std::map<std::string, std::pair<std::string, bool>> found;
    for (int64_t i = 0; i < schema.n_children; ++i) {
        const ArrowSchema &child = *schema.children[i];
        found[child.name] = {child.format, (child.flags & ARROW_FLAG_NULLABLE) != 0};
        if (child.format == std::string("+l")) {
            ASSERT_EQ(child.n_children, 1);
            EXPECT_STREQ(child.children[0]->name, "item");
        }
    }
    using Expected = std::pair<std::string, bool>;
    EXPECT_EQ(found["key"], Expected("u", false));
    EXPECT_EQ(found["vlan"], Expected("l", true));
    EXPECT_EQ(found["bytes"], Expected("l", false));
    EXPECT_EQ(found["first_seen"], Expected("tsn:UTC", false));
    EXPECT_EQ(found["new"], Expected("b", false));
    EXPECT_EQ(found["moment"], Expected("tsn:UTC", true));
    EXPECT_EQ(found["flag"], Expected("b", true));
    EXPECT_EQ(found["real"], Expected("g", true));
    EXPECT_EQ(found["numbers"], Expected("+l", true));
    EXPECT_EQ(found["share"], Expected("g", true));
    EXPECT_STREQ(schema.children[schema.n_children - 1]->name, "version");
    ArrowSchema moved = *schema.children[0]; // as a consumer takes one out
    schema.children[0]->release = nullptr;
    schema.release(&schema);
    EXPECT_EQ(schema.release, nullptr);
    EXPECT_STREQ(moved.name, "key");
    moved.release(&moved);
}

TEST(Arrow, ValuesAndNulls) {
    const auto batch = full_batch();
    const Table table(batch, 0, 4);
    EXPECT_EQ(table.array.length, 4);
    EXPECT_EQ(text(table.column("key"), 2), "2.19.36.53:65535:17:2.19.36.53:0");
    EXPECT_EQ(table.column("key").null_count, 0);
    EXPECT_EQ(table.column("key").buffers[0], nullptr);
    EXPECT_EQ(value<int64_t>(table.column("bytes"), 0), INT64_MAX);
    const ArrowArray &vlan = table.column("vlan");
    EXPECT_EQ(vlan.null_count, 1);
    EXPECT_FALSE(valid(vlan, 0));
    EXPECT_EQ(value<int64_t>(vlan, 3), 3);
    const ArrowArray &number = table.column("number");
    EXPECT_EQ(number.null_count, 1);
    EXPECT_EQ(value<int64_t>(number, 0), INT64_MIN);
    EXPECT_FALSE(valid(number, 2));
    EXPECT_EQ(value<double>(table.column("real"), 1), -0.25);
    EXPECT_EQ(value<uint8_t>(table.column("flag"), 0), 0b1010);
    EXPECT_EQ(value<int64_t>(table.column("moment"), 3), -1);
    const ArrowArray &list = table.column("list");
    EXPECT_EQ(value<int32_t>(list, 0), 0);
    EXPECT_EQ(value<int32_t>(list, 2), value<int32_t>(list, 3)); // null: nothing between its offsets
    EXPECT_EQ(value<int32_t>(list, 4), 6);
    EXPECT_EQ(text(*list.children[0], 5), std::string("a\0b", 3));
    EXPECT_EQ(table.column("numbers").children[0]->length, 1 + 2 + 4);
    EXPECT_EQ(value<int64_t>(*table.column("numbers").children[0], 6), 2);
    EXPECT_EQ(value<double>(*table.column("reals").children[0], 0), 1e300);
    EXPECT_EQ(text(table.column("note"), 2), "n\xc3\xb6te");
    EXPECT_EQ(table.column("tags").children[0]->length, 3);
    EXPECT_EQ(text(table.column("event"), 1), "update");
}

TEST(Arrow, AddedNumbersAreSharedAndKeepTheBatch) {
    auto batch = full_batch();
    const std::weak_ptr<Batch> held = batch;
    const void *numbers = batch->added[0].values.numbers.data();
    auto table = std::make_unique<Table>(batch, 1, 3);
    EXPECT_EQ(table->column("asn").buffers[1], static_cast<const int64_t *>(numbers) + 1);
    EXPECT_EQ(value<int64_t>(table->column("asn"), 1), INT64_MAX);
    batch.reset();
    EXPECT_FALSE(held.expired());
    std::thread([&] { table.reset(); }).join();
    EXPECT_TRUE(held.expired());
}

TEST(Arrow, AChildMayBeTakenOut) {
    auto batch = full_batch();
    ArrowArray moved;
    {
        Table table(batch, 0, 4);
        for (size_t i = 0; i < table.fields.size(); ++i)
            if (table.fields[i].name == "tags") {
                moved = *table.array.children[i];
                table.array.children[i]->release = nullptr;
            }
    }
    EXPECT_EQ(text(*moved.children[0], 1), "b");
    moved.release(&moved);
}

TEST(Arrow, RowsThatAreFarTooManyForOffsetsAreSplit) {
    const auto batch = full_batch();
    const ArrowFields fields = arrow_fields(*batch);
    const size_t one = 306; // bytes of `text` in a row
    ArrowArray array{};
    EXPECT_TRUE(export_rows(batch, fields, 0, 4, &array, 3 * one));
    array.release(&array);
    EXPECT_FALSE(export_rows(batch, fields, 0, 4, &array, 3 * one - 1));
    EXPECT_EQ(array.release, nullptr);
    for (const auto &[limit, expected] : {std::pair(3 * one, 1), {2 * one, 2}, {one, 3}, {one - 1, 0}}) {
        ArrowArrayStream stream;
        export_stream(batch, &stream, limit);
        int64_t rows = 0;
        int arrays = 0;
        for (;; ++arrays) {
            if (stream.get_next(&stream, &array) != 0) {
                EXPECT_EQ(expected, 0);
                EXPECT_STREQ(stream.get_last_error(&stream), "a row has more text than an Arrow array can hold");
                break;
            }
            if (!array.release) break;
            rows += array.length;
            array.release(&array);
        }
        EXPECT_EQ(arrays, expected);
        EXPECT_EQ(rows, expected ? 4 : 0);
        stream.release(&stream);
    }
}

// Fields of a run that a batch has not, or has as another type.
TEST(Arrow, TheSchemaOfAStreamHolds) {
    const auto batch = full_batch();
    ArrowFields fields = {{"later", FieldType::reals, true}, {"bytes", FieldType::integer, false}};
    ArrowArray array{};
    ASSERT_TRUE(export_rows(batch, fields, 0, 4, &array));
    EXPECT_EQ(array.children[0]->null_count, 4);
    EXPECT_EQ(value<int64_t>(*array.children[1], 0), INT64_MAX);
    array.release(&array);
    for (const char *name : {"number", "bytes", "asn"}) {
        fields[0] = {name, FieldType::string, true};
        try {
            EXPECT_FALSE(export_rows(batch, fields, 0, 4, &array));
            ADD_FAILURE() << name;
        } catch (const std::invalid_argument &e) {
            EXPECT_EQ(e.what(), "field '" + std::string(name) + "' is int in this batch, not str as in the schema");
        }
    }
}

struct Failing : ArrowSource {
    int left = 1;
    std::shared_ptr<const Batch> next() override {
        if (left-- == 0) throw std::runtime_error("the source has ended early");
        return full_batch();
    }
};

TEST(Arrow, AnErrorOfTheSourceIsTheStreamS) {
    ArrowArrayStream stream;
    export_stream(std::make_unique<Failing>(), {{"key", FieldType::string, false}}, &stream);
    ArrowSchema schema;
    ASSERT_EQ(stream.get_schema(&stream, &schema), 0);
    EXPECT_EQ(schema.n_children, 1);
    schema.release(&schema);
    ArrowArray array;
    ASSERT_EQ(stream.get_next(&stream, &array), 0);
    EXPECT_EQ(stream.get_last_error(&stream), nullptr);
    array.release(&array);
    EXPECT_NE(stream.get_next(&stream, &array), 0);
    EXPECT_STREQ(stream.get_last_error(&stream), "the source has ended early");
    stream.release(&stream);
}

TEST(Arrow, NoRows) {
    const auto batch = std::shared_ptr<Batch>(full_batch()->take({}));
    const Table table(batch, 0, 0);
    EXPECT_EQ(table.array.length, 0);
    for (int64_t i = 0; i < table.array.n_children; ++i)
        EXPECT_NE(table.array.children[i]->buffers[1], nullptr); // consumers may ask for a pointer
    ArrowArrayStream stream;
    export_stream(batch, &stream);
    ArrowArray array;
    EXPECT_EQ(stream.get_next(&stream, &array), 0);
    EXPECT_EQ(array.release, nullptr);
    stream.release(&stream);
}

} // namespace
} // namespace aicore::test
