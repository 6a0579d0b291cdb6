// SPDX-License-Identifier: Apache-2.0
#include "feed.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "clocks.h"

namespace aicore {

namespace {

constexpr int kWaitMs = 50;              // a wait for packets: bounds how late timers run
constexpr size_t kCopied = 64;           // packets of a read() that copies them
constexpr size_t kCopies = 1 << 20;      // bytes of one piece of memory for copies
constexpr int64_t kPublish = 50'000'000; // ns between two times that counters are copied for others

// Bits of the hash that neither the table's index nor its tags use.
uint16_t owner_of(uint64_t hash, size_t workers) {
    return static_cast<uint16_t>((hash >> 32 & 0xffff) * workers >> 16);
}

} // namespace

Feed::Feed(std::unique_ptr<Source> source, const EngineOptions &options, size_t workers)
    : source_(std::move(source)), hash_(options.hash_key), workers_(workers),
      decoder_({options.vlan_in_key, options.tunnel_in_key, options.max_fragments}, counting_), ring_(workers) {
    publish();
}

Feed::~Feed() {
    stop();
    if (thread_.joinable()) thread_.join();
}

void Feed::start() {
    thread_ = std::thread([this] { run(); });
}

void Feed::stop() {
    stopping_ = true;
    source_->interrupt();
}

void Feed::add(DecodedBlock &block, const RawPacket &raw) {
    last_time_ = raw.time;
    if (!decoder_.decode(raw, decoded_.packet)) return;
    if (decoded_.packet.fragment) block.holds.push_back(decoder_.keep(decoded_.packet));
    decoded_.hash = hash_(decoded_.packet.key);
    decoded_.raw = &(block.raws[block.count] = raw);
    const uint16_t owner = owner_of(decoded_.hash, workers_);
    block.times[block.count] = decoded_.packet.time;
    block.owners[block.count] = owner;
    block.own[owner].push_back(decoded_);
    ++block.count;
}

void Feed::add_overdue(DecodedBlock &block, int64_t time) {
    for (Packet packet; decoder_.overdue(time, packet);) {
        block.holds.push_back(decoder_.keep(packet));
        block.overdue[owner_of(hash_(packet.key), workers_)].push_back(packet);
    }
}

void Feed::add_copy(DecodedBlock &block, const RawPacket &raw) {
    if (!copies_ || copies_->capacity() - copies_->size() < raw.captured) {
        copies_ = std::make_shared<std::vector<uint8_t>>();
        copies_->reserve(std::max<size_t>(kCopies, raw.captured));
        block.holds.push_back(copies_);
    }
    const size_t at = copies_->size(), count = block.count;
    copies_->insert(copies_->end(), raw.data, raw.data + raw.captured);
    RawPacket copy = raw;
    copy.data = copies_->data() + at;
    add(block, copy);
    if (block.count == count) copies_->resize(at);
}

ReadStatus Feed::read(DecodedBlock &block, int wait_ms) {
    const size_t room = DecodedBlock::kPackets - block.count;
    if (source_->blocks()) {
        const ReadStatus status = source_->read_block(raw_, wait_ms, std::min(room, PacketBlock::kMost));
        for (const RawPacket &raw : raw_.all())
            add(block, raw);
        if (raw_.memory && (block.holds.empty() || block.holds.back() != raw_.memory))
            block.holds.push_back(raw_.memory);
        raw_.clear();
        return status;
    }
    struct To {
        Feed &self;
        DecodedBlock &block;
    } to{*this, block};
    return source_->read(
        static_cast<int>(std::min(room, kCopied)), wait_ms,
        [](void *user, const RawPacket &raw) {
            auto &[self, out] = *static_cast<To *>(user);
            self.add_copy(out, raw);
        },
        &to);
}

// Until the block is full, nothing more has come, or a file has ended.
ReadStatus Feed::fill(DecodedBlock &block) {
    block.new_file = std::exchange(new_file_, false);
    copies_.reset(); // the last block's
    ReadStatus status = ReadStatus::ok;
    while (!block.full() && !stopping_.load(std::memory_order_relaxed)) {
        status = read(block, block.empty() ? kWaitMs : 0);
        block.ended = source_->ended();
        for (const EndedFile &file : block.ended)
            if (!file.broken) ++counting_[Counter::files_read];
        new_file_ = source_->next_file_begun();
        if (status != ReadStatus::ok || new_file_ || !block.ended.empty()) break;
        if (copies_ && copies_->size() >= kCopies / 2) break;
    }
    add_overdue(block, steady_(last_time_));
    return status;
}

void Feed::run() {
    int64_t next_publish = 0;
    try {
        while (!stopping_.load(std::memory_order_relaxed)) {
            DecodedBlock *block = ring_.free();
            if (!block) break;
            const ReadStatus status = fill(*block);
            if (!block->empty()) ring_.publish();
            if (const int64_t now = monotonic_ns(); now >= next_publish) {
                publish();
                next_publish = now + kPublish;
            }
            if (status == ReadStatus::end || status == ReadStatus::error) {
                const std::lock_guard lock(mutex_);
                error_ = source_->error();
                break;
            }
        }
        if (DecodedBlock *block = ring_.free()) {
            add_overdue(*block, INT64_MAX);
            if (!block->empty()) ring_.publish();
        }
    } catch (const std::exception &failure) {
        const std::lock_guard lock(mutex_);
        error_ = std::string("reading ended: ") + failure.what();
    }
    publish();
    ring_.end();
}

void Feed::publish() {
    const std::vector<BrokenFile> broken = source_->broken();
    counting_[Counter::files_broken] += broken.size();
    const std::lock_guard lock(mutex_);
    broken_files_.insert(broken_files_.end(), broken.begin(), broken.end());
    counters_ = counting_;
    progress_.packets = counting_[Counter::packets];
    progress_.bytes_read = source_->bytes_read();
    progress_.bytes_total = source_->bytes_total();
    progress_.current = source_->current();
    progress_.ended = source_->at_end();
    for (auto &warning : source_->warnings())
        warnings_.push_back(std::move(warning));
}

Counters Feed::counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
}

Progress Feed::progress() const {
    const std::lock_guard lock(mutex_);
    return progress_;
}

std::string Feed::error() const {
    const std::lock_guard lock(mutex_);
    return error_;
}

std::vector<std::string> Feed::warnings() {
    const std::lock_guard lock(mutex_);
    return std::exchange(warnings_, {});
}

std::vector<BrokenFile> Feed::broken_files() {
    const std::lock_guard lock(mutex_);
    return std::exchange(broken_files_, {});
}

} // namespace aicore
