// SPDX-License-Identifier: Apache-2.0
#include "record_window.h"

#include <cstring>
#include <unistd.h>

namespace aicore {

namespace {
constexpr size_t kWindow = 128 * 1024; // fits in the second-level cache; 64 KiB to 256 KiB measured the same
constexpr size_t kRecordHeader = 16;
constexpr uint32_t kMaxCaptured = 262144; // libpcap's MAXIMUM_SNAPLEN: more is a damaged file
} // namespace

RecordWindow::RecordWindow(int fd, uint64_t offset, bool swapped, bool nanoseconds)
    : fd_(fd), offset_(offset), swapped_(swapped), fraction_(nanoseconds ? 1 : 1000), window_(kWindow) {}

uint32_t RecordWindow::word(size_t at) const {
    uint32_t n;
    std::memcpy(&n, window_.data() + at, sizeof n);
    return swapped_ ? __builtin_bswap32(n) : n;
}

bool RecordWindow::next(RawPacket &packet) {
    if (end_ - begin_ < kRecordHeader) return false;
    const uint32_t captured = word(begin_ + 8);
    if (captured > kMaxCaptured) {
        too_long_ = true;
        return false;
    }
    if (end_ - begin_ - kRecordHeader < captured) return false;
    packet.data = window_.data() + begin_ + kRecordHeader;
    packet.captured = captured;
    packet.length = word(begin_ + 12);
    packet.time =
        static_cast<int64_t>(word(begin_)) * 1'000'000'000 + static_cast<int64_t>(word(begin_ + 4)) * fraction_;
    begin_ += kRecordHeader + captured;
    return true;
}

RecordWindow::Result RecordWindow::refill() {
    if (too_long_) return Result::damaged;
    std::memmove(window_.data(), window_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (end_ == window_.size()) window_.resize(kRecordHeader + kMaxCaptured); // one packet larger than the window
    const ssize_t got = pread(fd_, window_.data() + end_, window_.size() - end_, static_cast<off_t>(offset_));
    if (got < 0) return Result::failed;
    if (got == 0) return end_ == 0 ? Result::end : Result::truncated;
    offset_ += static_cast<uint64_t>(got);
    end_ += static_cast<size_t>(got);
    return Result::ok;
}

} // namespace aicore
