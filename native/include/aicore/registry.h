// SPDX-License-Identifier: Apache-2.0
// The protocols of one run, and the one structure that picks a flow's candidates from its first bytes and ports.
// Filled before the run, then frozen: read by the engine thread alone, without a lock.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "aicore/meter.h"
#include "aicore/protocol.h"
#include "aicore/schema.h"

namespace aicore {

constexpr uint16_t kNoProtocol = UINT16_MAX;

// A set of protocols, by their index in order of rank.
class ProtocolSet {
  public:
    static constexpr size_t kMax = 256;
    void add(size_t i) { word_[i / 64] |= 1ull << i % 64; }
    void remove(size_t i) { word_[i / 64] &= ~(1ull << i % 64); }
    bool has(size_t i) const { return word_[i / 64] >> i % 64 & 1; }
    bool empty() const { return (word_[0] | word_[1] | word_[2] | word_[3]) == 0; }
    ProtocolSet &operator|=(const ProtocolSet &o) {
        for (size_t w = 0; w < 4; ++w)
            word_[w] |= o.word_[w];
        return *this;
    }
    ProtocolSet common(const ProtocolSet &o) const {
        ProtocolSet out = *this;
        for (size_t w = 0; w < 4; ++w)
            out.word_[w] &= o.word_[w];
        return out;
    }
    ProtocolSet without(const ProtocolSet &o) const {
        ProtocolSet out = *this;
        for (size_t w = 0; w < 4; ++w)
            out.word_[w] &= ~o.word_[w];
        return out;
    }
    template <typename Visit> void each(Visit visit) const { // visit(index) returns false to stop
        for (size_t w = 0; w < 4; ++w)
            for (uint64_t bits = word_[w]; bits; bits &= bits - 1)
                if (!visit(w * 64 + static_cast<size_t>(std::countr_zero(bits)))) return;
    }

  private:
    std::array<uint64_t, 4> word_{};
};

// The core's own copy of a protocol's structures; the strings, ports and names that they point to are the plugin's.
struct ProtocolCopy {
    aicore_protocol protocol{};
    std::vector<aicore_prefix> prefixes; // in place of protocol.prefixes
    std::vector<aicore_field> fields;    // in place of protocol.fields
};

struct Registered {
    aicore_protocol protocol;
    std::vector<aicore_prefix> prefixes;
    std::vector<uint16_t> fields;    // of the protocol -> index in Schema::fields
    std::vector<uint16_t> anomalies; // -> index in Schema::names
    std::vector<uint16_t> aliases;   // -> index in Schema::names
    uint16_t layer7;                 // index in Schema::names
    bool external;                   // inspect is null: see external.h

    size_t state_words() const { return (protocol.state_size + 7) / 8; }
};

// A protocol whose inspect() is not native; see external.h. Owns what its aicore_protocol points to.
struct ExternalProtocol {
    std::string name, help;
    uint32_t transports = 0, rank = 100;
    std::vector<uint16_t> ports;
    std::vector<std::string> prefixes;
    std::vector<FieldInfo> fields;
};

struct RegisteredMeter {
    aicore_meter meter;           // a copy, without `fields`
    std::vector<uint16_t> fields; // of the meter -> index in Schema::fields
    std::string config;           // for create()
};

class Registry {
  public:
    Registry();
    ~Registry();

    // Why it cannot be used, or empty.
    static std::string check(const aicore_protocol *protocol);

    void add(const aicore_protocol *protocol);           // copies it; std::invalid_argument says why not
    void add_external(const ExternalProtocol &protocol); // same
    void declare(const FieldInfo &field);                // of a hook plugin, which fills it; same
    // A meter of the run, called in the order of adding; after all protocols, so that its fields stand behind theirs.
    // `fields`: instead of those that it declares. std::invalid_argument says why not.
    static std::string check(const aicore_meter *meter);
    void add_meter(const aicore_meter *meter, std::string config, const std::vector<FieldInfo> *fields = nullptr);
    // Index of the meter that the structure is that of, with these fields if any are given; std::invalid_argument if
    // it is not the same as the one that was added.
    size_t same_meter(const aicore_meter *meter, const std::vector<FieldInfo> *fields = nullptr) const;

    void freeze(const std::vector<const char *> &anomalies); // names of the core's counters; idempotent

    const std::vector<Registered> &protocols() const { return protocols_; } // after freeze() in order of rank
    const ProtocolSet &external() const { return external_; }               // after freeze()
    const std::vector<RegisteredMeter> &meters() const { return meters_; }
    std::shared_ptr<Schema> schema() const { return schema_; }
    uint16_t find(const char *name) const;              // index or kNoProtocol
    uint16_t name_later(const std::string &name) const; // reader's thread: names index; 0 = not valid, or no room left
    uint16_t counter_name(size_t counter) const { return counter_names_[counter]; }

    ProtocolSet select(uint8_t transport, const uint8_t *data, size_t length, uint16_t port, uint16_t other_port) const;
    // Names index, 0 = none.
    uint16_t name_by_port(uint8_t transport, uint16_t portdst, uint16_t portsrc) const;

  private:
    struct Table { // of one transport
        ProtocolSet always;
        std::array<ProtocolSet, 256> first_byte;
        std::unordered_map<uint16_t, ProtocolSet> port;
        std::unordered_map<uint16_t, uint16_t> port_name;
        bool any_port = false;
    };
    void add(const ProtocolCopy &copy);
    uint16_t field_index(const aicore_field &field, const char *protocol, FieldType type);

    std::shared_ptr<Schema> schema_;
    std::vector<Registered> protocols_;
    ProtocolSet external_;
    std::vector<RegisteredMeter> meters_;
    std::vector<std::unique_ptr<ExternalProtocol>> owned_; // what their structures point to
    std::vector<uint16_t> counter_names_;
    std::array<Table, 2> tables_; // TCP, UDP
    bool frozen_ = false;
};

} // namespace aicore
