// SPDX-License-Identifier: Apache-2.0
#include "fragments.h"

#include <bit>
#include <cstring>
#include <random>

namespace aicore {
namespace {

HashKey fresh_key() {
    std::random_device device;
    auto word = [&device] { return static_cast<uint64_t>(device()) << 32 | device(); };
    return {word(), word()};
}

} // namespace

FragmentTable::FragmentTable(uint32_t capacity, Counters &counters)
    : counters_(counters), hash_key_(fresh_key()), capacity_(capacity),
      mask_(std::bit_ceil(capacity < 8 ? 8u : capacity) - 1), buckets_(std::make_unique<uint32_t[]>(mask_ + 1)),
      entries_(std::make_unique<Entry[]>(capacity)) {
    for (uint32_t i = 0; i <= mask_; ++i)
        buckets_[i] = kNone;
    for (uint32_t i = capacity; i-- > 0;) {
        entries_[i].next = free_;
        free_ = i;
    }
}

uint32_t FragmentTable::bucket_of(const FragmentKey &key) const {
    uint64_t words[sizeof(FragmentKey) / 8];
    std::memcpy(words, &key, sizeof words);
    SipHash<1, 3> hash(hash_key_);
    for (uint64_t word : words)
        hash.add(word);
    return static_cast<uint32_t>(hash.finish64()) & mask_;
}

uint32_t FragmentTable::look_up(uint32_t bucket, const FragmentKey &key) const {
    uint32_t i = buckets_[bucket];
    while (i != kNone && std::memcmp(&entries_[i].key, &key, sizeof key) != 0)
        i = entries_[i].next;
    return i;
}

void FragmentTable::unlink_use(uint32_t i) {
    const Entry &e = entries_[i];
    (e.newer == kNone ? newest_ : entries_[e.newer].older) = e.older;
    (e.older == kNone ? oldest_ : entries_[e.older].newer) = e.newer;
}

void FragmentTable::link_newest(uint32_t i) {
    entries_[i].newer = kNone;
    entries_[i].older = newest_;
    (newest_ == kNone ? oldest_ : entries_[newest_].newer) = i;
    newest_ = i;
}

void FragmentTable::forget(uint32_t i) {
    Entry &e = entries_[i];
    uint32_t *link = &buckets_[e.bucket];
    while (*link != i)
        link = &entries_[*link].next;
    *link = e.next;
    unlink_use(i);
    e.next = free_;
    free_ = i;
    --size_;
}

// Either way: timestamps of a capture may go back, and a capture read after another may be older.
bool FragmentTable::expired(const Entry &entry, int64_t time) {
    uint64_t age = time > entry.time ? static_cast<uint64_t>(time) - static_cast<uint64_t>(entry.time)
                                     : static_cast<uint64_t>(entry.time) - static_cast<uint64_t>(time);
    return age > static_cast<uint64_t>(kTimeout);
}

void FragmentTable::remember(const FragmentKey &key, int64_t time, const FragmentedDatagram &datagram) {
    uint32_t bucket = bucket_of(key);
    uint32_t i = look_up(bucket, key);
    if (i != kNone) {
        unlink_use(i);
    } else {
        if (free_ == kNone) {
            if (capacity_ == 0 || !expired(entries_[oldest_], time)) ++counters_[Counter::fragment_table_full];
            if (capacity_ == 0) return;
            forget(oldest_);
        }
        i = free_;
        free_ = entries_[i].next;
        entries_[i].key = key;
        entries_[i].bucket = bucket;
        entries_[i].next = buckets_[bucket];
        buckets_[bucket] = i;
        ++size_;
    }
    entries_[i].datagram = datagram;
    entries_[i].time = time;
    link_newest(i);
}

const FragmentedDatagram *FragmentTable::find(const FragmentKey &key, int64_t time) {
    uint32_t i = look_up(bucket_of(key), key);
    if (i == kNone) return nullptr;
    if (expired(entries_[i], time)) {
        forget(i);
        return nullptr;
    }
    unlink_use(i);
    link_newest(i);
    return &entries_[i].datagram;
}

} // namespace aicore
