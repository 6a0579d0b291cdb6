// SPDX-License-Identifier: Apache-2.0
// Rows to JSON (RFC 8259). Strings are valid UTF-8 already; here only what JSON itself forbids is escaped. Control
// characters, DEL and C1 are escaped too, so that a record printed on a terminal is text.
#include <charconv>
#include <cmath>
#include <cstring>

#include "aicore/batch.h"

namespace aicore {

namespace {

template <typename Number> void append_number(std::string &out, Number n) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, n).ptr;
    out.append(buffer, end);
}

void name(std::string &out, std::string_view text) { // a name of the schema: needs no escaping
    out += ",\"";
    out += text;
    out += "\":";
}

void text_member(std::string &out, std::string_view key, std::string_view value) {
    if (value.empty()) return;
    name(out, key);
    append_json_string(out, value);
}

void number_member(std::string &out, std::string_view key, uint64_t value) {
    name(out, key);
    append_number(out, value);
}

template <typename Fill> void plain_member(std::string &out, std::string_view key, Fill fill) { // text that needs no escaping
    name(out, key);
    out += '"';
    fill();
    out += '"';
}

void attributes(std::string &out, const Batch &batch, const Row &row) {
    const Attribute *a = batch.strings->attributes.data() + row.attribute_first, *end = a + row.attribute_count;
    while (a != end) {
        const FieldInfo &field = batch.schema->fields[a->field];
        name(out, field.name);
        if (field.type == FieldType::integer) {
            append_number(out, a++->value);
        } else if (field.type == FieldType::list) {
            char separator = '[';
            const uint16_t list = a->field;
            for (; a != end && a->field == list; ++a) {
                out += separator;
                append_json_string(out, batch.text(*a));
                separator = ',';
            }
            out += ']';
        } else {
            append_json_string(out, batch.text(*a++));
        }
    }
}

void added(std::string &out, const AddedColumn &column, size_t i) {
    if (!column.valid[i]) return;
    out += ",";
    append_json_string(out, column.name);
    out += ':';
    switch (column.type) {
    case FieldType::integer: append_number(out, column.integers[i]); break;
    case FieldType::real:
        if (std::isfinite(column.reals[i])) append_number(out, column.reals[i]);
        else out += "null";
        break;
    case FieldType::string: append_json_string(out, column.strings[i]); break;
    case FieldType::list: {
        out += '[';
        bool first = true;
        for (const auto &item : column.lists[i]) {
            if (!first) out += ',';
            first = false;
            append_json_string(out, item);
        }
        out += ']';
    }
    }
}

void record(std::string &out, const Batch &batch, const Row &row, size_t i, bool meta) {
    const auto &names = batch.schema->names;
    out += "{\"key\":\"";
    append_key(out, row);
    out += '"';
    if (meta) {
        text_member(out, "event", kEventNames[static_cast<size_t>(row.kind)]);
        number_member(out, "new", row.is_new);
        number_member(out, "version", row.version);
    }
    plain_member(out, "flow_id", [&] { append_flow_id(out, row); });
    number_member(out, "seq", row.seq);
    text_member(out, "sensor", names[row.sensor]);
    plain_member(out, "ipsrc", [&] { append_address(out, row.ipsrc, row.ip_version); });
    number_member(out, "portsrc", row.portsrc);
    number_member(out, "proto", row.proto);
    plain_member(out, "ipdst", [&] { append_address(out, row.ipdst, row.ip_version); });
    number_member(out, "portdst", row.portdst);
    if (row.vlan) number_member(out, "vlan", row.vlan);
    if (row.vlan_inner) number_member(out, "vlan_inner", row.vlan_inner);
    if (row.tunnel != Tunnel::none) plain_member(out, "tunnel", [&] { append_tunnel(out, row.tunnel, row.tunnel_id); });
    plain_member(out, "community_id", [&] { append_community_id(out, row); });
    plain_member(out, "first_seen", [&] { append_time(out, row.first_seen); });
    plain_member(out, "last_seen", [&] { append_time(out, row.last_seen); });
    number_member(out, "duration", static_cast<uint64_t>(row.duration));
    number_member(out, "packets", row.packets);
    number_member(out, "bytes", row.bytes);
    number_member(out, "payload_bytes", row.payload_bytes);
    number_member(out, "src_packets", row.src_packets);
    number_member(out, "dst_packets", row.dst_packets);
    number_member(out, "src_bytes", row.src_bytes);
    number_member(out, "dst_bytes", row.dst_bytes);
    number_member(out, "src_payload_bytes", row.src_payload_bytes);
    number_member(out, "dst_payload_bytes", row.dst_payload_bytes);
    text_member(out, "layer7", names[row.layer7]);
    text_member(out, "layer7_by", kLayer7ByNames[static_cast<size_t>(row.layer7_by)]);
    if (row.proto == kProtoTcp) {
        number_member(out, "src_tcpflags", row.src_tcpflags);
        number_member(out, "dst_tcpflags", row.dst_tcpflags);
        text_member(out, "tcp_state", kTcpStateNames[static_cast<size_t>(row.tcp_state)]);
    }
    text_member(out, "end_reason", kEndReasonNames[static_cast<size_t>(row.end_reason)]);
    if (row.proto == kProtoTcp) number_member(out, "retransmissions", row.retransmissions);
    text_member(out, "anomaly", names[row.anomaly]);
    attributes(out, batch, row);
    for (const auto &column : batch.added) added(out, column, i);
    out += '}';
}

} // namespace

void append_json_string(std::string &out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    size_t done = 0;
    const auto *bytes = reinterpret_cast<const uint8_t *>(text.data());
    for (size_t i = 0; i < text.size(); ++i) {
        const uint8_t c = bytes[i];
        const bool c1 = c == 0xc2 && i + 1 < text.size() && bytes[i + 1] < 0xa0; // U+0080..U+009F
        const bool line = c == 0xe2 && i + 2 < text.size() && bytes[i + 1] == 0x80 && (bytes[i + 2] | 1) == 0xa9;
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !c1 && !line) continue;
        out.append(text, done, i - done);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (line) { // U+2028, U+2029: readers of JSON lines may take them for the end of one
            out += (bytes[i + 2] & 1) ? "\\u2029" : "\\u2028";
            i += 2;
        } else {
            const uint8_t code = c1 ? bytes[++i] : c;
            const char escaped[6] = {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
            out.append(escaped, 6);
        }
        done = i + 1;
    }
    out.append(text, done);
    out += '"';
}

void append_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, bool meta, bool newline) {
    out.reserve(out.size() + batch.rows.size() * 900);
    ends.reserve(ends.size() + batch.rows.size());
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        record(out, batch, batch.rows[i], i, meta);
        if (newline) out += '\n';
        ends.push_back(out.size());
    }
}

} // namespace aicore
