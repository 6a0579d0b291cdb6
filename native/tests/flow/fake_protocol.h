// SPDX-License-Identifier: Apache-2.0
// Small protocols for tests of the core's side of aicore/protocol.h: each keeps what it was shown, and answers as the
// test says. One object a `slot` at a time. The engine thread calls; the test looks when the run is over.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "aicore/protocol.h"

namespace aicore::test {

struct Shown {
    std::string data, other;
    bool has_other, reverse, recognised;
    unsigned flags;
    aicore_flow *flow;
    aicore_payload *payload; // for `consumed`
    uint8_t *state;

    const aicore_host &host() const { return *flow->host; }
    void set(uint32_t field, const std::string &value) const {
        host().set_string(flow, field, value.data(), value.size());
    }
    void add(uint32_t field, const std::string &value) const {
        host().add_string(flow, field, value.data(), value.size());
    }
};

// Owns what starts with "name " and reports the word behind it at each payload, in its first field.
inline int names(const Shown &s) {
    if (s.data.rfind("name ", 0) != 0) return AICORE_NO;
    s.set(0, s.data.substr(5));
    return AICORE_YES;
}

template <int slot> class Fake {
  public:
    using Function = std::function<int(const Shown &)>;

    Fake(const char *name, Function function) : function_(std::move(function)) {
        self_ = this;
        p.abi = AICORE_PROTOCOL_ABI;
        p.size = sizeof p;
        p.name = name;
        p.help = "A protocol of a test.";
        p.transports = AICORE_TCP | AICORE_UDP;
        p.rank = 50;
        p.inspect = inspect;
    }
    ~Fake() { self_ = nullptr; }
    Fake(const Fake &) = delete;
    Fake &operator=(const Fake &) = delete;

    Fake &prefixes(std::vector<std::string> prefixes) {
        texts_ = std::move(prefixes);
        for (const auto &t : texts_)
            prefixes_.push_back({t.data(), t.size()});
        p.prefixes = prefixes_.data();
        p.prefix_count = static_cast<uint32_t>(prefixes_.size());
        p.prefix_size = sizeof(aicore_prefix);
        return *this;
    }
    Fake &ports(std::vector<uint16_t> ports) {
        ports_ = std::move(ports);
        p.ports = ports_.data();
        p.port_count = static_cast<uint32_t>(ports_.size());
        return *this;
    }
    Fake &field(const char *name, uint32_t type = AICORE_STRING, uint32_t flags = 0) {
        fields_.push_back({name, type, flags, 0, nullptr, nullptr, nullptr});
        p.fields = fields_.data();
        p.field_count = static_cast<uint32_t>(fields_.size());
        p.field_size = sizeof(aicore_field);
        return *this;
    }
    Fake &anomalies(std::vector<const char *> names) {
        anomalies_ = std::move(names);
        p.anomalies = anomalies_.data();
        p.anomaly_count = static_cast<uint32_t>(anomalies_.size());
        return *this;
    }
    Fake &aliases(std::vector<const char *> names) {
        aliases_ = std::move(names);
        p.aliases = aliases_.data();
        p.alias_count = static_cast<uint32_t>(aliases_.size());
        return *this;
    }
    Fake &rank(uint32_t rank) {
        p.rank = rank;
        return *this;
    }
    Fake &state(uint32_t size) {
        p.state_size = size;
        return *this;
    }

    std::vector<std::string> data() const {
        std::vector<std::string> out;
        for (const Shown &s : shown)
            out.push_back(s.data);
        return out;
    }

    std::vector<Shown> shown; // pointers in it are of the past
    aicore_protocol p{};

  private:
    static int inspect(aicore_flow *flow, aicore_payload *payload, void *state) {
        Shown s{{reinterpret_cast<const char *>(payload->data), payload->length},
                {},
                payload->other != nullptr,
                payload->reverse != 0,
                flow->recognised != 0,
                payload->flags,
                flow,
                payload,
                static_cast<uint8_t *>(state)};
        if (payload->other) s.other.assign(reinterpret_cast<const char *>(payload->other), payload->other_length);
        self_->shown.push_back(s);
        return self_->function_(s);
    }

    static inline Fake *self_ = nullptr;
    Function function_;
    std::vector<std::string> texts_;
    std::vector<aicore_prefix> prefixes_;
    std::vector<uint16_t> ports_;
    std::vector<aicore_field> fields_;
    std::vector<const char *> anomalies_, aliases_;
};

} // namespace aicore::test
