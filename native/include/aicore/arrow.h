// SPDX-License-Identifier: Apache-2.0
// Batches as Arrow arrays, without an Arrow library: the C data interface and the C stream interface
// (https://arrow.apache.org/docs/format/CDataInterface.html, CStreamInterface.html). What is handed out owns its memory
// or holds its batch, and may be used and released on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aicore/batch.h"

// The structures are an ABI, with guards that everybody who states them uses.
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

extern "C" {
struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
}
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

extern "C" {
struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
}
#endif

namespace aicore {

// A column of a table.
struct ArrowField {
    std::string name;
    FieldType type;
    bool nullable;
};
using ArrowFields = std::vector<ArrowField>;

// The columns of a batch: its record, then `event`, `new` and `version`.
ArrowFields arrow_fields(const Batch &batch);
bool always_present(const std::string &field); // a field of the core that every row has

// A struct type whose children are the fields.
void export_schema(const ArrowFields &fields, ArrowSchema *out);

// Offsets of texts and lists have 32 bits.
inline constexpr size_t kArrowTextLimit = INT32_MAX;

// Rows [first, first + count) as a struct array; a field that the batch has not is null in every row. False: a column's
// texts or list items are more than `limit`, so that the rows have to be split; nothing is exported.
// std::invalid_argument names a field that has another type in the batch.
[[nodiscard]] bool export_rows(const std::shared_ptr<const Batch> &batch, const ArrowFields &fields, size_t first,
                               size_t count, ArrowArray *out, size_t limit = kArrowTextLimit);

// All rows of a batch in as few arrays as the limit allows.
void export_stream(std::shared_ptr<const Batch> batch, ArrowArrayStream *out, size_t limit = kArrowTextLimit);

// Where a stream takes its batches from. Called by one thread at a time, whichever has the stream.
class ArrowSource {
  public:
    virtual ~ArrowSource() = default;
    virtual std::shared_ptr<const Batch> next() = 0; // null at the end; std::exception: the stream's error
};
void export_stream(std::unique_ptr<ArrowSource> source, ArrowFields fields, ArrowArrayStream *out,
                   size_t limit = kArrowTextLimit);

} // namespace aicore
