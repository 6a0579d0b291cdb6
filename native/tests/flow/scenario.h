// SPDX-License-Identifier: Apache-2.0
// Packets in, events out: sources in memory, a connection's packets by name, and a run of the whole engine.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/engine.h"
#include "aicore/text.h"
#include "packets.h"

namespace aicore::test {

constexpr int64_t kStart = 1'700'000'000'000'000'000; // of captures: some day in 2023
constexpr unsigned kSecondNs = 1'000'000'000;

struct Frame {
    int64_t time;
    Bytes bytes;
    uint32_t wire = 0; // 0 = as captured
};
using Frames = std::vector<Frame>;

inline RawPacket raw(const Frame &f) {
    return packet(f.bytes, f.time, 1, f.wire);
}

// A list of capture files, in blocks or one by one. Either way the bytes are gone behind the read: AddressSanitizer
// sees who keeps a pointer.
class FileSource final : public Source {
  public:
    explicit FileSource(std::vector<Frames> files, bool blocks = true) : files_(std::move(files)), blocks_(blocks) {}
    ReadStatus read(int max, int, PacketHandler handler, void *user) override {
        begun_ = false;
        for (int n = 0; n < max; ++n) {
            if (interrupted_ || file_ == files_.size()) return ReadStatus::end;
            if (at_ == files_[file_].size()) return next();
            const Frame copy = files_[file_][at_++];
            handler(user, raw(copy));
        }
        return ReadStatus::ok;
    }
    bool blocks() const override { return blocks_; }
    ReadStatus read_block(PacketBlock &block, int, size_t most) override {
        block.clear();
        begun_ = false;
        if (interrupted_ || file_ == files_.size()) return ReadStatus::end;
        const Frames &file = files_[file_];
        if (at_ == file.size()) return next();
        const auto begin = file.begin() + static_cast<ptrdiff_t>(at_);
        const auto copy = std::make_shared<Frames>(
            begin, begin + static_cast<ptrdiff_t>(std::min(file.size() - at_, std::min(most, PacketBlock::kMost))));
        at_ += copy->size();
        for (const Frame &frame : *copy)
            block.add(raw(frame));
        block.memory = copy;
        return ReadStatus::ok;
    }
    bool next_file_begun() override { return begun_; }
    bool live() const override { return false; }
    void interrupt() override { interrupted_ = true; }

  private:
    ReadStatus next() {
        at_ = 0;
        begun_ = ++file_ < files_.size();
        return begun_ ? ReadStatus::ok : ReadStatus::end;
    }

    std::vector<Frames> files_;
    const bool blocks_;
    size_t file_ = 0, at_ = 0;
    bool begun_ = false;
    std::atomic<bool> interrupted_{false};
};

// An interface: what give() puts in is read at once, until end().
class LiveSource final : public Source {
  public:
    explicit LiveSource(int longest_wait_ms = 50) : longest_wait_ms_(longest_wait_ms) {}
    void give(Frames frames) { // all at once
        const std::lock_guard lock(mutex_);
        std::move(frames.begin(), frames.end(), std::back_inserter(frames_));
        ready_.notify_one();
    }
    void end() {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        ready_.notify_one();
    }
    ReadStatus read(int max, int wait_ms, PacketHandler handler, void *user) override {
        ++reads_;
        wait_ms = std::min(wait_ms, longest_wait_ms_);
        std::deque<Frame> taken;
        {
            std::unique_lock lock(mutex_);
            ready_.wait_for(lock, std::chrono::milliseconds(wait_ms),
                            [&] { return interrupted_ || ended_ || !frames_.empty(); });
            interrupted_ = false;
            if (frames_.empty()) return ended_ ? ReadStatus::end : ReadStatus::idle;
            for (int n = 0; n < max && !frames_.empty(); ++n) {
                taken.push_back(std::move(frames_.front()));
                frames_.pop_front();
            }
        }
        for (const Frame &f : taken)
            handler(user, raw(f));
        given_ += taken.size();
        return ReadStatus::ok;
    }
    bool live() const override { return true; }
    void interrupt() override {
        const std::lock_guard lock(mutex_);
        interrupted_ = true;
        ready_.notify_one();
    }
    size_t given() const { return given_; } // packets that the engine has looked at
    size_t reads() const { return reads_; } // begun

  private:
    std::mutex mutex_; // guards what follows
    std::condition_variable ready_;
    std::deque<Frame> frames_;
    bool interrupted_ = false, ended_ = false;
    std::atomic<size_t> given_{0}, reads_{0};
    const int longest_wait_ms_;
};

struct Endpoints {
    std::string src = "10.0.0.1", dst = "10.0.0.2";
    uint16_t src_port = 40000, dst_port = 80;
    std::string key(int proto = 6) const {
        return src + ":" + std::to_string(src_port) + ":" + std::to_string(proto) + ":" + dst + ":" +
               std::to_string(dst_port);
    }
    Endpoints back() const { return {dst, src, dst_port, src_port}; }
};

inline Frame tcp_frame(double t, const Endpoints &e, uint8_t flags, uint32_t seq, uint32_t ack,
                       std::string_view payload = {}) {
    return {kStart + seconds(t),
            ethernet(kIpv4,
                     ipv4({.src = e.src, .dst = e.dst, .proto = kTcp},
                          tcp({.src_port = e.src_port, .dst_port = e.dst_port, .seq = seq, .ack = ack, .flags = flags},
                              text(payload))))};
}
inline Frame udp_frame(double t, const Endpoints &e, std::string_view payload = "x") {
    return {kStart + seconds(t),
            ethernet(kIpv4, ipv4({.src = e.src, .dst = e.dst, .proto = kUdp},
                                 udp({.src_port = e.src_port, .dst_port = e.dst_port}, text(payload))))};
}

// Both ends of a TCP connection: keeps their numbers. Direction 0 is from src.
struct Connection {
    Frames &out;
    Endpoints ends;
    uint32_t seq[2] = {1000, 5000};

    Connection(Frames &o, Endpoints e = {}) : out(o), ends(std::move(e)) {}
    void send(double t, int d, uint8_t flags, std::string_view payload = {}) {
        const bool ack = flags & kAck;
        out.push_back(tcp_frame(t, d ? ends.back() : ends, flags, seq[d], ack ? seq[d ^ 1] : 0, payload));
        seq[d] += static_cast<uint32_t>(payload.size()) + (flags & kSyn ? 1 : 0) + (flags & kFin ? 1 : 0);
    }
    void open(double t) {
        send(t, 0, kSyn);
        send(t, 1, kSyn | kAck);
        send(t, 0, kAck);
    }
    void close(double t) {
        send(t, 0, kFin | kAck);
        send(t, 1, kFin | kAck);
        send(t, 0, kAck);
    }
    void data(double t, int d, std::string_view payload) { send(t, d, kAck | kPsh, payload); }
};

struct Event : Row {
    std::string key, layer7_name, anomaly_name, sensor_name;
    std::map<std::string, std::string> fields; // a list's items joined by commas
    std::string id() const {
        std::string s;
        append_flow_id(s, *this);
        return s;
    }
};

inline void collect(std::vector<Event> &out, const Batch &batch) {
    for (const Row &row : batch.rows) {
        Event e;
        static_cast<Row &>(e) = row;
        append_key(e.key, row);
        e.layer7_name = batch.schema->names[row.layer7];
        e.anomaly_name = batch.schema->names[row.anomaly];
        e.sensor_name = batch.schema->names[row.sensor];
        for (uint32_t i = 0; i < row.attribute_count; ++i) {
            const Attribute &a = batch.strings->attributes.at(row.attribute_first + i);
            const FieldInfo &f = batch.schema->fields.at(a.field);
            std::string &value = e.fields[f.name];
            if (!value.empty()) value += ',';
            value += is_text(f.type)   ? std::string(batch.text(a))
                     : is_real(f.type) ? std::to_string(std::bit_cast<double>(a.value))
                                       : std::to_string(a.value);
        }
        out.push_back(std::move(e));
    }
}

// "insert 10.0.0.1:40000:6:10.0.0.2:80 1", with the reason behind what has one.
inline std::string line(const Event &e) {
    std::string s =
        std::string(kEventNames[static_cast<size_t>(e.kind)]) + " " + e.key + " " + std::to_string(e.packets);
    if (e.end_reason != EndReason::none) s += std::string(" ") + kEndReasonNames[static_cast<size_t>(e.end_reason)];
    return s;
}
inline std::vector<std::string> lines(const std::vector<Event> &events) {
    std::vector<std::string> out;
    for (const Event &e : events)
        out.push_back(line(e));
    return out;
}

struct Result {
    std::vector<Event> events;
    std::map<std::string, uint64_t> counters;
    Tops tops;

    std::vector<std::string> lines() const { return test::lines(events); }
    std::vector<Event> of(EventKind kind) const {
        std::vector<Event> out;
        for (const Event &e : events)
            if (e.kind == kind) out.push_back(e);
        return out;
    }
    uint64_t count(const std::string &name) const {
        const auto it = counters.find(name);
        return it == counters.end() ? 0 : it->second;
    }
};

// A second UDP flow's packet, which does nothing but move the clock.
inline Frame tick(double t) {
    return udp_frame(t, {"10.9.9.1", "10.9.9.2", 1, 2});
}
inline bool is_tick(const Event &e) {
    return e.key == "10.9.9.1:1:17:10.9.9.2:2";
}

inline Result run(std::vector<Frames> files, const EngineOptions &options = {},
                  const std::vector<const aicore_protocol *> &protocols = {}, bool blocks = true) {
    auto registry = std::make_shared<Registry>();
    for (const aicore_protocol *p : protocols)
        registry->add(p);
    Engine engine(registry, options);
    engine.open(std::make_unique<FileSource>(std::move(files), blocks));
    engine.start();
    Result result;
    while (!engine.finished())
        if (const auto batch = engine.pull(1000)) collect(result.events, *batch);
    for (const auto &[name, value] : engine.counters())
        result.counters[name] = value;
    result.tops = engine.tops(10);
    return result;
}
inline Result run(Frames frames, const EngineOptions &options = {},
                  const std::vector<const aicore_protocol *> &protocols = {}, bool blocks = true) {
    return run(std::vector<Frames>{std::move(frames)}, options, protocols, blocks);
}
// Without the events of the flow that ticks.
inline Result run_quiet(Frames frames, const EngineOptions &options = {},
                        const std::vector<const aicore_protocol *> &protocols = {}) {
    Result r = run(std::move(frames), options, protocols);
    std::erase_if(r.events, is_tick);
    return r;
}

} // namespace aicore::test
