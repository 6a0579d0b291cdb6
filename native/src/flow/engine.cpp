// SPDX-License-Identifier: Apache-2.0
#include "aicore/engine.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <span>
#include <stdexcept>
#include <thread>

#include "aicore/decode.h"
#include "batch_writer.h"
#include "block_ring.h"
#include "clocks.h"
#include "exchange.h"
#include "tracker.h"

namespace aicore {

namespace {

constexpr int kBurst = 512;                 // packets between looks at stop(), timers and counters
constexpr int64_t kSilence = 5'000'000'000; // of a reader that has taken all batches: nothing more will be found
constexpr int kWaitMs = 50;                 // a live source's wait for a packet: bounds how late timers run

std::vector<const char *> counter_names() {
    std::vector<const char *> names;
    for (const auto &info : kCounterInfo)
        names.push_back(info.name);
    return names;
}

template <typename T> void check(const char *name, T value, T low, T high) {
    if (value < low || value > high)
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + ", must be from " +
                                    std::to_string(low) + " to " + std::to_string(high));
}

constexpr uint32_t kMaxFlows = 1u << 26; // 13 GB of slots
constexpr int64_t kMaxTime = 1'000'000'000ll * 86400 * 366;

} // namespace

struct Engine::Impl {
    Impl(std::shared_ptr<Registry> r, const EngineOptions &o, const Part &p)
        : options(o), part(p), registry(freeze(std::move(r), o)),
          queues(p.queues ? p.queues : std::make_shared<BatchQueues>(1, o.queue_batches)), queue(queues, p.number),
          inspection(*registry, {o.stream_bytes, o.streams_bytes, o.inspected_flows}), meters(make_meters()),
          writer(options, registry->schema(), registry->schema()->name_index(o.sensor), queue, meters.get(), counters),
          decoder({o.vlan_in_key, o.tunnel_in_key, o.max_fragments}, counters),
          tracker(options, *registry, writer, meters.get(), counters) {}

    static std::shared_ptr<Registry> freeze(std::shared_ptr<Registry> r, const EngineOptions &o) {
        if (!o.sensor.empty()) r->schema()->name_index(o.sensor);
        r->freeze(counter_names());
        return r;
    }

    std::unique_ptr<Meters> make_meters() {
        if (registry->meters().empty()) return nullptr;
        const std::array capacity{options.tcp ? options.tcp_flows : 1, options.udp ? options.udp_flows : 1};
        return std::make_unique<Meters>(*registry, capacity, counters);
    }

    static void on_packet(void *user, const RawPacket &raw) {
        auto &self = *static_cast<Impl *>(user);
        Packet packet;
        self.last_time = raw.time;
        if (!self.decoder.decode(raw, packet)) return;
        if (self.exchange)
            if (const uint16_t owner = self.exchange->owner(packet.key); owner != self.part.number)
                return self.parcels[owner].add(packet, raw, packet.fragment ? self.decoder.keep(packet) : nullptr);
        self.tracker.packet(packet, raw, self.tracker.hash(packet), kNoSlot);
    }

    // To the workers that own them, and from them.
    void exchange_packets() {
        if (!exchange) return;
        for (size_t worker = 0; worker < parcels.size(); ++worker)
            while (!parcels[worker].packets.empty() && !exchange->give(worker, parcels[worker])) {
                if (queue.closed()) return;
                take_parcels(); // else two could wait for each other
                std::this_thread::yield();
            }
        take_parcels();
    }
    void take_parcels() {
        for (const Parcel &parcel : exchange->take(part.number))
            for (const Parcel::Handed &handed : parcel.packets)
                tracker.packet(handed.packet, handed.raw, tracker.hash(handed.packet), kNoSlot);
    }
    // What the others have read before they have ended is this worker's, too.
    void end_exchange() {
        if (!exchange) return;
        if (part.over) part.over();
        exchange_packets();
        exchange->end_reading();
        exchange_ended = true;
        while (!exchange->wait_for_end() && !queue.closed())
            take_parcels();
        take_parcels();
    }

    void on_packets(std::span<const RawPacket> packets) {
        if (!packets.empty()) last_time = packets.back().time;
        while (!packets.empty()) {
            size_t taken = 0, count = 0;
            while (taken < std::min(packets.size(), kGroup)) {
                const RawPacket &raw = packets[taken++];
                Decoded &d = decoded[count];
                if (!decoder.decode(raw, d.packet)) continue;
                d.raw = &raw;
                d.hash = tracker.hash(d.packet);
                ++count;
                if (d.packet.fragment) break; // what it points to lives until the decoder's next packet
            }
            packets = packets.subspan(taken);
            tracker.packets({decoded.data(), count});
        }
    }

    ReadStatus read() {
        if (!source->blocks()) return source->read(kBurst, kWaitMs, on_packet, this);
        ReadStatus status = ReadStatus::ok;
        for (size_t n = 0; n < kBurst && status == ReadStatus::ok; n += block.size) {
            status = source->read_block(block, n == 0 ? kWaitMs : 0);
            on_packets(block.all());
            if (block.size == 0) break; // a file may have ended
        }
        block.clear();
        return status;
    }

    void show_overdue(int64_t time) {
        for (Packet packet; decoder.overdue(time, packet);)
            tracker.overdue(packet);
    }

    void run();
    int64_t begin();
    void look_after(int64_t now);
    void read_source();
    void take_blocks();
    void track(DecodedBlock &given);
    void settle_file();
    void end();
    void publish();
    void end_files();
    void take_findings();
    void take_meters();
    void settle(uint64_t batch);
    void tell_overlap();

    const EngineOptions options;
    const Part part;
    const std::shared_ptr<Registry> registry;
    Counters counters; // engine thread
    const std::shared_ptr<BatchQueues> queues;
    BatchQueue queue;
    Inspection inspection;                // reader's thread
    const std::unique_ptr<Meters> meters; // null: the run names none; engine thread
    BatchWriter writer;                   // engine thread
    Decoder decoder;                      // engine thread
    Tracker tracker;                      // engine thread, but tops()
    std::unique_ptr<Source> source;       // null: `ring` gives the packets
    BlockRing *ring = nullptr;
    bool live = false;
    std::shared_ptr<Exchange> exchange;
    std::vector<Parcel> parcels; // engine thread: for each worker
    bool exchange_ended = false; // engine thread
    uint64_t own_packets = 0;    // engine thread: of those of the ring
    SteadyTime steady;           // engine thread, as the next
    int64_t last_time = INT64_MIN;
    static constexpr size_t kGroup = 32;
    std::array<Decoded, kGroup> decoded; // engine thread, as the next
    PacketBlock block;
    std::thread thread;
    std::atomic<bool> stopping{false};

    mutable std::mutex mutex; // guards what follows: written by the engine thread, read by others
    std::vector<std::pair<std::string, uint64_t>> published;
    Progress progress;
    std::string error;
    std::vector<std::string> warnings;
    std::vector<FinishedFile> finished_files;
    std::vector<BrokenFile> broken_files;
    std::vector<Findings> findings; // written by the reader, taken by the engine thread
    std::condition_variable found;
    Counters inspection_counters; // of the reader
    std::atomic<bool> inspecting{false};
    int64_t next_publish = 0;            // engine thread
    bool overlap_told = false;           // engine thread
    bool silent = false;                 // engine thread: the reader does not inspect
    std::vector<MeterSwap> fresh_meters; // written by the reader, taken by the engine thread
    std::vector<MeterSwap> old_meters;   // the other way round: their reader destroys them
};

void Engine::Impl::publish() {
    const std::vector<BrokenFile> broken = source ? source->broken() : std::vector<BrokenFile>();
    counters[Counter::files_broken] += broken.size();
    const std::lock_guard lock(mutex);
    broken_files.insert(broken_files.end(), broken.begin(), broken.end());
    published.clear();
    for (size_t i = 1; i < kCounterCount; ++i)
        published.emplace_back(kCounterInfo[i].name, counters.value[i]);
    const auto &anomalies = tracker.dissection().anomalies();
    for (size_t i = 1; i < anomalies.size(); ++i)
        if (anomalies[i]) published.emplace_back(registry->schema()->names[i], anomalies[i]);
    progress.packets = source ? counters[Counter::packets] : own_packets;
    progress.flows_live_tcp = tracker.live(0);
    progress.flows_live_udp = tracker.live(1);
    progress.clock = tracker.clock();
    if (!source) return;
    progress.bytes_read = source->bytes_read();
    progress.bytes_total = source->bytes_total();
    progress.current = source->current();
    progress.ended = source->at_end();
    for (auto &w : source->warnings())
        warnings.push_back(std::move(w));
}

void Engine::Impl::tell_overlap() {
    const std::string file = source->current();
    const std::lock_guard lock(mutex);
    warnings.push_back((file.empty() ? "a capture" : file) +
                       ": begins long before the end of the capture before it, whose flows end here as idle; " +
                       "--merge reads files of one time together");
}

// What is due at the end of a file ends now: the batches told with it hold all that its packets have led to by then.
void Engine::Impl::settle_file() {
    settle(writer.last_shown());
    tracker.sweep(std::numeric_limits<size_t>::max());
    writer.flush();
}

void Engine::Impl::end_files() {
    for (EndedFile &file : source->ended()) {
        if (!file.broken) ++counters[Counter::files_read];
        settle_file();
        const std::lock_guard lock(mutex);
        finished_files.push_back({std::move(file.path), counters[Counter::batches], tracker.clock()});
    }
}

void Engine::Impl::take_findings() {
    std::vector<Findings> taken;
    {
        const std::lock_guard lock(mutex);
        taken.swap(findings);
    }
    if (!taken.empty()) silent = false;
    for (const Findings &f : taken)
        tracker.found(f);
}

void Engine::Impl::take_meters() {
    if (!meters) return;
    const std::lock_guard lock(mutex);
    for (MeterSwap &swap : fresh_meters) {
        meters->swap(swap);
        old_meters.push_back(std::move(swap));
    }
    fresh_meters.clear();
}

// Waits until the reader has found out what it can about the payloads of that batch and those before it.
void Engine::Impl::settle(uint64_t batch) {
    int64_t until = 0;
    while (writer.inspected() < batch && !silent && !queue.closed()) {
        writer.flush();
        {
            std::unique_lock lock(mutex);
            found.wait_for(lock, std::chrono::milliseconds(10), [&] { return !findings.empty(); });
        }
        take_findings();
        const int64_t now = monotonic_ns();
        if (until == 0 || inspecting || !queue.empty()) until = now + kSilence;
        silent = now > until;
    }
}

// What an exception leaves of this engine is told as far as it goes, and the others of the run end, too.
void Engine::Impl::run() {
    try {
        if (source)
            read_source();
        else
            take_blocks();
        end_exchange();
        end();
    } catch (const std::exception &failure) {
        {
            const std::lock_guard lock(mutex);
            error = (part.queues ? "worker " + std::to_string(part.number) : "the engine") +
                    " has failed: " + failure.what();
        }
        if (ring) ring->leave(part.number);
        if (exchange) exchange->leave(part.number, !exchange_ended);
        if (part.over) part.over();
        try {
            end();
        } catch (const std::exception &) { // the error is told already
        }
    }
    if (ring) ring->leave(part.number);
    queue.finish();
}

// What is added to the monotonic clock for that of the packets: the wall clock may be set while we run.
int64_t Engine::Impl::begin() {
    const int64_t clock_base = wall_ns() - monotonic_ns();
    if (live) tracker.set_live(clock_base + monotonic_ns());
    writer.set_waiting(!live);
    tracker.set_settle([this](uint64_t batch) { settle(batch); });
    return clock_base;
}

// What is due beside packets.
void Engine::Impl::look_after(int64_t now) {
    if (writer.due(now)) writer.flush();
    if (now >= next_publish) {
        publish();
        next_publish = now + 50'000'000;
    }
    take_findings();
    take_meters();
}

void Engine::Impl::read_source() {
    const int64_t clock_base = begin();
    while (!stopping.load(std::memory_order_relaxed)) {
        writer.note_time(monotonic_ns());
        const ReadStatus status = read();
        exchange_packets();
        const int64_t now = monotonic_ns();
        if (live) tracker.tick(clock_base + now);
        show_overdue(live ? tracker.clock() : steady(last_time));
        if (tracker.take_overlap() && !std::exchange(overlap_told, true)) tell_overlap();
        end_files();
        if (source->next_file_begun()) tracker.begin_file();
        look_after(now);
        if (status == ReadStatus::end || status == ReadStatus::error) {
            const std::lock_guard lock(mutex);
            error = source->error();
            break;
        }
        if (queue.closed()) break;
    }
}

// Until the ring ends: what was read before a stop() is in flows like the rest.
void Engine::Impl::take_blocks() {
    const int64_t clock_base = begin();
    while (!queue.closed()) {
        writer.note_time(monotonic_ns());
        DecodedBlock *given = ring->next(part.number, kWaitMs);
        if (given) track(*given);
        const int64_t now = monotonic_ns();
        if (live) tracker.tick(clock_base + now);
        if (given) {
            const bool file_ends = !given->ended.empty();
            if (file_ends) settle_file();
            ring->release(part.number, file_ends ? queues->handed_over() : 0, tracker.clock());
        }
        look_after(now);
        if (!given && ring->ended(part.number)) break;
    }
}

// Of packets that other workers own only the time counts.
void Engine::Impl::track(DecodedBlock &given) {
    if (given.new_file) tracker.begin_file();
    const std::span own(given.own[part.number]);
    size_t next = 0, fetched = 0;
    for (size_t i = 0; i < given.count; ++i) {
        if (given.owners[i] != part.number) {
            tracker.pass(given.times[i]);
            continue;
        }
        if (next == fetched) {
            const auto group = own.subspan(next, std::min(own.size() - next, kGroup));
            tracker.fetch(group);
            fetched += group.size();
        }
        const Decoded &d = own[next++];
        tracker.packet(d.packet, *d.raw, d.hash, d.slot);
    }
    for (const Packet &packet : given.overdue[part.number])
        tracker.overdue(packet);
    own_packets += own.size();
}

void Engine::Impl::end() {
    writer.set_waiting(true); // nothing is read any more: the last events may wait for their reader
    show_overdue(INT64_MAX);
    tracker.end_all();
    settle(writer.last_shown());
    tracker.finish_all();
    tracker.end_meters(); // what had no room for its last events because the reader has gone
    writer.flush();
    publish();
}

Engine::Engine(std::shared_ptr<Registry> registry, const EngineOptions &o, const Part &part) {
    check<uint32_t>("tcp_flows", o.tcp_flows, 1, kMaxFlows);
    check<uint32_t>("udp_flows", o.udp_flows, 1, kMaxFlows);
    for (const auto &[name, value] : {std::pair{"idle_tcp", o.idle_tcp},
                                      {"idle_udp", o.idle_udp},
                                      {"half_open", o.half_open},
                                      {"linger", o.linger},
                                      {"active", o.active},
                                      {"flush", o.flush}})
        check<int64_t>(name, value, 0, kMaxTime);
    check<size_t>("batch_rows", o.batch_rows, 2, 1 << 20); // a flow's last update and its remove fit
    check<size_t>("queue_batches", o.queue_batches, 1, 1 << 16);
    check<size_t>("stream_bytes", o.stream_bytes, 256, 1 << 24);
    check<size_t>("streams_bytes", o.streams_bytes, o.stream_bytes, size_t{1} << 36);
    check<uint32_t>("max_fragments", o.max_fragments, 1, 1 << 24);
    check<uint32_t>("inspected_flows", o.inspected_flows, 1, 1 << 24);
    impl_ = std::make_unique<Impl>(std::move(registry), o, part);
}

Engine::~Engine() {
    close();
}

std::vector<std::string> check_links(const Source &source) {
    std::vector<std::string> unknown;
    const auto links = source.links();
    for (const Link &link : links)
        if (!Decoder::supports(link.linktype))
            unknown.push_back(link.name + ": link type " + linktype_name(link.linktype) + " is not known to aicore");
    if (!unknown.empty() && unknown.size() == links.size()) throw std::runtime_error(unknown[0]);
    for (auto &warning : unknown)
        warning += "; its packets are counted as other_link";
    return unknown;
}

void Engine::open(std::unique_ptr<Source> source, std::shared_ptr<Exchange> exchange) {
    for (auto &warning : check_links(*source))
        impl_->warnings.push_back(std::move(warning));
    impl_->live = source->live();
    impl_->source = std::move(source);
    if (exchange) impl_->parcels.resize(exchange->workers());
    impl_->exchange = std::move(exchange);
}

void Engine::open(BlockRing &ring, bool live) {
    impl_->live = live;
    impl_->ring = &ring;
}

void Engine::start() {
    if (!impl_->source && !impl_->ring) throw std::invalid_argument("no source was opened");
    if (impl_->thread.joinable()) throw std::invalid_argument("the engine runs already");
    impl_->publish();
    impl_->thread = std::thread([this] { impl_->run(); });
}

void Engine::add_files(const std::vector<std::string> &paths) {
    if (!impl_->source || !impl_->source->add(paths)) throw std::invalid_argument("the source takes no further files");
}

std::vector<FinishedFile> Engine::finished_files() {
    const std::lock_guard lock(impl_->mutex);
    return std::exchange(impl_->finished_files, {});
}

std::vector<BrokenFile> Engine::broken_files() {
    const std::lock_guard lock(impl_->mutex);
    return std::exchange(impl_->broken_files, {});
}

std::unique_ptr<Batch> Engine::pull(int timeout_ms) {
    drop_old_meters();
    return impl_->queues->pop(timeout_ms);
}

void Engine::drop_old_meters() {
    std::vector<MeterSwap> old; // destroyed here, where create() was called, and not under the lock
    const std::lock_guard lock(impl_->mutex);
    old.swap(impl_->old_meters);
}

bool Engine::finished() const {
    return impl_->queues->drained();
}
const Registry &Engine::registry() const {
    return *impl_->registry;
}

void Engine::inspect(Batch &batch, ExternalProtocols &protocols) {
    if (!batch.payloads) return;
    impl_->inspecting = true;
    Findings found = impl_->inspection.inspect(batch, protocols);
    batch.payloads.reset();
    const std::lock_guard lock(impl_->mutex);
    impl_->findings.push_back(std::move(found));
    impl_->inspection_counters = impl_->inspection.counters();
    impl_->inspecting = false;
    impl_->found.notify_one();
}

MeterSwap Engine::fresh_meter(const aicore_meter *meter, const std::string &config,
                              const std::vector<FieldInfo> *fields) const {
    const size_t index = impl_->registry->same_meter(meter, fields);
    return {index, std::make_unique<MeterInstance>(impl_->registry->meters()[index].meter, config)};
}

void Engine::take_meter(MeterSwap fresh) {
    const std::lock_guard lock(impl_->mutex);
    impl_->fresh_meters.push_back(std::move(fresh));
}

void Engine::reload_meter(const aicore_meter *meter, const std::string &config, const std::vector<FieldInfo> *fields) {
    take_meter(fresh_meter(meter, config, fields));
}

void Engine::stop() {
    impl_->stopping = true;
    if (impl_->source) impl_->source->interrupt();
}

void Engine::close() {
    stop();
    impl_->queues->close();
    if (impl_->thread.joinable())
        impl_->thread.join();
    else
        impl_->queue.finish();
}

std::string Engine::error() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->error;
}

std::vector<std::string> Engine::warnings() {
    const std::lock_guard lock(impl_->mutex);
    return std::exchange(impl_->warnings, {});
}

std::vector<std::pair<std::string, uint64_t>> Engine::counters() const {
    std::vector<std::pair<std::string, uint64_t>> out;
    {
        const std::lock_guard lock(impl_->mutex);
        out = impl_->published;
        for (size_t i = 1; i < kCounterCount && !out.empty(); ++i) // they begin with these
            out[i - 1].second += impl_->inspection_counters.value[i];
    }
    if (impl_->source && impl_->source->live()) {
        const SourceStats stats = impl_->source->stats();
        out.emplace_back("received", stats.received);
        out.emplace_back("kernel_drop", stats.kernel_drop);
        out.emplace_back("interface_drop", stats.interface_drop);
    }
    return out;
}

Progress Engine::progress() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->progress;
}

Tops Engine::tops(size_t limit) const {
    Tops tops;
    impl_->tracker.tops(tops.protocols, tops.hosts, tops.talkers, limit);
    return tops;
}

} // namespace aicore
