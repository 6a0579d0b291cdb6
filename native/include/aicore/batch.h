// SPDX-License-Identifier: Apache-2.0
// A batch: events in order of seq, as fixed rows with their strings in one arena. The only thing that crosses from the
// engine to its reader. Filled by one thread, handed over whole, then owned by whoever pulled it.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "aicore/packet.h"
#include "aicore/schema.h"

namespace aicore {

enum class EventKind : uint8_t { insert, update, remove };
enum class Layer7By : uint8_t { none, payload, port };
enum class TcpState : uint8_t { none, syn_sent, syn_received, established, closing, closed, reset };
enum class EndReason : uint8_t { none, fin, rst, idle, active, evicted, shutdown };

inline constexpr const char *kEventNames[] = {"insert", "update", "remove"};
inline constexpr const char *kLayer7ByNames[] = {"", "payload", "port"};
inline constexpr const char *kTcpStateNames[] = {"",        "syn_sent", "syn_received", "established",
                                                 "closing", "closed",   "reset"};
inline constexpr const char *kEndReasonNames[] = {"", "fin", "rst", "idle", "active", "evicted", "shutdown"};
inline constexpr const char *kTunnelNames[] = {"", "ipip", "gre", "erspan", "vxlan", "geneve", "gtpu", "teredo"};

// One value that a protocol gave to a flow. Of one row sorted by field; a list is several with the same field.
struct Attribute {
    int64_t value;   // the integer, boolean or time; the bits of the real; the offset of the text in the arena
    uint32_t length; // of the text
    uint16_t field;  // index into Schema::fields
    uint16_t type;   // FieldType

    bool has_text() const { return is_text(static_cast<FieldType>(type)); }
    double real() const { return std::bit_cast<double>(value); }
};

// The flow's whole state at an event. Number columns are strided views on these, so names and widths are a contract
// with core_columns().
struct Row {
    uint64_t flow_id[2]; // high, low
    uint64_t seq;
    uint64_t version;   // run start in microseconds since the epoch + seq
    int64_t first_seen; // nanoseconds since the epoch, UTC
    int64_t last_seen;
    int64_t duration; // nanoseconds, never negative
    uint64_t packets, bytes, payload_bytes;
    uint64_t src_packets, dst_packets;
    uint64_t src_bytes, dst_bytes;
    uint64_t src_payload_bytes, dst_payload_bytes;
    uint64_t retransmissions;
    uint8_t ipsrc[16], ipdst[16]; // IPv4 in the first 4
    uint32_t tunnel_id;
    uint32_t attribute_first, attribute_count; // in Strings::attributes
    uint16_t portsrc, portdst;
    uint16_t vlan, vlan_inner;
    uint16_t layer7, anomaly, sensor; // indexes into Schema::names
    uint8_t proto, ip_version;
    uint8_t src_tcpflags, dst_tcpflags; // all flags seen, TcpFlag bits
    EventKind kind;
    uint8_t is_new; // net(): the flow's insert was merged in
    Layer7By layer7_by;
    TcpState tcp_state;
    EndReason end_reason;
    Tunnel tunnel;
};

// Arena and attributes, shared by batches made from one another (take, net, kind).
struct Strings {
    std::string text;
    std::vector<Attribute> attributes;
};

// A column that was added later: enrichment, or a field that from_rows() did not know.
struct AddedColumn {
    std::string name;
    FieldType type;
    std::vector<uint8_t> valid;
    std::vector<int64_t> integers;
    std::vector<double> reals;
    std::vector<std::string> strings;
    std::vector<std::vector<std::string>> lists;

    AddedColumn take(const std::vector<uint32_t> &indexes) const;
};

// A payload that external protocols shall look at: a datagram, or what comes next in the stream of a direction.
struct ShownPayload {
    uint64_t inspection; // number that the engine gave to its looking at the flow
    int64_t time;
    size_t at; // in Payloads::bytes
    uint32_t length;
    uint32_t row;      // in Payloads::rows
    uint32_t slot;     // of the flow, for the findings
    uint16_t owner;    // index of the protocol that owns the flow, UINT16_MAX = none
    uint8_t table;     // 0 TCP, 1 UDP
    uint8_t direction; // 0 from src
    uint8_t flags;     // aicore_payload_flags
    bool first;        // of its inspection
};
struct Payloads {
    std::vector<ShownPayload> items;
    std::vector<Row> rows; // the flow as it was when the payload came
    std::string bytes;
    std::vector<uint64_t> ended; // inspections that are over
};

// Memory of batches that are gone, for those to come: fresh pages for every batch cost a fifth of the engine's time
// (measured: zeroing and faults). Any thread.
class BatchMemory {
  public:
    void give(std::vector<Row> &&rows, std::shared_ptr<Strings> &&strings) {
        const std::lock_guard lock(mutex_);
        if (spare_.size() < kMax) spare_.emplace_back(std::move(rows), std::move(strings));
    }
    bool take(std::vector<Row> &rows, std::shared_ptr<Strings> &strings) {
        const std::lock_guard lock(mutex_);
        if (spare_.empty()) return false;
        rows = std::move(spare_.back().first);
        strings = std::move(spare_.back().second);
        spare_.pop_back();
        return true;
    }

  private:
    static constexpr size_t kMax = 16;
    std::mutex mutex_; // guards spare_
    std::vector<std::pair<std::vector<Row>, std::shared_ptr<Strings>>> spare_;
};

class Batch {
  public:
    explicit Batch(std::shared_ptr<const Schema> s, std::shared_ptr<BatchMemory> memory = nullptr)
        : schema(std::move(s)), memory_(std::move(memory)) {
        if (!memory_ || !memory_->take(rows, strings)) strings = std::make_shared<Strings>();
    }
    ~Batch() {
        if (!memory_ || strings.use_count() != 1 || strings->text.capacity() > kMaxKeptText) return;
        rows.clear();
        strings->text.clear();
        strings->attributes.clear();
        memory_->give(std::move(rows), std::move(strings));
    }
    Batch(const Batch &) = delete;
    Batch &operator=(const Batch &) = delete;

    std::shared_ptr<const Schema> schema;
    std::shared_ptr<Strings> strings;
    std::vector<Row> rows;
    std::vector<AddedColumn> added;
    uint64_t serial = 0;                // of an engine's batches, from 1
    std::unique_ptr<Payloads> payloads; // null = none

    size_t bytes() const; // memory held, for queue bounds

    std::unique_ptr<Batch> take(const std::vector<uint32_t> &indexes) const;
    std::unique_ptr<Batch> net() const;
    // All of one schema, else null.
    static std::unique_ptr<Batch> concat(const std::vector<const Batch *> &batches);
    std::string_view text(const Attribute &a) const { return {strings->text.data() + a.value, a.length}; }

  private:
    static constexpr size_t kMaxKeptText = 1 << 20;
    std::shared_ptr<BatchMemory> memory_; // where its memory goes, null = back to the system
};

// Text forms, appended to `out`. Addresses as in RFC 5952; the key as design: IPv6 in brackets.
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

// Each row as one JSON object. ends[i] = offset behind row i (and its newline if asked for).
void append_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, bool meta, bool newline);

// The same with each field at another place: "source.ip" is {"source":{"ip":...}}. std::invalid_argument names a field
// that has no place, or one within another's.
using NestedPlaces = std::unordered_map<std::string, std::string>; // by field
void append_nested_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, const NestedPlaces &places);

// Where something of a row stands in a row of fixed width.
struct PackedPlace {
    // A field (8 bytes for a number, int64 or double, as also for a time and a boolean; UTF-8, padded with NUL, for a
    // text; a JSON array, likewise, for a list), of several the first that the flow has. A text that is too long ends
    // at a whole character, a list loses items. Or a bit for each field that the flow has, the first the most
    // significant; or, in one byte, how many fields were too long.
    enum class Kind : uint8_t { integer, real, string, list, present, cut };
    Kind kind;
    std::vector<std::string> fields;
    size_t offset, width;
};
constexpr PackedPlace::Kind place_kind(FieldType type) {
    if (is_list(type)) return PackedPlace::Kind::list;
    if (is_text(type)) return PackedPlace::Kind::string;
    return is_real(type) ? PackedPlace::Kind::real : PackedPlace::Kind::integer;
}
// All rows, `size` bytes each; what has no value, or another type in this batch, is 0. std::invalid_argument for places
// that do not fit.
void write_packed(uint8_t *out, const Batch &batch, const std::vector<PackedPlace> &places, size_t size);

// Valid UTF-8 of at most `limit` bytes: a byte that is none, and NUL, becomes the text \xNN. True if it was cut.
bool append_utf8(std::string &out, const uint8_t *bytes, size_t length, size_t limit);
bool valid_utf8(std::string_view text);

bool valid_column_name(std::string_view name); // ^[a-z][a-z0-9_]{0,47}$

} // namespace aicore
