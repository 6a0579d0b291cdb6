// SPDX-License-Identifier: Apache-2.0
#include "aicore/columns.h"

#include <cstddef>
#include <cstring>

namespace aicore {

namespace {

#define NUMBER(member, ...)                                                                                            \
    {                                                                                                                  \
#member, offsetof(Row, member), sizeof(Row::member), number_format < decltype(Row::member)>(),                 \
            nullptr __VA_OPT__(, ) __VA_ARGS__                                                                         \
    }
#define TEXT(name, expression)                                                                                         \
    {                                                                                                                  \
        name, 0, 0, nullptr,                                                                                           \
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
    {"event", 0, 0, nullptr,
     [](std::string &out, const Batch &, const Row &row) { out += kEventNames[static_cast<size_t>(row.kind)]; }, false,
     false, true},
    {"new", offsetof(Row, is_new), 1, "B", nullptr, false, false, true},
    {"version", offsetof(Row, version), 8, "Q", nullptr, false, false, true},
};

} // namespace

bool CoreColumn::present(const Row &row) const {
    return (!tcp_only || row.proto == kProtoTcp) && (!zero_absent || number(row) != 0);
}

uint64_t CoreColumn::number(const Row &row) const {
    const auto *at = reinterpret_cast<const char *>(&row) + offset;
    if (size == sizeof(uint64_t)) {
        uint64_t value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    if (size == sizeof(uint16_t)) {
        uint16_t value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    return static_cast<uint8_t>(*at);
}

std::span<const CoreColumn> core_columns() {
    return kColumns;
}

const CoreColumn *find_core_column(std::string_view name) {
    for (const CoreColumn &column : kColumns)
        if (name == column.name) return &column;
    return nullptr;
}

int find_field(const Batch &batch, std::string_view name) {
    const auto &fields = batch.schema->fields;
    for (size_t i = 0; i < fields.size(); ++i)
        if (fields[i].name == name) return static_cast<int>(i);
    return -1;
}

const AddedColumn *find_added(const Batch &batch, std::string_view name) {
    for (const auto &column : batch.added)
        if (column.name == name) return &column;
    return nullptr;
}

} // namespace aicore
