// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>

#include "capture_builder.h"

using namespace aicore;
using Clock = std::chrono::steady_clock;

namespace {

const Format kPcap;
const Sample kPacket = {1700000000, 1000, std::string(60, 'p')};

int64_t milliseconds_since(Clock::time_point start) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
}

// Standard input is a pipe while this lives.
class StandardInput : public testing::Test {
  protected:
    void SetUp() override {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        saved_ = dup(STDIN_FILENO);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        writer_ = ends[1];
    }
    void TearDown() override {
        close_writer();
        dup2(saved_, STDIN_FILENO);
        close(saved_);
    }
    void send(const std::string &bytes) {
        ASSERT_EQ(write(writer_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    }
    void close_writer() {
        if (writer_ >= 0) close(writer_);
        writer_ = -1;
    }

    std::vector<Received> got_;

  private:
    int saved_ = -1, writer_ = -1;
};

TEST_F(StandardInput, ToItsEnd) {
    auto source = open_files({"-"}, "");
    send(capture(kPcap, {kPacket, kPacket, kPacket}));
    close_writer();
    ReadStatus last;
    EXPECT_EQ(read_all(*source, &last).size(), 3u);
    EXPECT_EQ(last, ReadStatus::end);
    EXPECT_EQ(source->bytes_total(), 0u);
    EXPECT_EQ(source->bytes_read(), capture(kPcap, {kPacket, kPacket, kPacket}).size());
}

TEST_F(StandardInput, PacketsAreHandedOutAsTheyCome) {
    auto source = open_files({"-"}, "");
    auto start = Clock::now();
    EXPECT_EQ(source->read(100, 30, collect, &got_), ReadStatus::idle) << "not even a header";
    send(header(kPcap) + record(kPcap, kPacket) + record(kPcap, kPacket));
    EXPECT_EQ(source->read(100, 30, collect, &got_), ReadStatus::ok);
    EXPECT_EQ(got_.size(), 2u);
    EXPECT_EQ(source->read(100, 30, collect, &got_), ReadStatus::idle);
    EXPECT_GE(milliseconds_since(start), 60);
    EXPECT_LT(milliseconds_since(start), 1000);
    send(record(kPcap, kPacket));
    EXPECT_EQ(source->read(100, 1000, collect, &got_), ReadStatus::ok);
    EXPECT_EQ(got_.size(), 3u);
    EXPECT_EQ(source->current(), "standard input");
}

TEST_F(StandardInput, PcapngAsItComes) {
    const Format ng{true, true, true, 113};
    auto source = open_files({"-"}, "");
    EXPECT_TRUE(source->links().empty());
    send(capture(ng, {kPacket}));
    EXPECT_EQ(source->read(100, 1000, collect, &got_), ReadStatus::ok);
    EXPECT_EQ(source->read(100, 0, collect, &got_), ReadStatus::idle);
    send(record(ng, kPacket).substr(0, 30));
    std::thread rest([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        send(record(ng, kPacket).substr(30));
    });
    while (source->read(100, 1000, collect, &got_) == ReadStatus::idle) {
    }
    rest.join();
    ASSERT_EQ(got_.size(), 2u);
    EXPECT_EQ(got_[1].data, kPacket.data);
    EXPECT_EQ(got_[1].linktype, 113);
}

TEST_F(StandardInput, FilteredPacketsDoNotHoldUpTheOthers) {
    auto source = open_files({"-"}, "len > 60");
    send(capture(kPcap, {kPacket, kPacket}));
    EXPECT_EQ(source->read(100, 10, collect, &got_), ReadStatus::ok);
    EXPECT_EQ(source->read(100, 10, collect, &got_), ReadStatus::idle);
    EXPECT_TRUE(got_.empty());
}

TEST_F(StandardInput, InsideAPacketItWaitsNoLongerThanAskedFor) {
    auto source = open_files({"-"}, "");
    const std::string packet = record(kPcap, kPacket);
    send(capture(kPcap, {kPacket}) + packet.substr(0, 20));
    EXPECT_EQ(source->read(100, 10, collect, &got_), ReadStatus::ok);
    const auto start = Clock::now();
    EXPECT_EQ(source->read(100, 30, collect, &got_), ReadStatus::idle);
    EXPECT_GE(milliseconds_since(start), 30);
    EXPECT_LT(milliseconds_since(start), 1000);
    send(packet.substr(20));
    EXPECT_EQ(source->read(100, 1000, collect, &got_), ReadStatus::ok);
    EXPECT_EQ(got_.size(), 2u);
}

TEST_F(StandardInput, InterruptedInsideAPacket) {
    auto source = open_files({"-"}, "");
    send(capture(kPcap, {kPacket}) + record(kPcap, kPacket).substr(0, 20));
    EXPECT_EQ(source->read(100, 10, collect, &got_), ReadStatus::ok);
    std::thread other([&] { source->interrupt(); });
    EXPECT_EQ(source->read(100, 60'000, collect, &got_), ReadStatus::end);
    other.join();
    EXPECT_EQ(got_.size(), 1u);
    EXPECT_TRUE(source->broken().empty());
    EXPECT_EQ(source->read(100, 10, collect, &got_), ReadStatus::end);
}

TEST_F(StandardInput, InterruptedInsideTheHeader) {
    auto source = open_files({"-"}, "");
    send(header(kPcap).substr(0, 10));
    std::thread other([&] { source->interrupt(); });
    EXPECT_EQ(source->read(100, 60'000, collect, &got_), ReadStatus::end);
    other.join();
    EXPECT_TRUE(source->broken().empty());
}

TEST_F(StandardInput, NotACapture) {
    const std::pair<std::string, std::string> cases[] = {
        {"", "is empty"},
        {"Once upon a time there was no capture", "is not a capture (pcap or pcapng)"},
        {"BZh91AY&SY and so on",
         "is compressed with bzip2, which this aicore cannot read; unpack it: bzcat FILE | aicore run -"},
        {header(kPcap).substr(0, 20), "ends inside the capture's header"}};
    for (const auto &[bytes, expected] : cases) {
        TearDown();
        SetUp();
        auto source = open_files({"-"}, "");
        send(bytes);
        close_writer();
        ReadStatus last;
        EXPECT_TRUE(read_all(*source, &last).empty());
        EXPECT_EQ(last, ReadStatus::end);
        const auto broken = source->broken();
        ASSERT_EQ(broken.size(), 1u);
        EXPECT_EQ(broken[0].path, "-");
        EXPECT_EQ(broken[0].error, "standard input: " + expected);
    }
}

TEST_F(StandardInput, CutShort) {
    auto source = open_files({"-"}, "");
    send(capture(kPcap, {kPacket}) + record(kPcap, kPacket).substr(0, 50));
    close_writer();
    ReadStatus last;
    EXPECT_EQ(read_all(*source, &last).size(), 1u);
    EXPECT_EQ(last, ReadStatus::end);
    const auto broken = source->broken();
    ASSERT_EQ(broken.size(), 1u);
    EXPECT_EQ(broken[0].error, "standard input: capture ends inside packet 2; read 1");
}

TEST(StandardInputFile, IsReadToo) {
    Folder folder;
    const std::string path = folder.write("x", capture(kPcap, {kPacket, kPacket}));
    const int saved = dup(STDIN_FILENO), file = open(path.c_str(), O_RDONLY);
    dup2(file, STDIN_FILENO);
    close(file);
    auto source = open_files({"-"}, "");
    EXPECT_EQ(read_all(*source).size(), 2u);
    EXPECT_EQ(source->bytes_total(), std::filesystem::file_size(path));
    dup2(saved, STDIN_FILENO);
    close(saved);
}

TEST(NamedPipe, IsWaitedForAndKeptOpen) {
    Folder folder;
    const std::string pipe = folder.path("pipe"), file = folder.write("file", capture(kPcap, {kPacket}));
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    auto source = open_files({file, pipe}, "");
    const int writer = open(pipe.c_str(), O_WRONLY | O_NONBLOCK); // refused unless somebody reads
    ASSERT_GE(writer, 0);
    const std::string bytes = capture(kPcap, {kPacket, kPacket});
    ASSERT_EQ(write(writer, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    close(writer);
    ReadStatus last;
    EXPECT_EQ(read_all(*source, &last).size(), 3u);
    EXPECT_EQ(last, ReadStatus::end);
}

} // namespace
