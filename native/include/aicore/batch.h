// SPDX-License-Identifier: Apache-2.0
// A batch: events in order of seq, as fixed rows with their strings in one arena. The only thing that crosses from the
// engine to its reader. Filled by one thread, handed over whole, then owned by whoever pulled it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "aicore/row.h"
#include "aicore/schema.h"
#include "aicore/values.h"

namespace aicore {

// Arena and attributes, shared by batches made from one another (take, net, kind).
struct Strings {
    std::string text;
    std::vector<Attribute> attributes;
};

// A column that was added later: enrichment, or a field that from_rows() did not know.
struct AddedColumn {
    FieldInfo field;
    Values values;
    bool is_filled = true; // false: a field that a hook declared and has not added yet, absent in all rows
};

// A payload that external protocols shall look at: a datagram, or what comes next in the stream of a direction.
struct ShownPayload {
    uint64_t inspection; // number that the engine gave to its looking at the flow
    int64_t time;
    size_t at; // in Payloads::bytes
    uint32_t length;
    uint32_t row;      // in Payloads::rows
    uint32_t slot;     // of the flow, for the findings
    uint16_t owner;    // index of the protocol that owns the flow, UINT16_MAX = none
    uint8_t table;     // 0 TCP, 1 UDP
    uint8_t direction; // 0 from src
    uint8_t flags;     // aicore_payload_flags
    bool first;        // of its inspection
};
struct Payloads {
    std::vector<ShownPayload> items;
    std::vector<Row> rows; // the flow as it was when the payload came
    std::string bytes;
    std::vector<uint64_t> ended; // inspections that are over
};

// Memory of batches that are gone, for those to come: fresh pages for every batch cost a fifth of the engine's time
// (measured: zeroing and faults). Any thread.
class BatchMemory {
  public:
    void give(std::vector<Row> &&rows, std::shared_ptr<Strings> &&strings) {
        const std::lock_guard lock(mutex_);
        if (spare_.size() < kMax) spare_.emplace_back(std::move(rows), std::move(strings));
    }
    bool take(std::vector<Row> &rows, std::shared_ptr<Strings> &strings) {
        const std::lock_guard lock(mutex_);
        if (spare_.empty()) return false;
        rows = std::move(spare_.back().first);
        strings = std::move(spare_.back().second);
        spare_.pop_back();
        return true;
    }

  private:
    static constexpr size_t kMax = 16;
    std::mutex mutex_; // guards spare_
    std::vector<std::pair<std::vector<Row>, std::shared_ptr<Strings>>> spare_;
};

class Batch {
  public:
    explicit Batch(std::shared_ptr<const Schema> s, std::shared_ptr<BatchMemory> memory = nullptr)
        : schema(std::move(s)), memory_(std::move(memory)) {
        if (!memory_ || !memory_->take(rows, strings)) strings = std::make_shared<Strings>();
    }
    ~Batch() {
        if (!memory_ || strings.use_count() != 1 || strings->text.capacity() > kMaxKeptText) return;
        rows.clear();
        strings->text.clear();
        strings->attributes.clear();
        memory_->give(std::move(rows), std::move(strings));
    }
    Batch(const Batch &) = delete;
    Batch &operator=(const Batch &) = delete;

    std::shared_ptr<const Schema> schema;
    std::shared_ptr<Strings> strings;
    std::vector<Row> rows;
    std::vector<AddedColumn> added;
    uint64_t serial = 0;                // of an engine's batches, from 1
    uint16_t engine = 0;                // which of the run's engines that is
    std::unique_ptr<Payloads> payloads; // null = none

    size_t bytes() const; // memory held, that shared with other batches included

    void add_declared(); // a column for each field that hooks declare, absent in all rows

    std::unique_ptr<Batch> take(const std::vector<uint32_t> &indexes) const;
    std::unique_ptr<Batch> copy() const; // shares the strings, as take() does
    std::unique_ptr<Batch> net() const;
    // What a run of its own would have made that samples updates at every[proto] packets of a flow (0 = on discoveries
    // only), of the batch of an engine that is `thinned` and samples at a divisor of each.
    std::vector<uint32_t> rows_at_multiples(const std::array<uint32_t, 256> &every) const;
    // Fields are matched by name; std::invalid_argument names one that has two types.
    static std::unique_ptr<Batch> concat(const std::vector<const Batch *> &batches);
    std::string_view text(const Attribute &a) const { return {strings->text.data() + a.value, a.length}; }
    std::span<const Attribute> attributes(const Row &row) const { // sorted by field
        return {strings->attributes.data() + row.attribute_first, row.attribute_count};
    }

  private:
    static constexpr size_t kMaxKeptText = 1 << 20;
    std::shared_ptr<BatchMemory> memory_; // where its memory goes, null = back to the system
};

// Each row as one JSON object. ends[i] = offset behind row i (and its newline if asked for).
void append_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, bool meta, bool newline);

// The same with each field at another place: "source.ip" is {"source":{"ip":...}}. std::invalid_argument names a field
// that has no place, or one within another's.
using NestedPlaces = std::unordered_map<std::string, std::string>; // by field
void append_nested_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, const NestedPlaces &places);

// Where something of a row stands in a row of fixed width.
struct PackedPlace {
    // A field (8 bytes for a number, int64 or double, as also for a time and a boolean; UTF-8, padded with NUL, for a
    // text; a JSON array, likewise, for a list), of several the first that the flow has. A text that is too long ends
    // at a whole character, a list loses items. Or a bit for each field that the flow has, the first the most
    // significant; or, in one byte, how many fields were too long.
    enum class Kind : uint8_t { integer, real, string, list, present, cut };
    Kind kind;
    std::vector<std::string> fields;
    size_t offset, width;
};
constexpr PackedPlace::Kind place_kind(FieldType type) {
    if (is_list(type)) return PackedPlace::Kind::list;
    if (is_text(type)) return PackedPlace::Kind::string;
    return is_real(type) ? PackedPlace::Kind::real : PackedPlace::Kind::integer;
}
// All rows, `size` bytes each; what has no value, or another type in this batch, is 0. std::invalid_argument for places
// that do not fit.
void write_packed(uint8_t *out, const Batch &batch, const std::vector<PackedPlace> &places, size_t size);

} // namespace aicore
