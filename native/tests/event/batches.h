// SPDX-License-Identifier: Apache-2.0
// A batch with a value of every type and origin.
#pragma once

#include <bit>
#include <memory>

#include "added.h"
#include "aicore/batch.h"

namespace aicore::test {

inline constexpr uint16_t kListField = 2;

inline std::shared_ptr<Batch> full_batch() {
    auto schema = std::make_shared<Schema>();
    const auto field = [&](const char *name, FieldType type) {
        schema->fields.push_back({name, type, true, 255, "ms", "a.b", "what it means", "test"});
    };
    field("text", FieldType::string);
    field("number", FieldType::integer);
    field("list", FieldType::strings); // kListField
    field("real", FieldType::real);
    field("flag", FieldType::boolean);
    field("numbers", FieldType::integers);
    field("reals", FieldType::reals);
    field("moment", FieldType::time);
    schema->names = {"", "http", "a name", "sensor"};
    auto batch = std::make_shared<Batch>(schema);
    std::string &arena = batch->strings->text;
    auto &attributes = batch->strings->attributes;
    const auto text = [&](uint16_t at, const std::string &value) {
        attributes.push_back({static_cast<int64_t>(arena.size()), static_cast<uint32_t>(value.size()), at,
                              static_cast<uint16_t>(schema->fields[at].type)});
        arena += value;
    };
    const auto number = [&](uint16_t at, int64_t value) {
        attributes.push_back({value, 0, at, static_cast<uint16_t>(schema->fields[at].type)});
    };
    for (int i = 0; i < 4; ++i) {
        Row row{};
        row.flow_id[0] = 0x0123456789abcdef;
        row.flow_id[1] = static_cast<uint64_t>(i) << 60 | 7;
        row.seq = i + 1;
        row.version = row.seq + 1700000000000000;
        row.opened = 1700000000123456790;
        row.first_seen = 1700000000123456789 + i;
        row.last_seen = i == 3 ? INT64_MAX : row.first_seen;
        row.packets = int64_t{i} << 40;
        row.bytes = INT64_MAX;
        row.ip_version = i % 2 ? 6 : 4;
        for (int k = 0; k < (i % 2 ? 16 : 4); ++k)
            row.ipsrc[k] = row.ipdst[k] = static_cast<uint8_t>(17 * k + i);
        row.portsrc = 65535;
        row.vlan = static_cast<uint16_t>(i);
        row.proto = i == 2 ? 17 : 6;
        row.kind = static_cast<EventKind>(i % 3);
        row.layer7 = static_cast<uint16_t>(i % 3);
        row.sensor = 3;
        row.tunnel = i == 1 ? Tunnel::vxlan : Tunnel::none;
        row.tunnel_id = i == 1 ? UINT32_MAX : 0;
        row.attribute_first = static_cast<uint32_t>(attributes.size());
        if (i != 2) {
            text(0, "t\xc3\xa9xt " + std::string(300, 'x'));
            number(1, i == 0 ? INT64_MIN : INT64_MAX);
            text(2, "");
            text(2, std::string("a\0b", 3));
            number(3, std::bit_cast<int64_t>(-0.25 * i));
            number(4, i != 0);
            for (int64_t k = -1; k < i; ++k)
                number(5, k);
            number(6, std::bit_cast<int64_t>(1e300));
            number(7, -1);
        }
        row.attribute_count = static_cast<uint32_t>(attributes.size()) - row.attribute_first;
        batch->rows.push_back(row);
    }
    batch->added = {
        added("asn", FieldType::integer, {"-1", std::nullopt, "9223372036854775807", "5"}),
        added("share", FieldType::real, {"0.5", std::nullopt, "1e-300", "2"}),
        added("note", FieldType::string, {"", std::nullopt, "n\xc3\xb6te", "x"}),
        added("tags", FieldType::strings, {"a|b", std::nullopt, "", "c"}),
        added("known", FieldType::boolean, {"1", std::nullopt, "0", "1"}),
        added("until", FieldType::time, {"-1", std::nullopt, "1700000000123456789", "0"}),
        added("counts", FieldType::integers, {"1|-9223372036854775808", std::nullopt, "", "7"}),
        added("shares", FieldType::reals, {"0.5|1e300", std::nullopt, "", "-0.25"}),
    };
    return batch;
}

} // namespace aicore::test
