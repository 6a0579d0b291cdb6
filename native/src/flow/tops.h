// SPDX-License-Identifier: Apache-2.0
// The summary's tops, over ended flows: layer-7 protocols, host names, talkers. Engine thread; copied under the
// engine's lock for readers.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "aicore/engine.h"
#include "aicore/siphash.h"

namespace aicore {

// Sums by name. Open addressing over an index of 8 bytes a place, which stays in the second cache: every ended flow
// looks up three names, most of them of tens of thousands (measured: 3 % of all time with a node for each name). Keyed,
// as packets choose the names.
class TopList {
  public:
    void add(std::string_view name, uint64_t packets, uint64_t bytes) {
        const uint64_t hash = hash_of(name);
        uint64_t place = find(name, hash);
        if (index_[place].entry == 0) {
            if (entries_.size() >= kMax) shrink();
            if (2 * entries_.size() >= index_.size()) grow();
            place = find(name, hash);
            entries_.push_back({std::string(name), hash, 0, 0, 0});
            index_[place] = {tag_of(hash), static_cast<uint32_t>(entries_.size())};
        }
        Entry &entry = entries_[index_[place].entry - 1];
        entry.flows += 1;
        entry.packets += packets;
        entry.bytes += bytes;
    }
    // `text` makes a name of what was added.
    template <typename Text> std::vector<TopEntry> top(size_t limit, Text text) const {
        std::vector<const Entry *> order;
        for (const Entry &entry : entries_)
            order.push_back(&entry);
        const auto end = order.begin() + static_cast<ptrdiff_t>(std::min(limit, order.size()));
        std::partial_sort(order.begin(), end, order.end(), [](const Entry *a, const Entry *b) {
            return a->bytes != b->bytes ? a->bytes > b->bytes : a->name < b->name;
        });
        std::vector<TopEntry> out;
        for (auto it = order.begin(); it != end; ++it)
            out.push_back({text((*it)->name), (*it)->flows, (*it)->packets, (*it)->bytes});
        return out;
    }

  private:
    static constexpr size_t kMax = 65536; // names kept: a heavy one is heavy long before it could be among the halved
    struct Entry {
        std::string name;
        uint64_t hash, flows, packets, bytes;
    };
    struct Place {
        uint32_t tag, entry; // entry: number + 1, 0 = free
    };

    uint64_t hash_of(std::string_view name) const {
        SipHash<1, 3> hash(key_);
        uint64_t word;
        for (; name.size() >= sizeof word; name.remove_prefix(sizeof word)) {
            std::memcpy(&word, name.data(), sizeof word);
            hash.add(word);
        }
        word = name.size() << 56; // so that padding is no content
        std::memcpy(&word, name.data(), name.size());
        hash.add(word);
        return hash.finish64();
    }
    static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

    // Where the name is, or the free place where it would be.
    uint64_t find(std::string_view name, uint64_t hash) const {
        const uint64_t mask = index_.size() - 1;
        uint64_t place = hash & mask;
        for (; index_[place].entry != 0; place = (place + 1) & mask)
            if (index_[place].tag == tag_of(hash) && entries_[index_[place].entry - 1].name == name) break;
        return place;
    }
    void grow() {
        index_.resize(2 * index_.size());
        rebuild();
    }
    void rebuild() {
        std::fill(index_.begin(), index_.end(), Place{});
        for (uint32_t n = 0; n < entries_.size(); ++n) {
            uint64_t place = entries_[n].hash & (index_.size() - 1);
            while (index_[place].entry != 0)
                place = (place + 1) & (index_.size() - 1);
            index_[place] = {tag_of(entries_[n].hash), n + 1};
        }
    }
    void shrink() {
        std::vector<uint64_t> sizes;
        for (const Entry &entry : entries_)
            sizes.push_back(entry.bytes);
        std::nth_element(sizes.begin(), sizes.begin() + kMax / 2, sizes.end());
        const uint64_t middle = sizes[kMax / 2];
        std::erase_if(entries_, [&](const Entry &entry) { return entry.bytes <= middle; });
        rebuild();
    }

    const HashKey key_ = random_hash_key();
    std::vector<Entry> entries_;
    std::vector<Place> index_ = std::vector<Place>(64); // a power of two, at most half full
};

} // namespace aicore
