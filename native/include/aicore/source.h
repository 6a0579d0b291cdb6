// SPDX-License-Identifier: Apache-2.0
// Where packets come from. A source is used by the engine thread alone, except add(), interrupt() and stats().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aicore/packet.h"
#include "aicore/packet_block.h"

namespace aicore {

// Called once a packet; `user` is what read() was given. Must not throw.
using PacketHandler = void (*)(void *user, const RawPacket &packet);

enum class ReadStatus {
    ok,   // packets were handed out, more may follow
    idle, // live, pipe, following: nothing came within the wait; the caller looks at its timers and calls again
    end,  // file: no more packets in any file; live: every interface is gone, error() names them
    error // of one capture: it is broken here, and what could be read before was handed out. No Source says so
};

struct Link {
    std::string name; // file or interface
    int linktype;     // DLT_* value of libpcap
};

struct EndedFile {
    std::string path;
    bool broken; // could not be read, or not to its end
};

struct BrokenFile { // damaged, or unreadable
    std::string path;
    std::string error; // one line that names it: "x.pcap: capture ends inside packet 8; read 7"
};

struct SourceStats {
    uint64_t received = 0;       // by the kernel's filter, live
    uint64_t kernel_drop = 0;    // no room in the capture buffer
    uint64_t interface_drop = 0; // dropped by the interface or driver
};

class Source {
  public:
    virtual ~Source() = default;

    // Hands out up to `max` packets. A live source or a pipe waits at most `wait_ms` for the first one; it never blocks
    // longer, whether packets arrive or not.
    virtual ReadStatus read(int max, int wait_ms, PacketHandler handler, void *user) = 0;

    // True once a file of an ordered list has ended and the next one begins at the next read(): the engine compares
    // the next packet's time with its clock (a file that starts far earlier restarts the clock).
    virtual bool next_file_begun() { return false; }

    // Following: takes further files, read in the order of the calls. False: this source takes none. Any thread.
    virtual bool add(const std::vector<std::string> & /*paths*/) { return false; }
    // Following: the files that have ended since the last call; every packet of them was handed out.
    virtual std::vector<EndedFile> ended() { return {}; }
    // Files that could not be read, or not to their end, since the last call. What they held before the damage, and the
    // files behind them, are read all the same.
    virtual std::vector<BrokenFile> broken() { return {}; }

    // True of captures in files and pipes: read_block() reads what read() would, in blocks that may be kept and be
    // passed to other threads. It itself is called by one thread. A block never holds packets of two files.
    virtual bool blocks() const { return false; }
    // Clears `block` and puts the next packets into it, at most `most`; it may stay empty whatever is returned.
    virtual ReadStatus read_block(PacketBlock & /*block*/, int /*wait_ms*/, size_t /*most*/ = PacketBlock::kMost) {
        return ReadStatus::end;
    }

    virtual bool live() const = 0;
    virtual SourceStats stats() const { return {}; } // any thread
    // Any thread: makes a waiting read() return soon. Live: with idle, reading may go on. Files: with end, for good.
    virtual void interrupt() {}
    virtual std::vector<Link> links() const { return {}; } // link types known by now: of pipes only from their packets
    virtual std::string error() const { return {}; }       // live: what went wrong, naming the interface
    virtual std::vector<std::string> warnings() { return {}; } // since the last call, e.g. "eth0: interface is gone"
    virtual bool at_end() const { return false; }              // all was read; never true of what has no end by itself
    virtual uint64_t bytes_read() const { return 0; }          // of bytes_total, for progress
    virtual uint64_t bytes_total() const { return 0; }         // 0 = unknown (standard input, live)
    virtual std::string current() const { return {}; }         // file or interface being read
};

struct LiveOptions {
    int snaplen = 65535;         // bytes kept of a packet
    int buffer_bytes = 64 << 20; // kernel buffer: holds a 1 s stall at 50 k packets/s (measured)
    bool promiscuous = true;
    bool immediate = false;     // hand packets over one by one instead of in TPACKET_V3 blocks
    int timeout_ms = 100;       // after which a partly filled block is handed over
    int gone_after_ms = 10'000; // read() says end when every interface has been gone (deleted) for so long; one that
                                // is only down is waited for without limit
};

// Both throw std::runtime_error with one clear line (what, where, and the fix if there is one). `filter` is a BPF
// expression, empty = everything. "-" in `paths` is standard input. `found` are those of `paths` that nobody named, as
// they were found in a folder: one that cannot be read is among Source::broken(), one that is no capture among its
// warnings(), and neither keeps the others from being read.
std::unique_ptr<Source> open_files(const std::vector<std::string> &paths, const std::string &filter,
                                   const std::vector<std::string> &found = {});
// The same for regular files of one time, as one input in order of time stamps: all of them are open at once.
std::unique_ptr<Source> merge_files(const std::vector<std::string> &paths, const std::string &filter,
                                    const std::vector<std::string> &found = {});
// Packets of several interfaces come in order of their time stamps, as far as those come within twice
// LiveOptions::timeout_ms.
std::unique_ptr<Source> open_live(const std::vector<std::string> &interfaces, const std::string &filter,
                                  const LiveOptions &options);

// Reads the files that add() names, and waits for more until it is interrupted. What is wrong with a file is a warning;
// so is a link type that `supports` does not know.
std::unique_ptr<Source> follow_files(const std::string &filter, bool (*supports)(int linktype));

struct InterfaceInfo {
    std::string name, description;
    std::vector<std::string> addresses;
    bool up = false, running = false, loopback = false;
};
std::vector<InterfaceInfo> list_interfaces(); // throws std::runtime_error
std::string linktype_name(int linktype);      // for messages: "LINUX_SLL2"

} // namespace aicore
