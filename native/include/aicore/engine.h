// SPDX-License-Identifier: Apache-2.0
// One run: a source, decoding, flow tables, protocols and events on a thread of its own. The reader pulls batches.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aicore/batch.h"
#include "aicore/external.h"
#include "aicore/registry.h"
#include "aicore/siphash.h"
#include "aicore/source.h"

namespace aicore {

struct EngineOptions {           // times in nanoseconds
    bool tcp = true, udp = true; // track this transport
    uint32_t tcp_flows = 163840, udp_flows = 163840;
    uint32_t every_tcp = 32, every_udp = 32; // packets between sampled updates; 0 = on discoveries only
    // Readers leave out sampled updates (Batch::rows_at_multiples), so none of them is taken for a flow's final one.
    bool thinned = false;
    int64_t idle_tcp = 300'000'000'000, idle_udp = 180'000'000'000, half_open = 70'000'000'000;
    int64_t linger = 5'000'000'000;
    int64_t active = 0; // 0 = off
    bool vlan_in_key = true;
    bool tunnel_in_key = true; // the ids that tunnels have
    uint32_t max_fragments = 4096;
    std::string sensor;
    unsigned events = 7; // bit EventKind: wanted
    size_t batch_rows = 4096;
    int64_t flush = 100'000'000;
    size_t queue_batches = 8;
    size_t stream_bytes = 16 << 10, streams_bytes = 64 << 20;
    uint32_t inspected_flows = 65536;     // shown to external protocols at once
    bool top = false;                     // keep the summary's tops
    int64_t version_base = 0;             // run start, microseconds since the epoch
    HashKey hash_key = random_hash_key(); // of the flow tables
};

struct Progress {
    uint64_t packets = 0, bytes_read = 0, bytes_total = 0, flows_live_tcp = 0, flows_live_udp = 0;
    int64_t clock = 0;
    std::string current;
    bool ended = false; // the input was read to its end
};

struct FinishedFile { // of a source that follows
    std::string path;
    uint64_t batches; // of this run; the last of them holds the last event of the file's packets
    int64_t clock;    // packet time at its end
};

struct TopEntry {
    std::string name;
    uint64_t flows = 0, packets = 0, bytes = 0;
};
struct Tops {
    std::vector<TopEntry> protocols, hosts, talkers; // most bytes first
};

// std::runtime_error if no frame of the source can be decoded; else a warning for each link type that is not known.
std::vector<std::string> check_links(const Source &source);

class BatchQueues;
class BlockRing;
class Exchange;
struct MeterSwap;

// What an engine that is one of several has of the others.
struct Part {
    uint16_t number = 0;
    std::shared_ptr<BatchQueues> queues; // of all; null: this one is alone
    std::function<void()> over;          // called on the engine's thread: the others shall end, too
};

// Methods may be called from any one thread unless they say otherwise.
class Engine {
  public:
    Engine(std::shared_ptr<Registry> registry, const EngineOptions &options,
           const Part &part = {}); // std::invalid_argument, std::bad_alloc
    ~Engine();                     // close()
    // Before start(); std::runtime_error if no frame of it can be decoded. `exchange`: of engines that have each a
    // source of their own.
    void open(std::unique_ptr<Source> source, std::shared_ptr<Exchange> exchange = nullptr);
    void open(BlockRing &ring, bool live); // instead of a source; it outlives the engine
    void start();
    void add_files(const std::vector<std::string> &paths); // any thread; std::invalid_argument if it does not follow
    std::vector<FinishedFile> finished_files();            // since the last call, in order
    std::vector<BrokenFile> broken_files();                // since the last call, of any source of files
    std::unique_ptr<Batch> pull(int timeout_ms);           // null: nothing within the time, or finished()
    bool finished() const;                                 // the input has ended and all was pulled
    // Before the next pull(), on its thread, if there are external protocols: has them look at the batch's payloads,
    // which are gone from it then.
    void inspect(Batch &batch, ExternalProtocols &protocols);
    // A new instance of a meter takes the place of the old one between two packets. The thread that pulls;
    // std::invalid_argument, and the old one stays: create() failed, or the structure or the fields are others.
    void reload_meter(const aicore_meter *meter, const std::string &config,
                      const std::vector<FieldInfo> *fields = nullptr);
    // The two halves of it, for several engines.
    MeterSwap fresh_meter(const aicore_meter *meter, const std::string &config,
                          const std::vector<FieldInfo> *fields) const;
    void take_meter(MeterSwap fresh);
    void drop_old_meters(); // destroys the instances that others have replaced; the same thread
    void stop();            // any thread: end the input, final events follow
    void close();           // no more events; joins the thread
    std::string error() const;
    std::vector<std::string> warnings();
    std::vector<std::pair<std::string, uint64_t>> counters() const;
    Progress progress() const;
    Tops tops(size_t limit) const;
    const Registry &registry() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace aicore
