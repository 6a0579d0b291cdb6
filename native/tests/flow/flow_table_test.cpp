// SPDX-License-Identifier: Apache-2.0
// The flow table against std::map and lists that do the same slowly.
#include "aicore/flow_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <map>
#include <random>

namespace aicore::test {
namespace {

FlowKey key_of(uint64_t n, uint8_t version = 4) {
    FlowKey k{};
    std::memcpy(k.a, &n, version == 4 ? 4 : 8);
    k.b[0] = 9;
    k.port_a = static_cast<uint16_t>(n >> 32);
    k.port_b = 80;
    k.proto = kProtoTcp;
    k.version = version;
    return k;
}

struct Less {
    bool operator()(const FlowKey &x, const FlowKey &y) const { return std::memcmp(&x, &y, sizeof x) < 0; }
};

TEST(FlowTable, random_operations_agree_with_a_map) {
    std::mt19937_64 random(11);
    for (const uint32_t capacity : {1u, 2u, 9u, 10u, 11u, 64u, 1000u}) {
        FlowTable table(capacity, {random(), random()});
        std::map<FlowKey, uint32_t, Less> model;
        std::list<uint32_t> lists[4]; // slots in order
        std::map<uint32_t, size_t> list_of;
        const auto keys = capacity * 2;
        for (int i = 0; i < 40'000; ++i) {
            const FlowKey key = key_of(random() % keys, random() % 2 ? 4 : 6);
            const uint64_t hash = table.hash(key);
            const uint32_t slot = table.find(key, hash);
            const auto it = model.find(key);
            ASSERT_EQ(slot, it == model.end() ? kNoSlot : it->second);
            table.prefetch_bucket(hash);
            if (const uint32_t likely = table.prefetch_slot(hash); likely != kNoSlot && table.holds(likely, key)) {
                ASSERT_EQ(likely, slot);
            }
            if (slot != kNoSlot) table.prefetch_neighbours(slot);
            const auto list = static_cast<size_t>(random() % 4);
            if (slot == kNoSlot) {
                const uint32_t fresh = table.open(key, hash, static_cast<List>(list));
                ASSERT_EQ(fresh == kNoSlot, model.size() == capacity);
                if (fresh == kNoSlot) continue;
                ASSERT_LT(fresh, capacity);
                ASSERT_TRUE(table.hot(fresh).key == key);
                ASSERT_EQ(table.hot(fresh).packets[0], 0u); // whatever the slot held before
                ASSERT_EQ(table.warm(fresh).flow_id[0], 0u);
                ASSERT_EQ(table.warm(fresh).cold, kNoSlot);
                table.hot(fresh).packets[0] = table.warm(fresh).flow_id[0] = random();
                model[key] = fresh;
                lists[list].push_back(fresh);
                list_of[fresh] = list;
            } else if (random() % 3 == 0) {
                table.to_tail(slot, static_cast<List>(list));
                lists[list_of[slot]].remove(slot);
                lists[list].push_back(slot);
                list_of[slot] = list;
            } else if (random() % 2) {
                table.close(slot);
                model.erase(it);
                lists[list_of[slot]].remove(slot);
                list_of.erase(slot);
            }
            ASSERT_EQ(table.live(), model.size());
            ASSERT_EQ(table.full(), model.size() == capacity);
            for (size_t l = 0; l < 4; ++l)
                ASSERT_EQ(table.head(static_cast<List>(l)), lists[l].empty() ? kNoSlot : lists[l].front());
        }
        for (size_t l = 0; l < 4; ++l) // the whole of each list, by its heads
            while (!lists[l].empty()) {
                ASSERT_EQ(table.head(static_cast<List>(l)), lists[l].front());
                table.close(lists[l].front());
                lists[l].pop_front();
            }
        ASSERT_EQ(table.live(), 0u);
    }
}

TEST(FlowTable, full_table_of_the_default_size_finds_every_flow_through_its_renewal) {
    constexpr uint32_t kCapacity = 163'840;
    FlowTable table(kCapacity, random_hash_key());
    std::vector<uint64_t> hashes;
    for (uint32_t i = 0; i < kCapacity; ++i) {
        const FlowKey key = key_of(i);
        ASSERT_NE(table.open(key, table.hash(key), List::open), kNoSlot);
    }
    ASSERT_TRUE(table.full());
    EXPECT_EQ(table.open(key_of(kCapacity), table.hash(key_of(kCapacity)), List::open), kNoSlot);
    // The longest idle goes, another comes, four times the table's size.
    for (uint32_t i = kCapacity; i < 5 * kCapacity; ++i) {
        table.close(table.head(List::open));
        const FlowKey key = key_of(i);
        ASSERT_EQ(table.find(key, table.hash(key)), kNoSlot);
        ASSERT_NE(table.open(key, table.hash(key), List::open), kNoSlot);
    }
    for (uint32_t i = 0; i < 5 * kCapacity; ++i) {
        const FlowKey key = key_of(i);
        const uint32_t slot = table.find(key, table.hash(key));
        if (i < 4 * kCapacity) {
            ASSERT_EQ(slot, kNoSlot) << i;
        } else {
            ASSERT_NE(slot, kNoSlot) << i;
            ASSERT_TRUE(table.hot(slot).key == key);
        }
    }
}

// Keys of one bucket: they pass it, live further on, and are found there until they close, in whatever order.
TEST(FlowTable, keys_that_passed_full_buckets_are_found_until_they_close) {
    std::mt19937 random(12);
    constexpr uint32_t kCapacity = 60; // 9 buckets
    FlowTable table(kCapacity, {1, 2});
    std::vector<FlowKey> same;
    for (uint64_t n = 0; same.size() < 45; ++n)
        if (const FlowKey key = key_of(n); table.bucket_of(table.hash(key)) == table.buckets() - 1)
            same.push_back(key); // the last bucket: they wrap around
    for (int round = 0; round < 300; ++round) {
        std::vector<FlowKey> live, gone = same;
        for (int i = 0; i < 200; ++i) {
            auto &from = random() % 3 && !gone.empty() ? gone : live.empty() ? gone : live;
            const size_t at = random() % from.size();
            const FlowKey key = from[at];
            from.erase(from.begin() + static_cast<long>(at));
            const uint32_t slot = table.find(key, table.hash(key));
            if (&from == &gone) {
                ASSERT_EQ(slot, kNoSlot);
                ASSERT_NE(table.open(key, table.hash(key), List::open), kNoSlot);
                live.push_back(key);
            } else {
                ASSERT_NE(slot, kNoSlot);
                table.close(slot);
                gone.push_back(key);
            }
        }
        for (const FlowKey &key : live)
            ASSERT_NE(table.find(key, table.hash(key)), kNoSlot);
        for (const FlowKey &key : gone)
            ASSERT_EQ(table.find(key, table.hash(key)), kNoSlot);
        for (const FlowKey &key : live)
            table.close(table.find(key, table.hash(key)));
        ASSERT_EQ(table.live(), 0u);
    }
}

// Every bucket was passed by a key that found no place in it. With the keys gone nothing is left of that: else the
// search for one that is not there passes bucket after bucket, in the end for ever.
TEST(FlowTable, a_search_ends_at_its_bucket_once_those_that_passed_it_are_gone) {
    FlowTable table(60, {1, 2}); // 9 buckets of 10 places
    ASSERT_EQ(table.buckets(), 9u);
    std::vector<FlowKey> keys[9];
    for (uint64_t n = 0; std::any_of(std::begin(keys), std::end(keys), [](auto &k) { return k.size() < 11; }); ++n)
        if (auto &bucket = keys[table.bucket_of(table.hash(key_of(n)))]; bucket.size() < 11)
            bucket.push_back(key_of(n));
    for (const auto &bucket : keys) {
        for (const FlowKey &key : bucket)
            ASSERT_NE(table.open(key, table.hash(key), List::open), kNoSlot);
        for (const FlowKey &key : bucket)
            table.close(table.find(key, table.hash(key)));
    }
    EXPECT_EXIT(
        {
            alarm(30);
            std::exit(table.find(keys[0][0], table.hash(keys[0][0])) == kNoSlot ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

// Nor does what it held before: a packet that was looked up before its flow ended must open another one.
TEST(FlowTable, a_slot_that_was_closed_holds_no_key) {
    FlowTable table(10, {5, 6});
    const uint32_t slot = table.open(key_of(1), table.hash(key_of(1)), List::open);
    EXPECT_TRUE(table.holds(slot, key_of(1)));
    EXPECT_FALSE(table.holds(slot, key_of(2)));
    table.close(slot);
    EXPECT_FALSE(table.holds(slot, key_of(1)));
}

// Every part of the key counts, also where IPv4 leaves bytes empty.
TEST(FlowTable, every_byte_of_a_key_changes_its_hash) {
    const FlowHash hash({7, 8}), other({7, 9});
    for (const uint8_t version : {4, 6}) {
        const FlowKey key = key_of(1, version);
        EXPECT_EQ(hash(key), hash(key));
        EXPECT_NE(hash(key), other(key));
        for (size_t i = 0; i < sizeof key; ++i) {
            if (version == 4 && (i % 16 >= 4 && i < 32)) continue; // of an IPv6 address alone
            FlowKey changed = key;
            reinterpret_cast<uint8_t *>(&changed)[i] ^= 0x10;
            if (changed.version != version) continue;
            EXPECT_NE(hash(changed), hash(key)) << i;
        }
    }
}

// Buckets and tags are of both ends of the hash: of keys that differ in one bit after another neither may be uneven.
TEST(FlowTable, keys_in_a_row_spread_evenly) {
    const FlowHash hash(random_hash_key());
    std::vector<unsigned> low(256), high(256);
    for (uint64_t n = 0; n < 256 * 256; ++n) {
        const uint64_t h = hash(key_of(n));
        ++low[(h & UINT32_MAX) >> 24];
        ++high[h >> 56];
    }
    for (size_t i = 0; i < 256; ++i) { // 256 expected, deviation 16
        EXPECT_LT(low[i], 400u);
        EXPECT_GT(low[i], 130u);
        EXPECT_LT(high[i], 400u);
        EXPECT_GT(high[i], 130u);
    }
}

TEST(FlowTable, slots_are_used_again_last_in_first_out) {
    FlowTable table(1000, {3, 4});
    const uint32_t a = table.open(key_of(1), table.hash(key_of(1)), List::open);
    const uint32_t b = table.open(key_of(2), table.hash(key_of(2)), List::open);
    table.close(a);
    table.close(b);
    EXPECT_EQ(table.open(key_of(3), table.hash(key_of(3)), List::open), b);
    EXPECT_EQ(table.open(key_of(4), table.hash(key_of(4)), List::open), a);
}

TEST(FlowTable, every_part_of_the_key_counts) {
    FlowTable table(100, {5, 6});
    std::vector<FlowKey> keys;
    for (const uint8_t version : {uint8_t{4}, uint8_t{6}}) {
        const FlowKey base = key_of(0x0102030405060708, version);
        keys.push_back(base);
        const auto with = [&](auto change) {
            FlowKey k = base;
            change(k);
            keys.push_back(k);
        };
        for (size_t i = 0; i < (version == 4 ? 4u : 16u); ++i) {
            with([&](FlowKey &k) { k.a[i] ^= 0x80; });
            with([&](FlowKey &k) { k.b[i] ^= 1; });
        }
        with([](FlowKey &k) { k.port_a ^= 1; });
        with([](FlowKey &k) { k.port_b ^= 0x8000; });
        with([](FlowKey &k) { k.vlan = 1; });
        with([](FlowKey &k) { k.vlan_inner = 1; });
        with([](FlowKey &k) { k.tunnel_id = 1; });
        with([](FlowKey &k) { k.tunnel_id = 0x80000000; });
        with([](FlowKey &k) { k.tunnel = 1; });
        with([](FlowKey &k) { k.proto = kProtoUdp; });
    }
    std::map<uint64_t, int> hashes;
    for (const FlowKey &k : keys) {
        ++hashes[table.hash(k)];
        ASSERT_EQ(table.find(k, table.hash(k)), kNoSlot);
        ASSERT_NE(table.open(k, table.hash(k), List::open), kNoSlot);
    }
    EXPECT_EQ(hashes.size(), keys.size());
}

TEST(FlowTable, hash_is_keyed) {
    FlowTable a(10, {1, 2}), b(10, {1, 3});
    EXPECT_NE(a.hash(key_of(1)), b.hash(key_of(1)));
    const HashKey x = random_hash_key(), y = random_hash_key();
    EXPECT_TRUE(x.k0 != y.k0 || x.k1 != y.k1);
}

// 50,000 tuples that collide under a plain XOR of addresses and ports, as cheap as any others.
TEST(FlowTable, chosen_tuples_spread_like_random_ones) {
    constexpr uint32_t kFlows = 50'000;
    for (uint64_t seed = 0; seed < 100; ++seed) { // a hash that is linear crowds them under some keys
        const FlowHash hash({seed, 1});
        std::vector<uint32_t> buckets(32'768);
        for (uint32_t i = 0; i < kFlows; ++i) {
            FlowKey k{};
            const uint32_t a = 0x0a000000 + i, b = 0x0b000000 + i; // a ^ b is the same for all
            std::memcpy(k.a, &a, 4);
            std::memcpy(k.b, &b, 4);
            k.port_a = k.port_b = static_cast<uint16_t>(1000 + i % 50'000);
            k.proto = kProtoUdp;
            k.version = 4;
            ++buckets[hash(k) & 32'767];
        }
        ASSERT_LT(*std::max_element(buckets.begin(), buckets.end()), 16u) << seed; // mean 1.5, hardly ever above 12
    }
}

} // namespace
} // namespace aicore::test
