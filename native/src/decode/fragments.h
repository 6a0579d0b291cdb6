// SPDX-License-Identifier: Apache-2.0
// IP datagrams that came in fragments: what is known of each, and its bytes until it is whole. All memory is taken at
// construction; the hash is keyed for each table.
#pragma once

#include <array>
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

// What one fragment carries.
struct FragmentBytes {
    uint32_t offset; // bytes
    uint32_t length; // on the wire
    bool more;
    const uint8_t *data;
    uint32_t captured;
    uint32_t end() const { return offset + length; }
};

struct FragmentedDatagram {
    enum Kind : uint8_t {
        unknown,   // no fragment that was decoded yet: those that wait for it are in `waiting`
        flow,      // `key` and `reversed` say whose
        untracked, // of a kind that is only counted: `protocol`
        carrier    // a tunnel's outer datagram; what it carries was counted with the first fragment
    };
    static constexpr uint32_t kMaxBlocks = 32;
    static constexpr uint16_t kNoBlock = UINT16_MAX;

    FlowKey key{};
    Counter protocol = Counter::none;
    Kind kind = unknown;
    bool reversed = false;
    uint8_t proto = 0; // what the first fragment says that the datagram carries
    bool first = false;
    enum State : uint8_t {
        collecting,
        whole,                      // put together: what comes further is a copy
        given_up                    // overlaps, or no room: what comes further is only counted
    } state = collecting;           // `blocks` are empty but for `collecting`
    uint32_t total = 0;             // bytes, 0 = the last fragment did not come yet
    uint32_t have = 0;              // bytes that came, each once
    uint32_t highest = 0;           // end of the last one that came
    uint32_t header = 0;            // bytes before the transport payload
    uint32_t counted = 0;           // payload bytes that its flow has counted
    uint32_t readable = UINT32_MAX; // where the capture lacks bytes
    uint32_t waiting = 0;           // fragments that are in no flow and no counter yet, with the next two
    uint64_t waiting_bytes = 0;
    int64_t earliest = 0;
    uint64_t print = 0; // of the first fragment
    std::array<uint16_t, kMaxBlocks> blocks;

    FragmentedDatagram() { blocks.fill(kNoBlock); }
};

class FragmentTable {
  public:
    static constexpr int64_t kTimeout = 30'000'000'000; // ns of packet time between two fragments of a datagram
    // An identification is used again by another datagram, at the earliest (65,536 in this time: 0.8 Gbit/s).
    static constexpr int64_t kReuse = 1'000'000'000;
    static constexpr uint32_t kBlockBytes = 2048, kBlocks = 2048; // 4 MiB, as in Linux
    static constexpr uint32_t kMaxBytes = 65535;                  // of a datagram
    static constexpr unsigned kMaxDepth = 2;                      // fragments in a tunnel that is fragmented itself

    FragmentTable(uint32_t capacity, Counters &counters); // at least 1 datagram

    // The datagram of that key, a new one if there is none or what there is has timed out. With the table full the one
    // not looked at for longest is forgotten (counted as fragment_table_full, unless it had timed out). Valid until the
    // next at().
    FragmentedDatagram &at(const FragmentKey &key, int64_t time);
    FragmentedDatagram *find(const FragmentKey &key); // null: none

    enum class Place : uint8_t {
        fresh,
        duplicate,
        overlap,  // other bytes where there are some already, or behind the end: the datagram is given up (RFC 5722)
        given_up, // it was before
        unfit     // impossible by itself
    };
    // `datagram` is what at() has just returned; it begins anew if the fragment belongs to a later one.
    Place add(FragmentedDatagram &datagram, const FragmentBytes &bytes, int64_t time);

    // Payload of the datagram that came, behind its header.
    uint32_t payload_bytes(const FragmentedDatagram &datagram) const;
    static bool complete(const FragmentedDatagram &d) {
        return d.state == FragmentedDatagram::collecting && d.total != 0 && d.have == d.total;
    }
    // Ends the datagram and gives its bytes: null if some were not captured. Valid until the same depth is used again.
    const uint8_t *put_together(FragmentedDatagram &datagram, unsigned depth);

    // The next datagram that has timed out at `time` (INT64_MAX: every one), oldest first, and the bytes from its begin
    // on that came. It is forgotten. False: none.
    struct Overdue {
        FragmentKey key;
        FragmentedDatagram datagram;
        int64_t time;
        const uint8_t *data;
        uint32_t length; // 0: nothing to show
    };
    bool overdue(int64_t time, Overdue &out);

    void count(Counter counter, uint32_t packets) { counters_[counter] += packets; }
    // Moves what the packet points to here into memory that it returns, for a packet that outlives the next one.
    std::shared_ptr<const void> keep(Packet &packet) const;

    uint32_t size() const { return size_; }
    uint32_t free_blocks() const { return free_blocks_; }

    Fragmented part{}; // of the packet that was decoded last
    Packet whole{};    // `part` points to it

  private:
    static constexpr uint32_t kNone = UINT32_MAX;
    static constexpr uint32_t kUnits = kBlockBytes / 8, kWords = kUnits / 64;

    struct Entry {
        FragmentKey key;
        FragmentedDatagram datagram;
        int64_t time;
        uint32_t next;         // in the bucket, or in the list of free entries
        uint32_t newer, older; // by last use, in the list of those that hold bytes or of the others
        uint32_t bucket;
        bool holds;
    };
    struct Uses {
        uint32_t newest = kNone, oldest = kNone;
    };
    struct Block {
        std::array<uint64_t, kWords> here; // a bit for each 8 bytes
        uint8_t data[kBlockBytes];
    };

    uint32_t bucket_of(const FragmentKey &key) const;
    uint32_t look_up(uint32_t bucket, const FragmentKey &key) const;
    void unlink_use(uint32_t i);
    void link_newest(uint32_t i, bool holds);
    void forget(uint32_t i);
    static bool expired(const Entry &entry, int64_t time);
    uint32_t index_of(const FragmentedDatagram &datagram) const;
    void begin_anew(FragmentedDatagram &datagram);
    void release(FragmentedDatagram &datagram);
    void finish(uint32_t entry, FragmentedDatagram::State state);
    bool take_blocks(FragmentedDatagram &datagram, uint32_t begin, uint32_t end);
    template <typename Visit>
    void each_word(const FragmentedDatagram &d, uint32_t begin, uint32_t end, Visit visit) const;
    uint32_t contiguous(const FragmentedDatagram &datagram) const;
    void copy(const FragmentedDatagram &datagram, uint32_t length, uint8_t *to) const;

    Counters &counters_;
    HashKey hash_key_;
    uint32_t capacity_;
    uint32_t mask_;
    uint32_t size_ = 0;
    uint32_t free_ = kNone;
    Uses holding_, others_;
    uint32_t free_blocks_ = kBlocks;
    std::unique_ptr<uint32_t[]> buckets_;
    std::unique_ptr<Entry[]> entries_;
    std::unique_ptr<Block[]> blocks_; // pages become resident when they are first used
    std::unique_ptr<uint16_t[]> free_block_;
    std::unique_ptr<uint8_t[]> buffer_[kMaxDepth];
    uint32_t used_[kMaxDepth] = {}; // of each buffer
};

} // namespace aicore
