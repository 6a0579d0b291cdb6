// SPDX-License-Identifier: Apache-2.0
// A meter for tests of the core's side of aicore/meter.h: it writes down what it is called with and does what the test
// says. One object per `slot` at a time. The engine thread calls; the test looks when the run is over.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aicore/meter.h"
#include "scenario.h"

namespace aicore::test {

// The arguments of one call; pointers are valid during it.
struct Metered {
    std::string what; // "opened", "packet", ...
    void *self;
    aicore_meter_flow *flow;
    void *state;
    const aicore_packet *packet = nullptr;
    const aicore_chunk *chunk = nullptr;
    const aicore_name *name = nullptr;

    const aicore_meter_host &host() const { return *flow->host; }
    uint64_t &word(size_t i = 0) const { return static_cast<uint64_t *>(state)[i]; }
    std::string bytes() const { return {reinterpret_cast<const char *>(chunk->data), chunk->length}; }
    std::string value() const { return {reinterpret_cast<const char *>(name->value), name->length}; }
    void set(uint32_t field, const std::string &text) const {
        host().set_string(flow, field, text.data(), text.size());
    }
};

template <int slot> class FakeMeter {
  public:
    using Function = std::function<void(const Metered &)>;

    // `calls`: those of its functions that are not NULL, else all; `stream` is there with streams().
    explicit FakeMeter(const char *name, Function function = {}, const std::string &calls = {})
        : function_(std::move(function)) {
        self_ = this;
        m.abi = AICORE_METER_ABI;
        m.size = sizeof m;
        m.name = name;
        m.help = "A meter of a test.";
        const auto wanted = [&](const char *what) { return calls.empty() || calls.find(what) != calls.npos; };
        if (wanted("opened")) m.opened = opened;
        if (wanted("packet")) m.packet = packet;
        if (wanted("named")) m.named = named;
        if (wanted("record")) m.record = record;
        if (wanted("ended")) m.ended = ended;
    }
    ~FakeMeter() { self_ = nullptr; }
    FakeMeter(const FakeMeter &) = delete;
    FakeMeter &operator=(const FakeMeter &) = delete;

    FakeMeter &state(uint32_t bytes) {
        m.state_size = bytes;
        return *this;
    }
    FakeMeter &streams(uint32_t bytes) {
        m.stream = stream;
        m.stream_bytes = bytes;
        return *this;
    }
    FakeMeter &field(const char *name, uint32_t type = AICORE_INTEGER) {
        fields_.push_back({name, type, 0, 0, nullptr, nullptr, nullptr});
        m.fields = fields_.data();
        m.field_count = static_cast<uint32_t>(fields_.size());
        m.field_size = sizeof(aicore_field);
        return *this;
    }
    // With an instance: `made` and `destroyed` hold the configurations of each. A configuration "bad..." cannot be
    // used.
    FakeMeter &instances() {
        m.create = create;
        m.destroy = destroy;
        m.take_over = take_over;
        return *this;
    }

    // "opened 10.0.0.1" and the like would repeat the flow in each: what alone, of packets their number, of chunks the
    // bytes ("<" before those of the other direction, "!" for a gap), of names the field and the value.
    std::vector<std::string> log;
    std::vector<std::string> made, destroyed, taken_over;
    aicore_meter m{};

  private:
    static void *create(const aicore_meter_setup *setup) {
        auto config = std::make_unique<std::string>(static_cast<const char *>(setup->config), setup->config_length);
        if (config->rfind("bad", 0) == 0) {
            std::strncpy(setup->error, config->c_str(), setup->error_size - 1);
            return nullptr;
        }
        self_->made.push_back(*config);
        return config.release();
    }
    static void destroy(void *self) {
        const std::unique_ptr<std::string> config(static_cast<std::string *>(self));
        self_->destroyed.push_back(*config);
    }
    static void take_over(void *self, void *old) {
        self_->taken_over.push_back(*static_cast<std::string *>(old) + ">" + *static_cast<std::string *>(self));
    }
    static void call(const Metered &call, const std::string &line) {
        self_->log.push_back(line);
        if (self_->function_) self_->function_(call);
    }
    static void opened(void *self, aicore_meter_flow *flow, void *state) {
        call({"opened", self, flow, state}, "opened");
    }
    static void packet(void *self, aicore_meter_flow *flow, const aicore_packet *packet, void *state) {
        call({"packet", self, flow, state, packet}, "packet " + std::to_string(flow->packets[0] + flow->packets[1]));
    }
    static void stream(void *self, aicore_meter_flow *flow, const aicore_chunk *chunk, void *state) {
        const Metered m{"stream", self, flow, state, nullptr, chunk};
        call(m,
             "stream " + std::string(chunk->reverse ? "<" : "") + (chunk->flags & AICORE_GAP ? "!" : "") + m.bytes());
    }
    static void named(void *self, aicore_meter_flow *flow, const aicore_name *name, void *state) {
        const Metered m{"named", self, flow, state, nullptr, nullptr, name};
        call(m, "named " + std::string(name->field) + "=" + m.value());
    }
    static void record(void *self, aicore_meter_flow *flow, void *state) {
        call({"record", self, flow, state}, std::string("record ") + kEventNames[flow->event - 1]);
    }
    static void ended(void *self, aicore_meter_flow *flow, void *state) { call({"ended", self, flow, state}, "ended"); }

    static inline FakeMeter *self_ = nullptr;
    Function function_;
    std::vector<aicore_field> fields_;
};

inline const Endpoints kDatagrams{"10.0.0.1", "10.0.0.2", 5000, 5001};
inline Frames datagrams(int n) { // of one flow, both ways in turn
    Frames f;
    for (int i = 0; i < n; ++i)
        f.push_back(udp_frame(i * 0.1, i % 2 ? kDatagrams.back() : kDatagrams, "payload"));
    return f;
}

// The whole engine with meters.
struct Metering {
    std::vector<const aicore_meter *> meters;
    std::vector<const aicore_protocol *> protocols = {};
    EngineOptions options = {};
    std::string config = {};
    bool blocks = false;

    std::unique_ptr<Engine> engine(std::unique_ptr<Source> source) const {
        auto registry = std::make_shared<Registry>();
        for (const aicore_protocol *p : protocols)
            registry->add(p);
        for (const aicore_meter *m : meters)
            registry->add_meter(m, config);
        auto made = std::make_unique<Engine>(registry, options);
        made->open(std::move(source));
        return made;
    }
    Result run(std::vector<Frames> files) const {
        const auto e = engine(std::make_unique<FileSource>(std::move(files), blocks));
        e->start();
        Result result;
        while (!e->finished())
            if (const auto batch = e->pull(1000)) collect(result.events, *batch);
        for (const auto &[name, value] : e->counters())
            result.counters[name] = value;
        return result;
    }
    Result run(Frames frames) const { return run(std::vector<Frames>{std::move(frames)}); }
};

} // namespace aicore::test
