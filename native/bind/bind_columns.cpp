// SPDX-License-Identifier: Apache-2.0
// Columns of the core record: numbers as views on the rows, texts made once when asked for.
#include <cstddef>

#include "bind.h"

using namespace aicore;

namespace {

using Text = void (*)(std::string &out, const Batch &batch, const Row &row); // appends nothing where absent

struct CoreColumn {
    const char *name;
    const char *type;  // int or str
    size_t offset = 0; // int: in Row
    size_t size = 0;
    const char *format = nullptr; // int: of struct module
    Text text = nullptr;
    bool zero_absent = false; // int: 0 means that the flow has none
    bool tcp_only = false;
    bool meta = false; // beside the record
};

template <typename T> constexpr const char *format_of() {
    if constexpr (std::is_same_v<T, uint64_t>)
        return "Q";
    else if constexpr (std::is_same_v<T, int64_t>)
        return "q";
    else if constexpr (std::is_same_v<T, uint32_t>)
        return "I";
    else if constexpr (std::is_same_v<T, uint16_t>)
        return "H";
    else
        return "B";
}

#define NUMBER(member, ...)                                                                                            \
    {                                                                                                                  \
#member, "int", offsetof(Row, member), sizeof(Row::member), format_of < decltype(Row::member)>(), nullptr,     \
            ##__VA_ARGS__                                                                                              \
    }
#define TEXT(name, expression)                                                                                         \
    {                                                                                                                  \
        name, "str", 0, 0, nullptr,                                                                                    \
            [](std::string &out, [[maybe_unused]] const Batch &batch, [[maybe_unused]] const Row &row) { expression; } \
    }

const CoreColumn kColumns[] = {
    TEXT("key", append_key(out, row)),
    TEXT("flow_id", append_flow_id(out, row)),
    NUMBER(seq),
    TEXT("sensor", out += batch.schema->names[row.sensor]),
    TEXT("ipsrc", append_address(out, row.ipsrc, row.ip_version)),
    NUMBER(portsrc),
    NUMBER(proto),
    TEXT("ipdst", append_address(out, row.ipdst, row.ip_version)),
    NUMBER(portdst),
    NUMBER(vlan, true),
    NUMBER(vlan_inner, true),
    TEXT("tunnel", append_tunnel(out, row.tunnel, row.tunnel_id)),
    TEXT("community_id", append_community_id(out, row)),
    NUMBER(first_seen),
    NUMBER(last_seen),
    NUMBER(duration),
    NUMBER(packets),
    NUMBER(bytes),
    NUMBER(payload_bytes),
    NUMBER(src_packets),
    NUMBER(dst_packets),
    NUMBER(src_bytes),
    NUMBER(dst_bytes),
    NUMBER(src_payload_bytes),
    NUMBER(dst_payload_bytes),
    TEXT("layer7", out += batch.schema->names[row.layer7]),
    TEXT("layer7_by", out += kLayer7ByNames[static_cast<size_t>(row.layer7_by)]),
    NUMBER(src_tcpflags, false, true),
    NUMBER(dst_tcpflags, false, true),
    TEXT("tcp_state", out += kTcpStateNames[static_cast<size_t>(row.tcp_state)]),
    TEXT("end_reason", out += kEndReasonNames[static_cast<size_t>(row.end_reason)]),
    NUMBER(retransmissions, false, true),
    TEXT("anomaly", out += batch.schema->names[row.anomaly]),
    TEXT("event", out += kEventNames[static_cast<size_t>(row.kind)]),
    {"new", "int", offsetof(Row, is_new), 1, "B", nullptr, false, false, true},
    {"version", "int", offsetof(Row, version), 8, "Q", nullptr, false, false, true},
};

const CoreColumn *find(const std::string &name) {
    for (const CoreColumn &c : kColumns)
        if (name == c.name) return &c;
    return nullptr;
}

bool is_meta(const CoreColumn &c) {
    return c.meta || std::string_view(c.name) == "event";
}

// Exports the buffer of a column. Whatever holds the numbers lives as long as a view on them.
struct Column {
    std::shared_ptr<const void> owner;
    const void *data;
    ptrdiff_t size, stride, rows;
    const char *format;
};

py::object view(Column column) {
    const py::object exporter = py::cast(std::move(column));
    return py::reinterpret_steal<py::object>(PyMemoryView_FromObject(exporter.ptr()));
}

template <typename T> py::object own_column(std::vector<T> values) {
    auto held = std::make_shared<const std::vector<T>>(std::move(values));
    return view({held, held->data(), sizeof(T), sizeof(T), static_cast<ptrdiff_t>(held->size()),
                 std::is_same_v<T, double> ? "d" : format_of<T>()});
}

bool present(const CoreColumn &c, const Row &row) {
    if (c.tcp_only && row.proto != kProtoTcp) return false;
    if (!c.zero_absent) return true;
    uint16_t value; // vlan, vlan_inner
    std::memcpy(&value, reinterpret_cast<const char *>(&row) + c.offset, sizeof value);
    return value != 0;
}

} // namespace

Distinction core_distinction(const std::string &name) {
    const CoreColumn *c = find(name);
    if (name == "ipsrc")
        return [](std::string &out, const Batch &, const Row &row) {
            out.assign(reinterpret_cast<const char *>(row.ipsrc), sizeof row.ipsrc).push_back(char(row.ip_version));
        };
    if (name == "ipdst")
        return [](std::string &out, const Batch &, const Row &row) {
            out.assign(reinterpret_cast<const char *>(row.ipdst), sizeof row.ipdst).push_back(char(row.ip_version));
        };
    return c ? c->text : nullptr;
}

py::object code_column(std::vector<uint32_t> values) {
    return own_column(std::move(values));
}
py::object byte_column(std::vector<uint8_t> values) {
    return own_column(std::move(values));
}
py::object int_column(std::vector<int64_t> values) {
    return own_column(std::move(values));
}
py::object float_column(std::vector<double> values) {
    return own_column(std::move(values));
}

py::list core_fields() {
    py::list out;
    for (const CoreColumn &c : kColumns) {
        if (is_meta(c)) continue;
        py::dict d;
        d["name"] = c.name;
        d["type"] = c.type;
        out.append(d);
    }
    return out;
}

bool is_core_field(const std::string &name) {
    return find(name) != nullptr;
}

const char *core_type(const std::string &name) {
    const CoreColumn *c = find(name);
    return c ? c->type : nullptr;
}

py::object core_column(const std::shared_ptr<Batch> &batch, const std::string &name) {
    const CoreColumn *c = find(name);
    if (!c) return {};
    const auto rows = static_cast<ptrdiff_t>(batch->rows.size());
    if (!c->text)
        return view({batch, reinterpret_cast<const char *>(batch->rows.data()) + c->offset,
                     static_cast<ptrdiff_t>(c->size), sizeof(Row), rows, c->format});
    py::list out(rows);
    std::string text;
    for (ptrdiff_t i = 0; i < rows; ++i) {
        text.clear();
        c->text(text, *batch, batch->rows[static_cast<size_t>(i)]);
        out[static_cast<size_t>(i)] = text.empty() ? py::object(py::none()) : py::object(py::str(text));
    }
    return out;
}

py::object core_valid(const std::shared_ptr<Batch> &batch, const std::string &name) {
    const CoreColumn *c = find(name);
    if (!c) return {};
    std::vector<uint8_t> valid;
    valid.reserve(batch->rows.size());
    std::string text;
    for (const Row &row : batch->rows) {
        if (c->text) {
            text.clear();
            c->text(text, *batch, row);
            valid.push_back(!text.empty());
        } else {
            valid.push_back(present(*c, row));
        }
    }
    return byte_column(std::move(valid));
}

py::object core_value(const Batch &batch, size_t i, const char *name) {
    const CoreColumn *c = find(name);
    const Row &row = batch.rows[i];
    if (c->text) {
        std::string text;
        c->text(text, batch, row);
        return text.empty() ? py::object(py::none()) : py::object(py::str(text));
    }
    if (!present(*c, row)) return py::none();
    const char *p = reinterpret_cast<const char *>(&row) + c->offset;
    uint64_t value = 0;
    std::memcpy(&value, p, c->size);
    return c->format[0] == 'q' ? py::object(py::int_(static_cast<int64_t>(value))) : py::object(py::int_(value));
}

void bind_columns(py::module_ &m) {
    py::class_<Column>(m, "_Column", py::buffer_protocol()).def_buffer([](Column &c) {
        return py::buffer_info(const_cast<void *>(c.data), c.size, c.format, 1, {c.rows}, {c.stride}, true);
    });
}
