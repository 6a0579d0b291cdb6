// SPDX-License-Identifier: Apache-2.0
// pcap files (draft-ietf-opsawg-pcap), with what libpcap and tcpdump wrote before there was a specification.
#include "capture_reader.h"

namespace aicore {

namespace {

constexpr size_t kFileHeader = 24;
constexpr size_t kRecordHeader = 16;
constexpr size_t kModifiedHeader = 24; // Alexey Kuznetzov's: interface, protocol and direction behind the usual ones

struct Kind {
    uint32_t magic;
    int64_t fraction; // nanoseconds in a unit of the record's second word
    size_t header;    // of a record
};
constexpr Kind kKinds[] = {
    {0xa1b2c3d4, 1000, kRecordHeader}, {0xa1b23c4d, 1, kRecordHeader}, {0xa1b2cd34, 1000, kModifiedHeader}};

// Up to version 2.2 the length on the wire came before the captured one, in 2.3 either did (libpcap's sf-pcap.c).
enum class Lengths { captured_first, wire_first, smaller_is_captured };

class PcapReader final : public CaptureReader {
  public:
    PcapReader(const Kind &kind, bool swapped, const std::string &name, LinkTypes &types)
        : CaptureReader(name, types), kind_(kind), swapped_(swapped) {
        wanted_ = kFileHeader;
    }

    bool begin(Window &window) override {
        if (type_) return true;
        if (window.size() < kFileHeader) return false;
        const uint8_t *at = window.data();
        const auto major = number<uint16_t>(at + 4, swapped_), minor = number<uint16_t>(at + 6, swapped_);
        if (!(major == 2 && minor <= 4) && !(major == 543 && minor == 0)) { // the latter is DG/UX tcpdump's
            damaged("is of pcap version " + std::to_string(major) + "." + std::to_string(minor) +
                    ", which is not known; versions 2.0 to 2.4 are");
            return true;
        }
        if (major == 543 || minor < 3)
            lengths_ = Lengths::wire_first;
        else if (minor == 3)
            lengths_ = Lengths::smaller_is_captured;
        type_ = link_type(number<uint32_t>(at + 20, swapped_));
        window.drop(kFileHeader);
        return true;
    }

    size_t read(Window &window, PacketBlock &block, size_t most) override {
        if (!damage().empty()) return 0;
        const uint8_t *const start = window.data(), *const end = start + window.size();
        const uint8_t *at = start;
        size_t count = 0;
        while (count < most) {
            const auto left = static_cast<size_t>(end - at);
            if (left < kind_.header) {
                wanted_ = kind_.header;
                break;
            }
            auto captured = number<uint32_t>(at + 8, swapped_), length = number<uint32_t>(at + 12, swapped_);
            if (lengths_ == Lengths::wire_first || (lengths_ == Lengths::smaller_is_captured && captured > length))
                std::swap(captured, length);
            if (captured > kMaxCaptured) {
                damaged("a packet is said to be longer than any can be");
                break;
            }
            if (left < kind_.header + captured) {
                wanted_ = kind_.header + captured;
                break;
            }
            const auto seconds = number<uint32_t>(at, swapped_), fraction = number<uint32_t>(at + 4, swapped_);
            packet(*type_, at + kind_.header, captured, length,
                   static_cast<int64_t>(seconds) * 1'000'000'000 + static_cast<int64_t>(fraction) * kind_.fraction,
                   block);
            at += kind_.header + captured;
            ++count;
        }
        window.drop(static_cast<size_t>(at - start));
        return count;
    }

    bool has_header() const noexcept override { return type_ != nullptr; }

    std::string cut(const Window &window) const override {
        return window.size() ? "inside packet " + std::to_string(packets() + 1) : std::string();
    }

  private:
    const Kind kind_;
    const bool swapped_; // the file's byte order is not ours
    Lengths lengths_ = Lengths::captured_first;
    const LinkType *type_ = nullptr; // once begun
};

} // namespace

std::unique_ptr<CaptureReader> open_pcap(std::span<const uint8_t> head, const std::string &name, LinkTypes &types) {
    if (head.size() < 4) return nullptr;
    for (const bool swapped : {false, true})
        for (const Kind &kind : kKinds)
            if (number<uint32_t>(head.data(), swapped) == kind.magic)
                return std::make_unique<PcapReader>(kind, swapped, name, types);
    return nullptr;
}

} // namespace aicore
