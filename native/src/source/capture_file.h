// SPDX-License-Identifier: Apache-2.0
// One capture in a file, a named pipe or on standard input, compressed or not. Engine thread only.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "aicore/source.h"
#include "byte_source.h"
#include "capture_reader.h"
#include "link_types.h"
#include "wakeup.h"
#include "window.h"

namespace aicore {

// Nothing in the file says that it ever was a capture, or there is nothing in it.
struct NotACapture : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class CaptureFile {
  public:
    // Opens the file ("-" is standard input), reads nothing yet. Throws std::runtime_error, as start() does.
    // `types` and `wakeup` outlive this; once that is signalled, nothing is waited for.
    CaptureFile(const std::string &path, LinkTypes &types, Wakeup &wakeup);

    // Reads the capture's header, and what it says of interfaces before the first packet. False: not all of it has come
    // within `wait_ms`, call again.
    bool start(int wait_ms);
    [[nodiscard]] bool started() const noexcept { return started_; }

    // ok, idle (no whole packet within the wait), end, or error: the capture is broken here, error() says how; what
    // came before was handed out. As Source::read_block().
    ReadStatus read(PacketBlock &block, int wait_ms, size_t most);

    [[nodiscard]] const std::string &name() const noexcept { return name_; }
    [[nodiscard]] const std::string &error() const noexcept { return error_; }
    [[nodiscard]] std::vector<Link> links() const; // found by now
    [[nodiscard]] bool regular() const noexcept { return regular_; }
    [[nodiscard]] uint64_t size() const noexcept { return size_; } // 0 for a pipe
    [[nodiscard]] uint64_t bytes_read() const noexcept { return bytes_->taken(); }

  private:
    bool recognise(bool at_end);
    ReadStatus broken(const std::string &what);

    const std::string name_;
    LinkTypes &types_;
    std::string error_;
    bool regular_ = false;
    uint64_t size_ = 0;
    std::unique_ptr<ByteSource> bytes_;
    Window window_;
    const char *compression_ = nullptr; // its name
    std::unique_ptr<CaptureReader> reader_;
    bool started_ = false;
};

} // namespace aicore
