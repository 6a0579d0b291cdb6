// SPDX-License-Identifier: Apache-2.0
// Shares the packets of interfaces out among the sockets of several workers: PACKET_FANOUT of Linux (packet(7)) with a
// program that looks at addresses and ports, within VLAN tags, VXLAN, GTP-U, GRE and IP in IP as well. What it gives a
// flow's packets is what owner() says of the flow's key. Where it does not see what the decoder sees (fragments, other
// tunnels, IPv6 extension headers), a worker gets packets of others' flows and hands them over.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aicore/source.h"

namespace aicore {

class Fanout {
  public:
    explicit Fanout(size_t workers); // the multipliers are random: who sends packets does not choose the worker
    static bool supported() noexcept;

    [[nodiscard]] uint16_t owner(const FlowKey &key) const noexcept;
    [[nodiscard]] size_t workers() const noexcept { return workers_; }

    // The socket captures on the interface already. Returns the time (ns, UTC) from which on its packets are its own:
    // before, while others were in the group, it got all of them. INT64_MIN for the first. Any thread;
    // std::runtime_error says why not.
    int64_t join(int socket, const std::string &interface);

  private:
    const size_t workers_;
    const uint32_t of_ports_, of_all_;  // odd
    std::mutex mutex_;                  // guards groups_
    std::map<std::string, int> groups_; // by interface: the group's number
};

// As open_live(), one source for each worker.
std::vector<std::unique_ptr<Source>> open_live(const std::vector<std::string> &interfaces, const std::string &filter,
                                               const LiveOptions &options, const std::shared_ptr<Fanout> &fanout);

} // namespace aicore
