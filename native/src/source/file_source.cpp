// SPDX-License-Identifier: Apache-2.0
// Captures read one after the other as one input.
#include <map>
#include <stdexcept>

#include "capture_files.h"

namespace aicore {

namespace {

class FileSource final : public CaptureFiles {
  public:
    FileSource(const std::vector<std::string> &paths, const std::string &filter, const std::vector<std::string> &found)
        : CaptureFiles(filter, found), paths_(paths) {
        // Every file is opened once before any is read: a wrong name is told at once, not an hour later. Pipes cannot
        // be looked into without taking from them: theirs is told when their turn comes.
        bool all_sizes_known = true;
        std::vector<std::string> captures;
        for (size_t i = 0; i < paths_.size(); ++i) {
            try {
                auto file = std::make_unique<CaptureFile>(paths_[i], types_, wakeup_);
                bytes_total_ += file->size();
                all_sizes_known = all_sizes_known && file->regular();
                if (file->regular() && paths_[i] != "-") {
                    begin(*file);
                } else {
                    once_[captures.size()] = std::move(file); // closing a named pipe would break its writer
                }
            } catch (const NotACapture &other) {
                if (!forgiven(paths_[i])) throw;
                leave_out(other);
                continue;
            } catch (const std::runtime_error &) {
                if (!forgiven(paths_[i])) throw; // else told when its turn comes
            }
            captures.push_back(paths_[i]);
        }
        if (!all_sizes_known) bytes_total_ = 0;
        paths_.swap(captures);
    }

    ReadStatus read_block(PacketBlock &block, int wait_ms, size_t most) override {
        block.clear();
        if (interrupted_) return ReadStatus::end;
        if (!file_ && next_ == paths_.size()) return ReadStatus::end;
        if (!file_ || !file_->started()) {
            try {
                if (auto kept = once_.extract(next_); !kept.empty()) file_ = std::move(kept.mapped());
                if (!file_) file_ = std::make_unique<CaptureFile>(paths_[next_], types_, wakeup_);
                if (!file_->start(wait_ms)) return interrupted_ ? ReadStatus::end : ReadStatus::idle;
            } catch (const std::runtime_error &broken) {
                if (interrupted_) return ReadStatus::end;
                return finish_file(broken.what());
            }
        }
        const ReadStatus status = file_->read(block, wait_ms, most);
        if (status == ReadStatus::ok) return status;
        if (status == ReadStatus::idle) return interrupted_ ? ReadStatus::end : ReadStatus::idle;
        return finish_file(file_->error());
    }

    bool next_file_begun() override { return std::exchange(next_file_begun_, false); }
    bool at_end() const override { return !file_ && next_ == paths_.size(); }
    uint64_t bytes_read() const override { return bytes_done_ + (file_ ? file_->bytes_read() : 0); }
    std::string current() const override { return file_ ? file_->name() : std::string(); }

  private:
    // The files behind a broken one are still read.
    ReadStatus finish_file(std::string error) {
        if (!error.empty()) broken_.push_back({paths_[next_], std::move(error)});
        if (file_) bytes_done_ += file_->regular() ? file_->size() : file_->bytes_read();
        file_.reset();
        if (++next_ == paths_.size()) return ReadStatus::end;
        next_file_begun_ = true;
        return ReadStatus::ok;
    }

    std::vector<std::string> paths_;
    std::map<size_t, std::unique_ptr<CaptureFile>> once_; // by index: those that cannot be opened a second time
    std::unique_ptr<CaptureFile> file_;                   // the one being read
    size_t next_ = 0;                                     // its index, or that of the file to open
    bool next_file_begun_ = false;
};

} // namespace

std::unique_ptr<Source> open_files(const std::vector<std::string> &paths, const std::string &filter,
                                   const std::vector<std::string> &found) {
    if (paths.empty()) throw std::runtime_error("no capture to read");
    return std::make_unique<FileSource>(paths, filter, found);
}

} // namespace aicore
