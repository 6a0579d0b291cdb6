// SPDX-License-Identifier: Apache-2.0
#include "capture_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unpack/compressed.h"

namespace aicore {

namespace {

// Windows without a packet, 8 MiB or more, before the caller can see whether it was stopped.
constexpr int kMaxFills = 64;

[[noreturn]] void fail(const std::string &name, const std::string &why) {
    throw std::runtime_error(name + ": " + why);
}

std::string why(int error) {
    switch (error) {
    case ENOENT:
        return "no such file";
    case EACCES:
    case EPERM:
        return "no permission to read it";
    case EISDIR:
        return "is a directory";
    default:
        return std::strerror(error);
    }
}

} // namespace

CaptureFile::CaptureFile(const std::string &path, LinkTypes &types, Wakeup &wakeup)
    : name_(path == "-" ? "standard input" : path), types_(types) {
    struct stat status;
    int fd;
    if (path == "-") {
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0 && isatty(fd)) {
            close(fd);
            fail(name_, "is a terminal; send a capture into it: tcpdump -U -w - | aicore run -");
        }
    } else {
        // O_NONBLOCK: opening a named pipe would else wait for its writer. It means nothing to a regular file.
        fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (fd < 0) fail(name_, why(errno));
    if (fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) {
        const int error = S_ISDIR(status.st_mode) ? EISDIR : errno;
        close(fd);
        fail(name_, why(error));
    }
    regular_ = S_ISREG(status.st_mode);
    if (regular_) size_ = static_cast<uint64_t>(status.st_size);
    bytes_ = regular_ ? file_bytes(fd) : pipe_bytes(fd, wakeup);
}

// Whether the window holds enough to tell what the file is. Throws if that is no capture.
bool CaptureFile::recognise(bool at_end) {
    const std::span<const uint8_t> head(window_.data(), std::min(window_.size(), kHeadSize));
    if (head.size() < kHeadSize && !at_end) return false;
    const Compression *compression = compression_of(head);
    if (compression && !compression_) {
        if (!compression->open) {
            const std::string file = name_ == "standard input" ? "FILE" : name_;
            fail(name_, std::string("is compressed with ") + compression->name + ", which this aicore cannot read; " +
                            "unpack it: " + compression->command + " " + file + " | aicore run -");
        }
        try {
            bytes_ = compression->open(std::move(bytes_), {window_.data(), window_.size()});
        } catch (const std::runtime_error &error) {
            fail(name_, error.what());
        }
        compression_ = compression->name;
        window_.drop(window_.size());
        return false;
    }
    const std::string packed = compression_ ? std::string(" (unpacked from ") + compression_ + ")" : std::string();
    if (head.empty()) throw NotACapture(name_ + ": is empty" + packed);
    reader_ = open_capture(head, name_, types_);
    if (!reader_) throw NotACapture(name_ + ": is not a capture (pcap or pcapng)" + packed);
    return true;
}

bool CaptureFile::start(int wait_ms) {
    for (bool at_end = false; !started_;) {
        if (reader_ || recognise(at_end)) {
            started_ = reader_->begin(window_) || (at_end && reader_->has_header());
            if (!reader_->damage().empty()) {
                if (!reader_->has_header()) fail(name_, reader_->damage());
                started_ = true; // read() says so
            }
            if (started_) break;
            if (at_end) fail(name_, "ends inside the capture's header");
        }
        const Take take = window_.fill(*bytes_, reader_ ? reader_->wanted() : kHeadSize);
        at_end = take.what == Took::end;
        if (take.what == Took::failed) fail(name_, bytes_->error());
        if (take.what != Took::not_yet) continue;
        if (!bytes_->wait(wait_ms)) return false;
        wait_ms = 0;
    }
    return true;
}

ReadStatus CaptureFile::read(PacketBlock &block, int wait_ms, size_t most) {
    block.clear();
    for (int fills = 0; fills < kMaxFills;) {
        if (reader_->read(window_, block, most) > 0) {
            if (block.size) block.memory = window_.memory();
            return ReadStatus::ok;
        }
        if (!reader_->damage().empty())
            return broken("capture is damaged after packet " + std::to_string(reader_->packets()) + " (" +
                          reader_->damage() + ")");
        const Take take = window_.fill(*bytes_, reader_->wanted());
        switch (take.what) {
        case Took::bytes:
            ++fills;
            break;
        case Took::not_yet:
            if (!bytes_->wait(wait_ms)) return ReadStatus::idle;
            wait_ms = 0;
            ++fills;
            break;
        case Took::failed:
            return broken("cannot be read after packet " + std::to_string(reader_->packets()) + ": " + bytes_->error());
        case Took::end:
            const std::string where = reader_->cut(window_);
            return where.empty() ? ReadStatus::end : broken("capture ends " + where);
        }
    }
    return ReadStatus::ok;
}

ReadStatus CaptureFile::broken(const std::string &what) {
    error_ = name_ + ": " + what + "; read " + std::to_string(reader_->packets());
    return ReadStatus::error;
}

std::vector<Link> CaptureFile::links() const {
    std::vector<Link> links;
    for (const int dlt : reader_->links())
        links.push_back({name_, dlt});
    return links;
}

} // namespace aicore
