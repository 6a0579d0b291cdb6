// SPDX-License-Identifier: Apache-2.0
// Captures that are named while it runs, one after the other as one input.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "block_source.h"
#include "capture_file.h"

namespace aicore {

namespace {

class FollowSource final : public BlockSource {
  public:
    FollowSource(const std::string &filter, bool (*supports)(int)) : types_(filter), supports_(supports) {
        types_.check();
    }

    ReadStatus read_block(PacketBlock &block, int wait_ms, size_t most) override {
        block.clear();
        if (!file_) {
            if (!take_next(wait_ms)) return interrupted_ ? ReadStatus::end : ReadStatus::idle;
            try {
                open();
            } catch (const std::runtime_error &broken) {
                finish(broken.what());
                return ReadStatus::ok;
            }
        }
        if (interrupted_) return ReadStatus::end;
        const ReadStatus status = file_->read(block, wait_ms, most);
        if (status == ReadStatus::end || status == ReadStatus::error) finish(file_->error());
        return ReadStatus::ok;
    }

    bool add(const std::vector<std::string> &paths) override {
        const std::lock_guard lock(mutex_);
        waiting_.insert(waiting_.end(), paths.begin(), paths.end());
        ready_.notify_one();
        return true;
    }
    void interrupt() override {
        const std::lock_guard lock(mutex_);
        interrupted_ = true;
        ready_.notify_one();
    }

    bool next_file_begun() override { return std::exchange(next_file_begun_, false); }
    std::vector<EndedFile> ended() override { return std::exchange(ended_, {}); }
    bool live() const override { return false; }
    std::vector<BrokenFile> broken() override { return std::exchange(broken_, {}); }
    std::vector<std::string> warnings() override { return std::exchange(warnings_, {}); }
    uint64_t bytes_read() const override { return bytes_done_ + (file_ ? file_->bytes_read() : 0); }
    std::string current() const override { return file_ ? path_ : std::string(); }

  private:
    bool take_next(int wait_ms) {
        std::unique_lock lock(mutex_);
        ready_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return interrupted_ || !waiting_.empty(); });
        if (interrupted_ || waiting_.empty()) return false;
        path_ = std::move(waiting_.front());
        waiting_.pop_front();
        return true;
    }

    void open() {
        auto file = std::make_unique<CaptureFile>(path_, types_, wakeup_);
        if (!file->regular()) throw std::runtime_error(path_ + ": is not a regular file");
        file->start(0);
        const auto links = file->links();
        std::vector<std::string> unknown;
        for (const Link &link : links)
            if (!supports_(link.linktype))
                unknown.push_back(path_ + ": link type " + linktype_name(link.linktype) + " is not known to aicore");
        if (!unknown.empty() && unknown.size() == links.size()) throw std::runtime_error(unknown[0]);
        for (const auto &one : unknown)
            warnings_.push_back(one + "; its packets are counted as other_link");
        file_ = std::move(file);
    }

    void finish(std::string error) {
        if (file_) bytes_done_ += file_->size();
        file_.reset();
        ended_.push_back({path_, !error.empty()});
        if (!error.empty()) broken_.push_back({path_, std::move(error)});
        next_file_begun_ = true;
    }

    LinkTypes types_; // before the file, which uses it
    bool (*const supports_)(int);
    Wakeup wakeup_; // asked for by CaptureFile, for pipes
    std::atomic<bool> interrupted_ = false;
    std::mutex mutex_; // guards waiting_
    std::condition_variable ready_;
    std::deque<std::string> waiting_;
    std::string path_; // of the file being read
    std::unique_ptr<CaptureFile> file_;
    bool next_file_begun_ = false;
    std::vector<EndedFile> ended_;
    std::vector<BrokenFile> broken_;
    std::vector<std::string> warnings_;
    uint64_t bytes_done_ = 0; // of finished files
};

} // namespace

std::unique_ptr<Source> follow_files(const std::string &filter, bool (*supports)(int linktype)) {
    return std::make_unique<FollowSource>(filter, supports);
}

} // namespace aicore
