// SPDX-License-Identifier: Apache-2.0
// The bytes of a capture in order: of a file, a pipe, or what a decompressor makes of either. Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "wakeup.h"

namespace aicore {

enum class Took { bytes, end, not_yet, failed };

struct Take {
    Took what;
    size_t size = 0; // with bytes: at least 1
};

class ByteSource {
  public:
    virtual ~ByteSource() = default;

    // Takes up to `size` bytes, at least one. Never waits: not_yet says to wait() and to ask again. After failed,
    // error() says why, and what came before stays good.
    virtual Take read(uint8_t *to, size_t size) = 0;
    // True: asking again may help. False: nothing within `wait_ms`, or the wakeup was signalled.
    virtual bool wait(int wait_ms) = 0;
    [[nodiscard]] virtual uint64_t taken() const noexcept = 0; // bytes of the file or pipe itself
    [[nodiscard]] virtual std::string error() const = 0;
};

// A regular file, whose bytes are always there, or a pipe, socket or terminal. `fd` is owned. `wakeup` outlives it.
std::unique_ptr<ByteSource> file_bytes(int fd);
std::unique_ptr<ByteSource> pipe_bytes(int fd, Wakeup &wakeup);

} // namespace aicore
