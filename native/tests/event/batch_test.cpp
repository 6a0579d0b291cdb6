// SPDX-License-Identifier: Apache-2.0
// net(), take() and concat() against models that do the same slowly.
#include "aicore/batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <stdexcept>

#include "added.h"

namespace aicore::test {
namespace {

const std::vector<FieldInfo> kFields = {{"s", FieldType::string, false, 64, "", "", "", ""},
                                        {"i", FieldType::integer, false, 64, "", "", "", ""},
                                        {"l", FieldType::strings, false, 64, "", "", "", ""}};

constexpr FieldType kTypes[] = {FieldType::string,  FieldType::integer,  FieldType::strings, FieldType::real,
                                FieldType::boolean, FieldType::integers, FieldType::reals,   FieldType::time};

// A row's content, as text: all that must survive.
std::string content(const Batch &b, size_t i) {
    std::string out;
    std::vector<size_t> ends;
    append_json(out, ends, b, true, false);
    return out.substr(i ? ends[i - 1] : 0, ends[i] - (i ? ends[i - 1] : 0));
}
std::vector<std::string> contents(const Batch &b) {
    std::string out;
    std::vector<size_t> ends;
    append_json(out, ends, b, true, false);
    std::vector<std::string> rows;
    for (size_t i = 0; i < ends.size(); ++i)
        rows.push_back(out.substr(i ? ends[i - 1] : 0, ends[i] - (i ? ends[i - 1] : 0)));
    return rows;
}

struct Maker {
    std::mt19937 random;
    std::shared_ptr<Schema> schema = std::make_shared<Schema>();
    int64_t seq = 0;
    std::map<uint64_t, int> live; // flow -> events so far
    uint64_t next_flow = 1;

    explicit Maker(unsigned seed) : random(seed) { schema->fields = kFields; }
    size_t below(size_t n) { return random() % n; }

    std::string written(FieldType type) {
        std::string out;
        for (size_t i = is_list(type) ? below(4) : 1; i > 0; --i) {
            if (!out.empty()) out += '|';
            if (is_text(type))
                out += std::string(1 + below(9), static_cast<char>('a' + below(26)));
            else
                out +=
                    std::to_string(type == FieldType::boolean ? below(2) : below(1000)) + (is_real(type) ? ".5" : "");
        }
        return out;
    }

    std::unique_ptr<Batch> make(size_t n, bool with_added) {
        auto b = std::make_unique<Batch>(schema);
        while (b->rows.size() < n) {
            Row r{};
            r.ip_version = 4;
            r.proto = 17;
            r.version = r.seq = ++seq;
            r.attribute_first = static_cast<uint32_t>(b->strings->attributes.size());
            if (live.empty() || below(4) == 0) {
                r.kind = EventKind::insert;
                r.is_new = 1;
                r.flow_id[1] = next_flow;
                live[next_flow++] = 1;
            } else {
                auto it = live.begin();
                std::advance(it, below(live.size()));
                r.flow_id[1] = it->first;
                r.kind = below(3) ? EventKind::update : EventKind::remove;
                if (r.kind == EventKind::remove) live.erase(it);
            }
            r.flow_id[0] = r.flow_id[1] * 0x9e3779b97f4a7c15u;
            r.packets = static_cast<int64_t>(below(100));
            for (size_t k = below(4); k > 0; --k) {
                const std::string text(below(8), static_cast<char>('a' + below(26)));
                b->strings->attributes.push_back({static_cast<int64_t>(b->strings->text.size()),
                                                  static_cast<uint32_t>(text.size()), 2,
                                                  static_cast<uint16_t>(FieldType::strings)});
                b->strings->text += text;
            }
            if (below(2)) {
                b->strings->attributes.insert(b->strings->attributes.begin() + r.attribute_first,
                                              {-5, 0, 1, static_cast<uint16_t>(FieldType::integer)});
            }
            r.attribute_count = static_cast<uint32_t>(b->strings->attributes.size()) - r.attribute_first;
            if (!b->rows.empty() && below(5) == 0) { // unchanged: shares what a row before has
                r.attribute_first = b->rows.back().attribute_first;
                r.attribute_count = b->rows.back().attribute_count;
            }
            b->rows.push_back(r);
        }
        if (with_added) {
            for (const FieldType type : kTypes) {
                std::vector<Written> values;
                for (size_t i = 0; i < n; ++i)
                    values.push_back(below(3) ? Written(written(type)) : std::nullopt);
                if (below(4)) b->added.push_back(added("add" + std::to_string(static_cast<int>(type)), type, values));
            }
        }
        return b;
    }
};

TEST(Net, keeps_each_flows_latest_in_order_and_marks_new_ones) {
    for (unsigned seed = 0; seed < 300; ++seed) {
        Maker maker(seed);
        for (int round = 0; round < 3; ++round) {
            const auto b = maker.make(1 + maker.below(60), maker.below(2));
            const auto all = contents(*b);
            std::map<uint64_t, std::pair<size_t, bool>> want; // flow -> its latest row, whether an insert was there
            for (size_t i = 0; i < b->rows.size(); ++i) {
                auto &w = want[b->rows[i].flow_id[1]];
                w.first = i;
                w.second |= b->rows[i].kind == EventKind::insert;
            }
            std::map<size_t, bool> order;
            for (const auto &[flow, w] : want)
                order[w.first] = w.second;
            const auto net = b->net();
            ASSERT_EQ(net->rows.size(), order.size());
            size_t k = 0;
            for (const auto &[i, is_new] : order) {
                ASSERT_EQ(net->rows[k].seq, b->rows[i].seq);
                ASSERT_EQ(net->rows[k].kind, b->rows[i].kind);
                ASSERT_EQ(net->rows[k].is_new, is_new);
                net->rows[k].is_new = b->rows[i].is_new;
                ++k;
            }
            const auto got = contents(*net);
            k = 0;
            for (const auto &[i, is_new] : order)
                ASSERT_EQ(got[k++], all[i]);
            for (Row &row : net->rows)
                row.is_new = order.at(static_cast<size_t>(row.seq - b->rows[0].seq));
            ASSERT_EQ(contents(*net->net()), contents(*net)); // once is enough
            ASSERT_EQ(contents(*b), all);                     // the batch itself is as before
        }
    }
}

TEST(Net, of_two_batches_in_a_row_is_that_of_both_together) {
    for (unsigned seed = 0; seed < 200; ++seed) {
        Maker maker(seed);
        const auto a = maker.make(40, true), b = maker.make(40, false);
        const auto na = a->net(), nb = b->net();
        ASSERT_EQ(contents(*Batch::concat({na.get(), nb.get()})->net()),
                  contents(*Batch::concat({a.get(), b.get()})->net()));
    }
}

TEST(Take, gives_the_named_rows_in_the_named_order) {
    for (unsigned seed = 0; seed < 100; ++seed) {
        Maker maker(seed);
        const auto b = maker.make(30, true);
        const auto all = contents(*b);
        std::vector<uint32_t> indexes;
        for (size_t i = maker.below(50); i > 0; --i)
            indexes.push_back(static_cast<uint32_t>(maker.below(30)));
        const auto taken = b->take(indexes);
        ASSERT_EQ(taken->rows.size(), indexes.size());
        const auto got = contents(*taken);
        for (size_t i = 0; i < indexes.size(); ++i)
            ASSERT_EQ(got[i], all[indexes[i]]);
    }
}

TEST(Take, outlives_the_batch_it_was_taken_from) {
    Maker maker(1);
    auto memory = std::make_shared<BatchMemory>();
    auto b = std::make_unique<Batch>(maker.schema, memory);
    const auto model = maker.make(20, false);
    b->rows = model->rows;
    *b->strings = *model->strings;
    const auto taken = b->take({3, 5});
    const auto want = contents(*taken);
    b.reset(); // its memory must not serve another batch: the taken one shares it
    Batch next(maker.schema, memory);
    next.strings->text.assign(1000, '#');
    next.strings->attributes.resize(100);
    EXPECT_EQ(contents(*taken), want);
}

TEST(Concat, is_all_rows_one_after_another_with_only_their_own_strings) {
    for (unsigned seed = 0; seed < 200; ++seed) {
        Maker maker(seed);
        std::vector<std::unique_ptr<Batch>> batches;
        for (size_t i = 1 + maker.below(5); i > 0; --i)
            batches.push_back(maker.make(maker.below(30), maker.below(2)));
        if (!batches[0]->rows.empty()) batches.push_back(batches[0]->take({0}));
        std::vector<const Batch *> list;
        std::vector<std::string> want;
        for (const auto &b : batches) {
            list.push_back(b.get());
            for (size_t i = 0; i < b->rows.size(); ++i)
                want.push_back(content(*b, i));
        }
        const auto all = Batch::concat(list);
        ASSERT_TRUE(all);
        const auto got = contents(*all);
        ASSERT_EQ(got.size(), want.size());
        for (size_t i = 0; i < want.size(); ++i) {
            // Columns stand in the order in which they were met: compare members, not order.
            auto sorted = [](std::string s) { return std::sort(s.begin(), s.end()), s; };
            ASSERT_EQ(sorted(got[i]), sorted(want[i])) << got[i] << "\n" << want[i];
        }
    }
    Maker maker(5);
    const auto big = maker.make(1000, false);
    const auto one = big->take({7});
    EXPECT_LT(Batch::concat({one.get()})->bytes(), big->bytes() / 10);
}

// A batch of another run: the same fields and others, in another order.
std::unique_ptr<Batch> other_run() {
    auto schema = std::make_shared<Schema>();
    schema->fields = {field_of("x", FieldType::real), kFields[2], kFields[0]};
    schema->names = {"", "tls", "other"};
    auto b = std::make_unique<Batch>(schema);
    b->strings->text = "htwo";
    b->strings->attributes = {
        {std::bit_cast<int64_t>(0.5), 0, 0, static_cast<uint16_t>(FieldType::real)},
        {1, 3, 1, static_cast<uint16_t>(FieldType::strings)},
        {0, 1, 1, static_cast<uint16_t>(FieldType::strings)},
        {0, 1, 2, static_cast<uint16_t>(FieldType::string)},
    };
    Row row{};
    row.ip_version = 4;
    row.attribute_count = 4;
    row.layer7 = 2;
    b->rows = {row};
    return b;
}

std::vector<std::string> joined(const std::vector<const Batch *> &batches) {
    const auto all = Batch::concat(batches);
    std::vector<std::string> ends;
    for (const std::string &row : contents(*all)) {
        const size_t layer7 = row.find(",\"layer7\"");
        ends.push_back(row.substr(layer7 == row.npos ? row.find(",\"s\"") : layer7));
    }
    return ends;
}

TEST(Concat, of_several_runs_matches_fields_and_names_by_name) {
    const auto b = other_run();
    auto schema = std::make_shared<Schema>();
    schema->fields = {kFields[0], kFields[1]};
    schema->names = {"", "other"};
    Batch a(schema);
    a.strings->text = "one";
    a.strings->attributes = {{0, 3, 0, static_cast<uint16_t>(FieldType::string)},
                             {7, 0, 1, static_cast<uint16_t>(FieldType::integer)}};
    Row row{};
    row.ip_version = 4;
    row.attribute_count = 2;
    row.layer7 = 1;
    a.rows = {row};
    const std::vector<std::string> want = {R"(,"layer7":"other","s":"one","i":7})",
                                           R"(,"layer7":"other","s":"h","x":0.5,"l":["two","h"]})"};
    EXPECT_EQ(joined({&a, b.get()}), want);
    EXPECT_EQ(joined({b.get()}), (std::vector<std::string>{R"(,"layer7":"other","x":0.5,"l":["two","h"],"s":"h"})"}));
}

TEST(Concat, what_one_batch_added_and_another_has_from_a_protocol_is_one_column) {
    const auto b = other_run();
    Batch a(std::make_shared<Schema>());
    Row row{};
    row.ip_version = 4;
    a.rows = {row, row};
    a.added.push_back(added("s", FieldType::string, {"first", std::nullopt}));
    a.added.push_back(added("l", FieldType::strings, {std::nullopt, "a|b"}));
    for (const auto &batches : {std::vector<const Batch *>{&a, b.get()}, {b.get(), &a}}) {
        const auto all = Batch::concat(batches);
        ASSERT_EQ(all->added.size(), 2u);
        const auto rows = contents(*all);
        const size_t first = batches[0] == &a ? 0 : 1;
        EXPECT_TRUE(rows[first].ends_with(R"("s":"first"})")) << rows[first];
        EXPECT_TRUE(rows[first + 1].ends_with(R"("l":["a","b"]})")) << rows[first + 1];
        EXPECT_TRUE(rows[2 - 2 * first].ends_with(R"("x":0.5,"s":"h","l":["two","h"]})")) << rows[2 - 2 * first];
    }
}

TEST(Concat, a_field_of_two_types_is_named) {
    const auto fault = [](const std::vector<const Batch *> &batches) -> std::string {
        try {
            Batch::concat(batches);
        } catch (const std::invalid_argument &e) {
            return e.what();
        }
        return "";
    };
    const auto b = other_run();
    const auto with = [](const AddedColumn &column) {
        auto batch = std::make_unique<Batch>(std::make_shared<Schema>());
        batch->rows.resize(1);
        batch->added.push_back(column);
        return batch;
    };
    const auto integer = with(added("n", FieldType::integer, {"1"})), real = with(added("n", FieldType::real, {"1.0"})),
               text = with(added("x", FieldType::string, {std::nullopt}));
    EXPECT_EQ(fault({integer.get(), real.get()}), "field 'n' is float in one batch and int in another");
    EXPECT_EQ(fault({b.get(), text.get()}), "field 'x' is float in one batch and str in another");
    EXPECT_EQ(fault({text.get(), b.get()}), "field 'x' is float in one batch and str in another");
    EXPECT_EQ(fault({}), "there are no batches to join");
}

TEST(Concat, a_column_that_is_short_is_found) {
    for (const FieldType type : kTypes) {
        Maker maker(1);
        auto b = maker.make(5, false);
        AddedColumn column{field_of("short", type), Values(type)};
        column.values.absent(4);
        b->added.push_back(column);
        EXPECT_THROW(Batch::concat({b.get()}), std::logic_error);
        b->added[0].values.absent();
        EXPECT_NO_THROW(Batch::concat({b.get()}));
        b->added[0].values.valid.pop_back();
        EXPECT_THROW(Batch::concat({b.get()}), std::logic_error);
        b->added[0].values.valid.push_back(1);
        auto &values = b->added[0].values;
        is_list(type)   ? values.ends.pop_back()
        : is_text(type) ? values.texts.ends.pop_back()
                        : values.numbers.pop_back();
        EXPECT_THROW(Batch::concat({b.get()}), std::logic_error);
    }
}

TEST(Net, a_row_is_a_sample_if_all_rows_that_it_is_made_of_are) {
    Batch b(std::make_shared<Schema>());
    const auto add = [&](uint64_t flow, EventKind kind, bool sampled) {
        Row row{};
        row.flow_id[1] = flow;
        row.kind = kind;
        row.sampled = sampled;
        b.rows.push_back(row);
    };
    add(1, EventKind::insert, false);
    add(2, EventKind::update, true);
    add(3, EventKind::update, false);
    add(1, EventKind::update, true);
    add(2, EventKind::update, true);
    add(3, EventKind::update, true);
    add(4, EventKind::update, true);
    const auto net = b.net();
    std::vector<int> sampled;
    for (const Row &row : net->rows)
        sampled.push_back(row.sampled);
    EXPECT_EQ(sampled, (std::vector<int>{0, 1, 0, 1}));
}

TEST(Multiples, leave_out_other_samples_and_finals_that_only_repeat_one) {
    Batch b(std::make_shared<Schema>());
    const auto add = [&](int64_t packets, bool sampled, bool repeats, uint8_t proto = 6) {
        Row row{};
        row.kind = EventKind::update;
        row.proto = proto;
        row.packets = packets;
        row.sampled = sampled;
        row.repeats = repeats;
        b.rows.push_back(row);
    };
    add(4, true, false);
    add(5, false, false);
    add(6, true, false);
    add(6, false, true);
    add(4, true, false, 17);
    add(4, false, true, 17);
    std::array<uint32_t, 256> every{};
    using Rows = std::vector<uint32_t>;
    EXPECT_EQ(b.rows_at_multiples(every), (Rows{1, 3, 5})); // none: the final ones tell what samples told others
    every[6] = 4;
    EXPECT_EQ(b.rows_at_multiples(every), (Rows{0, 1, 3, 5}));
    every[6] = 6;
    every[17] = 2;
    EXPECT_EQ(b.rows_at_multiples(every), (Rows{1, 2, 4}));
    every[6] = every[17] = UINT32_MAX;
    EXPECT_EQ(b.rows_at_multiples(every), (Rows{1, 3, 5}));
}

TEST(Bytes, grow_with_what_is_added) {
    Maker maker(1);
    auto b = maker.make(100, false);
    const size_t before = b->bytes();
    const std::vector<Written> rows(100, std::string(1000, 'x'));
    b->added.push_back(added("long", FieldType::string, rows));
    EXPECT_GE(b->bytes(), before + 100'000);
    EXPECT_LT(b->bytes(), before + 300'000);
}

TEST(BatchMemory, is_used_again_and_bounded) {
    auto schema = std::make_shared<Schema>();
    auto memory = std::make_shared<BatchMemory>();
    const Row *rows;
    {
        Batch b(schema, memory);
        b.rows.resize(100);
        b.strings->text = "text";
        rows = b.rows.data();
    }
    Batch again(schema, memory);
    EXPECT_TRUE(again.rows.empty());
    EXPECT_TRUE(again.strings->text.empty());
    EXPECT_EQ(again.rows.capacity(), 100u);
    again.rows.resize(1);
    EXPECT_EQ(again.rows.data(), rows);
    {
        std::vector<std::unique_ptr<Batch>> many;
        for (int i = 0; i < 100; ++i)
            many.push_back(std::make_unique<Batch>(schema, memory));
        for (auto &b : many)
            b->rows.resize(10);
    }
    int with_memory = 0;
    std::vector<std::unique_ptr<Batch>> many;
    for (int i = 0; i < 100; ++i)
        with_memory += many.emplace_back(std::make_unique<Batch>(schema, memory))->rows.capacity() > 0;
    EXPECT_EQ(with_memory, 16);
}

} // namespace
} // namespace aicore::test
