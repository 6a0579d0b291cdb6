// SPDX-License-Identifier: Apache-2.0
// A host for dissectors without an engine: keeps what they report and feeds them as aicore/protocol.h says. It checks
// the contract on the way: indexes, answers, `consumed`, and that nothing of the input is kept (each call gets a copy
// of its own, freed afterwards, so that AddressSanitizer sees a dissector that reads behind it).
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/protocol.h"

namespace aicore::test {

class Flow {
  public:
    explicit Flow(const aicore_protocol *protocol, uint8_t transport = AICORE_TCP) : protocol_(protocol) {
        static constexpr aicore_host kHost = {sizeof(aicore_host), 0,           set_string, set_integer, set_real,
                                              add_string,          add_integer, add_real,   has,         anomaly,
                                              set_layer7,          hand_over};
        flow.size = sizeof flow;
        flow.host = &kHost;
        flow.ip_version = 4;
        flow.transport = transport;
        flow.src_port = 40000;
        flow.dst_port = 9999;
        flow.core = this;
        const uint8_t src[] = {192, 0, 2, 1}, dst[] = {198, 51, 100, 2};
        std::memcpy(flow.src, src, 4);
        std::memcpy(flow.dst, dst, 4);
        layer7 = protocol->name;
        state_ = std::make_unique<uint8_t[]>(protocol->state_size);
    }
    Flow(const Flow &) = delete;
    Flow &operator=(const Flow &) = delete;

    // The next bytes of the stream, or a datagram. Returns the last answer; -1: nobody asked any more.
    int feed(std::string_view bytes, bool reverse = false, uint8_t flags = 0) {
        if (done || handed_over) return -1;
        const size_t over = static_cast<size_t>(std::min<uint64_t>(pass_over[reverse], bytes.size()));
        pass_over[reverse] -= over;
        bytes.remove_prefix(over);
        if (over && bytes.empty()) return answer_;
        std::string &stream = buffer[reverse];
        if (flow.transport == AICORE_UDP || flags & AICORE_GAP) stream.clear();
        if (dropped[reverse] && !flow.recognised) return -1;
        stream += bytes;
        return ask(reverse, flags);
    }

    std::string text(const std::string &name) const {
        const auto it = strings.find(name);
        return it == strings.end() ? std::string("(none)") : it->second;
    }

    const aicore_protocol *protocol() const { return protocol_; }

    aicore_flow flow{};
    std::string layer7;
    std::map<std::string, std::string> strings;
    std::map<std::string, int64_t> integers;
    std::map<std::string, double> reals;
    std::map<std::string, std::vector<std::string>> lists; // numbers as text
    std::vector<std::string> anomalies;
    std::optional<std::string> handed_over; // "" = recognise anew
    std::string buffer[2];                  // not consumed yet
    bool dropped[2] = {false, false};       // candidate no more
    uint64_t pass_over[2] = {0, 0};         // bytes that are to come and that nobody wants to see
    bool done = false;
    size_t bound = 16384; // bytes buffered a direction

  private:
    int ask(bool reverse, uint8_t flags) {
        std::string &stream = buffer[reverse];
        const size_t other_length = flow.recognised ? 0 : buffer[!reverse].size();
        const auto data = std::make_unique<uint8_t[]>(stream.size());
        std::copy(stream.begin(), stream.end(), data.get());
        const auto other = std::make_unique<uint8_t[]>(other_length);
        std::copy_n(buffer[!reverse].begin(), other_length, other.get());
        aicore_payload payload{};
        payload.size = sizeof payload;
        payload.data = data.get();
        payload.length = stream.size();
        payload.other = other_length ? other.get() : nullptr;
        payload.other_length = other_length;
        payload.reverse = reverse;
        payload.flags = static_cast<uint16_t>(flags | (overflowed_[reverse] ? AICORE_GAP : 0));
        payload.consumed = SIZE_MAX;
        overflowed_[reverse] = false;
        ++flow.packets;
        if (!flow.recognised) forget(flow.transport == AICORE_UDP && more_);
        const int answer = answer_ = protocol_->inspect(&flow, &payload, state_.get());
        const size_t consumed = std::min(payload.consumed, stream.size());
        if (payload.consumed != SIZE_MAX && flow.transport == AICORE_TCP)
            pass_over[reverse] = payload.consumed - consumed;
        more_ = answer == AICORE_MORE;
        switch (answer) {
        case AICORE_NO:
            if (flow.recognised) throw std::logic_error("NO after recognition");
            forget();
            dropped[reverse] = true;
            stream.clear();
            return answer;
        case AICORE_MORE:
            if (!flow.recognised) forget(flow.transport == AICORE_UDP);
            stream.erase(0, payload.consumed == SIZE_MAX ? 0 : consumed);
            break;
        case AICORE_YES:
            flow.recognised = 1;
            stream.erase(0, consumed);
            break;
        case AICORE_DONE:
            flow.recognised = 1;
            done = true;
            break;
        default:
            throw std::logic_error("not an answer");
        }
        if (flow.transport == AICORE_TCP && stream.size() >= bound) {
            stream.clear();
            if (flow.recognised)
                overflowed_[reverse] = true;
            else
                dropped[reverse] = true;
        }
        return answer;
    }

    void forget(bool keep_state = false) {
        strings.clear();
        integers.clear();
        reals.clear();
        lists.clear();
        anomalies.clear();
        handed_over.reset();
        layer7 = protocol_->name;
        if (!keep_state) std::memset(state_.get(), 0, protocol_->state_size);
    }

    static Flow &self(const aicore_flow *f) { return *static_cast<Flow *>(f->core); }
    const aicore_field &field(uint32_t index, std::initializer_list<uint32_t> types) const {
        if (index >= protocol_->field_count ||
            std::find(types.begin(), types.end(), protocol_->fields[index].type) == types.end())
            throw std::logic_error("no such field");
        return protocol_->fields[index];
    }
    static void set_string(aicore_flow *f, uint32_t index, const void *bytes, size_t length) {
        self(f).strings[self(f).field(index, {AICORE_STRING}).name] =
            std::string(static_cast<const char *>(bytes), length);
    }
    static void set_integer(aicore_flow *f, uint32_t index, int64_t value) {
        self(f).integers[self(f).field(index, {AICORE_INTEGER, AICORE_BOOLEAN, AICORE_TIME}).name] = value;
    }
    static void set_real(aicore_flow *f, uint32_t index, double value) {
        self(f).reals[self(f).field(index, {AICORE_REAL}).name] = value;
    }
    static void add_integer(aicore_flow *f, uint32_t index, int64_t value) {
        self(f).lists[self(f).field(index, {AICORE_INTEGERS}).name].push_back(std::to_string(value));
    }
    static void add_real(aicore_flow *f, uint32_t index, double value) {
        self(f).lists[self(f).field(index, {AICORE_REALS}).name].push_back(std::to_string(value));
    }
    static void add_string(aicore_flow *f, uint32_t index, const void *bytes, size_t length) {
        auto &list = self(f).lists[self(f).field(index, {AICORE_STRINGS}).name];
        std::string value(static_cast<const char *>(bytes), length);
        if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(std::move(value));
    }
    static int has(const aicore_flow *f, uint32_t index) {
        if (index >= self(f).protocol_->field_count) throw std::logic_error("no such field");
        const std::string name = self(f).protocol_->fields[index].name;
        return self(f).strings.count(name) || self(f).integers.count(name) || self(f).reals.count(name) ||
               self(f).lists.count(name);
    }
    static void anomaly(aicore_flow *f, uint32_t index) {
        if (index >= self(f).protocol_->anomaly_count) throw std::logic_error("no such anomaly");
        self(f).anomalies.push_back(self(f).protocol_->anomalies[index]);
    }
    static void set_layer7(aicore_flow *f, uint32_t index) {
        if (index >= self(f).protocol_->alias_count) throw std::logic_error("no such alias");
        self(f).layer7 = self(f).protocol_->aliases[index];
    }
    static void hand_over(aicore_flow *f, const char *protocol) { self(f).handed_over = protocol ? protocol : ""; }

    const aicore_protocol *protocol_;
    std::unique_ptr<uint8_t[]> state_; // no byte more, so that AddressSanitizer sees who writes behind it
    bool overflowed_[2] = {false, false};
    bool more_ = false; // the last answer
    int answer_ = -1;   // the same
};

// What a flow ends up with, for comparing one way of feeding with another.
struct Outcome {
    std::string layer7;
    std::map<std::string, std::string> strings;
    std::map<std::string, int64_t> integers;
    std::map<std::string, double> reals;
    std::map<std::string, std::vector<std::string>> lists;
    std::vector<std::string> anomalies;
    std::optional<std::string> handed_over;
    bool recognised, done;
    bool operator==(const Outcome &) const = default;
};

struct Piece {
    bool reverse;
    std::string bytes;
};

inline Outcome outcome(const Flow &f) {
    return {f.layer7, f.strings, f.integers, f.reals, f.lists, f.anomalies, f.handed_over, f.flow.recognised != 0,
            f.done};
}

inline Outcome run(const aicore_protocol *protocol, const std::vector<Piece> &pieces) {
    Flow f(protocol);
    for (const Piece &p : pieces)
        f.feed(p.bytes, p.reverse);
    return outcome(f);
}

// The same conversation with every payload cut in two at every place, then byte by byte. `fail` gets a place that
// differs.
template <typename Fail>
void every_split(const aicore_protocol *protocol, const std::vector<Piece> &pieces, Fail fail) {
    const Outcome whole = run(protocol, pieces);
    for (size_t i = 0; i < pieces.size(); ++i)
        for (size_t cut = 1; cut < pieces[i].bytes.size(); ++cut) {
            std::vector<Piece> split(pieces.begin(), pieces.begin() + static_cast<long>(i));
            split.push_back({pieces[i].reverse, pieces[i].bytes.substr(0, cut)});
            split.push_back({pieces[i].reverse, pieces[i].bytes.substr(cut)});
            split.insert(split.end(), pieces.begin() + static_cast<long>(i) + 1, pieces.end());
            if (!(run(protocol, split) == whole)) fail("piece " + std::to_string(i) + " cut at " + std::to_string(cut));
        }
    std::vector<Piece> bytes;
    for (const Piece &p : pieces)
        for (const char c : p.bytes)
            bytes.push_back({p.reverse, std::string(1, c)});
    if (!(run(protocol, bytes) == whole)) fail("byte by byte");
}

} // namespace aicore::test
