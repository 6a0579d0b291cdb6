// SPDX-License-Identifier: Apache-2.0
// One capture in a file, a named pipe or on standard input, read through libpcap. Engine thread only.
#pragma once

#include <cstdio>
#include <memory>
#include <pcap/pcap.h>
#include <string>
#include <vector>

#include "aicore/source.h"
#include "bpf.h"
#include "record_window.h"
#include "wakeup.h"

namespace aicore {

class PipeStream;

class CaptureFile {
  public:
    // Opens the file ("-" is standard input), reads nothing of a pipe yet. Throws std::runtime_error, as start() does.
    // `wakeup` outlives this; once signalled, a pipe is read no further.
    CaptureFile(const std::string &path, Wakeup &wakeup);
    ~CaptureFile();

    // Reads the capture's header and compiles the filter. A pipe blocks here until its header has come.
    void start(const std::string &filter);
    bool started() const { return pcap_ != nullptr; }

    // ok, idle (pipes alone: no packet begins within the wait), end, or error: the capture is broken here, error() says
    // how, what came before was handed out. A pipe that stops inside a packet is waited for without limit.
    ReadStatus read(int max, int wait_ms, PacketHandler handler, void *user);
    // A file's packets stay valid until the next read(), not only during the handler's call.
    bool stable() const { return window_ != nullptr; }
    bool wait_for_data(int wait_ms); // false: nothing within the wait, or the wakeup was signalled

    const std::string &name() const { return name_; }
    const std::string &error() const { return error_; }
    int linktype() const { return linktype_; }
    bool regular() const { return pipe_ == nullptr; }
    uint64_t size() const { return size_; } // 0 for a pipe
    bool interrupted() const;               // before its end
    uint64_t bytes_read() const;

  private:
    struct Reader; // what libpcap's callback needs

    ReadStatus read_window(int max, PacketHandler handler, void *user);
    std::string broken(std::string_view reason) const;

    std::string name_;
    std::string error_;
    std::unique_ptr<PipeStream> pipe_;
    std::vector<char> buffer_; // stdio's, so it outlives the stream
    FILE *stream_ = nullptr;   // belongs to pcap_ once that is open
    pcap_t *pcap_ = nullptr;
    std::unique_ptr<RecordWindow> window_; // of a regular file of the pcap kind; libpcap reads the others
    Bpf filter_;
    bool pcapng_ = false;
    int linktype_ = -1;
    uint64_t size_ = 0;
    uint64_t packets_ = 0; // also those that the filter keeps back
};

} // namespace aicore
