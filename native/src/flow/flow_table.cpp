// SPDX-License-Identifier: Apache-2.0
#include "aicore/flow_table.h"

#include <sys/random.h>

#include <bit>
#include <cstring>
#include <stdexcept>

namespace aicore {

namespace {

// Never 0, which marks an empty place.
uint16_t tag_of(uint64_t hash) {
    const auto tag = static_cast<uint16_t>(hash >> 48);
    return tag ? tag : 1;
}

uint64_t load64(const uint8_t *p) {
    uint64_t n;
    std::memcpy(&n, p, sizeof n);
    return n;
}

uint32_t load32(const uint8_t *p) {
    uint32_t n;
    std::memcpy(&n, p, sizeof n);
    return n;
}

} // namespace

HashKey random_hash_key() {
    HashKey key;
    if (getrandom(&key, sizeof key, 0) != sizeof key)
        throw std::runtime_error("getrandom failed: no key for the flow table");
    return key;
}

// Ten places a bucket at a load of at most 0.5: nearly every key is found in its first bucket.
FlowTable::FlowTable(uint32_t capacity, HashKey key)
    : capacity_(capacity), mask_(std::bit_ceil<uint64_t>(capacity / 5 + 1) - 1), key_(key),
      bucket_memory_((mask_ + 1) * sizeof(Bucket)), hot_memory_((capacity + 1ull) * sizeof(Hot)),
      warm_memory_((capacity + 1ull) * sizeof(Warm)), buckets_(reinterpret_cast<Bucket *>(bucket_memory_.data())),
      hot_(reinterpret_cast<Hot *>(hot_memory_.data())), warm_(reinterpret_cast<Warm *>(warm_memory_.data())) {}

uint64_t FlowTable::hash(const FlowKey &k) const {
    SipHash<1, 3> h(key_);
    const uint64_t ports = static_cast<uint64_t>(k.port_a) << 16 | k.port_b;
    // The tags are 0 but for tagged or tunnelled traffic; folded in so that most keys cost two words, not four.
    const uint64_t tags = (static_cast<uint64_t>(k.vlan) << 48 | static_cast<uint64_t>(k.vlan_inner) << 32) ^
                          (static_cast<uint64_t>(k.tunnel_id) << 8 | k.tunnel);
    if (k.version == 4) {
        h.add(static_cast<uint64_t>(load32(k.a)) << 32 | load32(k.b));
    } else {
        h.add(load64(k.a));
        h.add(load64(k.a + 8));
        h.add(load64(k.b));
        h.add(load64(k.b + 8));
    }
    if (tags) h.add(tags);
    h.add(ports << 16 | static_cast<uint64_t>(k.proto) << 8 | k.version);
    return h.finish64();
}

uint32_t FlowTable::find(const FlowKey &key, uint64_t hash) const {
    const uint16_t tag = tag_of(hash);
    for (uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
        const Bucket &bucket = buckets_[i];
        for (int place = 0; place < 10; ++place)
            if (bucket.tag[place] == tag && hot_[bucket.slot[place]].key == key) return bucket.slot[place];
        if (bucket.passed == 0) return kNoSlot;
    }
}

uint32_t FlowTable::prefetch_slot(uint64_t hash) const {
    const uint16_t tag = tag_of(hash);
    const Bucket &bucket = buckets_[hash & mask_];
    for (int place = 0; place < 10; ++place) {
        if (bucket.tag[place] != tag) continue;
        const auto *hot = reinterpret_cast<const char *>(&hot_[bucket.slot[place]]);
        __builtin_prefetch(hot, 1);
        __builtin_prefetch(hot + 64, 1);
        const Warm &warm = warm_[bucket.slot[place]];
        __builtin_prefetch(&warm, 1);
        __builtin_prefetch(&warm.list, 1); // often in the next line
        return bucket.slot[place];
    }
    return kNoSlot;
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
    for (uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
        Bucket &bucket = buckets_[i];
        int place = 0;
        while (place < 10 && bucket.tag[place])
            ++place;
        if (place == 10) {
            ++bucket.passed;
            continue;
        }
        bucket.tag[place] = tag_of(hash);
        bucket.slot[place] = slot;
        break;
    }
    std::memset(&hot_[slot], 0, sizeof(Hot));
    std::memset(&warm_[slot], 0, sizeof(Warm));
    hot_[slot].key = key;
    warm_[slot].cold = kNoSlot;
    append(slot, list);
    ++live_;
    return slot;
}

void FlowTable::close(uint32_t slot) {
    const uint64_t h = hash(hot_[slot].key);
    const uint16_t tag = tag_of(h);
    for (uint64_t i = h & mask_;; i = (i + 1) & mask_) {
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
    hot_[slot].next = free_; // last in, first out: the warmest slot is used next
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
