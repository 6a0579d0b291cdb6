// SPDX-License-Identifier: Apache-2.0
// pcapng files (draft-ietf-opsawg-pcapng). A section may have several interfaces, each with its link type, snapshot
// length and unit of time; the next section forgets them and may be of the other byte order. What is neither a section,
// an interface nor a packet is skipped: names, statistics, secrets, custom and unknown blocks.
#include <limits>

#include "capture_reader.h"

namespace aicore {

namespace {

constexpr uint32_t kSection = 0x0a0d0d0a, kInterface = 1, kObsoletePacket = 2, kSimplePacket = 3, kEnhancedPacket = 6;
constexpr uint32_t kByteOrder = 0x1a2b3c4d;
constexpr size_t kBlockHeader = 8, kTrailer = 4; // type and length; the length again
constexpr size_t kMaxInterfaces = 65536;         // of a section: an obsolete packet block cannot name more
// Wireshark's bound: the longest packet of any link type, with its options.
constexpr uint32_t kMaxBlock = (128 << 20) + (128 << 10);
// Blocks up to this size come into the window as they are; of longer ones what is needed, and the rest is skipped.
constexpr uint32_t kWholeBlock = 512 << 10;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMaxTime = std::numeric_limits<int64_t>::max() - kSecond; // the year 2262; later times are this

// if_tsresol (section 4.2): a negative power of 10, or with the top bit set of 2.
struct Unit {
    uint64_t times = 1000, by = 1; // nanoseconds = ticks * times / by, unless binary
    unsigned binary = 0;           // ticks are 2^-binary seconds
    bool is_binary = false;
    int64_t offset = 0; // if_tsoffset, in nanoseconds

    bool set(uint8_t resolution) { // false: 64 bits have no room for such a number
        const unsigned exponent = resolution & 0x7f;
        times = by = 1;
        binary = exponent;
        is_binary = resolution & 0x80;
        if (is_binary) return exponent < 64;
        for (unsigned i = 9; i > exponent; --i)
            times *= 10;
        for (unsigned i = 9; i < exponent && exponent < 20; ++i)
            by *= 10;
        return exponent < 20;
    }

    [[nodiscard]] int64_t nanoseconds(uint64_t ticks) const noexcept {
        int64_t time = kMaxTime;
        if (is_binary) {
            const uint64_t seconds = ticks >> binary;
            uint64_t rest = ticks & ((uint64_t{1} << binary) - 1);
            // 34 bits of it are finer than a nanosecond, and the product fits.
            const unsigned bits = binary > 34 ? 34 : binary;
            rest >>= binary - bits;
            if (seconds < static_cast<uint64_t>(kMaxTime / kSecond))
                time = static_cast<int64_t>(seconds * kSecond + (rest * kSecond >> bits));
        } else {
            uint64_t product;
            if (!__builtin_mul_overflow(ticks, times, &product) && product / by <= static_cast<uint64_t>(kMaxTime))
                time = static_cast<int64_t>(product / by);
        }
        if (__builtin_add_overflow(time, offset, &time)) return kMaxTime;
        return time < 0 ? 0 : time > kMaxTime ? kMaxTime : time;
    }
};

struct Interface {
    const LinkType *type;
    uint32_t snaplen; // 0: no limit
    Unit unit;
};

struct Found {
    const Interface *interface;
    size_t at; // of the data, from the block's begin
    uint32_t captured, length;
    int64_t time;
};

class PcapngReader final : public CaptureReader {
  public:
    PcapngReader(const std::string &name, LinkTypes &types) : CaptureReader(name, types) {
        wanted_ = kBlockHeader + sizeof kByteOrder;
    }

    // The first section header and the interfaces behind it.
    bool begin(Window &window) override {
        while (!begun_ && damage().empty()) {
            if (has_header_) {
                if (window.size() < kBlockHeader) return want(kBlockHeader);
                begun_ = number<uint32_t>(window.data(), swapped_) != kInterface;
                if (begun_) break;
            }
            PacketBlock none; // stays empty: this sees sections and interfaces
            if (!block(window, none) && damage().empty()) return false;
        }
        return true;
    }

    size_t read(Window &window, PacketBlock &packets, size_t most) override {
        const uint64_t before = packets_;
        begun_ = true;
        while (packets_ - before < most && block(window, packets)) {
        }
        return packets_ - before;
    }

    bool has_header() const noexcept override { return has_header_; }

    std::string cut(const Window &window) const override {
        return window.size() || skip_ ? "inside a block after packet " + std::to_string(packets()) : std::string();
    }

  private:
    // Reads one block. False: more bytes are wanted, or damaged.
    bool block(Window &window, PacketBlock &packets) {
        if (!damage().empty()) return false;
        if (skip_) {
            const auto part = std::min<uint64_t>(skip_, window.size());
            window.drop(part);
            skip_ -= part;
            if (skip_) return want(1);
        }
        if (window.size() < kBlockHeader) return want(kBlockHeader);
        const uint8_t *at = window.data();
        const auto type = number<uint32_t>(at, false);
        if (type == kSection) { // the same read either way; what follows is in its byte order
            if (window.size() < kBlockHeader + sizeof kByteOrder) return want(kBlockHeader + sizeof kByteOrder);
            const auto order = number<uint32_t>(at + kBlockHeader, false);
            if (order != kByteOrder && __builtin_bswap32(order) != kByteOrder)
                return damaged("a section has no byte order");
            swapped_ = order != kByteOrder;
        }
        const auto total = number<uint32_t>(at + 4, swapped_);
        if (total < kBlockHeader + kTrailer || total % 4 != 0)
            return damaged("a block is said to have " + std::to_string(total) + " bytes");
        if (total > kMaxBlock) return damaged("a block is said to be longer than any can be");
        if (total > window.size()) {
            if (total <= kWholeBlock) return want(total);
            return long_block(window, total, packets);
        }
        if (number<uint32_t>(at + total - kTrailer, swapped_) != total) return damaged("a block's two lengths differ");
        if (!body(number<uint32_t>(at, swapped_), {at, total - kTrailer}, total - kTrailer, packets)) return false;
        window.drop(total);
        return true;
    }

    // Of a packet's block that is longer than the window its begin is used, of others nothing.
    bool long_block(Window &window, uint32_t total, PacketBlock &packets) {
        const auto type = number<uint32_t>(window.data(), swapped_);
        if (type == kSection || type == kInterface) return damaged("a block is longer than any of its kind can be");
        if (type == kObsoletePacket || type == kSimplePacket || type == kEnhancedPacket) {
            if (window.size() < kWholeBlock) return want(kWholeBlock);
            if (!body(type, {window.data(), kWholeBlock}, total - kTrailer, packets)) return false;
        }
        skip_ = total;
        return true;
    }

    // `block` is what lies in the window of a block of `size` bytes, both without the trailer.
    bool body(uint32_t type, std::span<const uint8_t> block, size_t size, PacketBlock &packets) {
        Found found{};
        switch (type) {
        case kSection:
            return section(block);
        case kInterface:
            return interface(block);
        case kEnhancedPacket:
        case kObsoletePacket:
            if (!packet_block(type, block, size, found)) return false;
            break;
        case kSimplePacket:
            if (!simple_packet(block, size, found)) return false;
            break;
        default:
            return true;
        }
        time_ = found.time;
        packet(*found.interface->type, block.data() + found.at, std::min(found.captured, kMaxCaptured), found.length,
               found.time, packets);
        return true;
    }

    bool section(std::span<const uint8_t> block) {
        if (block.size() < 24) return damaged("a section header is too short");
        const auto major = number<uint16_t>(&block[12], swapped_), minor = number<uint16_t>(&block[14], swapped_);
        if (major != 1 || (minor != 0 && minor != 2)) // 1.2 was written by mistake and is 1.0
            return damaged("pcapng version " + std::to_string(major) + "." + std::to_string(minor) +
                           " is not known; 1.0 is");
        interfaces_.clear();
        has_header_ = true;
        return true;
    }

    bool interface(std::span<const uint8_t> block) {
        if (block.size() < 16) return damaged("an interface's description is too short");
        if (interfaces_.size() == kMaxInterfaces) return damaged("a section has more than 65,536 interfaces");
        Interface fresh{nullptr, number<uint32_t>(&block[12], swapped_), {}};
        if (!options(block.subspan(16), fresh.unit)) return false;
        fresh.type = link_type(number<uint16_t>(&block[8], swapped_));
        if (!fresh.type) return false;
        interfaces_.push_back(fresh);
        return true;
    }

    bool options(std::span<const uint8_t> rest, Unit &unit) {
        while (rest.size() >= 4) {
            const auto code = number<uint16_t>(&rest[0], swapped_), size = number<uint16_t>(&rest[2], swapped_);
            rest = rest.subspan(4);
            if (code == 0) break;
            if (size > rest.size()) return damaged("an interface's options run over their block");
            if (code == 9) { // if_tsresol
                if (size != 1 || !unit.set(rest[0])) return damaged("an interface's unit of time is none");
            } else if (code == 14) { // if_tsoffset
                if (size != 8) return damaged("an interface's time offset is none");
                const auto seconds = number<int64_t>(&rest[0], swapped_);
                if (__builtin_mul_overflow(seconds, kSecond, &unit.offset))
                    unit.offset = seconds < 0 ? std::numeric_limits<int64_t>::min() : kMaxTime;
            }
            rest = rest.subspan(std::min<size_t>((size + 3u) / 4 * 4, rest.size()));
        }
        return true;
    }

    // Enhanced (section 4.3) and obsolete packet block (appendix A) differ in the number of the interface.
    bool packet_block(uint32_t type, std::span<const uint8_t> block, size_t size, Found &found) {
        if (block.size() < 28) return damaged("a packet's block is too short");
        const uint32_t index =
            type == kEnhancedPacket ? number<uint32_t>(&block[8], swapped_) : number<uint16_t>(&block[8], swapped_);
        if (!interface_of(index, found)) return false;
        const uint64_t ticks =
            uint64_t{number<uint32_t>(&block[12], swapped_)} << 32 | number<uint32_t>(&block[16], swapped_);
        found.at = 28;
        found.captured = number<uint32_t>(&block[20], swapped_);
        found.length = number<uint32_t>(&block[24], swapped_);
        found.time = found.interface->unit.nanoseconds(ticks);
        if (found.captured > size - found.at) return damaged("a packet runs over its block");
        return true;
    }

    // Section 4.4: of the first interface, cut at its snapshot length, without a time: it gets that of the packet
    // before it, which upsets no clock.
    bool simple_packet(std::span<const uint8_t> block, size_t size, Found &found) {
        if (block.size() < 12) return damaged("a packet's block is too short");
        if (!interface_of(0, found)) return false;
        found.at = 12;
        found.length = found.captured = number<uint32_t>(&block[8], swapped_);
        found.time = time_;
        if (found.interface->snaplen) found.captured = std::min(found.captured, found.interface->snaplen);
        if (found.captured > size - found.at) return damaged("a packet runs over its block");
        return true;
    }

    bool interface_of(uint32_t index, Found &found) {
        if (index >= interfaces_.size())
            return damaged("a packet is of interface " + std::to_string(index) + ", and " +
                           std::to_string(interfaces_.size()) + " are described");
        found.interface = &interfaces_[index];
        return true;
    }

    bool want(size_t size) { // false
        wanted_ = size;
        return false;
    }

    bool has_header_ = false; // a section has begun
    bool begun_ = false;
    bool swapped_ = false;              // the section's byte order is not ours
    uint64_t skip_ = 0;                 // bytes of a long block that are still to come
    int64_t time_ = 0;                  // of the last packet
    std::vector<Interface> interfaces_; // of the section
};

} // namespace

std::unique_ptr<CaptureReader> open_pcapng(std::span<const uint8_t> head, const std::string &name, LinkTypes &types) {
    if (head.size() < 4 || number<uint32_t>(head.data(), false) != kSection) return nullptr;
    if (head.size() >= kHeadSize) {
        const auto order = number<uint32_t>(&head[8], false);
        if (order != kByteOrder && __builtin_bswap32(order) != kByteOrder) return nullptr;
    }
    return std::make_unique<PcapngReader>(name, types);
}

} // namespace aicore
