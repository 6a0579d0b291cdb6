// SPDX-License-Identifier: Apache-2.0
// The readers of pcap and pcapng and the decompressors, on bytes that come in parts. The first byte gives the parts'
// size and whether there is a filter. However the bytes come, what is read is the same.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "capture_reader.h"
#include "input.h"
#include "unpack/compressed.h"

namespace {

using namespace aicore;
using fuzz::require;

constexpr size_t kUnpacked = 1 << 20; // more is not looked at: inputs of some bytes unpack to gigabytes

class Parts final : public ByteSource {
  public:
    Parts(std::span<const uint8_t> bytes, size_t part) : bytes_(bytes), part_(part) {}
    Take read(uint8_t *to, size_t size) override {
        if (bytes_.empty()) return {Took::end};
        size = std::min({size, part_, bytes_.size()});
        std::memcpy(to, bytes_.data(), size);
        bytes_ = bytes_.subspan(size);
        return {Took::bytes, size};
    }
    bool wait(int /*wait_ms*/) override { return true; }
    uint64_t taken() const noexcept override { return 0; }
    std::string error() const override { return {}; }

  private:
    std::span<const uint8_t> bytes_;
    const size_t part_;
};

std::string unpack(const Compression &format, std::span<const uint8_t> data, size_t part) {
    const size_t begin = std::min(part, data.size());
    const auto source = format.open(std::make_unique<Parts>(data.subspan(begin), part), data.first(begin));
    std::string out;
    std::vector<uint8_t> room(part == 1 ? 1 : 1 << 16);
    while (out.size() < kUnpacked) {
        const Take take = source->read(room.data(), room.size());
        require(take.size <= room.size(), "no more than there is room for");
        require((take.what == Took::bytes) == (take.size > 0), "bytes are at least one");
        if (take.what == Took::failed) require(!source->error().empty(), "failures have a text");
        if (take.what == Took::end || take.what == Took::failed) break;
        out.append(reinterpret_cast<const char *>(room.data()), take.size);
    }
    out.resize(std::min(out.size(), kUnpacked));
    return out;
}

struct Sum {
    uint64_t packets = 0, hash = 14695981039346656037u;
    std::string end;

    void add(uint64_t value) { hash = (hash ^ value) * 1099511628211u; }
    static void packet(void *user, const RawPacket &packet) {
        auto &sum = *static_cast<Sum *>(user);
        ++sum.packets;
        require(packet.captured <= kMaxCaptured, "packets are bounded");
        require(packet.time >= 0, "there is no time before 1970");
        for (uint32_t i = 0; i < packet.captured; ++i) // AddressSanitizer sees a range that is not all there
            sum.add(packet.data[i]);
        for (const auto value : {uint64_t{packet.captured}, uint64_t{packet.length}, static_cast<uint64_t>(packet.time),
                                 static_cast<uint64_t>(packet.linktype)})
            sum.add(value);
    }
};

Sum read(std::span<const uint8_t> data, size_t part, const std::string &filter) {
    Sum sum;
    LinkTypes types(filter);
    const auto reader = open_capture(data.first(std::min(data.size(), kHeadSize)), "x", types);
    if (!reader) return sum;
    Parts bytes(data, part);
    Window window;
    PacketBlock block;
    for (bool begun = false;;) {
        if (!begun) begun = reader->begin(window);
        if (begun && reader->damage().empty()) {
            const uint64_t before = reader->packets();
            block.clear();
            const size_t count = reader->read(window, block, 7);
            require(count <= 7 && block.size <= count && reader->packets() - before == count, "packets are counted");
            for (const RawPacket &packet : block.all())
                Sum::packet(&sum, packet);
            if (count) continue;
        }
        if (!reader->damage().empty()) break;
        require(reader->wanted() > window.size(), "what is there is read before more is wanted");
        require(reader->wanted() <= (1 << 20), "memory is bounded");
        if (window.fill(bytes, reader->wanted()).what == Took::end) break;
    }
    sum.add(reader->packets());
    sum.end = reader->damage().empty() ? reader->cut(window) : reader->damage();
    return sum;
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const std::span<const uint8_t> rest(data + 1, size - 1);
    const size_t part = size_t{1} << (*data & 7);
    if (const Compression *format = compression_of(rest.first(std::min(rest.size(), kHeadSize)))) {
        if (!format->open) return 0;
        const std::string whole = unpack(*format, rest, size), parts = unpack(*format, rest, part);
        require(whole.starts_with(parts) || parts.starts_with(whole), "what is unpacked is the same in parts");
        return 0;
    }
    const std::string filter = *data & 8 ? "tcp or vlan" : "";
    const Sum whole = read(rest, size, filter), parts = read(rest, part, filter);
    require(whole.hash == parts.hash && whole.packets == parts.packets && whole.end == parts.end,
            "what is read is the same in parts");
    return 0;
}
