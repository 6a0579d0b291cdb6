// SPDX-License-Identifier: Apache-2.0
// Remembers the first fragment of a datagram, so that the later ones, which have no transport header, are counted in
// its flow. No reassembly. All memory is taken at construction; the hash is keyed for each table.
#pragma once

#include <cstdint>
#include <memory>

#include "aicore/counters.h"
#include "aicore/packet.h"
#include "aicore/siphash.h"

namespace aicore {

// Which datagram a fragment belongs to (RFC 791 section 3.2, RFC 8200 section 4.5), within its VLAN and tunnel. One
// direction: the addresses stand as in the packet. Compared and hashed as words, so every byte is set.
struct FragmentKey {
    uint8_t src[16];
    uint8_t dst[16];
    uint32_t id;
    uint32_t tunnel_id;
    uint16_t vlan;
    uint16_t vlan_inner;
    uint8_t version;
    uint8_t proto; // IPv4 only: in IPv6 it may differ between the fragments of one datagram
    uint8_t tunnel;
    uint8_t zero;
};
static_assert(sizeof(FragmentKey) == 48);

struct FragmentedDatagram {
    enum Kind : uint8_t {
        flow,      // `key` and `reversed` say whose
        untracked, // of a protocol that is only counted: `protocol`
        carrier    // a tunnel's outer datagram; the length of what it carries was counted with the first fragment
    };
    FlowKey key{};
    Counter protocol = Counter::none;
    Kind kind = untracked;
    bool reversed = false;
};

class FragmentTable {
  public:
    static constexpr int64_t kTimeout = 30'000'000'000; // ns of packet time between a first and a later fragment

    FragmentTable(uint32_t capacity, Counters &counters);

    // A datagram of the same key is replaced: identifications are used again. With the table full the one not looked
    // at for longest is forgotten (counted as fragment_table_full, unless it had timed out).
    void remember(const FragmentKey &key, int64_t time, const FragmentedDatagram &datagram);

    // Null: not seen, timed out or forgotten. Valid until the next call.
    const FragmentedDatagram *find(const FragmentKey &key, int64_t time);

    uint32_t size() const { return size_; }

  private:
    static constexpr uint32_t kNone = UINT32_MAX;

    struct Entry {
        FragmentKey key;
        FragmentedDatagram datagram;
        int64_t time;
        uint32_t next;         // in the bucket, or in the list of free entries
        uint32_t newer, older; // by last use
        uint32_t bucket;
    };

    uint32_t bucket_of(const FragmentKey &key) const;
    uint32_t look_up(uint32_t bucket, const FragmentKey &key) const;
    void unlink_use(uint32_t i);
    void link_newest(uint32_t i);
    void forget(uint32_t i);
    static bool expired(const Entry &entry, int64_t time);

    Counters &counters_;
    HashKey hash_key_;
    uint32_t capacity_;
    uint32_t mask_;
    uint32_t size_ = 0;
    uint32_t free_ = kNone;
    uint32_t newest_ = kNone, oldest_ = kNone;
    std::unique_ptr<uint32_t[]> buckets_;
    std::unique_ptr<Entry[]> entries_;
};

} // namespace aicore
