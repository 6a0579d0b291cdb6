// SPDX-License-Identifier: Apache-2.0
// Several interfaces captured on by one thread.
#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <stdexcept>
#include <utility>

#include "live_interface.h"
#include "wakeup.h"

namespace aicore {

namespace {

using Clock = LiveInterface::Clock;
using std::chrono::milliseconds;

class LiveSource final : public Source {
  public:
    LiveSource(const std::vector<std::string> &names, const std::string &filter, const LiveOptions &options,
               const std::shared_ptr<Fanout> &fanout)
        : slice_(std::clamp(options.timeout_ms, 1, 100)), next_check_(Clock::now() + kCheck) {
        for (const auto &name : names) {
            for (const auto &interface : interfaces_)
                if (interface->name() == name) throw std::runtime_error(name + ": given twice");
            interfaces_.push_back(std::make_unique<LiveInterface>(name, filter, options, fanout, warnings_));
            current_ += (current_.empty() ? "" : ",") + name;
        }
    }

    ReadStatus read(int max, int wait_ms, PacketHandler handler, void *user) override {
        auto now = Clock::now();
        const auto until = now + milliseconds(wait_ms);
        for (;;) {
            if (now >= next_check_ && !check(now)) return ReadStatus::end;
            if (sweep(max, handler, user)) return ReadStatus::ok;
            const auto left = std::chrono::ceil<milliseconds>(until - now);
            if (left.count() <= 0) return ReadStatus::idle;
            // In slices: a TPACKET_V3 block whose timeout is up may be handed over without poll() waking.
            if (wait(std::min<int>(static_cast<int>(left.count()), slice_))) return ReadStatus::idle;
            now = Clock::now();
        }
    }

    bool live() const override { return true; }
    void interrupt() override { wakeup_.signal(); }
    std::string error() const override { return error_; }
    std::vector<std::string> warnings() override { return std::exchange(warnings_, {}); }
    std::string current() const override { return current_; }

    std::vector<Link> links() const override {
        std::vector<Link> links;
        for (const auto &interface : interfaces_)
            if (interface->linktype() >= 0) links.push_back({interface->name(), interface->linktype()});
        return links;
    }

    SourceStats stats() const override {
        SourceStats sum;
        for (const auto &interface : interfaces_) {
            const SourceStats one = interface->stats();
            sum.received += one.received;
            sum.kernel_drop += one.kernel_drop;
            sum.interface_drop += one.interface_drop;
        }
        return sum;
    }

  private:
    static constexpr milliseconds kCheck{1000};

    // Every interface gets an equal share of `max`, and what those before it left; each is first in its turn.
    int sweep(int max, PacketHandler handler, void *user) {
        const auto count = static_cast<int>(interfaces_.size());
        int done = 0;
        for (int i = 0; i < count && done < max; ++i) {
            const int share = std::max(1, (max - done) / (count - i));
            done += interfaces_[(turn_ + i) % count]->read(share, handler, user);
        }
        turn_ = (turn_ + 1) % count;
        return done;
    }

    // True if interrupted.
    bool wait(int milliseconds_) {
        polled_.assign(1, {wakeup_.fd(), POLLIN, 0});
        for (const auto &interface : interfaces_)
            if (int fd = interface->poll_fd(); fd >= 0) polled_.push_back({fd, POLLIN, 0});
        if (poll(polled_.data(), polled_.size(), milliseconds_) <= 0 || !polled_[0].revents) return false;
        wakeup_.clear();
        return true;
    }

    // False: every interface is lost.
    bool check(Clock::time_point now) {
        bool all_lost = true;
        std::string troubles;
        for (const auto &interface : interfaces_) {
            interface->check(now);
            all_lost = all_lost && interface->lost(now);
            troubles += (troubles.empty() ? "" : "; ") + interface->trouble();
        }
        if (all_lost)
            error_ = troubles; // and next_check_ stays: the end is told again
        else
            next_check_ = now + kCheck;
        return !all_lost;
    }

    Wakeup wakeup_;
    const int slice_;
    std::vector<std::string> warnings_;
    std::vector<std::unique_ptr<LiveInterface>> interfaces_;
    std::vector<pollfd> polled_;
    std::string current_;
    std::string error_;
    int turn_ = 0; // the interface that is read first
    Clock::time_point next_check_;
};

} // namespace

std::unique_ptr<Source> open_live(const std::vector<std::string> &interfaces, const std::string &filter,
                                  const LiveOptions &options) {
    if (interfaces.empty()) throw std::runtime_error("no interface to capture on");
    return std::make_unique<LiveSource>(interfaces, filter, options, nullptr);
}

std::vector<std::unique_ptr<Source>> open_live(const std::vector<std::string> &interfaces, const std::string &filter,
                                               const LiveOptions &options, const std::shared_ptr<Fanout> &fanout) {
    if (interfaces.empty()) throw std::runtime_error("no interface to capture on");
    std::vector<std::unique_ptr<Source>> sources;
    for (size_t n = 0; n < fanout->workers(); ++n)
        sources.push_back(std::make_unique<LiveSource>(interfaces, filter, options, fanout));
    return sources;
}

} // namespace aicore
