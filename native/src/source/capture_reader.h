// SPDX-License-Identifier: Apache-2.0
// Reads the packets of one capture, pcap or pcapng, out of a window on its bytes. Engine thread only.
//
// Why not libpcap's savefiles: they have one link type, one snapshot length and one buffer, into which each packet is
// copied, and read pcapng of several interfaces only where these are alike. libpcap opens interfaces and compiles
// filters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/source.h"
#include "link_types.h"
#include "window.h"

namespace aicore {

// libpcap's MAXIMUM_SNAPLEN. More of a packet is never handed out, and in a pcap file means that it is damaged.
constexpr uint32_t kMaxCaptured = 262144;

class CaptureReader {
  public:
    virtual ~CaptureReader() = default;

    // Reads the header, and what else tells of link types before the first packet, as far as it lies in the window.
    // True: done, or damaged.
    virtual bool begin(Window &window) = 0;

    // Reads up to `most` whole packets, for which `block` has room, and drops them from the window; those that the
    // filter lets through are put into the block, whose memory is the caller's to set. Returns how many there were.
    // None: the window has to be filled until it holds wanted() bytes; or the capture is damaged, and this goes no
    // further.
    virtual size_t read(Window &window, PacketBlock &block, size_t most) = 0;

    [[nodiscard]] virtual bool has_header() const noexcept = 0; // of the file, whole and understood
    [[nodiscard]] size_t wanted() const noexcept { return wanted_; }
    [[nodiscard]] const std::string &damage() const noexcept { return damage_; }
    [[nodiscard]] uint64_t packets() const noexcept { return packets_; } // read, with those that the filter held back
    // Where the bytes end that the window still holds: "inside packet 8". Empty: between two packets, as they should.
    [[nodiscard]] virtual std::string cut(const Window &window) const = 0;
    [[nodiscard]] const std::vector<int> &links() const noexcept { return links_; } // DLT_* values found, each once

  protected:
    CaptureReader(std::string name, LinkTypes &types) : name_(std::move(name)), types_(types) {}

    // null, and damaged: the filter does not suit this link type.
    const LinkType *link_type(uint32_t linktype);
    bool damaged(std::string reason) { // false
        damage_ = std::move(reason);
        wanted_ = 0;
        return false;
    }
    // Puts in a packet of which `size` bytes lie in the window.
    void packet(const LinkType &type, const uint8_t *data, uint32_t size, uint32_t length, int64_t time,
                PacketBlock &block) {
        ++packets_;
        if (type.filter.matches(data, size, length)) block.add({data, size, length, time, type.dlt});
    }

    const std::string name_; // of the file, for messages
    size_t wanted_ = 0;
    uint64_t packets_ = 0;

  private:
    LinkTypes &types_;
    std::string damage_;
    std::vector<int> links_;
};

// Bytes that tell what a file is; fewer if it is shorter.
constexpr size_t kHeadSize = 12;

// The reader for a capture that begins like this; null: it is none. `types` outlives it.
std::unique_ptr<CaptureReader> open_capture(std::span<const uint8_t> head, const std::string &name, LinkTypes &types);

// The two kinds; `head` as above.
std::unique_ptr<CaptureReader> open_pcap(std::span<const uint8_t> head, const std::string &name, LinkTypes &types);
std::unique_ptr<CaptureReader> open_pcapng(std::span<const uint8_t> head, const std::string &name, LinkTypes &types);

// Numbers in the byte order of the file.
template <typename T> T number(const uint8_t *at, bool swapped) noexcept {
    T value;
    std::memcpy(&value, at, sizeof value);
    if (!swapped) return value;
    if constexpr (sizeof value == 2)
        return static_cast<T>(__builtin_bswap16(static_cast<uint16_t>(value)));
    else if constexpr (sizeof value == 4)
        return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(value)));
    else
        return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(value)));
}

} // namespace aicore
