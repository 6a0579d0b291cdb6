// SPDX-License-Identifier: Apache-2.0
#include "pipe_stream.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <poll.h>

namespace aicore {

bool PipeStream::wait(int wait_ms) const {
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + std::chrono::milliseconds(std::max(wait_ms, 0));
    for (;;) {
        pollfd polled[2] = {{fd_, POLLIN, 0}, {wakeup_.fd(), POLLIN, 0}};
        if (poll(polled, 2, wait_ms) >= 0 || errno != EINTR) return !polled[1].revents && polled[0].revents;
        if (wait_ms > 0) // a signal must not stretch the wait
            wait_ms =
                std::max<int>(0, std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count());
    }
}

ssize_t PipeStream::read(char *to, size_t size) {
    for (;;) {
        if (!wait(-1)) {
            interrupted_ = true;
            errno = EINTR;
            return -1;
        }
        ssize_t got = ::read(fd_, to, size);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got > 0) {
            if (head_.size() < kHeadSize) head_.append(to, std::min<size_t>(got, kHeadSize - head_.size()));
            taken_ += got;
        }
        return got;
    }
}

// The position is all that is asked of "seek": ftello() then says how much of what was taken stdio still holds.
#ifdef __linux__
FILE *PipeStream::open() {
    cookie_io_functions_t functions{};
    functions.read = [](void *self, char *to, size_t size) { return static_cast<PipeStream *>(self)->read(to, size); };
    functions.seek = [](void *self, off64_t *offset, int whence) {
        if (*offset != 0 || whence != SEEK_CUR) return -1;
        *offset = static_cast<off64_t>(static_cast<PipeStream *>(self)->taken_);
        return 0;
    };
    return fopencookie(this, "rb", functions);
}
#else
FILE *PipeStream::open() {
    return funopen(
        this,
        [](void *self, char *to, int size) {
            return static_cast<int>(static_cast<PipeStream *>(self)->read(to, static_cast<size_t>(size)));
        },
        nullptr,
        [](void *self, fpos_t offset, int whence) -> fpos_t {
            if (offset != 0 || whence != SEEK_CUR) return -1;
            return static_cast<fpos_t>(static_cast<PipeStream *>(self)->taken_);
        },
        nullptr);
}
#endif

} // namespace aicore
