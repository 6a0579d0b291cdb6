// SPDX-License-Identifier: Apache-2.0
// The engines of a run, and their one reader. One engine reads its source itself; several get their packets from a
// thread that reads and decodes. Nothing in an engine is shared but what is said here: the registry, the queue of
// batches, and the key of the flow tables' hash, by which a flow belongs to one of them.
#pragma once

#include "aicore/engine.h"
#include "aicore/fanout.h"

namespace aicore {

constexpr size_t kMaxWorkers = 64;

using CounterValues = std::vector<std::pair<std::string, uint64_t>>;

// Methods as those of Engine, over all of them. The bounds of the options are the run's: each worker has an equal
// share of the flow tables and of the memory for streams.
class Workers {
  public:
    Workers(std::shared_ptr<Registry> registry, const EngineOptions &options, size_t count = 1);
    ~Workers(); // close()
    void open(std::unique_ptr<Source> source);
    void open(std::vector<std::unique_ptr<Source>> sources, const std::shared_ptr<Fanout> &fanout); // one each
    void start();
    void add_files(const std::vector<std::string> &paths);
    std::vector<FinishedFile> finished_files();
    std::vector<BrokenFile> broken_files();
    // Events are numbered as they are taken, so that seq rises by one over the run.
    std::unique_ptr<Batch> pull(int timeout_ms);
    bool finished() const;
    void inspect(Batch &batch, ExternalProtocols &protocols);
    // An instance for each worker: of all, or of none.
    void reload_meter(const aicore_meter *meter, const std::string &config,
                      const std::vector<FieldInfo> *fields = nullptr);
    void stop();
    void close();
    std::string error() const;
    std::vector<std::string> warnings();
    CounterValues counters() const;                     // sums
    std::vector<CounterValues> worker_counters() const; // of each; `packets` are those that it owns
    Progress progress() const;
    Tops tops(size_t limit) const;
    const Registry &registry() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace aicore
