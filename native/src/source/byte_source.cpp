// SPDX-License-Identifier: Apache-2.0
#include "byte_source.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace aicore {

namespace {

class Descriptor : public ByteSource {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() override { close(fd_); }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;

    Take read(uint8_t *to, size_t size) override {
        ssize_t got;
        do {
            got = ::read(fd_, to, size);
        } while (got < 0 && errno == EINTR);
        if (got > 0) {
            taken_ += static_cast<uint64_t>(got);
            return {Took::bytes, static_cast<size_t>(got)};
        }
        if (got == 0) return {Took::end};
        if (errno == EAGAIN) return {Took::not_yet};
        error_ = std::strerror(errno);
        return {Took::failed};
    }
    bool wait(int /*wait_ms*/) override { return true; }
    uint64_t taken() const noexcept override { return taken_; }
    std::string error() const override { return error_; }

  protected:
    const int fd_;

  private:
    uint64_t taken_ = 0;
    std::string error_;
};

// Asked before each read: standard input is shared with other processes, so that it cannot be made not to block.
class Pipe final : public Descriptor {
  public:
    Pipe(int fd, Wakeup &wakeup) : Descriptor(fd), wakeup_(wakeup) {}

    Take read(uint8_t *to, size_t size) override { return wait(0) ? Descriptor::read(to, size) : Take{Took::not_yet}; }

    bool wait(int wait_ms) override {
        using Clock = std::chrono::steady_clock;
        const auto until = Clock::now() + std::chrono::milliseconds(std::max(wait_ms, 0));
        for (;;) {
            pollfd polled[2] = {{fd_, POLLIN, 0}, {wakeup_.fd(), POLLIN, 0}};
            if (poll(polled, 2, wait_ms) >= 0 || errno != EINTR) return !polled[1].revents && polled[0].revents;
            if (wait_ms <= 0) continue; // a signal must not stretch the wait
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
            wait_ms = std::max<int>(0, static_cast<int>(left.count()));
        }
    }

  private:
    Wakeup &wakeup_;
};

} // namespace

std::unique_ptr<ByteSource> file_bytes(int fd) {
    return std::make_unique<Descriptor>(fd);
}

std::unique_ptr<ByteSource> pipe_bytes(int fd, Wakeup &wakeup) {
    return std::make_unique<Pipe>(fd, wakeup);
}

} // namespace aicore
