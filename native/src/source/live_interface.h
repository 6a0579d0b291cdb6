// SPDX-License-Identifier: Apache-2.0
// One interface of a live source: captures, and waits for the interface's return when it is gone. Engine thread only,
// except stats().
#pragma once

#include <chrono>
#include <mutex>
#include <pcap/pcap.h>
#include <string>
#include <vector>

#include "aicore/fanout.h"

namespace aicore {

class LiveInterface {
  public:
    using Clock = std::chrono::steady_clock;

    // Opens the interface; one that is down is waited for. Throws std::runtime_error for everything else.
    // What is to be told goes to `warnings`, which outlives this.
    // `fanout`: shares the packets with other sockets; null: takes all.
    LiveInterface(const std::string &name, const std::string &filter, const LiveOptions &options,
                  std::shared_ptr<Fanout> fanout, std::vector<std::string> &warnings);
    ~LiveInterface() { close(); }
    LiveInterface(const LiveInterface &) = delete;
    LiveInterface &operator=(const LiveInterface &) = delete;

    int read(int max, PacketHandler handler, void *user); // packets handed out; never waits
    bool next(RawPacket &packet);                         // one, valid until the next call; false: none is there
    int poll_fd() const;                                  // -1: nothing to wait for

    // To be called about once a second: notices that the interface is gone, tries to open it again.
    void check(Clock::time_point now);
    // Gone for longer than LiveOptions::gone_after_ms, or for good: the right to open it again is no longer held.
    bool lost(Clock::time_point now) const;

    SourceStats stats(); // any thread; sums over reopenings
    const std::string &name() const { return name_; }
    const std::string &trouble() const { return trouble_; } // why it does not capture: "eth0: interface is gone"
    int linktype() const { return linktype_; }              // -1: not opened yet
    bool open_now() const { return pcap_ != nullptr; }
    bool draining() const { return state_ == State::draining; } // the next check() may close it

  private:
    enum class State {
        capturing,
        draining, // no more packets come; those in the ring are still handed out
        down,     // closed, the interface exists
        gone,     // closed, no interface of this name
        refused   // closed, without the right to open it again
    };

    int open();
    int configure(pcap_t *pcap);
    int fail(const std::string &why, int status);
    void close();
    void leave(const std::string &why);
    void add_stats();

    const std::string name_;
    const std::string filter_;
    const LiveOptions options_;
    const std::shared_ptr<Fanout> fanout_;
    std::vector<std::string> &warnings_;

    State state_ = State::gone;
    Clock::time_point since_; // of state_
    std::string trouble_;
    unsigned index_ = 0; // ifindex; 0 for "any"
    int linktype_ = -1;
    int64_t own_from_ = INT64_MIN; // packets before are others' too
    int64_t tick_ = 1;             // nanoseconds in a unit of tv_usec

    std::mutex mutex_; // guards what follows; pcap_stats touches nothing that pcap_dispatch does
    pcap_t *pcap_ = nullptr;
    pcap_stat last_{}; // 32 bits that wrap
    SourceStats stats_;
};

} // namespace aicore
