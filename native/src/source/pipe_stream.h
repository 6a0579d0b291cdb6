// SPDX-License-Identifier: Apache-2.0
// A stdio stream over a pipe or terminal-like descriptor. libpcap reads captures through stdio, which can neither wait
// with a limit nor be interrupted; this one polls before it reads.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <sys/types.h>

#include "wakeup.h"

namespace aicore {

constexpr size_t kHeadSize = 12; // up to the end of pcapng's byte-order magic

class PipeStream {
  public:
    PipeStream(int fd, Wakeup &wakeup) : fd_(fd), wakeup_(wakeup) {}
    ~PipeStream() { close(fd_); }
    PipeStream(const PipeStream &) = delete;
    PipeStream &operator=(const PipeStream &) = delete;

    FILE *open(); // nullptr and errno on failure; closing the stream leaves this object alone
    // Data, end of file or an error can be read at once. False: not within `wait_ms` (-1 = no limit), or interrupted.
    bool wait(int wait_ms) const;

    uint64_t taken() const { return taken_; }         // bytes taken from the descriptor
    bool interrupted() const { return interrupted_; } // a read was given up
    const std::string &head() const { return head_; } // the first bytes, to name what is not a capture

  private:
    ssize_t read(char *to, size_t size);

    int fd_;
    Wakeup &wakeup_;
    uint64_t taken_ = 0;
    bool interrupted_ = false;
    std::string head_;
};

} // namespace aicore
