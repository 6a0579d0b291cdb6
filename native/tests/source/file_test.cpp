// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "capture_builder.h"

using namespace aicore;

namespace {

const std::vector<Sample> kSamples = {
    {1700000000, 123456789, std::string(60, 'a')},
    {1700000001, 999999999, std::string(97, 'b'), 1500}, // cut by its snaplen
    {4000000000, 0, std::string(14, 'c')},               // after 2038
};

std::string open_error(const std::vector<std::string> &paths, const std::string &filter = "") {
    try {
        open_files(paths, filter);
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "no error";
}

class Formats : public testing::TestWithParam<std::tuple<bool, bool, bool>> {};

TEST_P(Formats, EveryPacketWithItsTimeAndLengths) {
    auto [pcapng, big, nano] = GetParam();
    const Format format{pcapng, big, nano, 1};
    Folder folder;
    auto source = open_files({folder.write("x", capture(format, kSamples))}, "");
    EXPECT_FALSE(source->live());
    ReadStatus last;
    auto got = read_all(*source, &last);
    EXPECT_EQ(last, ReadStatus::end);
    ASSERT_EQ(got.size(), kSamples.size());
    for (size_t i = 0; i < got.size(); ++i) {
        const auto &sample = kSamples[i];
        EXPECT_EQ(got[i].data, sample.data);
        EXPECT_EQ(got[i].length, sample.length ? sample.length : sample.data.size());
        EXPECT_EQ(got[i].time,
                  sample.seconds * 1'000'000'000LL + (nano ? sample.nanoseconds : sample.nanoseconds / 1000 * 1000));
        EXPECT_EQ(got[i].linktype, 1);
    }
    EXPECT_TRUE(source->broken().empty());
}

INSTANTIATE_TEST_SUITE_P(, Formats, testing::Combine(testing::Bool(), testing::Bool(), testing::Bool()),
                         [](const auto &info) {
                             return std::string(std::get<0>(info.param) ? "pcapng" : "pcap") +
                                    (std::get<1>(info.param) ? "Big" : "Little") +
                                    (std::get<2>(info.param) ? "Nano" : "Micro");
                         });

// Cut anywhere, a capture gives every whole packet before the cut, and says where it ends.
void cut_everywhere(const Format &format) {
    Folder folder;
    const std::string whole = capture(format, kSamples);
    std::vector<size_t> ends = {header(format).size()};
    for (const auto &sample : kSamples)
        ends.push_back(ends.back() + record(format, sample).size());
    // A pcapng file may end behind its section header: it has no interface then.
    const size_t section = ends.front() - (format.pcapng ? pcapng_interface(format).size() : 0);
    for (size_t size = section; size <= whole.size(); ++size) {
        const std::string path = folder.write("cut", whole.substr(0, size));
        const std::string next = folder.write("next", capture({}, {kSamples[0]}));
        size_t packets = 0;
        while (packets < kSamples.size() && ends[packets + 1] <= size)
            ++packets;
        auto source = open_files({path, next}, "");
        ReadStatus last;
        auto got = read_all(*source, &last);
        ASSERT_EQ(got.size(), packets + 1) << "cut at " << size;
        EXPECT_EQ(got.back().data, kSamples[0].data);
        EXPECT_EQ(last, ReadStatus::end);
        const auto broken = source->broken();
        if (ends[packets] == size || size == section) {
            EXPECT_TRUE(broken.empty()) << size << broken[0].error;
        } else {
            ASSERT_EQ(broken.size(), 1u) << size;
            const std::string where = format.pcapng
                                          ? ": capture ends inside a block after packet " + std::to_string(packets)
                                          : ": capture ends inside packet " + std::to_string(packets + 1);
            EXPECT_EQ(broken[0].path, path);
            EXPECT_EQ(broken[0].error, path + where + "; read " + std::to_string(packets));
        }
    }
    EXPECT_EQ(open_error({folder.write("cut", "")}), folder.path("cut") + ": is empty");
    for (size_t size = 1; size < section; ++size)
        EXPECT_EQ(open_error({folder.write("cut", whole.substr(0, size))}),
                  folder.path("cut") +
                      (size < 4 ? ": is not a capture (pcap or pcapng)" : ": ends inside the capture's header"))
            << size;
}

TEST(Files, PcapCutAtEveryByte) {
    cut_everywhere({});
}
TEST(Files, PcapngCutAtEveryByte) {
    cut_everywhere({true, false, true, 1});
}

TEST(Files, DamageInTheMiddleEndsThatFileOnly) {
    Folder folder;
    const std::string bad = folder.write("bad", capture({}, {kSamples[0], kSamples[0]}) +
                                                    Bytes(false).u32(1).u32(1).u32(0xfffffff0).u32(60).text);
    auto source = open_files({bad, folder.write("good", capture({}, kSamples))}, "");
    ReadStatus last;
    EXPECT_EQ(read_all(*source, &last).size(), 5u);
    EXPECT_EQ(last, ReadStatus::end);
    auto broken = source->broken();
    ASSERT_EQ(broken.size(), 1u);
    EXPECT_EQ(broken[0].path, bad);
    EXPECT_EQ(broken[0].error,
              bad + ": capture is damaged after packet 2 (a packet is said to be longer than any can be); read 2");
    EXPECT_TRUE(source->broken().empty()) << "told once";
}

TEST(Files, SeveralFilesInOrderEachWithItsLinkType) {
    Folder folder;
    std::vector<std::string> paths = {folder.write("one", capture({false, false, false, 1}, {kSamples[0]})),
                                      folder.write("two", capture({true, true, false, 113}, {kSamples[1]})),
                                      folder.write("none", capture({false, false, false, 1}, {})),
                                      folder.write("three", capture({false, true, true, 101}, {kSamples[2]}))};
    auto source = open_files(paths, "");
    auto links = source->links();
    ASSERT_EQ(links.size(), 4u);
    EXPECT_EQ(links[1].name, paths[1]);
    EXPECT_EQ(links[1].linktype, 113);
    EXPECT_EQ(linktype_name(links[1].linktype), "LINUX_SLL");

    uint64_t size = 0;
    for (const auto &path : paths)
        size += std::filesystem::file_size(path);
    EXPECT_EQ(source->bytes_total(), size);
    EXPECT_EQ(source->bytes_read(), 0u);

    std::vector<Received> got;
    std::string order;
    ReadStatus status;
    EXPECT_FALSE(source->next_file_begun());
    while ((status = source->read(10, 0, collect, &got)) == ReadStatus::ok) {
        order += std::filesystem::path(source->current()).filename().string() + ":" + std::to_string(got.size());
        order += source->next_file_begun() ? "|" : " ";
        EXPECT_FALSE(source->next_file_begun()) << "told once";
    }
    EXPECT_EQ(status, ReadStatus::end);
    EXPECT_EQ(order, "one:1 :1|two:2 :2|:2|three:3 ");
    EXPECT_EQ(source->bytes_read(), size);
    ASSERT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0].linktype, 1);
    EXPECT_EQ(got[1].linktype, 113);
    EXPECT_EQ(got[2].linktype, 12); // LINKTYPE_RAW is DLT_RAW
    EXPECT_EQ(source->read(10, 0, collect, &got), ReadStatus::end);
}

TEST(Files, FilterIsCompiledForEachLinkType) {
    Folder folder;
    std::string ethernet(12, '\0'), ip("\x45\0\0\x1c\0\0\0\0\x40\x11\0\0\x7f\0\0\1\x7f\0\0\1", 20), udp(8, '\0');
    const std::string ipv4 = ethernet + std::string("\x08\0", 2) + ip + udp;
    const std::string arp = ethernet + std::string("\x08\x06", 2) + std::string(28, '\0');
    auto paths = std::vector{folder.write("eth", capture({}, {{1, 0, arp}, {2, 0, ipv4}, {3, 0, arp}})),
                             folder.write("raw", capture({false, false, false, 101}, {{4, 0, ip + udp}}))};
    auto source = open_files(paths, "udp");
    auto got = read_all(*source, nullptr, 1);
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0].time, 2'000'000'000);
    EXPECT_EQ(got[1].time, 4'000'000'000);
    const std::string error = open_error(paths, "udq or");
    EXPECT_EQ(error.find("captures: filter 'udq or': "), 0u) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(Files, AtMostTheNumberAskedFor) {
    Folder folder;
    auto source = open_files({folder.write("x", capture({}, kSamples))}, "");
    std::vector<Received> got;
    EXPECT_EQ(source->read(2, 0, collect, &got), ReadStatus::ok);
    EXPECT_EQ(got.size(), 2u);
    EXPECT_EQ(source->read(2, 0, collect, &got), ReadStatus::ok);
    EXPECT_EQ(got.size(), 3u);
}

TEST(Files, WrongNamesFailBeforeAnythingIsRead) {
    Folder folder;
    const std::string good = folder.write("good", capture({}, kSamples));
    EXPECT_EQ(open_error({good, folder.path("typo")}), folder.path("typo") + ": no such file");
    EXPECT_EQ(open_error({good, folder.path("")}), folder.path("") + ": is a directory");
    EXPECT_EQ(open_error({good, folder.write("text", "Once upon a time")}),
              folder.path("text") + ": is not a capture (pcap or pcapng)");
    EXPECT_EQ(open_error({}), "no capture to read");
    if (geteuid() != 0) { // root may read everything
        const std::string secret = folder.write("secret", capture({}, kSamples));
        chmod(secret.c_str(), 0);
        EXPECT_EQ(open_error({secret}), secret + ": no permission to read it");
    }
}

TEST(Files, OneThatVanishesLaterIsBrokenAndTheOthersAreRead) {
    Folder folder;
    auto paths =
        std::vector{folder.write("one", capture({}, {kSamples[0]})), folder.write("two", capture({}, {kSamples[1]})),
                    folder.write("three", capture({}, {kSamples[2]}))};
    auto source = open_files(paths, "");
    std::filesystem::remove(paths[1]);
    ReadStatus last;
    EXPECT_EQ(read_all(*source, &last).size(), 2u);
    EXPECT_EQ(last, ReadStatus::end);
    const auto broken = source->broken();
    ASSERT_EQ(broken.size(), 1u);
    EXPECT_EQ(broken[0].error, paths[1] + ": no such file");
}

TEST(Files, OneThatAFolderHeldIsBrokenAndTheOthersAreRead) {
    Folder folder;
    const auto paths =
        std::vector{folder.write("cut", header({}).substr(0, 20)), folder.write("good", capture({}, kSamples))};
    EXPECT_EQ(open_error(paths), paths[0] + ": ends inside the capture's header");
    auto source = open_files(paths, "", paths);
    EXPECT_EQ(read_all(*source).size(), 3u);
    const auto broken = source->broken();
    ASSERT_EQ(broken.size(), 1u);
    EXPECT_EQ(broken[0].error, paths[0] + ": ends inside the capture's header");
    const auto more = std::vector{folder.write("notes", "Once upon a time"), folder.write("empty", ""), paths[1]};
    source = open_files(more, "", more);
    EXPECT_EQ(read_all(*source).size(), 3u);
    EXPECT_TRUE(source->broken().empty());
    EXPECT_EQ(source->warnings(), (std::vector{more[0] + ": is not a capture (pcap or pcapng); it is left out",
                                               more[1] + ": is empty; it is left out"}));
    EXPECT_THROW(open_files(paths, "prot 53", paths), std::runtime_error) << "a slip in the filter is nobody's damage";
}

TEST(Files, InterruptEndsThem) {
    Folder folder;
    auto source = open_files({folder.write("x", capture({}, kSamples))}, "");
    std::vector<Received> got;
    EXPECT_EQ(source->read(1, 0, collect, &got), ReadStatus::ok);
    source->interrupt();
    EXPECT_EQ(source->read(1, 0, collect, &got), ReadStatus::end);
    EXPECT_EQ(got.size(), 1u);
}

// Packets of blocks, by their order in the capture: the text of each is its number.
std::string number_of(const RawPacket &packet) {
    return {reinterpret_cast<const char *>(packet.data), packet.captured};
}

std::vector<Sample> numbered(size_t count, size_t size) {
    std::vector<Sample> samples;
    for (size_t i = 0; i < count; ++i) {
        std::string text = std::to_string(i);
        text.resize(size, ' ');
        samples.push_back({1700000000, 0, text});
    }
    return samples;
}

TEST(Blocks, KeepTheirBytesWhileTheReaderGoesOn) {
    const auto samples = numbered(5000, 700); // 27 buffers of 128 KiB
    Folder folder;
    auto source = open_files({folder.write("x", capture({}, samples))}, "");
    ASSERT_TRUE(source->blocks());
    std::vector<PacketBlock> kept;
    PacketBlock block;
    while (source->read_block(block, 0) == ReadStatus::ok) {
        ASSERT_LE(block.size, PacketBlock::kMost);
        if (block.size) {
            ASSERT_NE(block.memory, nullptr);
            kept.push_back(block);
        }
    }
    source.reset();
    size_t next = 0;
    for (const PacketBlock &one : kept)
        for (const RawPacket &packet : one.all())
            ASSERT_EQ(number_of(packet), samples[next++].data);
    EXPECT_EQ(next, samples.size());
}

TEST(Blocks, HoldAtMostWhatIsAskedFor) {
    Folder folder;
    auto source = open_files({folder.write("x", capture({}, numbered(10, 60)))}, "");
    PacketBlock block;
    ASSERT_EQ(source->read_block(block, 0, 3), ReadStatus::ok);
    EXPECT_EQ(block.size, 3u);
    ASSERT_EQ(source->read_block(block, 0), ReadStatus::ok);
    EXPECT_EQ(block.size, 7u);
    EXPECT_EQ(number_of(block.packets[0]).front(), '3');
}

TEST(Blocks, AreOfOneFile) {
    Folder folder;
    auto source = open_files(
        {folder.write("a", capture({}, numbered(3, 60))), folder.write("b", capture({}, numbered(2, 60)))}, "");
    std::vector<size_t> sizes;
    PacketBlock block;
    for (ReadStatus status = ReadStatus::ok; status == ReadStatus::ok;) {
        status = source->read_block(block, 0);
        if (block.size) sizes.push_back(block.size);
    }
    EXPECT_EQ(sizes, (std::vector<size_t>{3, 2}));
}

// A buffer that nobody holds any more serves again: else a capture would take as much memory as it is long.
TEST(Blocks, GiveTheirBuffersBack) {
    Folder folder;
    auto source = open_files({folder.write("x", capture({}, numbered(5000, 700)))}, "");
    std::vector<const uint8_t *> first; // of each buffer, its first packet
    std::shared_ptr<const void> last;
    PacketBlock block;
    while (source->read_block(block, 0) == ReadStatus::ok) {
        if (block.size && block.memory != last) {
            const auto *const begin = static_cast<const uint8_t *>(block.memory.get());
            if (std::find(first.begin(), first.end(), begin) == first.end()) first.push_back(begin);
            last = block.memory;
        }
    }
    EXPECT_LE(first.size(), 3u);
}

TEST(Blocks, MayBeDroppedByAnotherThread) { // under ThreadSanitizer
    const auto samples = numbered(5000, 700);
    Folder folder;
    auto source = open_files({folder.write("x", capture({}, samples))}, "");
    std::mutex mutex; // guards the next two
    std::deque<PacketBlock> queue;
    bool ended = false;
    size_t right = 0;
    std::thread worker([&] {
        for (size_t next = 0;;) {
            std::optional<PacketBlock> taken;
            {
                const std::lock_guard lock(mutex);
                if (!queue.empty()) {
                    taken = std::move(queue.front());
                    queue.pop_front();
                } else if (ended) {
                    return;
                }
            }
            if (!taken)
                std::this_thread::yield();
            else
                for (const RawPacket &packet : taken->all())
                    right += number_of(packet) == samples[next++].data;
        }
    });
    for (ReadStatus status = ReadStatus::ok; status == ReadStatus::ok;) {
        PacketBlock block;
        status = source->read_block(block, 0);
        const std::lock_guard lock(mutex);
        if (block.size) queue.push_back(std::move(block));
    }
    {
        const std::lock_guard lock(mutex);
        ended = true;
    }
    worker.join();
    EXPECT_EQ(right, samples.size());
}

// One that trickles in fills its buffer up; a packet longer than a buffer gets one of its own.
TEST(Blocks, HoldPacketsLongerThanABuffer) {
    Folder folder;
    const auto samples = numbered(5, 200 << 10);
    auto source = open_files({folder.write("x", capture({}, samples))}, "");
    const auto got = read_all(*source);
    ASSERT_EQ(got.size(), samples.size());
    for (size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(got[i].data, samples[i].data);
}

} // namespace
