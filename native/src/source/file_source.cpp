// SPDX-License-Identifier: Apache-2.0
// Captures read one after the other as one input.
#include <atomic>
#include <map>
#include <stdexcept>
#include <utility>

#include "capture_file.h"

namespace aicore {

namespace {

class FileSource final : public Source {
  public:
    FileSource(const std::vector<std::string> &paths, const std::string &filter) : paths_(paths), filter_(filter) {
        // Every file is opened once before any is read: a wrong name is told at once, not an hour later. Pipes cannot
        // be looked into without taking from them: theirs is told when their turn comes.
        bool all_sizes_known = true;
        for (size_t i = 0; i < paths_.size(); ++i) {
            auto file = std::make_unique<CaptureFile>(paths_[i], wakeup_);
            bytes_total_ += file->size();
            all_sizes_known = all_sizes_known && file->regular();
            if (file->regular() && paths_[i] != "-") {
                file->start(filter_);
                links_.push_back({file->name(), file->linktype()});
            } else {
                once_[i] = std::move(file); // closing a named pipe would break its writer
            }
        }
        if (!all_sizes_known) bytes_total_ = 0;
    }

    ReadStatus read(int max, int wait_ms, PacketHandler handler, void *user) override {
        if (interrupted_) return ReadStatus::end;
        if (!file_ && next_ == paths_.size()) return error_.empty() ? ReadStatus::end : ReadStatus::error;
        if (!file_ || !file_->started()) {
            try {
                if (auto kept = once_.extract(next_); !kept.empty()) file_ = std::move(kept.mapped());
                if (!file_) file_ = std::make_unique<CaptureFile>(paths_[next_], wakeup_);
                if (!file_->wait_for_data(wait_ms)) return interrupted_ ? ReadStatus::end : ReadStatus::idle;
                file_->start(filter_);
            } catch (const std::runtime_error &broken) {
                if (interrupted_) return ReadStatus::end;
                // The other files are still read; the run ends with this error.
                if (error_.empty())
                    error_ = broken.what();
                else
                    warnings_.push_back(broken.what());
                return finish_file();
            }
        }
        const ReadStatus status = file_->read(max, wait_ms, handler, user);
        if (status == ReadStatus::error) warnings_.push_back(file_->error());
        if (status == ReadStatus::ok || status == ReadStatus::idle || file_->interrupted()) return status;
        return finish_file();
    }

    bool next_file_begun() override { return std::exchange(next_file_begun_, false); }
    bool live() const override { return false; }
    bool stable() const override { return file_ && file_->stable(); }
    std::vector<Link> links() const override { return links_; }
    void interrupt() override {
        interrupted_ = true;
        wakeup_.signal();
    }
    std::string error() const override { return error_; }
    std::vector<std::string> warnings() override { return std::exchange(warnings_, {}); }
    bool at_end() const override { return !file_ && next_ == paths_.size(); }
    uint64_t bytes_read() const override { return bytes_done_ + (file_ ? file_->bytes_read() : 0); }
    uint64_t bytes_total() const override { return bytes_total_; }
    std::string current() const override { return file_ ? file_->name() : std::string(); }

  private:
    ReadStatus finish_file() {
        if (file_) bytes_done_ += file_->regular() ? file_->size() : file_->bytes_read();
        file_.reset();
        if (++next_ == paths_.size()) return error_.empty() ? ReadStatus::end : ReadStatus::error;
        next_file_begun_ = true;
        return ReadStatus::ok;
    }

    const std::vector<std::string> paths_;
    const std::string filter_;
    Wakeup wakeup_; // never cleared: an interrupted source is at its end
    std::atomic<bool> interrupted_ = false;
    std::map<size_t, std::unique_ptr<CaptureFile>> once_; // by index: those that cannot be opened a second time
    std::unique_ptr<CaptureFile> file_;                   // the one being read
    size_t next_ = 0;                                     // its index, or that of the file to open
    bool next_file_begun_ = false;
    std::vector<Link> links_;
    std::string error_;
    std::vector<std::string> warnings_;
    uint64_t bytes_done_ = 0; // of finished files
    uint64_t bytes_total_ = 0;
};

} // namespace

std::unique_ptr<Source> open_files(const std::vector<std::string> &paths, const std::string &filter) {
    if (paths.empty()) throw std::runtime_error("no capture to read");
    return std::make_unique<FileSource>(paths, filter);
}

} // namespace aicore
