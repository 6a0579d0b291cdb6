// SPDX-License-Identifier: Apache-2.0
// What a flow holds only while there is something to hold: names, a dissector's state, stream buffers. Pooled, engine
// thread only.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/batch.h"
#include "aicore/registry.h"

namespace aicore {

constexpr size_t kMaxString = 1024;      // bytes of one packet string
constexpr size_t kMaxRecordText = 32768; // bytes of all strings of a record
constexpr size_t kMaxAttributes = 256;   // values of a record that protocols gave
constexpr size_t kMaxMetered = 4096;     // that meters gave
constexpr size_t kMaxNames = 16;         // of a list of names in a record: the latest
constexpr size_t kMaxLaterSegments = 32; // out-of-order segments kept a direction

struct Stored {
    bool changed; // the set is another one now
    bool cut;     // a bound was hit: the value was cut or left out
};

// The values that protocols gave to a flow, in the shape in which they are copied into a batch.
struct AttributeSet {
    std::vector<Attribute> items; // sorted by field, a list's items in order of arrival
    std::string text;
    size_t most = kMaxAttributes; // values

    void clear() {
        items.clear();
        text.clear();
    }
    size_t position(uint16_t field) const { // of the first item with a field >= `field`
        size_t i = items.size();
        while (i > 0 && items[i - 1].field >= field)
            --i;
        return i;
    }
    bool has(uint16_t field) const {
        const size_t i = position(field);
        return i < items.size() && items[i].field == field;
    }
    // set_: the last one wins. add_: to a list, a text once each, numbers as often as they come.
    Stored set_integer(uint16_t field, int64_t value) { return set(field, FieldType::integer, value); }
    Stored set_real(uint16_t field, double value) { return set(field, FieldType::real, std::bit_cast<int64_t>(value)); }
    Stored set_boolean(uint16_t field, bool value) { return set(field, FieldType::boolean, value); }
    Stored set_time(uint16_t field, int64_t ns) { return set(field, FieldType::time, ns); }
    Stored set_string(uint16_t field, const uint8_t *bytes, size_t length);
    Stored add_string(uint16_t field, const uint8_t *bytes, size_t length);
    Stored add_integer(uint16_t field, int64_t value) { return add(field, FieldType::integers, value); }
    Stored add_real(uint16_t field, double value) {
        return add(field, FieldType::reals, std::bit_cast<int64_t>(value));
    }

    // A number as Attribute::value holds it.
    Stored set(uint16_t field, FieldType type, int64_t value);
    Stored add(uint16_t field, FieldType type, int64_t value);

    std::string_view text_of(const Attribute &a) const {
        return std::string_view(text).substr(static_cast<size_t>(a.value), a.length);
    }
    void erase(size_t item); // and its text

  private:
    void erase_text(const Attribute &gone);
};

// The names that a flow's lists held before their latest ones, so that a repetition is known as one: the last four of
// each set, as keyed hashes. It holds some 250 names in a kilobyte.
class PastNames {
  public:
    bool has(uint64_t hash) const {
        const uint32_t *const ways = tags_[set(hash)];
        return std::find(ways, ways + kWays, tag(hash)) != ways + kWays;
    }
    void add(uint64_t hash) {
        const size_t s = set(hash);
        tags_[s][next_[s]] = tag(hash);
        next_[s] = static_cast<uint8_t>((next_[s] + 1) % kWays);
    }

  private:
    static constexpr size_t kSets = 64, kWays = 4;
    static size_t set(uint64_t hash) { return hash % kSets; }
    static uint32_t tag(uint64_t hash) { return static_cast<uint32_t>(hash >> 32) | 1; } // 0 is empty

    uint32_t tags_[kSets][kWays] = {};
    uint8_t next_[kSets] = {};
};

struct Segment {
    uint32_t seq;
    uint32_t wire; // bytes on the wire; the capture may hold fewer
    std::vector<uint8_t> data;
};

// One direction of a TCP connection, as far as it is not consumed.
struct Stream {
    std::vector<uint8_t> buffer; // in order, shown but not consumed
    std::vector<Segment> later;  // out of order, sorted by sequence number
    uint64_t skip = 0;           // bytes from `expected` on that the owner does not want to see
    uint32_t expected = 0;       // next sequence number in order
    uint32_t cut_off = 0;        // bytes before `expected` that the packet had on the wire and the capture has not
    bool started = false;
    bool gap = false;    // bytes are missing before what comes next
    bool hidden = false; // those are among what the owner skips: to dissectors they are no gap
    bool cut = false;    // the same, but only for native protocols: their buffer was given up
    bool shut = false;   // nobody is left to recognise it: the buffer stays as it is, for who looks at the other
                         // direction, and what comes is not looked at until the flow has an owner
};

struct Streams {
    Stream direction[2];
    Streams *older = nullptr, *newer = nullptr; // of those that hold bytes, by last use: for the bound of all together
    size_t held = 0;                            // bytes in both directions
};

// What external protocols were shown of a flow. Batches are told by Batch::serial.
struct Shown {
    uint64_t batch = 0;                // the last that holds payload of it
    uint64_t mark = 0;                 // see BatchWriter::show: the bytes that went out until this batch, and since
    size_t before_mark = 0, since = 0; // the same
    uint8_t lost = 0;                  // bit d: payload of direction d was left out before what comes next
    uint8_t shut = 0;                  // bit d: payload of direction d is not needed until the flow has an owner
    bool begun = false;                // the first payload is out
};

struct Cold {
    AttributeSet attributes;
    uint64_t batch = 0; // serial of the batch that holds the attributes already, 0 = none
    uint32_t batch_first = 0, batch_count = 0;
    ProtocolSet candidates[2]; // by direction
    std::unique_ptr<uint64_t[]> state;
    std::unique_ptr<Streams> streams;
    uint16_t owner = kNoProtocol;
    uint16_t pending = kNoProtocol;        // whose state is kept before recognition (UDP)
    uint8_t payloads = 0;                  // looked at while unrecognised
    uint8_t begun = 0;                     // bit d: candidates were selected from direction d's first payload
    bool native_over = false;              // no native protocol recognised it; external ones may
    bool external_over = false;            // the same the other way round
    uint8_t fresh_names = 0;               // at most so many names of lists that no event has shown yet
    std::unique_ptr<PastNames> past_names; // null while the lists hold all names
    uint64_t inspection = 0;               // number of it while external protocols look at the flow, 0 = they do not
    Shown shown;
    bool undecided() const { return !candidates[0].empty() || !candidates[1].empty(); }
};

class ColdPool {
  public:
    uint32_t take() {
        if (free_.empty()) {
            if (taken_ % kChunk == 0) chunks_.push_back(std::make_unique<Cold[]>(kChunk));
            return taken_++;
        }
        const uint32_t i = free_.back();
        free_.pop_back();
        return i;
    }
    void give(uint32_t i) {
        Cold &cold = (*this)[i];
        AttributeSet kept = std::move(cold.attributes); // its memory serves the next flow
        cold = Cold{};
        if (kept.text.capacity() <= 512) {
            kept.clear();
            cold.attributes = std::move(kept);
        }
        free_.push_back(i);
    }
    Cold &operator[](uint32_t i) { return chunks_[i / kChunk][i % kChunk]; }
    void prefetch(uint32_t i) const {
        const auto *bytes = reinterpret_cast<const char *>(&chunks_[i / kChunk][i % kChunk]);
        for (size_t at = 0; at < sizeof(Cold); at += 64)
            __builtin_prefetch(bytes + at, 1);
    }

    void prefetch_streams(uint32_t i) const {
        const auto *bytes = reinterpret_cast<const char *>(chunks_[i / kChunk][i % kChunk].streams.get());
        if (!bytes) return;
        for (size_t at = 0; at < sizeof(Streams); at += 64)
            __builtin_prefetch(bytes + at, 1);
    }

  private:
    static constexpr uint32_t kChunk = 256;
    std::vector<std::unique_ptr<Cold[]>> chunks_; // addresses stay valid while it grows
    uint32_t taken_ = 0;                          // of them, those in free_ included
    std::vector<uint32_t> free_;
};

} // namespace aicore
