// SPDX-License-Identifier: Apache-2.0
// The summary's tops, over ended flows: layer-7 protocols, host names, talkers. Engine thread; copied under the
// engine's lock for readers.
#pragma once

#include <algorithm>
#include <string>
#include <unordered_map>

#include "aicore/engine.h"

namespace aicore {

class TopList {
  public:
    void add(const std::string &name, uint64_t packets, uint64_t bytes) {
        if (entries_.size() >= kMax && entries_.find(name) == entries_.end()) shrink();
        TopEntry &e = entries_[name];
        e.flows += 1;
        e.packets += packets;
        e.bytes += bytes;
    }
    std::vector<TopEntry> top(size_t limit) const {
        std::vector<TopEntry> out;
        for (const auto &[name, e] : entries_)
            out.push_back({name, e.flows, e.packets, e.bytes});
        std::sort(out.begin(), out.end(), [](const TopEntry &a, const TopEntry &b) {
            return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name;
        });
        if (out.size() > limit) out.resize(limit);
        return out;
    }

  private:
    static constexpr size_t kMax = 65536; // names kept: a heavy one is heavy long before it could be among the halved
    void shrink() {
        std::vector<uint64_t> sizes;
        for (const auto &[name, e] : entries_)
            sizes.push_back(e.bytes);
        std::nth_element(sizes.begin(), sizes.begin() + kMax / 2, sizes.end());
        const uint64_t middle = sizes[kMax / 2];
        std::erase_if(entries_, [&](const auto &item) { return item.second.bytes <= middle; });
    }
    std::unordered_map<std::string, TopEntry> entries_;
};

} // namespace aicore
