// SPDX-License-Identifier: Apache-2.0
#include "aicore/flow_table.h"

#include <sys/random.h>

#include <bit>
#include <cstring>
#include <stdexcept>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace aicore {

namespace {

// Never 0, which marks an empty place.
uint16_t tag_of(uint64_t hash) {
    const auto tag = static_cast<uint16_t>(hash >> 48);
    return tag ? tag : 1;
}

} // namespace

HashKey random_hash_key() {
    HashKey key;
    if (getrandom(&key, sizeof key, 0) != sizeof key)
        throw std::runtime_error("getrandom failed: no key for the flow table");
    return key;
}

// Ten places a bucket at a load of at most 0.7: nine keys of ten are found in their first bucket.
FlowTable::FlowTable(uint32_t capacity, HashKey key)
    : capacity_(capacity), bucket_count_(capacity / 7 + 1), hash_(key), bucket_memory_(bucket_count_ * sizeof(Bucket)),
      hot_memory_((capacity + 1ull) * sizeof(Hot)), warm_memory_((capacity + 1ull) * sizeof(Warm)),
      buckets_(reinterpret_cast<Bucket *>(bucket_memory_.data())), hot_(reinterpret_cast<Hot *>(hot_memory_.data())),
      warm_(reinterpret_cast<Warm *>(warm_memory_.data())) {}

uint32_t FlowTable::Bucket::matches(uint16_t wanted) const {
#ifdef __SSE2__ // compilers make ten comparisons of the loop
    const __m128i same = _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(tag)),
                                         _mm_set1_epi16(static_cast<int16_t>(wanted)));
    const auto eight = static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(same, _mm_setzero_si128())));
    return eight | static_cast<uint32_t>(tag[8] == wanted) << 8 | static_cast<uint32_t>(tag[9] == wanted) << 9;
#else
    uint32_t found = 0;
    for (uint32_t place = 0; place < 10; ++place)
        found |= static_cast<uint32_t>(tag[place] == wanted) << place;
    return found;
#endif
}

uint32_t FlowTable::find(const FlowKey &key, uint64_t hash) const {
    const uint16_t tag = tag_of(hash);
    for (uint64_t i = bucket_of(hash);; i = behind(i)) {
        const Bucket &bucket = buckets_[i];
        for (uint32_t left = bucket.matches(tag); left; left &= left - 1)
            if (const uint32_t slot = bucket.slot[std::countr_zero(left)]; holds(slot, key)) return slot;
        if (bucket.passed == 0) return kNoSlot;
    }
}

uint32_t FlowTable::prefetch_slot(uint64_t hash) const {
    const uint16_t tag = tag_of(hash);
    const Bucket &bucket = buckets_[bucket_of(hash)];
    const uint32_t found = bucket.matches(tag);
    if (!found) return kNoSlot;
    const uint32_t slot = bucket.slot[std::countr_zero(found)];
    const auto *hot = reinterpret_cast<const char *>(&hot_[slot]);
    __builtin_prefetch(hot, 1);
    __builtin_prefetch(hot + 64, 1);
    __builtin_prefetch(&warm_[slot], 1); // where what packets look at is
    return slot;
}

void FlowTable::prefetch_neighbours(uint32_t slot) const {
    const Hot &hot = hot_[slot];
    if (hot.next != kNoSlot) __builtin_prefetch(&hot_[hot.next].next, 1);
    if (hot.prev != kNoSlot) __builtin_prefetch(&hot_[hot.prev].next, 1);
}

uint32_t FlowTable::open(const FlowKey &key, uint64_t hash, List list) {
    uint32_t slot;
    if (free_ != kNoSlot) {
        slot = free_;
        free_ = hot_[slot].next;
    } else if (touched_slots_ < capacity_) {
        slot = touched_slots_++;
    } else {
        return kNoSlot;
    }
    for (uint64_t i = bucket_of(hash);; i = behind(i)) {
        Bucket &bucket = buckets_[i];
        const uint32_t empty = bucket.matches(0);
        if (!empty) {
            ++bucket.passed;
            continue;
        }
        const int place = std::countr_zero(empty);
        bucket.tag[place] = tag_of(hash);
        bucket.slot[place] = slot;
        break;
    }
    std::memset(&hot_[slot], 0, sizeof(Hot));
    std::memset(&warm_[slot], 0, sizeof(Warm));
    hot_[slot].key = key;
    warm_[slot].cold = warm_[slot].doubts = kNoSlot;
    append(slot, list);
    ++live_;
    return slot;
}

void FlowTable::close(uint32_t slot) {
    const uint64_t h = hash(hot_[slot].key);
    const uint16_t tag = tag_of(h);
    for (uint64_t i = bucket_of(h);; i = behind(i)) {
        Bucket &bucket = buckets_[i];
        int place = 0;
        while (place < 10 && !(bucket.tag[place] == tag && bucket.slot[place] == slot))
            ++place;
        if (place < 10) {
            bucket.tag[place] = 0;
            break;
        }
        --bucket.passed;
    }
    unlink(slot);
    hot_[slot].key.version = 0; // no key: holds() is not true of it any more
    hot_[slot].next = free_;    // last in, first out: the warmest slot is used next
    free_ = slot;
    --live_;
}

void FlowTable::to_tail(uint32_t slot, List list) {
    if (warm_[slot].list == list && lists_[static_cast<size_t>(list)].tail == slot) return;
    unlink(slot);
    append(slot, list);
}

void FlowTable::unlink(uint32_t slot) {
    Hot &h = hot_[slot];
    Ends &ends = lists_[static_cast<size_t>(warm_[slot].list)];
    if (h.next == kNoSlot)
        ends.tail = h.prev;
    else
        hot_[h.next].prev = h.prev;
    if (h.prev != kNoSlot) {
        hot_[h.prev].next = h.next;
        return;
    }
    ends.head = h.next;
    if (ends.head == kNoSlot) return;
    // Heads end one after the other: what the next two will touch comes while packets go on.
    __builtin_prefetch(&warm_[ends.head], 1);
    if (const uint32_t second = hot_[ends.head].next; second != kNoSlot) __builtin_prefetch(&hot_[second], 1);
}

void FlowTable::append(uint32_t slot, List list) {
    Hot &h = hot_[slot];
    Ends &ends = lists_[static_cast<size_t>(list)];
    h.prev = ends.tail;
    h.next = kNoSlot;
    if (ends.tail == kNoSlot)
        ends.head = slot;
    else
        hot_[ends.tail].next = slot;
    ends.tail = slot;
    warm_[slot].list = list;
}

} // namespace aicore
