// SPDX-License-Identifier: Apache-2.0
// What sources of capture files that are named at the beginning have in common.
#pragma once

#include <atomic>
#include <set>
#include <utility>

#include "block_source.h"
#include "capture_file.h"

namespace aicore {

class CaptureFiles : public BlockSource {
  public:
    bool live() const final { return false; }
    std::vector<Link> links() const final { return links_; }
    void interrupt() final {
        interrupted_ = true;
        wakeup_.signal();
    }
    std::vector<std::string> warnings() final { return std::exchange(warnings_, {}); }
    std::vector<BrokenFile> broken() final { return std::exchange(broken_, {}); }
    uint64_t bytes_total() const final { return bytes_total_; }

  protected:
    // `found`: those of the paths that a folder held.
    CaptureFiles(const std::string &filter, const std::vector<std::string> &found)
        : types_(filter), found_(found.begin(), found.end()) {
        types_.check();
    }

    // Reads the file's beginning, and its links into those of the source.
    void begin(CaptureFile &file) {
        file.start(0);
        for (Link &link : file.links())
            links_.push_back(std::move(link));
    }
    // What cannot be read is an error if somebody named it, and not if a folder held it.
    bool forgiven(const std::string &path) const { return found_.contains(path); }
    void leave_out(const NotACapture &other) { warnings_.push_back(std::string(other.what()) + "; it is left out"); }

    LinkTypes types_; // before the files, which use it
    Wakeup wakeup_;   // never cleared: an interrupted source is at its end
    std::atomic<bool> interrupted_ = false;
    std::vector<Link> links_;
    std::vector<BrokenFile> broken_;
    std::vector<std::string> warnings_;
    uint64_t bytes_done_ = 0; // of finished files
    uint64_t bytes_total_ = 0;

  private:
    const std::set<std::string> found_;
};

} // namespace aicore
