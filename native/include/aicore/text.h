// SPDX-License-Identifier: Apache-2.0
// Text forms of what a row holds as numbers, and the way back. Forms are appended to `out`; of a text that is none the
// way back says why, as a clause that follows the name of a field, and nullptr of one that is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "aicore/row.h"

namespace aicore {

// Addresses as in RFC 5952; the key with IPv6 in brackets.
void append_address(std::string &out, const uint8_t *address, uint8_t ip_version);
void append_key(std::string &out, const Row &row);
void append_flow_id(std::string &out, const Row &row);            // 32 hex digits
void append_tunnel(std::string &out, Tunnel tunnel, uint32_t id); // "vxlan:7", "gre", nothing for none
void append_community_id(std::string &out, const Row &row);       // Community ID v1, seed 0
void append_time(std::string &out, int64_t ns);                   // RFC 3339, UTC, 9 decimals
void append_json_string(std::string &out, std::string_view text);
// All but texts, or an item of a list, as Attribute::value holds it: a time as text, a real always with a point or
// exponent, null for one that is not finite (JSON has no such number).
void append_json_number(std::string &out, FieldType type, int64_t value);

const char *parse_address(uint8_t *out, uint8_t &ip_version, std::string_view text);
const char *parse_flow_id(Row &row, std::string_view text);
const char *parse_tunnel(Row &row, std::string_view text);
const char *parse_time(int64_t &ns, std::string_view text); // RFC 3339 with 0 to 9 decimals, UTC ("Z", "+00:00")

// Valid UTF-8 of at most `limit` bytes: a byte that is none, and NUL, becomes the text \xNN. True if it was cut.
bool append_utf8(std::string &out, const uint8_t *bytes, size_t length, size_t limit);
bool valid_utf8(std::string_view text);

bool valid_column_name(std::string_view name); // ^[a-z][a-z0-9_]{0,47}$

} // namespace aicore
