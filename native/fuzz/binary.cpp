// SPDX-License-Identifier: Apache-2.0
// A schema and a batch in the binary form: any bytes are refused or give a batch of which every form can be made.
//
// An input: u16 length of the schema, schema, batch. The fingerprint in the batch is set right, else nothing that
// changes the schema would come further.
#include <cstring>
#include <string>

#include "aicore/arrow.h"
#include "aicore/binary.h"
#include "binary_form.h"
#include "input.h"
#include "json_checker.h"

namespace aicore::fuzz {
namespace {

std::string bytes_of(const Batch &batch) {
    std::string out;
    append_binary(out, batch);
    return out;
}

void json(const Batch &batch) {
    std::string out;
    std::vector<size_t> ends;
    append_json(out, ends, batch, true, false);
    require(ends.size() == batch.rows.size(), "an object for each row");
    size_t begin = 0;
    for (const size_t end : ends) {
        test::JsonReader::read(std::string_view(out).substr(begin, end - begin)); // throws
        begin = end;
    }
}

void arrow(const std::shared_ptr<Batch> &batch) {
    ArrowSchema schema;
    export_schema(arrow_fields(*batch), &schema);
    ArrowArrayStream stream;
    export_stream(batch, &stream, 1 << 12);
    int64_t rows = 0;
    for (;;) {
        ArrowArray array;
        if (stream.get_next(&stream, &array) != 0) break; // one row with more than the limit
        if (!array.release) {
            require(static_cast<size_t>(rows) == batch->rows.size(), "every row is in one array");
            break;
        }
        rows += array.length;
        require(array.n_children == schema.n_children, "a child for each field");
        for (int64_t i = 0; i < array.n_children; ++i) {
            const ArrowArray &column = *array.children[i];
            require(column.length == array.length, "columns are as long as their table");
            if (column.n_buffers != 3) continue;
            const auto *offsets = static_cast<const int32_t *>(column.buffers[1]);
            touch(column.buffers[2], static_cast<size_t>(offsets[column.length]));
        }
        array.release(&array);
    }
    stream.release(&stream);
    schema.release(&schema);
}

void check(std::string_view schema, std::string batch_bytes) {
    constexpr size_t kAt = 6; // magic and version
    const uint64_t right = binary::little(binary::fingerprint(schema));
    if (batch_bytes.size() >= kAt + sizeof right) std::memcpy(batch_bytes.data() + kAt, &right, sizeof right);
    std::shared_ptr<Batch> batch;
    try {
        BinaryReader reader(schema);
        batch = reader.read(batch_bytes);
        const auto twice = reader.read(batch_bytes);
        require(twice->schema == batch->schema, "batches of the same names share their schema");
    } catch (const BinaryError &) {
        return;
    }
    require(batch->rows.size() <= batch_bytes.size() / 16, "the input bounds the rows");
    json(*batch);
    arrow(batch);
    require(batch->net()->rows.size() <= batch->rows.size(), "net is not more");
    const std::string again = schema_bytes(*batch), written = bytes_of(*batch);
    const auto back = BinaryReader(again).read(written);
    require(schema_bytes(*back) == again && bytes_of(*back) == written, "what is written is read again");
}

} // namespace
} // namespace aicore::fuzz

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    aicore::Bytes in(data, size);
    const aicore::Bytes schema = in.take(in.u16());
    if (!in.ok()) return 0;
    aicore::fuzz::check({reinterpret_cast<const char *>(schema.data()), schema.left()},
                        {reinterpret_cast<const char *>(in.data()), in.left()});
    return 0;
}
