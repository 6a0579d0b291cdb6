// SPDX-License-Identifier: Apache-2.0
// External protocols in a test: an engine, and a reader that answers as the test says, at once or later.
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include "fake_protocol.h"
#include "scenario.h"

namespace aicore::test {

// One question, copied.
struct Asked {
    std::string protocol, data, other;
    bool reverse, recognised;
    unsigned flags;
    uint64_t inspection;
    uint64_t packets; // of the flow then
};

struct Reply {
    int answer;
    std::string layer7 = {};
    std::vector<std::pair<std::string, std::string>> strings = {}; // fields by name
    size_t consumed = SIZE_MAX;
};

inline ExternalProtocol external(const std::string &name, std::vector<std::string> prefixes = {}) {
    ExternalProtocol p;
    p.name = name;
    p.transports = AICORE_TCP | AICORE_UDP;
    p.prefixes = std::move(prefixes);
    p.fields = {{name + "field", FieldType::string, true, 64, "", "", "", ""},
                {name + "list", FieldType::strings, false, 64, "", "", "", ""},
                {name + "number", FieldType::integer, false, 64, "", "", "", ""}};
    return p;
}

class Answers final : public ExternalProtocols {
  public:
    std::function<Reply(const Asked &)> reply = [](const Asked &) { return Reply{AICORE_NO}; };
    std::vector<Asked> asked;
    std::set<uint64_t> live; // inspections that are not over

    int inspect(const Question &q) noexcept override {
        const Registered &protocol = q.registry.protocols()[q.protocol];
        const aicore_payload &p = q.payload;
        const auto text = [](const uint8_t *data, size_t n) {
            return std::string(reinterpret_cast<const char *>(data), n);
        };
        asked.push_back({protocol.protocol.name, text(p.data, p.length), p.other ? text(p.other, p.other_length) : "",
                         p.reverse != 0, q.flow.recognised != 0, p.flags, q.inspection, q.flow.packets});
        live.insert(q.inspection);
        const Reply r = reply(asked.back());
        for (const auto &[name, value] : r.strings)
            for (size_t i = 0; i < protocol.fields.size(); ++i)
                if (q.registry.schema()->fields[protocol.fields[i]].name == name)
                    q.flow.host->set_string(&q.flow, static_cast<uint32_t>(i), value.data(), value.size());
        if (!r.layer7.empty()) q.set_layer7(r.layer7);
        q.payload.consumed = r.consumed;
        return r.answer;
    }
    void ended(uint64_t inspection) noexcept override { live.erase(inspection); }

    // "alpha>data", "alpha<data" for the other direction, "alpha>data|other", a leading "gap " where bytes are missing.
    std::vector<std::string> lines() const {
        std::vector<std::string> out;
        for (const Asked &a : asked)
            out.push_back((a.flags & AICORE_GAP ? "gap " : "") + a.protocol + (a.reverse ? "<" : ">") + a.data +
                          (a.other.empty() ? "" : "|" + a.other));
        return out;
    }
};

inline int64_t wall() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

struct Bench {
    std::shared_ptr<Registry> registry = std::make_shared<Registry>();
    EngineOptions options;
    LiveSource *source = nullptr;
    std::unique_ptr<Engine> engine;
    Result result;
    Answers answers;
    bool late = false; // batches are kept back until look()

    void start() {
        options.flush = 0;
        engine = std::make_unique<Engine>(registry, options);
        auto s = std::make_unique<LiveSource>(1);
        source = s.get();
        engine->open(std::move(s));
        engine->start();
    }
    void give(Frames &frames) { // their batches are pulled before the next are given
        for (Frame &f : frames)
            f.time = wall();
        given += frames.size();
        source->give(std::exchange(frames, {}));
        while (source->given() < given)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        pull_until_quiet();
    }
    void pull_until_quiet() {
        // Behind a packet or findings: one read until they are taken, one until their batch is handed over.
        for (size_t reads = source->reads(); source->reads() < reads + 4;) {
            auto batch = engine->pull(2);
            if (!batch) continue;
            take(std::move(batch));
            reads = source->reads();
        }
    }
    void take(std::unique_ptr<Batch> batch) {
        collect(result.events, *batch);
        if (late)
            kept.push_back(std::move(batch));
        else
            engine->inspect(*batch, answers);
    }
    void look() { // at what was kept back
        late = false;
        for (auto &batch : std::exchange(kept, {}))
            engine->inspect(*batch, answers);
        pull_until_quiet();
    }
    void finish() {
        source->end();
        drain();
    }
    void drain() {
        while (!engine->finished())
            if (auto batch = engine->pull(100)) take(std::move(batch));
        for (const auto &[name, value] : engine->counters())
            result.counters[name] = value;
    }
    // From a file: the engine runs ahead as far as its queue allows.
    Result &run_file(Frames frames) {
        engine = std::make_unique<Engine>(registry, options);
        engine->open(std::make_unique<FileSource>(std::vector<Frames>{std::move(frames)}, false));
        engine->start();
        drain();
        return result;
    }

    size_t given = 0;
    std::vector<std::unique_ptr<Batch>> kept;
};

} // namespace aicore::test
