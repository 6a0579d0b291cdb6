// SPDX-License-Identifier: Apache-2.0
// A source whose files are named while it runs.
#include <chrono>
#include <sys/stat.h>
#include <thread>

#include "capture_builder.h"

using namespace aicore;
using Clock = std::chrono::steady_clock;

namespace {

const Sample kPacket = {1700000000, 1000, std::string(60, 'p')};

bool ethernet(int linktype) {
    return linktype == 1;
}

class Follow : public testing::Test {
  protected:
    // Reads until it would have to wait.
    std::vector<Received> read() {
        std::vector<Received> got;
        while (source_->read(100, 0, collect, &got) == ReadStatus::ok)
            for (auto &file : source_->ended())
                ended_.push_back(file);
        return got;
    }

    Folder folder_;
    std::unique_ptr<Source> source_ = follow_files("", ethernet);
    std::vector<EndedFile> ended_;
};

TEST_F(Follow, FilesThatCome) {
    EXPECT_FALSE(source_->live());
    EXPECT_TRUE(read().empty());
    EXPECT_FALSE(source_->next_file_begun());
    EXPECT_TRUE(source_->add({folder_.write("a", capture({}, {kPacket, kPacket}))}));
    EXPECT_EQ(read().size(), 2u);
    EXPECT_TRUE(source_->next_file_begun());
    ASSERT_EQ(ended_.size(), 1u);
    EXPECT_EQ(ended_[0].path, folder_.path("a"));
    EXPECT_FALSE(ended_[0].broken);
    EXPECT_EQ(source_->current(), "");
    source_->add({folder_.write("b", capture({true, true}, {kPacket})), folder_.path("a")});
    EXPECT_EQ(read().size(), 3u);
    EXPECT_EQ(ended_.size(), 3u);
    EXPECT_TRUE(source_->warnings().empty());
    EXPECT_EQ(source_->bytes_read(),
              2 * capture({}, {kPacket, kPacket}).size() + capture({true, true}, {kPacket}).size());
}

TEST_F(Follow, WaitsNoLongerThanAskedFor) {
    std::vector<Received> got;
    const auto start = Clock::now();
    EXPECT_EQ(source_->read(100, 30, collect, &got), ReadStatus::idle);
    EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(30));
}

TEST_F(Follow, AFileEndsTheWait) {
    const std::string path = folder_.write("a", capture({}, {kPacket}));
    std::thread other([&] { source_->add({path}); });
    std::vector<Received> got;
    EXPECT_EQ(source_->read(100, 60'000, collect, &got), ReadStatus::ok);
    other.join();
    EXPECT_EQ(got.size(), 1u);
}

TEST_F(Follow, AnInterruptEndsTheWaitForGood) {
    std::thread other([&] { source_->interrupt(); });
    std::vector<Received> got;
    EXPECT_EQ(source_->read(100, 60'000, collect, &got), ReadStatus::end);
    other.join();
    source_->add({folder_.write("a", capture({}, {kPacket}))});
    EXPECT_EQ(source_->read(100, 60'000, collect, &got), ReadStatus::end);
    EXPECT_EQ(source_->error(), "");
}

TEST_F(Follow, AnInterruptedFileHasNotEnded) {
    source_->add({folder_.write("a", capture({}, {kPacket, kPacket}))});
    std::vector<Received> got;
    EXPECT_EQ(source_->read(1, 0, collect, &got), ReadStatus::ok);
    source_->interrupt();
    EXPECT_EQ(source_->read(1, 0, collect, &got), ReadStatus::end);
    EXPECT_EQ(got.size(), 1u);
    EXPECT_TRUE(source_->ended().empty());
}

TEST_F(Follow, BrokenFilesAreNamedAndTheOthersRead) {
    const std::string cut = folder_.write("cut", capture({}, {kPacket, kPacket}).substr(0, 120));
    const std::string other = folder_.write("other", capture({false, false, false, 147}, {kPacket}));
    ASSERT_EQ(mkfifo(folder_.path("pipe").c_str(), 0600), 0);
    source_->add({folder_.path("gone"), folder_.write("text", "no capture"), folder_.write("empty", ""), cut, other,
                  folder_.path("pipe"), folder_.write("good", capture({}, {kPacket}))});
    EXPECT_EQ(read().size(), 2u) << "one of the cut file, one of the good one";
    std::vector<std::string> errors;
    for (const auto &file : source_->broken())
        errors.push_back(file.error);
    EXPECT_EQ(errors, (std::vector<std::string>{
                          folder_.path("gone") + ": no such file",
                          folder_.path("text") + ": is not a capture (pcap or pcapng)",
                          folder_.path("empty") + ": is empty",
                          cut + ": capture ends inside packet 2; read 1",
                          other + ": link type DLT 147 is not known to aicore",
                          folder_.path("pipe") + ": is not a regular file",
                      }));
    ASSERT_EQ(ended_.size(), 7u);
    for (const auto &file : ended_)
        EXPECT_EQ(file.broken, file.path != folder_.path("good")) << file.path;
    EXPECT_EQ(source_->error(), "");
}

TEST(FollowFilter, ASlipIsToldAtOnce) {
    EXPECT_THROW(follow_files("prot 53", ethernet), std::runtime_error);
    EXPECT_NO_THROW(follow_files("inbound and port 53", ethernet)) << "no word of Ethernet files, but of others";
}

TEST(FollowFilter, HoldsForEveryFile) {
    Folder folder;
    auto source = follow_files("len < 61", ethernet);
    source->add({folder.write("a", capture({}, {kPacket, {1700000000, 0, std::string(61, 'q')}})),
                 folder.write("b", capture({}, {kPacket}))});
    std::vector<Received> got;
    while (source->read(100, 0, collect, &got) == ReadStatus::ok) {
    }
    EXPECT_EQ(got.size(), 2u);
}

} // namespace
