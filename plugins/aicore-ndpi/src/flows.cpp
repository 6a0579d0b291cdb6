// SPDX-License-Identifier: Apache-2.0
#include "flows.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace aicore::ndpi {

namespace {

Key key_of(const aicore_flow &flow) {
    Key key{};
    const size_t size = flow.ip_version == 4 ? 4 : 16;
    std::memcpy(key.src, flow.src, size);
    std::memcpy(key.dst, flow.dst, size);
    key.src_port = flow.src_port;
    key.dst_port = flow.dst_port;
    key.ip_version = flow.ip_version;
    key.transport = flow.transport;
    return key;
}

uint64_t hash(const Key &key) { // collisions cost a look anew, nothing else
    uint64_t words[sizeof(Key) / 8], out = 0;
    static_assert(sizeof words == sizeof(Key));
    std::memcpy(words, &key, sizeof words);
    for (const uint64_t word : words)
        out = (out ^ word ^ word >> 32) * 0x9e3779b97f4a7c15;
    return out >> 32;
}

} // namespace

ndpi_detection_module_struct *make_module() {
    ndpi_detection_module_struct *module = ndpi_init_detection_module(ndpi_dont_load_tor_hosts);
    if (!module) return nullptr;
    NDPI_PROTOCOL_BITMASK all;
    NDPI_BITMASK_SET_ALL(all);
    ndpi_set_protocol_detection_bitmask2(module, &all);
    ndpi_finalize_initialization(module);
    return module;
}

Flows &Flows::of_this_thread() {
    thread_local Flows flows;
    return flows;
}

Flows::Flows() : module_(make_module()), entries_(new (std::nothrow) Entry[kSets * kWays]) {
    for (size_t i = 0; entries_ && i < kSets * kWays; ++i)
        entries_[i].used = 0; // the rest is cleared with the first use
}

Flows::~Flows() {
    for (size_t i = 0; entries_ && i < kSets * kWays; ++i)
        forget(entries_[i]);
    if (module_) ndpi_exit_detection_module(module_);
}

void Flows::forget(Entry &entry) {
    if (entry.used) ndpi_free_flow_data(&entry.flow); // what it allocated itself
    entry.used = 0;
}

Entry *Flows::find(const aicore_flow &flow) {
    if (!module_ || !entries_) return nullptr;
    const Key key = key_of(flow);
    Entry *set = &entries_[hash(key) % kSets * kWays], *oldest = set;
    for (Entry *e = set; e < set + kWays; ++e) {
        // A flow's packets only grow in number; fewer are those of a new flow of the same addresses and ports.
        if (e->used && std::memcmp(&e->key, &key, sizeof key) == 0) {
            oldest = e;
            if (e->packets < flow.packets) {
                e->used = ++turn_;
                e->packets = flow.packets;
                return e;
            }
            break;
        }
        if (e->used < oldest->used) oldest = e;
    }
    forget(*oldest);
    std::memset(static_cast<void *>(oldest), 0, sizeof *oldest);
    oldest->key = key;
    oldest->used = ++turn_;
    oldest->packets = flow.packets;
    return oldest;
}

} // namespace aicore::ndpi
