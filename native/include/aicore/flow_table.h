// SPDX-License-Identifier: Apache-2.0
// The live flows of one transport: slots, an index from key to slot, and one list per timeout class. Engine thread
// only.
//
// A slot has a hot part (two cache lines, touched by every packet) and a warm part (one line, touched when a flow
// opens, is dissected or emits). Memory is mapped once and touched on first use; nothing is allocated per flow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "aicore/batch.h"
#include "aicore/flow_hash.h"
#include "aicore/mapped_memory.h"
#include "aicore/packet.h"
#include "aicore/siphash.h"

namespace aicore {

constexpr uint32_t kNoSlot = UINT32_MAX;

// Where a flow waits for its end. Eviction takes heads in the order lingering, half-open, open.
enum class List : uint8_t { lingering, half_open, open, ended, count_ };

enum HotBit : uint8_t {
    kSourceIsB = 1,  // the sender of the flow's first packet is key.b: directions 0 = from src, 1 = to src
    kDone = 2,       // payload is not looked at any more
    kSkewed = 4,     // Warm::touched, not last_seen, tells when the clock last saw the flow
    kSeqValid0 = 8,  // next_seq[0] is known
    kSeqValid1 = 16, // next_seq[1] is known
    kFin0 = 32,      // FIN seen from src
    kFin1 = 64,      // FIN seen from dst
    kMidstream = 128 // the first packet was not a SYN
};

// What TCP flows remember beside Hot::bits.
enum TcpBit : uint8_t {
    kContinued = 1,   // the flow goes on from one that ended by the active timeout; of any transport
    kResetByDst = 2,  // who sent the RST
    kResetDoubt = 4,  // its number was ahead of all others: a host would have asked again (RFC 5961 section 3.2)
    kResetPassed = 8, // its sender has sent new data since
};

struct Hot {
    FlowKey key;
    uint64_t bytes[2]; // [0] from src, [1] to src, as all pairs
    uint64_t packets[2];
    uint64_t payload[2];
    int64_t last_seen;     // highest packet time
    uint32_t next, prev;   // links of its list, or of the free list
    uint32_t next_seq[2];  // TCP: behind the highest sequence number seen
    uint32_t until_update; // packets until the next sampled update; 0 = never
    uint8_t flags[2];      // all TCP flags seen
    uint8_t bits;          // HotBit
    TcpState state : 7;
    uint8_t segments_wait : 1; // TCP: segments behind a hole may be kept in the streams
};
static_assert(sizeof(Hot) == 128);

// In Warm::updated_packets: that update was a sampled one, and not every reader takes it.
inline constexpr uint64_t kBySample = uint64_t{1} << 63;

struct Warm {
    // What packets look at comes first, in one cache line.
    uint32_t cold; // index of the cold block, kNoSlot = none
    List list;
    EndReason end_reason;
    uint16_t anomaly;   // index into Schema::names, as layer7
    uint32_t doubts;    // TCP: index in the pool of Doubts, kNoSlot = none
    uint8_t bits;       // TcpBit
    int64_t opened;     // time of its first packet
    int64_t first_seen; // lowest packet time
    uint64_t flow_id[2];
    int64_t touched; // clock at the last packet if kSkewed, or if lingering
    uint64_t
        updated_packets; // packets at the last update event, or with kBySample; UINT64_MAX = something else changed
    uint32_t isn;        // TCP: number of the SYN from src, unless kMidstream
    uint32_t retransmissions;
    uint32_t tunnel_id;
    uint16_t vlan, vlan_inner;
    uint16_t layer7;
    Layer7By layer7_by;
    Tunnel tunnel;
    uint8_t window_scale; // low half from src, high half from dst: 0 = unknown, else the shift and 1
};
static_assert(sizeof(Warm) <= 88);

// A flow: both parts of its slot, and where that is.
struct FlowRef {
    Hot &hot;
    Warm &warm;
    uint32_t slot;
    uint8_t table; // 0 TCP, 1 UDP
};

class FlowTable {
  public:
    FlowTable(uint32_t capacity, HashKey key); // throws std::bad_alloc

    uint64_t hash(const FlowKey &key) const { return hash_(key); }
    uint32_t find(const FlowKey &key, uint64_t hash) const;      // slot or kNoSlot
    uint32_t open(const FlowKey &key, uint64_t hash, List list); // kNoSlot if full; the key must not be in the table
    void close(uint32_t slot);

    Hot &hot(uint32_t slot) { return hot_[slot]; }
    Warm &warm(uint32_t slot) { return warm_[slot]; }
    uint32_t head(List list) const { return lists_[static_cast<size_t>(list)].head; }
    void to_tail(uint32_t slot, List list); // moves from the list it is in
    uint32_t live() const { return live_; }
    uint32_t capacity() const { return capacity_; }
    bool full() const { return live_ == capacity_; }
    // The lower half of the hash chooses the bucket, so that there may be any number of them; the tag is of the upper.
    uint64_t bucket_of(uint64_t hash) const { return (hash & UINT32_MAX) * bucket_count_ >> 32; }
    uint64_t buckets() const { return bucket_count_; }
    // Look-ahead: first the bucket, some packets later the slot that it most likely names.
    void prefetch_bucket(uint64_t hash) const { __builtin_prefetch(&buckets_[bucket_of(hash)]); }
    uint32_t prefetch_slot(uint64_t hash) const;   // that slot, kNoSlot if there is none
    void prefetch_neighbours(uint32_t slot) const; // in its list
    bool holds(uint32_t slot, const FlowKey &key) const { return hot_[slot].key == key; } // it is this flow's

  private:
    // 64 bytes: tags of one load, ten slots. `passed` counts keys that live further on because this bucket was full
    // when they came, so that a search knows when to stop.
    struct Bucket {
        uint32_t matches(uint16_t wanted) const; // bit i: place i has this tag
        uint16_t tag[10];
        uint32_t slot[10];
        uint32_t passed;
    };
    static_assert(sizeof(Bucket) == 64);
    struct Ends {
        uint32_t head = kNoSlot, tail = kNoSlot;
    };

    uint64_t behind(uint64_t bucket) const { return bucket + 1 < bucket_count_ ? bucket + 1 : 0; }
    void unlink(uint32_t slot);
    void append(uint32_t slot, List list);

    uint32_t capacity_, live_ = 0, touched_slots_ = 0, free_ = kNoSlot;
    const uint64_t bucket_count_;
    const FlowHash hash_;
    const MappedMemory bucket_memory_, hot_memory_, warm_memory_;
    Bucket *const buckets_;
    Hot *const hot_;
    Warm *const warm_;
    Ends lists_[static_cast<size_t>(List::count_)];
};

} // namespace aicore
