// SPDX-License-Identifier: Apache-2.0
#include "capture_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <sys/stat.h>
#ifdef __linux__
#include <stdio_ext.h>
#endif

#include "pipe_stream.h"

namespace aicore {

namespace {

// Measured with the 687 MB benchmark, CPU time a packet: stdio's own 4 KiB 222 ns, 16 KiB 140, 64 KiB 113, 128 KiB 325,
// 256 KiB and 1 MiB 310. posix_fadvise changed nothing.
constexpr size_t kBuffer = 64 * 1024;
constexpr size_t kFileHeader = 24; // of a pcap file

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

struct Magic {
    std::string_view bytes;
    const char *name;
    const char *command; // that unpacks to standard output
};
using namespace std::string_view_literals;
constexpr Magic kCompressed[] = {{"\x1f\x8b"sv, "gzip", "zcat"},
                                 {"\x28\xb5\x2f\xfd"sv, "zstd", "zstdcat"},
                                 {"\xfd"
                                  "7zXZ"sv,
                                  "xz", "xzcat"},
                                 {"BZh"sv, "bzip2", "bzcat"},
                                 {"\x04\x22\x4d\x18"sv, "lz4", "lz4cat"}};
constexpr std::string_view kCapture[] = {"\xa1\xb2\xc3\xd4"sv, "\xd4\xc3\xb2\xa1"sv, "\xa1\xb2\x3c\x4d"sv,
                                         "\x4d\x3c\xb2\xa1"sv, "\xa1\xb2\xcd\x34"sv, "\x34\xcd\xb2\xa1"sv};
constexpr std::string_view kPcapng = "\x0a\x0d\x0d\x0a"sv;

// Why libpcap took no header from a file that begins with `head`; `reason` is libpcap's own word.
std::string not_a_capture(const std::string &name, std::string_view head, const std::string &reason) {
    if (head.empty()) return "is empty";
    for (const auto &magic : kCompressed)
        if (head.starts_with(magic.bytes))
            return std::string("is compressed with ") + magic.name + "; unpack it: " + magic.command + " " +
                   (name == "standard input" ? "FILE" : name) + " | aicore run -";
    const bool known = head.starts_with(kPcapng) || std::any_of(std::begin(kCapture), std::end(kCapture),
                                                                [&](auto m) { return head.starts_with(m); });
    // libpcap calls a pcapng file unknown that ends before its byte-order magic.
    if (known && (head.size() < kHeadSize || reason.starts_with("truncated")))
        return "ends inside the capture's header";
    if (!known || reason == "unknown file format") return "is not a capture (pcap or pcapng)";
    return reason;
}

} // namespace

CaptureFile::CaptureFile(const std::string &path, Wakeup &wakeup)
    : name_(path == "-" ? "standard input" : path), buffer_(kBuffer) {
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
    if (S_ISREG(status.st_mode)) {
        size_ = static_cast<uint64_t>(status.st_size);
        stream_ = fdopen(fd, "rb");
        if (!stream_) close(fd);
    } else {
        pipe_ = std::make_unique<PipeStream>(fd, wakeup);
        stream_ = pipe_->open();
    }
    if (!stream_) fail(name_, why(errno));
    setvbuf(stream_, buffer_.data(), _IOFBF, buffer_.size());
#ifdef __linux__
    __fsetlocking(stream_, FSETLOCKING_BYCALLER); // one thread reads it; saves 3 ns a packet
#endif
}

CaptureFile::~CaptureFile() {
    if (pcap_)
        pcap_close(pcap_);
    else if (stream_)
        fclose(stream_);
}

void CaptureFile::start(const std::string &filter) {
    std::string head(kHeadSize, '\0');
    const off_t begin = regular() ? lseek(fileno(stream_), 0, SEEK_CUR) : 0;
    if (regular()) {
        ssize_t got = pread(fileno(stream_), head.data(), head.size(), begin);
        if (got < 0) fail(name_, why(errno));
        head.resize(static_cast<size_t>(got));
    }
    char reason[PCAP_ERRBUF_SIZE] = "";
    pcap_ = pcap_fopen_offline_with_tstamp_precision(stream_, PCAP_TSTAMP_PRECISION_NANO, reason);
    if (!regular()) head = pipe_->head();
    if (!pcap_) fail(name_, not_a_capture(name_, head, reason));
    pcapng_ = head.starts_with(kPcapng);
    linktype_ = pcap_datalink(pcap_);
    filter_.compile(pcap_, name_, filter);
    if (!regular()) return;
    for (size_t i = 0; i < 4; ++i) // the first four magics have plain record headers
        if (head.starts_with(kCapture[i])) {
            uint32_t magic;
            std::memcpy(&magic, head.data(), sizeof magic);
            const bool swapped = magic != 0xa1b2c3d4 && magic != 0xa1b23c4d;
            window_ = std::make_unique<RecordWindow>(fileno(stream_), static_cast<uint64_t>(begin) + kFileHeader,
                                                     swapped, i >= 2);
        }
}

struct CaptureFile::Reader {
    CaptureFile &file;
    PacketHandler handler;
    void *user;

    static void packet(u_char *self, const pcap_pkthdr *header, const u_char *data) {
        auto &reader = *reinterpret_cast<Reader *>(self);
        auto &file = reader.file;
        ++file.packets_;
        if (!file.filter_.matches(*header, data)) return;
        // A pcap file has unsigned 32-bit seconds, which libpcap takes for signed ones: wrong from 2038 on. pcapng has
        // 64 bits in units of its own, so that a broken file can say more seconds than nanoseconds fit.
        constexpr int64_t kMax = std::numeric_limits<int64_t>::max() / 1'000'000'000 - 1;
        const int64_t seconds =
            file.pcapng_ ? std::clamp<int64_t>(header->ts.tv_sec, 0, kMax) : static_cast<uint32_t>(header->ts.tv_sec);
        reader.handler(reader.user,
                       {data, header->caplen, header->len,
                        seconds * 1'000'000'000 + static_cast<int64_t>(header->ts.tv_usec), file.linktype_});
    }
};

bool CaptureFile::wait_for_data(int wait_ms) {
    if (regular() || pipe_->taken() > static_cast<uint64_t>(ftello(stream_))) return true;
    return pipe_->wait(wait_ms);
}

ReadStatus CaptureFile::read_window(int max, PacketHandler handler, void *user) {
    RawPacket packet;
    int count = 0;
    while (count == 0) {
        for (; count < max && window_->next(packet); ++count) {
            ++packets_;
            if (!filter_.empty()) {
                pcap_pkthdr header{};
                header.caplen = packet.captured;
                header.len = packet.length;
                if (!filter_.matches(header, packet.data)) continue;
            }
            packet.linktype = linktype_;
            handler(user, packet);
        }
        if (count > 0) break; // the window moves at the next call: what was handed out stays valid until then
        switch (window_->refill()) {
        case RecordWindow::Result::ok:
            continue;
        case RecordWindow::Result::end:
            return ReadStatus::end;
        case RecordWindow::Result::truncated:
            error_ = name_ + ": " + broken("truncated");
            return ReadStatus::error;
        case RecordWindow::Result::damaged:
            error_ = name_ + ": " + broken("a packet is said to be longer than any can be");
            return ReadStatus::error;
        case RecordWindow::Result::failed:
            error_ = name_ + ": " + broken(std::strerror(errno));
            return ReadStatus::error;
        }
    }
    return ReadStatus::ok;
}

ReadStatus CaptureFile::read(int max, int wait_ms, PacketHandler handler, void *user) {
    if (window_) return read_window(max, handler, user);
    Reader reader{*this, handler, user};
    auto *context = reinterpret_cast<u_char *>(&reader);
    int count;
    if (regular()) {
        count = pcap_dispatch(pcap_, max, Reader::packet, context);
    } else {
        // One by one, so that packets already handed out never wait for those still to come.
        int done = 0;
        do {
            if (!wait_for_data(done ? 0 : wait_ms)) return done ? ReadStatus::ok : ReadStatus::idle;
            count = pcap_dispatch(pcap_, 1, Reader::packet, context);
        } while (count == 1 && ++done < max);
        if (pipe_->interrupted()) return ReadStatus::end;
    }
    if (count > 0) return ReadStatus::ok;
    if (count == 0) return ReadStatus::end;
    error_ = name_ + ": " + broken(pcap_geterr(pcap_));
    return ReadStatus::error;
}

std::string CaptureFile::broken(std::string_view reason) const {
    const std::string read = "; read " + std::to_string(packets_);
    if (reason.starts_with("truncated"))
        return (pcapng_ ? std::string("capture ends inside a block after packet ") + std::to_string(packets_)
                        : "capture ends inside packet " + std::to_string(packets_ + 1)) +
               read;
    if (reason.find("different from the type of the first interface") != reason.npos)
        return "has interfaces of different link types, which libpcap cannot read" + read;
    return "capture is damaged after packet " + std::to_string(packets_) + " (" + std::string(reason) + ")" + read;
}

bool CaptureFile::interrupted() const {
    return pipe_ && pipe_->interrupted();
}

uint64_t CaptureFile::bytes_read() const {
    if (!regular()) return pipe_->taken();
    if (window_) return window_->taken();
    const off_t position = lseek(fileno(stream_), 0, SEEK_CUR); // what stdio has taken, at most one buffer ahead
    return position > 0 ? static_cast<uint64_t>(position) : 0;
}

} // namespace aicore
