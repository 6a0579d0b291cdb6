// SPDX-License-Identifier: Apache-2.0
// Rows to JSON (RFC 8259). Strings are valid UTF-8 already; here only what JSON itself forbids is escaped. Control
// characters, DEL and C1 are escaped too, so that a record printed on a terminal is text.
#include <array>
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

// The part that every record has goes through a plain buffer that it cannot overflow: growing a string a member at a
// time took more than half of a record's time (measured).
struct Fixed {
    char buffer[2048]; // 33 members of at most 24 bytes of name and 20 digits, addresses, two times, one id
    char *p = buffer;

    template <size_t n> void literal(const char (&text)[n]) {
        std::memcpy(p, text, n - 1);
        p += n - 1;
    }
    template <size_t n, typename Number> void number(const char (&key)[n], Number value) { // key as ,"name":
        literal(key);
        p = std::to_chars(p, buffer + sizeof buffer, value).ptr;
    }
    void text(std::string_view text) {
        std::memcpy(p, text.data(), text.size());
        p += text.size();
    }
    void flush(std::string &out) {
        out.append(buffer, p);
        p = buffer;
    }
};

void text_member(std::string &out, std::string_view key, std::string_view value) {
    if (value.empty()) return;
    name(out, key);
    append_json_string(out, value);
}

void attributes(std::string &out, const Batch &batch, const Row &row) {
    const Attribute *a = batch.strings->attributes.data() + row.attribute_first, *end = a + row.attribute_count;
    while (a != end) {
        const FieldInfo &field = batch.schema->fields[a->field];
        name(out, field.name);
        const auto value = [&] {
            if (a->has_text())
                append_json_string(out, batch.text(*a));
            else
                append_json_number(out, field.type, a->value);
            ++a;
        };
        if (!is_list(field.type)) {
            value();
            continue;
        }
        out += '[';
        const uint16_t list = a->field;
        value();
        while (a != end && a->field == list) {
            out += ',';
            value();
        }
        out += ']';
    }
}

void added(std::string &out, const AddedColumn &column, size_t i) {
    if (!column.valid[i]) return;
    out += ",";
    append_json_string(out, column.name);
    out += ':';
    switch (column.type) {
    case FieldType::integer:
        append_json_number(out, column.type, column.integers[i]);
        break;
    case FieldType::real:
        append_json_number(out, column.type, std::bit_cast<int64_t>(column.reals[i]));
        break;
    case FieldType::string:
        append_json_string(out, column.strings[i]);
        break;
    case FieldType::strings: {
        out += '[';
        bool first = true;
        for (const auto &item : column.lists[i]) {
            if (!first) out += ',';
            first = false;
            append_json_string(out, item);
        }
        out += ']';
        break;
    }
    default:
        break;
    }
}

// Of the row before: a flow's last update and its remove are neighbours, and SHA-1 is a third of a record's time.
struct LastId {
    uint64_t flow[2] = {0, 0};
    std::string text;
};

void record(std::string &out, const Batch &batch, const Row &row, size_t i, bool meta, LastId &last) {
    const auto &names = batch.schema->names;
    std::string short_text; // short enough to stand in the object itself
    const auto text = [&](auto append) {
        short_text.clear();
        append(short_text);
        return std::string_view(short_text);
    };
    Fixed f;
    f.literal("{\"key\":\"");
    f.text(text([&](std::string &s) { append_key(s, row); }));
    f.literal("\"");
    if (meta) {
        f.literal(",\"event\":\"");
        f.text(kEventNames[static_cast<size_t>(row.kind)]);
        f.number("\",\"new\":", int{row.is_new});
        f.number(",\"version\":", row.version);
    }
    f.literal(",\"flow_id\":\"");
    f.text(text([&](std::string &s) { append_flow_id(s, row); }));
    f.number("\",\"seq\":", row.seq);
    if (row.sensor) {
        f.flush(out);
        text_member(out, "sensor", names[row.sensor]);
    }
    f.literal(",\"ipsrc\":\"");
    f.text(text([&](std::string &s) { append_address(s, row.ipsrc, row.ip_version); }));
    f.number("\",\"portsrc\":", row.portsrc);
    f.number(",\"proto\":", int{row.proto});
    f.literal(",\"ipdst\":\"");
    f.text(text([&](std::string &s) { append_address(s, row.ipdst, row.ip_version); }));
    f.number("\",\"portdst\":", row.portdst);
    if (row.vlan) f.number(",\"vlan\":", row.vlan);
    if (row.vlan_inner) f.number(",\"vlan_inner\":", row.vlan_inner);
    if (row.tunnel != Tunnel::none) {
        f.literal(",\"tunnel\":\"");
        f.text(text([&](std::string &s) { append_tunnel(s, row.tunnel, row.tunnel_id); }));
        f.literal("\"");
    }
    f.literal(",\"community_id\":\"");
    if (last.text.empty() || last.flow[0] != row.flow_id[0] || last.flow[1] != row.flow_id[1]) {
        last = {{row.flow_id[0], row.flow_id[1]}, {}};
        append_community_id(last.text, row);
    }
    f.text(last.text);
    f.literal("\",\"first_seen\":\"");
    f.text(text([&](std::string &s) { append_time(s, row.first_seen); }));
    f.literal("\",\"last_seen\":\"");
    f.text(text([&](std::string &s) { append_time(s, row.last_seen); }));
    f.number("\",\"duration\":", row.duration);
    f.number(",\"packets\":", row.packets);
    f.number(",\"bytes\":", row.bytes);
    f.number(",\"payload_bytes\":", row.payload_bytes);
    f.number(",\"src_packets\":", row.src_packets);
    f.number(",\"dst_packets\":", row.dst_packets);
    f.number(",\"src_bytes\":", row.src_bytes);
    f.number(",\"dst_bytes\":", row.dst_bytes);
    f.number(",\"src_payload_bytes\":", row.src_payload_bytes);
    f.number(",\"dst_payload_bytes\":", row.dst_payload_bytes);
    if (row.layer7) {
        f.literal(",\"layer7\":\"");
        f.flush(out); // the name may come from from_rows(): any text
        out.pop_back();
        append_json_string(out, names[row.layer7]);
    }
    if (row.layer7_by != Layer7By::none) {
        f.literal(",\"layer7_by\":\"");
        f.text(kLayer7ByNames[static_cast<size_t>(row.layer7_by)]);
        f.literal("\"");
    }
    const bool tcp = row.proto == kProtoTcp;
    if (tcp) {
        f.number(",\"src_tcpflags\":", int{row.src_tcpflags});
        f.number(",\"dst_tcpflags\":", int{row.dst_tcpflags});
        if (row.tcp_state != TcpState::none) {
            f.literal(",\"tcp_state\":\"");
            f.text(kTcpStateNames[static_cast<size_t>(row.tcp_state)]);
            f.literal("\"");
        }
    }
    if (row.end_reason != EndReason::none) {
        f.literal(",\"end_reason\":\"");
        f.text(kEndReasonNames[static_cast<size_t>(row.end_reason)]);
        f.literal("\"");
    }
    if (tcp) f.number(",\"retransmissions\":", row.retransmissions);
    f.flush(out);
    if (row.anomaly) text_member(out, "anomaly", names[row.anomaly]);
    attributes(out, batch, row);
    for (const auto &column : batch.added)
        added(out, column, i);
    out += '}';
}

} // namespace

void append_json_number(std::string &out, FieldType type, int64_t value) {
    switch (type) {
    case FieldType::boolean:
        out += value ? "true" : "false";
        break;
    case FieldType::time:
        out += '"';
        append_time(out, value);
        out += '"';
        break;
    case FieldType::real:
    case FieldType::reals: {
        const auto real = std::bit_cast<double>(value);
        if (!std::isfinite(real)) {
            out += "null";
            break;
        }
        const size_t begin = out.size();
        append_number(out, real);
        if (out.find_first_of(".e", begin) == out.npos) out += ".0"; // read again it is a real still
        break;
    }
    default:
        append_number(out, value);
    }
}

void append_json_string(std::string &out, std::string_view text) {
    static constexpr auto kPlain = [] { // bytes that never begin what must be escaped
        std::array<bool, 256> plain{};
        for (size_t c = 0x20; c < 256; ++c)
            plain[c] = c != '"' && c != '\\' && c != 0x7f && c != 0xc2 && c != 0xe2;
        return plain;
    }();
    static constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    size_t done = 0;
    const auto *bytes = reinterpret_cast<const uint8_t *>(text.data());
    for (size_t i = 0; i < text.size(); ++i) {
        const uint8_t c = bytes[i];
        if (kPlain[c]) continue;
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
    LastId last;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        record(out, batch, batch.rows[i], i, meta, last);
        if (newline) out += '\n';
        ends.push_back(out.size());
    }
}

} // namespace aicore
