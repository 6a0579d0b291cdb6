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
        : slice_(std::clamp(options.timeout_ms, 1, 100)),
          hold_(options.immediate ? milliseconds(10) : 2 * milliseconds(std::max(options.timeout_ms, 1))),
          heads_(names.size()), next_check_(Clock::now() + kCheck) {
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
            if (interfaces_.size() == 1 ? interfaces_[0]->read(max, handler, user) : merge(max, handler, user))
                return ReadStatus::ok;
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
    static constexpr int kMergeSlice = 5; // milliseconds between looks while a packet waits for its turn

    struct Head { // of an interface's packets, where there are several interfaces
        RawPacket packet{};
        bool filled = false;
        int64_t asked = 0; // wall clock: when there was none yet
    };

    // The oldest packet of all interfaces is handed out once each other one has a later packet, or had none for so long
    // that what is older would be there: the kernel keeps packets back until their block is full, or timeout_ms old.
    int merge(int max, PacketHandler handler, void *user) {
        const size_t count = interfaces_.size();
        int done = 0;
        while (done < max) {
            const int64_t now = wall_ns();
            size_t first = count;
            for (size_t i = 0; i < count; ++i) {
                Head &head = heads_[i];
                if (!head.filled) {
                    head.filled = interfaces_[i]->next(head.packet);
                    head.asked = now;
                }
                if (head.filled && (first == count || head.packet.time < heads_[first].packet.time)) first = i;
            }
            if (first == count || !settled(heads_[first].packet.time)) break;
            handler(user, heads_[first].packet);
            heads_[first].filled = false;
            ++done;
        }
        return done;
    }
    // Whether no interface will bring a packet that is older.
    bool settled(int64_t time) const {
        const int64_t hold = std::chrono::nanoseconds(hold_).count();
        for (size_t i = 0; i < interfaces_.size(); ++i) {
            const Head &head = heads_[i];
            if (head.filled || !interfaces_[i]->open_now()) continue;
            // A packet from the future: the wall clock was set, and would have it wait for hours.
            if (head.asked - hold < time && time - head.asked < hold) return false;
        }
        return true;
    }
    static int64_t wall_ns() {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    }

    // True if interrupted.
    bool wait(int milliseconds_) {
        polled_.assign(1, {wakeup_.fd(), POLLIN, 0});
        for (size_t i = 0; i < interfaces_.size();
             ++i) { // of those with a packet that waits for another one none is new
            if (heads_[i].filled) {
                milliseconds_ = std::min(milliseconds_, kMergeSlice);
                continue;
            }
            if (int fd = interfaces_[i]->poll_fd(); fd >= 0) polled_.push_back({fd, POLLIN, 0});
        }
        if (poll(polled_.data(), polled_.size(), milliseconds_) <= 0 || !polled_[0].revents) return false;
        wakeup_.clear();
        return true;
    }

    // False: every interface is lost.
    bool check(Clock::time_point now) {
        bool all_lost = true;
        std::string troubles;
        for (size_t i = 0; i < interfaces_.size(); ++i) {
            const auto &interface = interfaces_[i];
            if (!(heads_[i].filled && interface->draining())) interface->check(now); // else it may close, and free it
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
    const milliseconds hold_; // how long a packet waits for older ones of other interfaces
    std::vector<Head> heads_;
    std::vector<std::string> warnings_;
    std::vector<std::unique_ptr<LiveInterface>> interfaces_;
    std::vector<pollfd> polled_;
    std::string current_;
    std::string error_;
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
