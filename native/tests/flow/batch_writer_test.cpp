// SPDX-License-Identifier: Apache-2.0
// What a flow's state becomes in a row.
#include "batch_writer.h"

#include <gtest/gtest.h>

namespace aicore::test {
namespace {

// The row of an update of such a flow.
Row row_of(const Hot &hot_of, const Warm &warm_of) {
    EngineOptions options;
    options.version_base = 1'700'000'000'000'000;
    const auto queues = std::make_shared<BatchQueues>(1, 1);
    BatchQueue queue(queues, 0);
    Counters counters{};
    ColdPool cold;
    BatchWriter writer(options, std::make_shared<Schema>(), 0, queue, nullptr, counters);
    Hot hot = hot_of;
    Warm warm = warm_of;
    warm.cold = kNoSlot;
    EXPECT_TRUE(writer.room(1));
    writer.append_update({hot, warm, 0, 0}, cold, true);
    EXPECT_TRUE(writer.flush());
    const auto batch = queues->pop(0);
    return batch->rows.at(0);
}

TEST(BatchWriter, counters_saturate_at_63_bits) {
    constexpr uint64_t kMost = INT64_MAX;
    struct Case {
        uint64_t source, destination;
        int64_t of_source, of_destination, sum;
    };
    for (const Case &c :
         {Case{1, 2, 1, 2, 3}, Case{kMost, 0, INT64_MAX, 0, INT64_MAX}, Case{kMost - 1, 1, INT64_MAX - 1, 1, INT64_MAX},
          Case{kMost, 1, INT64_MAX, 1, INT64_MAX}, Case{kMost + 1, 0, INT64_MAX, 0, INT64_MAX},
          Case{UINT64_MAX, UINT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}}) {
        Hot hot{};
        for (auto *pair : {hot.packets, hot.bytes, hot.payload}) {
            pair[0] = c.source;
            pair[1] = c.destination;
        }
        const Row row = row_of(hot, Warm{});
        for (const int64_t value : {row.src_packets, row.src_bytes, row.src_payload_bytes})
            EXPECT_EQ(value, c.of_source);
        for (const int64_t value : {row.dst_packets, row.dst_bytes, row.dst_payload_bytes})
            EXPECT_EQ(value, c.of_destination);
        for (const int64_t value : {row.packets, row.bytes, row.payload_bytes})
            EXPECT_EQ(value, c.sum);
    }
}

TEST(BatchWriter, a_row_has_the_times_and_the_version_of_its_event) {
    Hot hot{};
    hot.last_seen = 30;
    Warm warm{};
    warm.opened = 20;
    warm.first_seen = 10;
    const Row row = row_of(hot, warm);
    EXPECT_EQ(row.opened, 20);
    EXPECT_EQ(row.first_seen, 10);
    EXPECT_EQ(row.last_seen, 30);
    EXPECT_EQ(row.duration, 20);
    EXPECT_EQ(row.version, 1'700'000'000'000'001);
    EXPECT_EQ(row.seq, 1);
    EXPECT_TRUE(row.sampled);
}

} // namespace
} // namespace aicore::test
