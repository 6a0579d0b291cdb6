// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "added.h"
#include "aicore/columns.h"
#include "json_checker.h"
#include "packets.h"

namespace aicore::test {
namespace {

std::shared_ptr<Schema> schema_of(std::vector<FieldInfo> fields = {}) {
    auto s = std::make_shared<Schema>();
    s->fields = std::move(fields);
    return s;
}
FieldInfo field(const char *name, FieldType type) {
    return {name, type, false, 64, "", "", "", "alpha"};
}

std::vector<std::string> json(const Batch &batch, bool meta = false, bool newline = false) {
    std::string out = "before";
    std::vector<size_t> ends;
    append_json(out, ends, batch, meta, newline);
    std::vector<std::string> rows;
    size_t at = 6;
    for (const size_t end : ends) {
        rows.push_back(out.substr(at, end - at));
        at = end;
    }
    EXPECT_EQ(at, out.size());
    return rows;
}

Row full_row(Schema &schema) {
    Row r{};
    r.flow_id[0] = 1;
    r.flow_id[1] = 2;
    r.seq = 7;
    r.version = 1'700'000'000'000'007;
    r.opened = 1'700'000'000'000'000'002;
    r.first_seen = 1'700'000'000'000'000'001;
    r.last_seen = 1'700'000'002'500'000'000;
    r.duration = 2'499'999'999;
    r.packets = 3;
    r.src_packets = 2;
    r.dst_packets = 1;
    r.bytes = 300;
    r.src_bytes = 200;
    r.dst_bytes = 100;
    r.payload_bytes = 30;
    r.src_payload_bytes = 20;
    r.dst_payload_bytes = 10;
    r.retransmissions = 4;
    const Bytes a = address("10.0.0.1"), b = address("10.0.0.2");
    std::copy(a.begin(), a.end(), r.ipsrc);
    std::copy(b.begin(), b.end(), r.ipdst);
    r.portsrc = 40000;
    r.portdst = 80;
    r.proto = 6;
    r.ip_version = 4;
    r.vlan = 12;
    r.vlan_inner = 13;
    r.tunnel = Tunnel::vxlan;
    r.tunnel_id = 99;
    r.layer7 = schema.name_index("http");
    r.layer7_by = Layer7By::payload;
    r.anomaly = schema.name_index("bad_header");
    r.sensor = schema.name_index("tap\"1\"");
    r.src_tcpflags = 0x1b;
    r.dst_tcpflags = 0x12;
    r.tcp_state = TcpState::closed;
    r.end_reason = EndReason::fin;
    r.kind = EventKind::remove;
    r.is_new = r.sampled = 1;
    return r;
}

TEST(Json, has_every_field) {
    auto schema = schema_of({field("httphost", FieldType::string), field("httpstatus", FieldType::integer),
                             field("dnsips", FieldType::strings)});
    Batch batch(schema);
    Row r = full_row(*schema);
    batch.strings->text = "example.com1.2.3.4::1";
    batch.strings->attributes = {{0, 11, 0, 1}, {-404, 0, 1, 2}, {11, 7, 2, 3}, {18, 3, 2, 3}};
    r.attribute_count = 4;
    batch.rows.push_back(r);
    batch.added.push_back(added("country", FieldType::string, {"IE"}));
    EXPECT_EQ(
        json(batch, true)[0],
        R"({"key":"10.0.0.1:40000:6:10.0.0.2:80","event":"remove","new":true,"sampled":true,"version":1700000000000007,)"
        R"("flow_id":"00000000000000010000000000000002","seq":7,"sensor":"tap\"1\"","ipsrc":"10.0.0.1","portsrc":40000,"proto":6,)"
        R"("ipdst":"10.0.0.2","portdst":80,"vlan":12,"vlan_inner":13,"tunnel":"vxlan:99","community_id":"1:3k1SoWXs/FltHw2aBCgUTgbDQF4=",)"
        R"("opened":"2023-11-14T22:13:20.000000002Z","first_seen":"2023-11-14T22:13:20.000000001Z","last_seen":"2023-11-14T22:13:22.500000000Z","duration":2499999999,)"
        R"("packets":3,"bytes":300,"payload_bytes":30,"src_packets":2,"dst_packets":1,"src_bytes":200,"dst_bytes":100,)"
        R"("src_payload_bytes":20,"dst_payload_bytes":10,"layer7":"http","layer7_by":"payload","src_tcpflags":27,"dst_tcpflags":18,)"
        R"("tcp_state":"closed","end_reason":"fin","retransmissions":4,"anomaly":"bad_header","httphost":"example.com",)"
        R"("httpstatus":-404,"dnsips":["1.2.3.4","::1"],"country":"IE"})");
    const Json j = JsonReader::read(json(batch, false)[0]);
    EXPECT_FALSE(j.has("event"));
    EXPECT_FALSE(j.has("new"));
    EXPECT_FALSE(j.has("sampled"));
    EXPECT_FALSE(j.has("version"));
    EXPECT_EQ(j.at("seq").text, "7");
}

TEST(Json, leaves_out_what_is_absent) {
    Batch batch(schema_of());
    Row r{};
    r.proto = 17;
    r.ip_version = 4;
    batch.rows.push_back(r);
    const Json j = JsonReader::read(json(batch)[0]);
    for (const char *name : {"sensor", "vlan", "vlan_inner", "tunnel", "layer7", "layer7_by", "src_tcpflags",
                             "dst_tcpflags", "tcp_state", "end_reason", "retransmissions", "anomaly"})
        EXPECT_FALSE(j.has(name)) << name;
    for (const char *name : {"key", "flow_id", "seq", "ipsrc", "portsrc", "proto", "ipdst", "portdst", "community_id",
                             "opened", "first_seen", "last_seen", "duration", "packets", "bytes", "payload_bytes"})
        EXPECT_TRUE(j.has(name)) << name;
}

TEST(Json, of_the_largest_row_is_whole) {
    auto schema = schema_of();
    Batch batch(schema);
    Row r = full_row(*schema);
    std::memset(r.ipsrc, 0xfe, 16);
    std::memset(r.ipdst, 0xff, 16);
    r.ip_version = 6;
    r.portsrc = r.portdst = r.vlan = r.vlan_inner = UINT16_MAX;
    r.tunnel = Tunnel::erspan;
    r.tunnel_id = UINT32_MAX;
    r.seq = r.version = r.packets = r.bytes = r.payload_bytes = r.src_packets = r.dst_packets = r.src_bytes =
        r.dst_bytes = r.src_payload_bytes = r.dst_payload_bytes = r.retransmissions = INT64_MAX;
    r.opened = r.first_seen = r.duration = INT64_MIN;
    r.last_seen = INT64_MAX;
    r.src_tcpflags = r.dst_tcpflags = 255;
    r.tcp_state = TcpState::syn_received;
    r.end_reason = EndReason::shutdown;
    r.layer7 = schema->name_index(std::string(5000, 'l'));
    r.sensor = schema->name_index(std::string(5000, '\x01'));
    batch.rows.push_back(r);
    const Json j = JsonReader::read(json(batch, true)[0]);
    EXPECT_EQ(j.at("bytes").text, "9223372036854775807");
    EXPECT_EQ(j.at("duration").text, "-9223372036854775808");
    EXPECT_EQ(j.at("sensor").text, std::string(5000, '\x01'));
    EXPECT_EQ(j.at("key").text,
              "[fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe]:65535:6:[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

TEST(Json, community_id_is_each_flows_own) {
    Batch batch(schema_of());
    for (int i = 0; i < 6; ++i) {
        Row r{};
        r.ip_version = 4;
        r.proto = 17;
        r.flow_id[0] = static_cast<uint64_t>(i / 2); // the first flow's id is all zeros
        r.portsrc = static_cast<uint16_t>(i / 2);
        batch.rows.push_back(r);
    }
    std::vector<std::string> ids;
    for (const auto &line : json(batch))
        ids.push_back(JsonReader::read(line).at("community_id").text);
    for (size_t i = 0; i < 6; ++i) {
        std::string want;
        append_community_id(want, batch.rows[i]);
        EXPECT_EQ(ids[i], want);
    }
    EXPECT_NE(ids[1], ids[2]);
}

TEST(Json, newline_ends_each_row) {
    Batch batch(schema_of());
    batch.rows.resize(3);
    for (const auto &line : json(batch, false, true)) {
        EXPECT_EQ(line.back(), '\n');
        EXPECT_EQ(line.find('\n'), line.size() - 1);
    }
    Batch empty(schema_of());
    EXPECT_TRUE(json(empty).empty());
}

TEST(Json, added_columns_of_every_type) {
    Batch batch(schema_of());
    batch.rows.resize(4);
    batch.added = {
        added("n", FieldType::integer, {"0", "-9223372036854775808", "9223372036854775807", std::nullopt}),
        added("x", FieldType::real, {"0.1", "nan", "inf", "-1e300"}),
        added("t", FieldType::string, {"", std::nullopt, "v", "\xe2\x80\xa8"}),
        added("b", FieldType::boolean, {"1", "0", std::nullopt, "1"}),
        added("at", FieldType::time, {"-1", "0", std::nullopt, "9223372036854775807"}),
        added("texts", FieldType::strings, {"", "a|\"b\"", std::nullopt, "c"}),
        added("ints", FieldType::integers, {"", "-9223372036854775808|1", std::nullopt, "0"}),
        added("reals", FieldType::reals, {"", "0.5|-inf|2", std::nullopt, "1e-7"}),
    };
    const char *want[] = {
        R"(,"n":0,"x":0.1,"t":"","b":true,"at":"1969-12-31T23:59:59.999999999Z","texts":[],"ints":[],"reals":[]})",
        R"(,"n":-9223372036854775808,"x":null,"b":false,"at":"1970-01-01T00:00:00.000000000Z","texts":["a","\"b\""],)"
        R"("ints":[-9223372036854775808,1],"reals":[0.5,null,2.0]})",
        R"(,"n":9223372036854775807,"x":null,"t":"v"})",
        R"(,"x":-1e+300,"t":"\u2028","b":true,"at":"2262-04-11T23:47:16.854775807Z","texts":["c"],"ints":[0],)"
        R"("reals":[1e-07]})"};
    const auto rows = json(batch);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(rows[i].ends_with(want[i])) << rows[i];
        JsonReader::read(rows[i]);
    }
}

TEST(JsonString, escapes_what_json_and_terminals_forbid) {
    const auto text = [](std::string_view s) {
        std::string out;
        append_json_string(out, s);
        return out;
    };
    EXPECT_EQ(text(""), "\"\"");
    EXPECT_EQ(text("plain"), "\"plain\"");
    EXPECT_EQ(text("a\"b\\c/"), R"("a\"b\\c/")");
    EXPECT_EQ(text("\x1b]52;c;x\x07"), R"("\u001b]52;c;x\u0007")");
    EXPECT_EQ(text(std::string("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
    EXPECT_EQ(text("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"), "\"\\u0080\\u009b\\u009f\xc2\xa0\"");
    EXPECT_EQ(text("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\"");
    EXPECT_EQ(text("\xe2\x82\xac\xc3\xa9\xf0\x9f\x98\x80"), "\"\xe2\x82\xac\xc3\xa9\xf0\x9f\x98\x80\"");
}

TEST(JsonString, any_packet_string_reads_back) {
    std::mt19937 random(4);
    for (int i = 0; i < 50'000; ++i) {
        std::string bytes(random() % 30, 0);
        for (char &c : bytes) {
            static constexpr uint8_t kSome[] = {0,    1,    0x1b, '"',  '\\', 'a',  0x7f, 0x80,
                                                0x9f, 0xa8, 0xa9, 0xbf, 0xc2, 0xe2, 0xed, 0xf0};
            c = static_cast<char>(random() % 4 ? kSome[random() % std::size(kSome)] : random());
        }
        std::string valid, out;
        append_utf8(valid, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(), 1024);
        append_json_string(out, valid);
        ASSERT_EQ(JsonReader::read(out).text, valid);
        ASSERT_EQ(out.find("\xe2\x80\xa8"), std::string::npos);
    }
}

} // namespace
} // namespace aicore::test
