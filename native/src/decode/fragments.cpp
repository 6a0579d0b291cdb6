// SPDX-License-Identifier: Apache-2.0
#include "fragments.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <functional>
#include <random>
#include <utility>
#include <vector>

namespace aicore {
namespace {

HashKey fresh_key() {
    std::random_device device;
    auto word = [&device] { return static_cast<uint64_t>(device()) << 32 | device(); };
    return {word(), word()};
}

constexpr uint32_t kPrintBytes = 28; // of a first fragment: the transport's checksum, and TCP's numbers

} // namespace

FragmentTable::FragmentTable(uint32_t capacity, Counters &counters)
    : counters_(counters), hash_key_(fresh_key()), capacity_(std::max(capacity, 1u)),
      mask_(std::bit_ceil(std::max(capacity, 8u)) - 1), buckets_(std::make_unique<uint32_t[]>(mask_ + 1)),
      entries_(std::make_unique<Entry[]>(capacity_)), blocks_(std::make_unique_for_overwrite<Block[]>(kBlocks)),
      free_block_(std::make_unique<uint16_t[]>(kBlocks)) {
    for (uint32_t i = 0; i <= mask_; ++i)
        buckets_[i] = kNone;
    for (uint32_t i = capacity_; i-- > 0;) {
        entries_[i].next = free_;
        free_ = i;
    }
    for (uint32_t i = 0; i < kBlocks; ++i)
        free_block_[i] = static_cast<uint16_t>(kBlocks - 1 - i);
    for (auto &buffer : buffer_)
        buffer = std::make_unique_for_overwrite<uint8_t[]>(kMaxBytes);
}

// The table -------------------------------------------------------------------------------------------------------

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
    Uses &uses = e.holds ? holding_ : others_;
    (e.newer == kNone ? uses.newest : entries_[e.newer].older) = e.older;
    (e.older == kNone ? uses.oldest : entries_[e.older].newer) = e.newer;
}

void FragmentTable::link_newest(uint32_t i, bool holds) {
    Uses &uses = holds ? holding_ : others_;
    entries_[i].holds = holds;
    entries_[i].newer = kNone;
    entries_[i].older = uses.newest;
    (uses.newest == kNone ? uses.oldest : entries_[uses.newest].newer) = i;
    uses.newest = i;
}

// What waited for a first fragment will not find it any more.
void FragmentTable::begin_anew(FragmentedDatagram &d) {
    counters_[Counter::orphan_fragments] += d.waiting;
    release(d);
    d = {};
}

void FragmentTable::forget(uint32_t i) {
    Entry &e = entries_[i];
    begin_anew(e.datagram);
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

FragmentedDatagram &FragmentTable::at(const FragmentKey &key, int64_t time) {
    uint32_t bucket = bucket_of(key);
    uint32_t i = look_up(bucket, key);
    if (i != kNone) {
        if (expired(entries_[i], time)) begin_anew(entries_[i].datagram);
        unlink_use(i);
    } else {
        if (free_ == kNone) {
            const uint32_t oldest = others_.oldest == kNone ? holding_.oldest : others_.oldest;
            if (!expired(entries_[oldest], time)) ++counters_[Counter::fragment_table_full];
            forget(oldest);
        }
        i = free_;
        Entry &e = entries_[i];
        free_ = e.next;
        e.key = key;
        e.bucket = bucket;
        e.time = time;
        e.next = buckets_[bucket];
        buckets_[bucket] = i;
        ++size_;
    }
    link_newest(i, entries_[i].datagram.state == FragmentedDatagram::collecting);
    return entries_[i].datagram;
}

FragmentedDatagram *FragmentTable::find(const FragmentKey &key) {
    const uint32_t i = look_up(bucket_of(key), key);
    return i == kNone ? nullptr : &entries_[i].datagram;
}

uint32_t FragmentTable::index_of(const FragmentedDatagram &datagram) const {
    const auto *entry = reinterpret_cast<const uint8_t *>(&datagram) - offsetof(Entry, datagram);
    return static_cast<uint32_t>(static_cast<size_t>(entry - reinterpret_cast<const uint8_t *>(entries_.get())) /
                                 sizeof(Entry));
}

// Bytes -----------------------------------------------------------------------------------------------------------

void FragmentTable::release(FragmentedDatagram &d) {
    for (uint16_t &block : d.blocks)
        if (block != FragmentedDatagram::kNoBlock)
            free_block_[free_blocks_++] = std::exchange(block, FragmentedDatagram::kNoBlock);
}

void FragmentTable::finish(uint32_t i, FragmentedDatagram::State state) {
    release(entries_[i].datagram);
    entries_[i].datagram.state = state;
    unlink_use(i);
    link_newest(i, false);
}

// False: there is no room, although all other datagrams were asked.
bool FragmentTable::take_blocks(FragmentedDatagram &d, uint32_t begin, uint32_t end) {
    for (uint32_t n = begin / kBlockBytes; n * kBlockBytes < end; ++n) {
        if (d.blocks[n] != FragmentedDatagram::kNoBlock) continue;
        while (free_blocks_ == 0) {
            const uint32_t oldest = holding_.oldest;
            if (&entries_[oldest].datagram == &d) return false;
            ++counters_[Counter::fragment_table_full];
            finish(oldest, FragmentedDatagram::given_up);
        }
        d.blocks[n] = free_block_[--free_blocks_];
        blocks_[d.blocks[n]].here.fill(0);
    }
    return true;
}

// Calls visit(word, mask) for each word of bits that the bytes touch, nothing for blocks that are not there.
template <typename Visit>
void FragmentTable::each_word(const FragmentedDatagram &d, uint32_t begin, uint32_t end, Visit visit) const {
    const uint32_t last = (end + 7) / 8; // behind it, in units
    for (uint32_t unit = begin / 8; unit < last;) {
        const uint32_t bit = unit % 64, count = std::min(64 - bit, last - unit);
        const uint16_t block = d.blocks[unit / kUnits];
        uint64_t none = 0;
        const uint64_t mask = (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << bit;
        visit(block == FragmentedDatagram::kNoBlock ? none : blocks_[block].here[unit % kUnits / 64], mask);
        unit += count;
    }
}

FragmentTable::Place FragmentTable::add(FragmentedDatagram &d, const FragmentBytes &f, int64_t time) {
    const uint32_t i = index_of(d);
    const int64_t before = std::exchange(entries_[i].time, time);
    // Behind the largest datagram, or no multiple of 8 although more follow: such fragments fit nowhere.
    if (f.length == 0 || f.end() > kMaxBytes || (f.more && f.length % 8 != 0)) return Place::unfit;
    uint64_t print = 0;
    if (f.offset == 0) {
        SipHash<1, 3> hash(hash_key_);
        hash.add(f.length);
        for (uint32_t n = 0; n < std::min(f.captured, kPrintBytes); ++n)
            hash.add(f.data[n]);
        print = hash.finish64() | 1;
    }
    const bool later = time > before && static_cast<uint64_t>(time) - static_cast<uint64_t>(before) > kReuse;
    const auto anew = [&] {
        begin_anew(d);
        unlink_use(i);
        link_newest(i, true);
    };
    if (d.state == FragmentedDatagram::whole) {
        if (f.offset == 0 ? print == d.print : !later) return Place::duplicate;
        anew();
    } else if (d.state == FragmentedDatagram::given_up) {
        if (!later) {
            d.have += f.length;
            d.first |= f.offset == 0;
            return Place::given_up;
        }
        anew();
    }
    bool any = false, all = true;
    const auto look = [&] {
        each_word(d, f.offset, f.end(), [&](uint64_t word, uint64_t mask) {
            any |= (word & mask) != 0;
            all &= (word & mask) == mask;
        });
    };
    look();
    const bool ends_well = f.more         ? d.total == 0 || f.end() < d.total
                           : d.total == 0 ? f.end() >= d.highest && (!any || f.end() != d.highest || all)
                                          : f.end() == d.total;
    if (any || !ends_well) {
        bool same = all && ends_well && (f.more || d.total != 0);
        for (uint32_t n = 0; same && n < f.captured;) {
            const uint32_t at = f.offset + n, count = std::min(f.captured - n, kBlockBytes - at % kBlockBytes);
            const uint8_t *known = blocks_[d.blocks[at / kBlockBytes]].data + at % kBlockBytes;
            same = std::memcmp(known, f.data + n, count) == 0;
            n += count;
        }
        if (same) return Place::duplicate;
        if (!later) {
            ++counters_[Counter::fragment_overlaps];
            d.first |= f.offset == 0;
            finish(i, FragmentedDatagram::given_up);
            return Place::overlap;
        }
        anew();
    }
    if (f.offset == 0) {
        d.first = true;
        d.print = print;
    }
    d.have += f.length;
    d.highest = std::max(d.highest, f.end());
    if (!f.more) d.total = f.end();
    if (f.captured < f.length) d.readable = std::min(d.readable, f.offset + f.captured);
    if (!take_blocks(d, f.offset, f.end())) {
        finish(i, FragmentedDatagram::given_up);
        return Place::fresh;
    }
    each_word(d, f.offset, f.end(), [](uint64_t &word, uint64_t mask) { word |= mask; });
    for (uint32_t n = 0; n < f.captured;) {
        const uint32_t at = f.offset + n, count = std::min(f.captured - n, kBlockBytes - at % kBlockBytes);
        std::memcpy(blocks_[d.blocks[at / kBlockBytes]].data + at % kBlockBytes, f.data + n, count);
        n += count;
    }
    return Place::fresh;
}

uint32_t FragmentTable::payload_bytes(const FragmentedDatagram &d) const {
    uint32_t before = 0; // bytes of the header that came
    if (d.state != FragmentedDatagram::collecting) {
        before = d.header;
    } else {
        uint32_t unit = 0;
        each_word(d, 0, d.header, [&](uint64_t word, uint64_t mask) {
            for (; mask & 1; mask >>= 1, word >>= 1, ++unit)
                if (word & 1) before += std::min(8u, d.header - unit * 8);
        });
    }
    return d.have - std::min(d.have, before);
}

void FragmentTable::copy(const FragmentedDatagram &d, uint32_t length, uint8_t *to) const {
    for (uint32_t at = 0; at < length; at += kBlockBytes)
        std::memcpy(to + at, blocks_[d.blocks[at / kBlockBytes]].data, std::min(length - at, kBlockBytes));
}

const uint8_t *FragmentTable::put_together(FragmentedDatagram &d, unsigned depth) {
    const bool readable = d.readable >= d.total;
    uint8_t *to = buffer_[depth].get();
    if (readable) copy(d, used_[depth] = d.total, to);
    finish(index_of(d), FragmentedDatagram::whole);
    return readable ? to : nullptr;
}

std::shared_ptr<const void> FragmentTable::keep(Packet &packet) const {
    struct Kept {
        Fragmented part;
        Packet whole;
        std::array<std::vector<uint8_t>, kMaxDepth> bytes;
    };
    const auto kept = std::make_shared<Kept>();
    const bool points_here = !packet.fragment || packet.fragment->whole;
    for (unsigned n = 0; points_here && n < kMaxDepth; ++n)
        kept->bytes[n].assign(buffer_[n].get(), buffer_[n].get() + used_[n]);
    const auto move = [&](const uint8_t *&pointer) {
        for (unsigned n = 0; points_here && n < kMaxDepth; ++n) {
            const uint8_t *begin = buffer_[n].get();
            if (pointer && std::less_equal<>()(begin, pointer) && std::less_equal<>()(pointer, begin + used_[n])) {
                pointer = kept->bytes[n].data() + (pointer - begin);
                return;
            }
        }
    };
    const auto move_all = [&](Packet &p) {
        move(p.ip);
        move(p.transport);
        move(p.payload);
    };
    move_all(packet);
    if (!packet.fragment) return kept;
    kept->part = *packet.fragment;
    if (kept->part.whole) {
        kept->whole = *kept->part.whole;
        move_all(kept->whole);
        kept->part.whole = &kept->whole;
    }
    packet.fragment = &kept->part;
    return kept;
}

// How many bytes from the begin on are there.
uint32_t FragmentTable::contiguous(const FragmentedDatagram &d) const {
    uint32_t bytes = 0;
    bool gap = false;
    each_word(d, 0, d.highest, [&](uint64_t word, uint64_t) {
        const auto ones = static_cast<uint32_t>(std::countr_one(word));
        if (!gap) bytes += ones * 8;
        gap |= ones != 64;
    });
    return std::min({bytes, d.highest, d.readable});
}

bool FragmentTable::overdue(int64_t time, Overdue &out) {
    for (Uses *uses : {&holding_, &others_}) {
        const uint32_t i = uses->oldest;
        if (i == kNone) continue;
        if (time != INT64_MAX && (time <= entries_[i].time || !expired(entries_[i], time))) continue;
        Entry &e = entries_[i];
        out.key = e.key;
        out.datagram = e.datagram;
        out.time = e.time;
        out.data = buffer_[0].get();
        out.length =
            e.datagram.state == FragmentedDatagram::collecting && e.datagram.first ? contiguous(e.datagram) : 0;
        copy(e.datagram, used_[0] = out.length, buffer_[0].get());
        forget(i);
        return true;
    }
    return false;
}

} // namespace aicore
