// SPDX-License-Identifier: Apache-2.0
// A batch as bytes, and back: the form in which the spool keeps batches. It holds everything that a batch holds, so
// that a store gets the same columns whether or not a batch went through a file.
//
// Two parts, both little endian, both beginning with a magic and a version. The schema (schema_bytes) names the members
// of a row, the fields of protocols with all their properties, and the added columns; it is the same for all batches of
// a run, so it is written once for many. The batch (append_binary) has the columns in that order and says by a
// fingerprint which schema it belongs to.
//
//   schema: "AICS" u16 version | u16 members: (text name)... | u16 fields: (text name, u8 type, u8 notify, u32 width,
//           text unit, ecs, help, protocol)... | u16 added: the same of each
//   batch:  "AICB" u16 version | u64 fingerprint of the schema | u32 rows | numbers(rows) for each member
//           | u16 names: text...                        what layer7, anomaly and sensor of the rows mean, from 1 on
//           | numbers(attributes) fields | texts: u32 count, numbers(count) lengths, bytes
//           | numbers: text indexes | numbers: integers | numbers: bits of reals
//           | for each added column rows bytes of 0 or 1 (has a value), then the values of all rows: numbers, or
//           numbers
//             of the lengths and the bytes of the texts; for lists numbers of how many items a row has, then the items
//   numbers(n): u8 width 0..8, i64 least, n * width bytes: each number less the least
//   text:   u32 length, UTF-8
//
// It has no checksum: who writes it to a file knows more that must be checked (aicore/delivery/segment.py). Readers
// believe nothing all the same: any bytes give a valid batch or a BinaryError, in time and memory that the length of
// the input bounds: a row takes its 16 bytes of flow id at least, a value of a column one byte.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "aicore/batch.h"

namespace aicore {

std::string schema_bytes(const Batch &batch);
void append_binary(std::string &out, const Batch &batch);

// One line that says what is wrong with the bytes.
class BinaryError : public std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// Reads the batches of one schema. Any thread.
class BinaryReader {
  public:
    // BinaryError. Members that this version does not know are skipped, those that it misses are 0.
    explicit BinaryReader(std::string_view schema);
    ~BinaryReader();
    BinaryReader(const BinaryReader &) = delete;
    BinaryReader &operator=(const BinaryReader &) = delete;

    std::shared_ptr<Batch> read(std::string_view batch); // BinaryError

    // Bytes of text that a record's fields may have in all: twice what the core puts into one. Without a bound a text
    // that is stored once and named by every row would grow without measure in JSON.
    static constexpr uint64_t kMaxRecordText = 64 << 10;

  private:
    struct Names;
    struct Layout;
    std::shared_ptr<const Names> names_for(const std::vector<std::string> &names);

    std::unique_ptr<const Layout> layout_;
    std::mutex mutex_;                   // guards names_
    std::shared_ptr<const Names> names_; // of the latest batch; batches that need no other share their Schema
};

} // namespace aicore
