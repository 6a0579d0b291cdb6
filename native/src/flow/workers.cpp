// SPDX-License-Identifier: Apache-2.0
#include "aicore/workers.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <unordered_map>

#include "batch_queue.h"
#include "exchange.h"
#include "feed.h"
#include "meters.h"

namespace aicore {

namespace {

EngineOptions share_of(EngineOptions o, size_t count) {
    const auto share = [count](auto &bound) {
        bound = static_cast<std::decay_t<decltype(bound)>>((bound + count - 1) / count);
    };
    if (count == 1) return o;
    share(o.tcp_flows);
    share(o.udp_flows);
    share(o.inspected_flows);
    share(o.streams_bytes);
    o.streams_bytes = std::max(o.streams_bytes, o.stream_bytes);
    return o;
}

void add(CounterValues &sums, const CounterValues &more) {
    for (const auto &[name, value] : more) {
        const auto at =
            std::find_if(sums.begin(), sums.end(), [&, n = &name](const auto &sum) { return sum.first == *n; });
        if (at == sums.end())
            sums.emplace_back(name, value);
        else
            at->second += value;
    }
}

void add(std::vector<TopEntry> &sums, std::vector<TopEntry> more) {
    std::unordered_map<std::string, size_t> places;
    for (size_t i = 0; i < sums.size(); ++i)
        places.emplace(sums[i].name, i);
    for (TopEntry &entry : more) {
        const auto [at, fresh] = places.try_emplace(entry.name, sums.size());
        if (fresh) {
            sums.push_back(std::move(entry));
            continue;
        }
        TopEntry &sum = sums[at->second];
        sum.flows += entry.flows;
        sum.packets += entry.packets;
        sum.bytes += entry.bytes;
    }
}

void cut(std::vector<TopEntry> &entries, size_t limit) {
    std::sort(entries.begin(), entries.end(), [](const TopEntry &a, const TopEntry &b) {
        return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name;
    });
    if (entries.size() > limit) entries.resize(limit);
}

} // namespace

struct Workers::Impl {
    Impl(std::shared_ptr<Registry> registry, const EngineOptions &o, size_t count)
        : options(o), queues(std::make_shared<BatchQueues>(count, o.queue_batches)) {
        const EngineOptions share = share_of(o, count);
        for (size_t n = 0; n < count; ++n) {
            Part part{static_cast<uint16_t>(n), nullptr, nullptr};
            if (count > 1) part = {static_cast<uint16_t>(n), queues, [this] { stop(); }};
            engines.push_back(std::make_unique<Engine>(registry, share, part));
        }
    }
    bool alone() const { return engines.size() == 1; }
    void stop() { // any thread
        if (feed)
            feed->stop();
        else
            for (const auto &engine : engines)
                engine->stop();
    }

    const EngineOptions options;
    const std::shared_ptr<BatchQueues> queues; // of several engines
    std::unique_ptr<Feed> feed;                // of several engines; destroyed behind them, as they read from it
    std::vector<std::unique_ptr<Engine>> engines;
    int64_t seq = 0;                  // of the last event taken; of several engines
    std::vector<std::string> unknown; // link types that cannot be decoded
};

Workers::Workers(std::shared_ptr<Registry> registry, const EngineOptions &options, size_t count) {
    if (count < 1 || count > kMaxWorkers)
        throw std::invalid_argument("workers is " + std::to_string(count) + ", must be from 1 to " +
                                    std::to_string(kMaxWorkers));
    impl_ = std::make_unique<Impl>(std::move(registry), options, count);
}

Workers::~Workers() {
    close();
}

void Workers::open(std::unique_ptr<Source> source) {
    if (impl_->alone()) return impl_->engines[0]->open(std::move(source));
    for (auto &warning : check_links(*source))
        impl_->unknown.push_back(std::move(warning));
    const bool live = source->live();
    impl_->feed = std::make_unique<Feed>(std::move(source), impl_->options, impl_->engines.size());
    for (const auto &engine : impl_->engines)
        engine->open(impl_->feed->ring(), live);
}

void Workers::open(std::vector<std::unique_ptr<Source>> sources, const std::shared_ptr<Fanout> &fanout) {
    const auto exchange = std::make_shared<Exchange>(fanout);
    for (size_t n = 0; n < sources.size(); ++n)
        impl_->engines.at(n)->open(std::move(sources[n]), exchange);
}

void Workers::start() {
    for (const auto &engine : impl_->engines)
        engine->start();
    if (impl_->feed) impl_->feed->start();
}

void Workers::add_files(const std::vector<std::string> &paths) {
    if (!impl_->feed) return impl_->engines[0]->add_files(paths);
    if (!impl_->feed->source().add(paths)) throw std::invalid_argument("the source takes no further files");
}

std::vector<FinishedFile> Workers::finished_files() {
    return impl_->feed ? impl_->feed->ring().finished_files() : impl_->engines[0]->finished_files();
}

std::vector<BrokenFile> Workers::broken_files() {
    return impl_->feed ? impl_->feed->broken_files() : impl_->engines[0]->broken_files();
}

std::unique_ptr<Batch> Workers::pull(int timeout_ms) {
    if (impl_->alone()) return impl_->engines[0]->pull(timeout_ms);
    for (const auto &engine : impl_->engines)
        engine->drop_old_meters();
    auto batch = impl_->queues->pop(timeout_ms);
    if (!batch) return batch;
    for (Row &row : batch->rows) {
        row.seq = ++impl_->seq;
        row.version = impl_->options.version_base + row.seq;
    }
    return batch;
}

bool Workers::finished() const {
    return impl_->alone() ? impl_->engines[0]->finished() : impl_->queues->drained();
}

void Workers::inspect(Batch &batch, ExternalProtocols &protocols) {
    impl_->engines[batch.engine]->inspect(batch, protocols);
}

void Workers::reload_meter(const aicore_meter *meter, const std::string &config, const std::vector<FieldInfo> *fields) {
    std::vector<MeterSwap> fresh;
    for (const auto &engine : impl_->engines)
        fresh.push_back(engine->fresh_meter(meter, config, fields));
    for (size_t n = 0; n < fresh.size(); ++n)
        impl_->engines[n]->take_meter(std::move(fresh[n]));
}

void Workers::stop() {
    impl_->stop();
}

void Workers::close() {
    impl_->stop();
    impl_->queues->close();
    for (const auto &engine : impl_->engines)
        engine->close();
}

std::string Workers::error() const {
    for (const auto &engine : impl_->engines)
        if (auto error = engine->error(); !error.empty()) return error;
    return impl_->feed ? impl_->feed->error() : std::string();
}

std::vector<std::string> Workers::warnings() {
    std::vector<std::string> warnings = std::exchange(impl_->unknown, {});
    if (impl_->feed)
        for (auto &warning : impl_->feed->warnings())
            warnings.push_back(std::move(warning));
    for (const auto &engine : impl_->engines)
        for (auto &warning : engine->warnings()) // each has sockets of its own on the same interfaces
            if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end())
                warnings.push_back(std::move(warning));
    return warnings;
}

CounterValues Workers::counters() const {
    if (impl_->alone()) return impl_->engines[0]->counters();
    CounterValues sums;
    if (impl_->feed) {
        const Counters read = impl_->feed->counters();
        for (size_t i = 1; i < kCounterCount; ++i)
            sums.emplace_back(kCounterInfo[i].name, read.value[i]);
    }
    for (const auto &engine : impl_->engines) {
        CounterValues counters = engine->counters();
        // Each has seen the times of all packets.
        if (impl_->feed && engine != impl_->engines[0])
            std::erase_if(counters, [](const auto &one) { return one.first.starts_with("time_"); });
        add(sums, counters);
    }
    if (impl_->feed && impl_->feed->source().live()) {
        const SourceStats stats = impl_->feed->source().stats();
        add(sums, {{"received", stats.received},
                   {"kernel_drop", stats.kernel_drop},
                   {"interface_drop", stats.interface_drop}});
    }
    return sums;
}

std::vector<CounterValues> Workers::worker_counters() const {
    std::vector<CounterValues> all;
    for (const auto &engine : impl_->engines) {
        CounterValues counters = engine->counters();
        for (auto &[name, value] : counters)
            if (name == kCounterInfo[static_cast<size_t>(Counter::packets)].name) value = engine->progress().packets;
        all.push_back(std::move(counters));
    }
    return all;
}

Progress Workers::progress() const {
    if (impl_->alone()) return impl_->engines[0]->progress();
    Progress sum = impl_->feed ? impl_->feed->progress() : Progress();
    for (const auto &engine : impl_->engines) {
        const Progress one = engine->progress();
        if (!impl_->feed) {
            sum.packets += one.packets;
            sum.current = one.current; // of all the same
        }
        sum.flows_live_tcp += one.flows_live_tcp;
        sum.flows_live_udp += one.flows_live_udp;
        sum.clock = std::max(sum.clock, one.clock);
    }
    return sum;
}

Tops Workers::tops(size_t limit) const {
    if (impl_->alone()) return impl_->engines[0]->tops(limit);
    Tops sum;
    for (const auto &engine : impl_->engines) {
        Tops one = engine->tops(std::numeric_limits<ptrdiff_t>::max());
        add(sum.protocols, std::move(one.protocols));
        add(sum.hosts, std::move(one.hosts));
        add(sum.talkers, std::move(one.talkers));
    }
    cut(sum.protocols, limit);
    cut(sum.hosts, limit);
    cut(sum.talkers, limit);
    return sum;
}

const Registry &Workers::registry() const {
    return impl_->engines[0]->registry();
}

} // namespace aicore
