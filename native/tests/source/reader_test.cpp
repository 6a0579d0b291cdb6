// SPDX-License-Identifier: Apache-2.0
// The readers of pcap and pcapng: each kind of file, each kind of damage, at the bounds.
#include <chrono>
#include <thread>

#include "capture_reader.h"
#include "pcapng_builder.h"

using namespace aicore;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

struct Read {
    std::vector<Received> packets;
    std::vector<std::string> broken; // without the file's name
    std::vector<int> links;          // known before the first packet

    std::string data() const {
        std::string all;
        for (const auto &packet : packets)
            all += (all.empty() ? "" : " ") + packet.data;
        return all;
    }
};

Read read(const std::string &bytes, const std::string &filter = "") {
    Folder folder;
    const std::string path = folder.write("x", bytes);
    Read out;
    std::unique_ptr<Source> source;
    try {
        source = open_files({path}, filter);
    } catch (const std::runtime_error &error) {
        out.broken.push_back("refused: " + std::string(error.what()).substr(path.size() + 2));
        return out;
    }
    for (const auto &link : source->links())
        out.links.push_back(link.linktype);
    out.packets = read_all(*source);
    for (const auto &file : source->broken()) {
        EXPECT_EQ(file.path, path);
        out.broken.push_back(file.error.substr(path.size() + 2));
    }
    return out;
}

using Strings = std::vector<std::string>;

// pcap: the second word is microseconds, or nanoseconds with that magic; the lengths may be swapped.
struct PcapFile {
    uint32_t magic = 0xa1b2c3d4;
    bool big = false;
    uint16_t major = 2, minor = 4;
    uint32_t linktype = 1;

    std::string header() const {
        return Bytes(big).u32(magic).u16(major).u16(minor).u32(0).u32(0).u32(65535).u32(linktype).text;
    }
    std::string record(uint32_t first, uint32_t second, const std::string &data) const {
        Bytes out(big);
        out.u32(1700000000).u32(123456).u32(first).u32(second);
        if (magic == 0xa1b2cd34) out.u32(3).u16(0x0800).u(0, 1).u(0, 1);
        return out.add(data).text;
    }
};

TEST(Pcap, EveryMagicOrderAndVersion) {
    for (const uint32_t magic : {0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34})
        for (const bool big : {false, true})
            for (const auto &[major, minor, swapped] : {std::tuple<int, int, bool>{2, 4, false},
                                                        {2, 3, false},
                                                        {2, 3, true},
                                                        {2, 2, true},
                                                        {2, 1, true},
                                                        {2, 0, true},
                                                        {543, 0, true}}) {
                const PcapFile file{magic, big, static_cast<uint16_t>(major), static_cast<uint16_t>(minor), 101};
                const uint32_t captured = 4, length = 60;
                const std::string record =
                    swapped ? file.record(length, captured, "abcd") : file.record(captured, length, "abcd");
                const Read got = read(file.header() + record + record);
                const std::string where = std::to_string(magic) + (big ? " big " : " little ") + std::to_string(major) +
                                          "." + std::to_string(minor);
                EXPECT_EQ(got.broken, Strings{}) << where;
                EXPECT_EQ(got.data(), "abcd abcd") << where;
                EXPECT_EQ(got.links, std::vector<int>{12}) << where; // LINKTYPE_RAW is DLT_RAW
                for (const auto &packet : got.packets) {
                    EXPECT_EQ(packet.length, 60u) << where;
                    EXPECT_EQ(packet.time, 1700000000 * kSecond + (magic == 0xa1b23c4d ? 123456 : 123456000)) << where;
                    EXPECT_EQ(packet.linktype, 12) << where;
                }
            }
}

TEST(Pcap, VersionsThatNobodyKnowsAreRefused) {
    for (const auto &[major, minor] : {std::pair<uint16_t, uint16_t>{1, 0}, {2, 5}, {3, 0}, {543, 1}}) {
        const PcapFile file{0xa1b2c3d4, false, major, minor, 1};
        EXPECT_EQ(read(file.header() + file.record(4, 4, "abcd")).broken,
                  Strings{"refused: is of pcap version " + std::to_string(major) + "." + std::to_string(minor) +
                          ", which is not known; versions 2.0 to 2.4 are"});
    }
}

TEST(Pcap, TheUpperBitsOfTheLinkTypeSayOtherThings) {
    const PcapFile file{0xa1b2c3d4, false, 2, 4, 0x14000001}; // a frame check sequence of 4 bytes
    EXPECT_EQ(read(file.header() + file.record(4, 4, "abcd")).links, std::vector<int>{1});
}

TEST(Pcap, ThePacketMayHave262144Bytes) {
    const PcapFile file;
    const std::string most(262144, 'm');
    const Read got = read(file.header() + file.record(262144, 300000, most) + file.record(1, 1, "z"));
    ASSERT_EQ(got.packets.size(), 2u);
    EXPECT_EQ(got.packets[0].data, most);
    EXPECT_EQ(got.packets[0].length, 300000u);
    EXPECT_EQ(got.packets[1].data, "z");
    EXPECT_EQ(got.broken, Strings{});
    EXPECT_EQ(read(file.header() + file.record(1, 1, "a") + file.record(262145, 262145, most + "m")).broken,
              Strings{"capture is damaged after packet 1 (a packet is said to be longer than any can be); read 1"});
}

TEST(Pcapng, InterfacesAreEachTheirOwn) {
    for (const bool big : {false, true}) {
        const Ng ng{big};
        // As mergecap joins captures: other snapshot lengths, link types, units and offsets.
        const Read got =
            read(ng.section() + ng.interface(1, 65535) + ng.interface(101, 262144, ng.unit(9)) +
                 ng.interface(113, 0, ng.unit(0x80 | 1) + ng.offset(1'000'000) + ng.option(0, "")) +
                 ng.packet(0, 1'700'000'000'000'001, "eth", 60) + ng.packet(1, 1'700'000'000'000'000'002, "raw") +
                 ng.packet(2, 5, "sll") + ng.obsolete(1, 3, "old") + ng.interface(276) + ng.packet(3, 4, "new"));
        EXPECT_EQ(got.broken, Strings{});
        EXPECT_EQ(got.data(), "eth raw sll old new");
        EXPECT_EQ(got.links, (std::vector<int>{1, 12, 113}));
        ASSERT_EQ(got.packets.size(), 5u);
        EXPECT_EQ(got.packets[0].time, 1700000000 * kSecond + 1000);
        EXPECT_EQ(got.packets[1].time, 1700000000 * kSecond + 2);
        EXPECT_EQ(got.packets[2].time, 1'000'002 * kSecond + kSecond / 2);
        EXPECT_EQ(got.packets[3].time, 3);
        EXPECT_EQ(got.packets[4].time, 4000);
        std::vector<int> links;
        for (const auto &packet : got.packets)
            links.push_back(packet.linktype);
        EXPECT_EQ(links, (std::vector<int>{1, 12, 113, 12, 276}));
        EXPECT_EQ(got.packets[0].length, 60u);
    }
}

TEST(Pcapng, SectionsForgetInterfacesAndMayBeOfEitherByteOrder) {
    const Ng little{false}, big{true};
    const Read got = read(little.section() + little.interface() + little.packet(0, 1, "one") + big.section(1, 2) +
                          big.interface(101) + big.packet(0, 2, "two") + little.section() + little.interface() +
                          little.packet(0, 3, "three") + big.section() + big.packet(0, 4, "four"));
    EXPECT_EQ(got.data(), "one two three");
    EXPECT_EQ(got.packets[1].linktype, 12);
    EXPECT_EQ(got.packets[1].time, 2000);
    EXPECT_EQ(got.broken,
              Strings{"capture is damaged after packet 3 (a packet is of interface 0, and 0 are described); read 3"});
}

TEST(Pcapng, SimplePacketsAreCutAtTheFirstInterfacesLength) {
    const Ng ng;
    const Read got = read(ng.section() + ng.interface(1, 4) + ng.interface(101, 2) + ng.simple("none", 4) +
                          ng.packet(0, 1'000'000, "time") + ng.simple("cut!", 1500) + ng.simple("ab"));
    EXPECT_EQ(got.broken, Strings{});
    EXPECT_EQ(got.data(), "none time cut! ab");
    EXPECT_EQ(got.packets[0].time, 0) << "nothing is known of it";
    EXPECT_EQ(got.packets[2].time, kSecond) << "that of the packet before";
    EXPECT_EQ(got.packets[2].length, 1500u);
    EXPECT_EQ(got.packets[3].length, 2u);
    EXPECT_EQ(read(ng.section() + ng.interface() + ng.simple("all of it")).data(), "all of it");
}

TEST(Pcapng, OtherBlocksAndOptionsAreSkipped) {
    const Ng ng;
    std::string text = ng.section() + ng.interface(1, 0, ng.option(2, "eth0") + ng.option(1, "a comment"));
    // names, statistics, custom blocks, secrets, a journal entry, and what is not invented yet
    for (const uint32_t type : {4u, 5u, 0xbadu, 0x40000badu, 0xau, 9u, 0x7fffffffu, 0u})
        text += ng.block(type, std::string(type % 40, 'x')) + ng.packet(0, 1, "p", 0, ng.option(1, "comment"));
    const Read got = read(text);
    EXPECT_EQ(got.broken, Strings{});
    EXPECT_EQ(got.data(), "p p p p p p p p");
}

TEST(Pcapng, AnInterfaceOrAPacketIsNotNeeded) {
    const Ng ng;
    for (const auto &text : {ng.section(), ng.section() + ng.interface(), ng.section() + ng.block(5, "statistics")}) {
        const Read got = read(text);
        EXPECT_TRUE(got.packets.empty());
        EXPECT_EQ(got.broken, Strings{});
    }
}

TEST(Pcapng, EveryUnitOfTime) {
    const Ng ng;
    const int64_t end = std::numeric_limits<int64_t>::max() - kSecond;
    const auto time = [&](const std::string &options, uint64_t ticks) {
        const Read got = read(ng.section() + ng.interface(1, 0, options) + ng.packet(0, ticks, "p"));
        EXPECT_EQ(got.broken, Strings{});
        return got.packets.empty() ? -1 : got.packets[0].time;
    };
    EXPECT_EQ(time(ng.unit(0), 1'700'000'000), 1'700'000'000 * kSecond);
    EXPECT_EQ(time(ng.unit(3), 1'700'000'000'123), 1'700'000'000 * kSecond + 123'000'000);
    EXPECT_EQ(time(ng.unit(12), 1'700'000'000'123'456'789), 1'700'000'000'123'456);
    EXPECT_EQ(time(ng.unit(19), ~0ull), 1'844'674'407);
    EXPECT_EQ(time(ng.unit(0x80), 7), 7 * kSecond);
    EXPECT_EQ(time(ng.unit(0x80 | 10), 1700 * 1024 + 512), 1700 * kSecond + kSecond / 2);
    EXPECT_EQ(time(ng.unit(0x80 | 32), 3ull << 31), kSecond * 3 / 2);
    EXPECT_EQ(time(ng.unit(0x80 | 63), 3ull << 62), kSecond * 3 / 2);
    EXPECT_EQ(time(ng.offset(-5), 7'000'000), 2 * kSecond);
    EXPECT_EQ(time(ng.offset(-5), 4'000'000), 0) << "before 1970";
    // Never more than fits, however the file is made.
    EXPECT_EQ(time(ng.unit(0), ~0ull), end);
    EXPECT_EQ(time(ng.unit(0x80), ~0ull), end);
    EXPECT_EQ(time(ng.unit(9), ~0ull), end);
    EXPECT_EQ(time("", ~0ull), end);
    EXPECT_EQ(time(ng.offset(std::numeric_limits<int64_t>::max()), 1), end);
    EXPECT_EQ(time(ng.unit(0) + ng.offset(std::numeric_limits<int64_t>::max()), ~0ull), end);
    EXPECT_EQ(time(ng.offset(std::numeric_limits<int64_t>::min()), ~0ull), 0);
}

TEST(Pcapng, DamageIsNamedAndWhatCameBeforeIsKept) {
    const Ng ng;
    const std::string before = ng.section() + ng.interface() + ng.packet(0, 1, "kept");
    const auto raw = [&](uint32_t type, uint32_t total) { return ng.bytes().u32(type).u32(total).text; };
    const std::string head = ng.bytes().u32(0).u32(0).u32(0).text; // interface and time
    std::string other_end = ng.block(5, "statistics");
    other_end[other_end.size() - 4] ^= 4;
    const std::pair<std::string, std::string> cases[] = {
        {raw(6, 8) + std::string(8, '\0'), "a block is said to have 8 bytes"},
        {raw(6, 13) + std::string(8, '\0'), "a block is said to have 13 bytes"},
        {raw(6, (128 << 20) + (128 << 10) + 4), "a block is said to be longer than any can be"},
        {raw(6, 0xfffffffc), "a block is said to be longer than any can be"},
        {other_end, "a block's two lengths differ"},
        {ng.packet(1, 1, "p"), "a packet is of interface 1, and 1 are described"},
        {ng.packet(0xffffffff, 1, "p"), "a packet is of interface 4294967295, and 1 are described"},
        {ng.obsolete(1, 1, "p"), "a packet is of interface 1, and 1 are described"},
        {ng.block(6, head + std::string(4, '\0')), "a packet's block is too short"},
        {ng.block(2, head + std::string(4, '\0')), "a packet's block is too short"},
        {ng.block(3, ""), "a packet's block is too short"},
        {ng.block(6, head + ng.bytes().u32(5).u32(5).text + "abcd"), "a packet runs over its block"},
        {ng.block(6, head + ng.bytes().u32(~0u).u32(5).text + "abcd"), "a packet runs over its block"},
        {ng.block(3, ng.bytes().u32(5).text + "abcd"), "a packet runs over its block"},
        {ng.block(1, "abcd"), "an interface's description is too short"},
        {ng.interface(1, 0, ng.bytes().u16(2).u16(9).add("12345678").text),
         "an interface's options run over their block"},
        {ng.interface(1, 0, ng.unit(20)), "an interface's unit of time is none"},
        {ng.interface(1, 0, ng.unit(0x80 | 64)), "an interface's unit of time is none"},
        {ng.interface(1, 0, ng.option(9, "ab")), "an interface's unit of time is none"},
        {ng.interface(1, 0, ng.option(14, "abcd")), "an interface's time offset is none"},
        {ng.section(2, 0), "pcapng version 2.0 is not known; 1.0 is"},
        {ng.section(1, 1), "pcapng version 1.1 is not known; 1.0 is"},
        {ng.block(0x0a0d0d0a, ng.bytes().u32(0x1a2b3c4d).text), "a section header is too short"},
        {ng.block(0x0a0d0d0a, std::string(16, '\0')), "a section has no byte order"},
        {raw(1, (512 << 10) + 4), "a block is longer than any of its kind can be"},
    };
    for (const auto &[damage, reason] : cases) {
        const Read got = read(before + damage + ng.packet(0, 2, "lost"));
        EXPECT_EQ(got.data(), "kept") << reason;
        EXPECT_EQ(got.broken, Strings{"capture is damaged after packet 1 (" + reason + "); read 1"});
    }
    EXPECT_EQ(read(ng.section(2, 0)).broken, Strings{"refused: pcapng version 2.0 is not known; 1.0 is"});
}

TEST(Pcapng, BlocksLongerThanTheWindow) {
    const Ng ng;
    const std::string begin = ng.section() + ng.interface(1), end = ng.packet(0, 9, "end");
    for (const size_t size : {128u << 10, 512u << 10, 5u << 20}) { // the window, what comes whole, and far beyond
        const Read names = read(begin + ng.block(4, std::string(size, 'n')) + end);
        EXPECT_EQ(names.data(), "end") << size;
        const Read comment = read(
            begin +
            ng.block(6, std::string(12, '\0') + ng.bytes().u32(4).u32(4).text + "data" + std::string(size, 'c')) + end);
        EXPECT_EQ(comment.data(), "data end") << size;
        for (const auto &longest : {ng.packet(0, 1, std::string(size, 'p')), ng.obsolete(0, 1, std::string(size, 'p')),
                                    ng.simple(std::string(size, 'p'))}) {
            const Read packet = read(begin + longest + end);
            ASSERT_EQ(packet.packets.size(), 2u) << size;
            EXPECT_EQ(packet.packets[0].data, std::string(std::min<size_t>(size, 262144), 'p'));
            EXPECT_EQ(packet.packets[0].length, size);
            EXPECT_EQ(packet.packets[1].data, "end");
            EXPECT_EQ(packet.broken, Strings{});
            const Read cut = read(begin + longest.substr(0, longest.size() - 1));
            EXPECT_EQ(cut.packets.size(), longest.size() > 512u << 10 ? 1u : 0u);
            ASSERT_EQ(cut.broken.size(), 1u);
            EXPECT_EQ(cut.broken[0].find("capture ends inside a block after packet "), 0u);
        }
    }
}

TEST(Pcapng, InterfacesOfASectionAreBounded) {
    const Ng ng;
    std::string text = ng.section();
    for (int i = 0; i < 65536; ++i)
        text += ng.interface(i % 2 ? 101 : 1);
    const Read most = read(text + ng.packet(65535, 1, "last"));
    EXPECT_EQ(most.data(), "last");
    EXPECT_EQ(most.packets.at(0).linktype, 12);
    EXPECT_EQ(most.links, (std::vector<int>{1, 12})) << "each once";
    EXPECT_EQ(read(text + ng.interface()).broken,
              Strings{"capture is damaged after packet 0 (a section has more than 65,536 interfaces); read 0"});
}

TEST(Pcapng, AFilterIsCompiledForEachInterface) {
    const Ng ng;
    const std::string ip("\x45\0\0\x1c\0\0\0\0\x40\x11\0\0\x7f\0\0\1\x7f\0\0\1\0\0\0\0\0\x08\0\0", 28);
    const std::string frame = std::string(12, '\0') + std::string("\x08\0", 2) + ip;
    const std::string text = ng.section() + ng.interface(1) + ng.interface(101) + ng.packet(0, 1, frame) +
                             ng.packet(1, 2, ip) + ng.packet(0, 3, "no IP at all") + ng.packet(1, 4, frame);
    const Read got = read(text, "udp");
    ASSERT_EQ(got.packets.size(), 2u);
    EXPECT_EQ(got.packets[0].data, frame);
    EXPECT_EQ(got.packets[1].data, ip);
    const Read refused = read(text, "ether src 1:2:3:4:5:6");
    EXPECT_TRUE(refused.packets.empty());
    ASSERT_EQ(refused.broken.size(), 1u);
    EXPECT_EQ(refused.broken[0].find("capture is damaged after packet 0 (filter 'ether src 1:2:3:4:5:6': "), 0u)
        << refused.broken[0];
}

// Hands out so many bytes at a time, and nothing every other time.
class Trickle final : public ByteSource {
  public:
    Trickle(std::string text, size_t part) : text_(std::move(text)), part_(part) {}
    Take read(uint8_t *to, size_t size) override {
        if (rest_ = !rest_; rest_) return {Took::not_yet};
        if (at_ == text_.size()) return {Took::end};
        size = std::min({size, part_, text_.size() - at_});
        std::memcpy(to, text_.data() + at_, size);
        at_ += size;
        return {Took::bytes, size};
    }
    bool wait(int) override { return true; }
    uint64_t taken() const noexcept override { return at_; }
    std::string error() const override { return {}; }

  private:
    const std::string text_;
    const size_t part_;
    size_t at_ = 0;
    bool rest_ = false;
};

// However the bytes come, the packets are the same, and a cut at each byte keeps what is whole.
void in_parts(const std::string &text, const std::vector<size_t> &ends) {
    std::vector<size_t> parts = {1, 2, 3, 5, 7, 11, 16, 23, text.size()};
    for (size_t size = 24; size <= text.size(); ++size)
        for (const size_t part : parts) {
            if (part != text.size() && size != text.size()) continue;
            LinkTypes types("");
            Trickle bytes(text.substr(0, size), part);
            Window window;
            const auto reader = open_capture({reinterpret_cast<const uint8_t *>(text.data()), kHeadSize}, "x", types);
            ASSERT_NE(reader, nullptr);
            PacketBlock block;
            std::vector<Received> got;
            for (bool begun = false, more = true; more;) {
                if (!begun) begun = reader->begin(window);
                block.clear();
                if (begun && reader->read(window, block, 1)) {
                    collect(&got, block.packets[0]);
                    continue;
                }
                ASSERT_EQ(reader->damage(), "");
                more = window.fill(bytes, reader->wanted()).what != Took::end;
            }
            const auto whole =
                static_cast<size_t>(std::count_if(ends.begin(), ends.end(), [&](size_t end) { return end <= size; }));
            EXPECT_EQ(got.size(), whole) << "cut at " << size << " in parts of " << part;
            EXPECT_EQ(reader->packets(), whole);
        }
}

TEST(Parts, OfPcap) {
    const PcapFile file{0xa1b2cd34, true, 2, 2, 1};
    std::string text = file.header();
    std::vector<size_t> ends;
    for (const std::string data : {"first", "", "third packet"}) {
        text += file.record(1500, static_cast<uint32_t>(data.size()), data);
        ends.push_back(text.size());
    }
    in_parts(text, ends);
}

TEST(Parts, OfPcapng) {
    const Ng little{false}, big{true};
    std::string text = little.section() + little.interface() + little.interface(101, 9, little.unit(9));
    std::vector<size_t> ends;
    for (const std::string &block : {little.packet(0, 1, "first"), little.simple("second"),
                                     little.block(5, "statistics"), little.obsolete(1, 3, "third"), big.section(),
                                     big.interface(), big.packet(0, 4, "", 0, big.option(1, "c"))}) {
        text += block;
        if (block.size() > 8 && (block[0] == 6 || block[0] == 3 || block[0] == 2 || block[3] == 6))
            ends.push_back(text.size());
    }
    ASSERT_EQ(ends.size(), 4u);
    in_parts(text, ends);
}

} // namespace
