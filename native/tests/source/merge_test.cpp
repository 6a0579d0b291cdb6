// SPDX-License-Identifier: Apache-2.0
// Captures of one time read together.
#include <gtest/gtest.h>

#include "capture_builder.h"

using namespace aicore;

namespace {

Sample sample(uint32_t number) {
    return {1'700'000'000 + number / 1000, number % 1000 * 1'000'000, "packet " + std::to_string(number)};
}

TEST(Merge, packets_of_all_files_in_order_of_time) {
    Folder folder;
    constexpr uint32_t kFiles = 3, kPackets = 10'000; // many blocks of each file
    std::vector<Sample> parts[kFiles];
    for (uint32_t i = 0; i < kPackets; ++i)
        parts[i < 5000 ? i % 2 : i % 7 % kFiles].push_back(sample(i)); // one file begins late
    std::vector<std::string> paths;
    uint64_t size = 0;
    for (uint32_t i = 0; i < kFiles; ++i) {
        paths.insert(paths.begin(), folder.write(std::to_string(i), capture({i == 1, i == 2, i > 0, 1}, parts[i])));
        size += std::filesystem::file_size(paths.front());
    }
    paths.push_back(folder.write("none", capture({}, {})));
    size += std::filesystem::file_size(paths.back());
    auto source = merge_files(paths, "");
    EXPECT_FALSE(source->live());
    EXPECT_TRUE(source->blocks());
    EXPECT_EQ(source->links().size(), 4u);
    EXPECT_EQ(source->bytes_total(), size);
    // All blocks are kept: their packets stay as they are.
    std::vector<std::unique_ptr<PacketBlock>> blocks;
    do
        blocks.push_back(std::make_unique<PacketBlock>());
    while (source->read_block(*blocks.back(), 0) == ReadStatus::ok);
    EXPECT_TRUE(source->at_end());
    EXPECT_EQ(source->bytes_read(), size);
    EXPECT_FALSE(source->next_file_begun());
    uint32_t number = 0;
    for (const auto &block : blocks)
        for (const RawPacket &packet : block->all()) {
            const Sample want = sample(number++);
            ASSERT_EQ(std::string(reinterpret_cast<const char *>(packet.data), packet.captured), want.data);
        }
    EXPECT_EQ(number, kPackets);
}

TEST(Merge, a_file_is_read_in_its_own_order) {
    Folder folder;
    const std::string one = folder.write("one", capture({}, {sample(5), sample(1), sample(9)}));
    const std::string two = folder.write("two", capture({}, {sample(3), sample(7)}));
    auto source = merge_files({one, two}, "");
    std::vector<Received> got;
    while (source->read(10, 0, collect, &got) == ReadStatus::ok) {
    }
    std::string order;
    for (const Received &r : got)
        order += r.data.substr(7);
    EXPECT_EQ(order, "35179");
}

TEST(Merge, damage_of_a_file_stops_no_other) {
    Folder folder;
    std::string cut = capture({}, {sample(1), sample(3)});
    cut.resize(cut.size() - 3);
    const std::string bad = folder.write("bad", cut);
    auto source = merge_files({bad, folder.write("good", capture({}, {sample(2), sample(4)}))}, "");
    std::vector<Received> got;
    while (source->read(10, 0, collect, &got) == ReadStatus::ok) {
    }
    EXPECT_EQ(got.size(), 3u);
    const auto broken = source->broken();
    ASSERT_EQ(broken.size(), 1u);
    EXPECT_EQ(broken[0].error, bad + ": capture ends inside packet 2; read 1");
}

TEST(Merge, what_cannot_be_merged_is_said) {
    Folder folder;
    const std::string text = folder.write("text", "no capture at all"),
                      good = folder.write("good", capture({}, {sample(1)}));
    const auto error = [](const std::vector<std::string> &paths) -> std::string {
        try {
            merge_files(paths, "");
        } catch (const std::runtime_error &why) {
            return why.what();
        }
        return "";
    };
    EXPECT_EQ(error({}), "no capture to read");
    EXPECT_EQ(error({good, text}), text + ": is not a capture (pcap or pcapng)");
    EXPECT_EQ(error({good, "/dev/null"}), "/dev/null: is not a regular file; only such can be merged");
    auto source = merge_files({good, text}, "", {text}); // found in a folder
    EXPECT_EQ(source->warnings().size(), 1u);
    std::vector<Received> got;
    while (source->read(10, 0, collect, &got) == ReadStatus::ok) {
    }
    EXPECT_EQ(got.size(), 1u);
}

TEST(Merge, an_interrupt_ends_it) {
    Folder folder;
    auto source = merge_files({folder.write("x", capture({}, {sample(1), sample(2)}))}, "");
    source->interrupt();
    std::vector<Received> got;
    EXPECT_EQ(source->read(10, 0, collect, &got), ReadStatus::end);
    EXPECT_TRUE(got.empty());
}

} // namespace
