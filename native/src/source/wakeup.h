// SPDX-License-Identifier: Apache-2.0
// Wakes a thread that waits in poll(), from any thread. A pipe, because it is the same on every POSIX system.
#pragma once

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace aicore {

class Wakeup {
  public:
    Wakeup() {
        if (pipe(ends_) != 0) throw std::runtime_error(std::string("cannot make a pipe: ") + std::strerror(errno));
        for (int end : ends_) {
            fcntl(end, F_SETFD, FD_CLOEXEC);
            fcntl(end, F_SETFL, O_NONBLOCK); // a full pipe means that the waiter is already woken
        }
    }
    ~Wakeup() {
        for (int end : ends_)
            close(end);
    }
    Wakeup(const Wakeup &) = delete;
    Wakeup &operator=(const Wakeup &) = delete;

    int fd() const { return ends_[0]; } // readable once signalled

    void signal() { // any thread
        const char byte = 0;
        [[maybe_unused]] auto written = write(ends_[1], &byte, 1);
    }

    void clear() { // the waiter
        char bytes[64];
        while (::read(ends_[0], bytes, sizeof bytes) > 0) {
        }
    }

  private:
    int ends_[2];
};

} // namespace aicore
