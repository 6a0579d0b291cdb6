// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>

#include "capture_builder.h"
#include "network.h"

using namespace aicore;
using Clock = std::chrono::steady_clock;

namespace {

LiveOptions quick() {
    LiveOptions options;
    options.buffer_bytes = 4 << 20;
    options.timeout_ms = 20;
    return options;
}

int64_t milliseconds_since(Clock::time_point start) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
}

std::string open_error(const std::vector<std::string> &names, const std::string &filter = "") {
    try {
        open_live(names, filter, quick());
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "no error";
}

// Reads until so many packets came or the time is up.
std::vector<Received> receive(Source &source, size_t count, int wait_ms = 2000) {
    std::vector<Received> got;
    const auto start = Clock::now();
    while (got.size() < count && milliseconds_since(start) < wait_ms)
        if (source.read(100, 50, collect, &got) == ReadStatus::end) break;
    return got;
}

// The same for an interface that has come up: until the kernel has seen the carrier it drops frames without a word.
std::vector<Received> receive_when_up(Source &source, const std::string &peer, const std::string &frame) {
    Sender sender(peer);
    std::vector<Received> got;
    for (int i = 0; i < 20 && got.empty(); ++i) {
        EXPECT_TRUE(sender.send_soon(frame));
        got = receive(source, 1, 200);
    }
    return got;
}

std::string joined(const std::vector<std::string> &lines) {
    std::string text;
    for (const auto &line : lines)
        text += line + "\n";
    return text;
}

class Live : public Network {};

TEST_F(Live, PacketsWithBothLengths) {
    LiveOptions options = quick();
    options.snaplen = 64;
    auto source = open_live({"a0"}, "", options);
    EXPECT_TRUE(source->live());
    EXPECT_EQ(source->current(), "a0");
    ASSERT_EQ(source->links().size(), 1u);
    EXPECT_EQ(linktype_name(source->links()[0].linktype), "EN10MB");
    Sender sender("a1");
    const int64_t before = std::time(nullptr);
    ASSERT_TRUE(sender.send_soon(Sender::frame(60)));
    ASSERT_TRUE(sender.send(Sender::frame(500, 'y')));
    auto got = receive(*source, 2);
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0].data, Sender::frame(60));
    EXPECT_EQ(got[0].length, 60u);
    EXPECT_EQ(got[1].data, Sender::frame(500, 'y').substr(0, 64));
    EXPECT_EQ(got[1].length, 500u);
    EXPECT_EQ(got[1].linktype, 1);
    EXPECT_GE(got[0].time, before * 1'000'000'000);
    EXPECT_LE(got[0].time, got[1].time);
    EXPECT_LT(got[1].time, (before + 10) * 1'000'000'000);
    EXPECT_TRUE(got[0].time % 1000 || got[1].time % 1000) << "nanoseconds, but for one run in a million";
    EXPECT_EQ(joined(source->warnings()), "");
}

TEST_F(Live, ImmediateModeToo) {
    LiveOptions options = quick();
    options.immediate = true;
    options.timeout_ms = 5000; // means nothing in this mode
    auto source = open_live({"a0"}, "", options);
    Sender sender("a1");
    ASSERT_TRUE(sender.send_soon(Sender::frame(60)));
    const auto start = Clock::now();
    EXPECT_EQ(receive(*source, 1).size(), 1u);
    EXPECT_LT(milliseconds_since(start), 500);
}

TEST_F(Live, IdleReturnsWithinTheWaitAndSleeps) {
    auto source = open_live({"a0"}, "", quick());
    std::vector<Received> got;
    const auto cpu = std::clock();
    for (int wait : {0, 1, 30, 150}) {
        const auto start = Clock::now();
        EXPECT_EQ(source->read(100, wait, collect, &got), ReadStatus::idle);
        EXPECT_GE(milliseconds_since(start), wait - 1);
        EXPECT_LT(milliseconds_since(start), wait + 500); // of a busy machine, too
    }
    EXPECT_LT(std::clock() - cpu, CLOCKS_PER_SEC / 20);
}

TEST_F(Live, InterruptEndsAWaitAndReadingGoesOn) {
    auto source = open_live({"a0"}, "", quick());
    std::vector<Received> got;
    std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        source->interrupt();
    });
    const auto start = Clock::now();
    EXPECT_EQ(source->read(100, 5000, collect, &got), ReadStatus::idle);
    EXPECT_LT(milliseconds_since(start), 1000);
    other.join();
    ASSERT_TRUE(Sender("a1").send_soon(Sender::frame(60)));
    EXPECT_EQ(receive(*source, 1).size(), 1u);
}

TEST_F(Live, FilterRunsInTheKernel) {
    auto source = open_live({"a0"}, "ether proto 0x88b6", quick());
    Sender sender("a1");
    for (int i = 0; i < 20; ++i)
        ASSERT_TRUE(sender.send_soon(Sender::frame(60)));
    ASSERT_TRUE(sender.send(Sender::frame(60, 'z', 0x88b6)));
    auto got = receive(*source, 1);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].data, Sender::frame(60, 'z', 0x88b6));
    EXPECT_EQ(source->stats().received, 1u);
    const std::string error = open_error({"a0"}, "no such word");
    EXPECT_EQ(error.find("a0: filter 'no such word': "), 0u) << error;
}

TEST_F(Live, TwoInterfacesShareOneRead) {
    make("b");
    auto source = open_live({"a0", "b0"}, "", quick());
    EXPECT_EQ(source->current(), "a0,b0");
    Sender busy("a1"), quiet("b1");
    ASSERT_TRUE(busy.send_soon(Sender::frame(60)));
    ASSERT_TRUE(quiet.send_soon(Sender::frame(60, 'q')));
    for (int i = 0; i < 500; ++i)
        ASSERT_TRUE(busy.send(Sender::frame(60)));
    std::this_thread::sleep_for(std::chrono::milliseconds(100)); // both have handed over
    std::vector<Received> got;
    ASSERT_EQ(source->read(10, 0, collect, &got), ReadStatus::ok);
    EXPECT_LE(got.size(), 10u);
    EXPECT_EQ(std::count_if(got.begin(), got.end(), [](auto &p) { return p.data.back() == 'q'; }), 1)
        << "the busy one leaves a share to the quiet one";
    EXPECT_EQ(got.size() + receive(*source, 502 - got.size()).size(), 502u);
    EXPECT_EQ(source->stats().received, 502u);
}

TEST_F(Live, PacketsOfTwoInterfacesComeInOrderOfTime) {
    make("b");
    for (const bool immediate : {false, true}) {
        LiveOptions options = quick();
        options.immediate = immediate;
        auto source = open_live({"b0", "a0"}, "", options);
        Sender a("a1"), b("b1");
        ASSERT_TRUE(a.send_soon(Sender::frame(60)));
        ASSERT_TRUE(b.send_soon(Sender::frame(60)));
        ASSERT_EQ(receive(*source, 2).size(), 2u);
        for (int i = 0; i < 60; ++i)
            ASSERT_TRUE((i % 3 ? b : a).send(Sender::frame(100 + static_cast<size_t>(i))));
        const auto got = receive(*source, 60);
        ASSERT_EQ(got.size(), 60u);
        for (size_t i = 0; i < got.size(); ++i) {
            EXPECT_EQ(got[i].length, 100 + i);
            EXPECT_LE(got[i > 0 ? i - 1 : 0].time, got[i].time);
        }
        // One of them silent: what the other brings waits no longer than the bound, and sleeps.
        const auto cpu = std::clock();
        const auto start = Clock::now();
        ASSERT_TRUE(a.send(Sender::frame(80)));
        EXPECT_EQ(receive(*source, 1).size(), 1u);
        EXPECT_LT(milliseconds_since(start), 1000);
        EXPECT_LT(std::clock() - cpu, CLOCKS_PER_SEC / 10);
    }
}

TEST_F(Live, AnInterfaceThatGoesWhileItsPacketWaits) {
    make("b");
    LiveOptions options = quick();
    options.timeout_ms = 400;
    auto source = open_live({"a0", "b0"}, "", options);
    ASSERT_TRUE(Sender("b1").send_soon(Sender::frame(77)));
    std::vector<Received> got;
    source->read(1, 500, collect, &got); // held: a0 may have an older one
    ip("link del b0");
    for (const auto start = Clock::now(); milliseconds_since(start) < 4000 && got.empty();)
        source->read(100, 50, collect, &got);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].data, Sender::frame(77));
}

TEST_F(Live, AnyInterface) {
    auto source = open_live({"any"}, "", quick());
    EXPECT_EQ(linktype_name(source->links()[0].linktype), "LINUX_SLL2");
    ASSERT_TRUE(Sender("a1").send_soon(Sender::frame(60)));
    auto got = receive(*source, 1);
    ASSERT_FALSE(got.empty());
    EXPECT_EQ(got[0].linktype, 276);
    EXPECT_EQ(got[0].data.size(), 60u - 14 + 20);
    EXPECT_EQ(joined(source->warnings()), "") << "that it has no promiscuous mode is no news";
}

TEST_F(Live, DownAndUpAgainOnTheSameSocket) {
    auto source = open_live({"a0"}, "", quick());
    std::vector<Received> got;
    for (int round = 0; round < 2; ++round) {
        ip("link set a0 down");
        const auto cpu = std::clock();
        const auto start = Clock::now();
        while (milliseconds_since(start) < 150)
            EXPECT_EQ(source->read(100, 50, collect, &got), ReadStatus::idle);
        EXPECT_LT(std::clock() - cpu, CLOCKS_PER_SEC / 20) << "waits without spinning";
        ip("link set a0 up");
        EXPECT_EQ(receive_when_up(*source, "a1", Sender::frame(60)).size(), 1u) << round;
    }
    EXPECT_EQ(joined(source->warnings()), "") << "never opened again";
}

TEST_F(Live, DownFromTheStart) {
    ip("link set a0 down");
    auto source = open_live({"a0"}, "", quick());
    EXPECT_EQ(joined(source->warnings()), "a0: interface is down; waiting for it\n");
    std::vector<Received> got;
    EXPECT_EQ(source->read(100, 10, collect, &got), ReadStatus::idle);
    ip("link set a0 up");
    const auto start = Clock::now();
    while (source->links().empty() && milliseconds_since(start) < 3000)
        EXPECT_EQ(source->read(100, 20, collect, &got), ReadStatus::idle);
    EXPECT_EQ(receive_when_up(*source, "a1", Sender::frame(60)).size(), 1u);
    EXPECT_EQ(joined(source->warnings()), "a0: capturing again\n");
}

TEST_F(Live, DeletedAndMadeAgainWhileTheOtherGoesOn) {
    make("b");
    LiveOptions options = quick();
    options.gone_after_ms = 0; // the other one keeps the source alive
    auto source = open_live({"a0", "b0"}, "", options);
    ASSERT_TRUE(Sender("a1").send_soon(Sender::frame(60)));
    ip("link del a0"); // with this packet still in the ring
    make("a");
    auto first = receive(*source, 1);
    ASSERT_EQ(first.size(), 1u);
    std::string told;
    const auto start = Clock::now();
    std::vector<Received> got;
    while (told.find("capturing again") == told.npos && milliseconds_since(start) < 4000) {
        ASSERT_TRUE(Sender("b1").send_soon(Sender::frame(60, 'b')));
        EXPECT_EQ(receive(*source, 1).size(), 1u) << "the other is not held up";
        told += joined(source->warnings());
    }
    EXPECT_LT(milliseconds_since(start), 3000);
    EXPECT_EQ(told.find("a0: "), 0u) << told;
    EXPECT_NE(told.find("; trying to open it again\na0: capturing again\n"), told.npos) << told;
    auto again = receive_when_up(*source, "a1", Sender::frame(60, 'n'));
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0].data, Sender::frame(60, 'n'));
    EXPECT_GE(source->stats().received, 3u) << "counts of both sockets";
}

TEST_F(Live, GoneForGoodIsTheEnd) {
    LiveOptions options = quick();
    options.gone_after_ms = 500;
    auto source = open_live({"a0"}, "", options);
    ip("link del a0");
    std::vector<Received> got;
    const auto start = Clock::now();
    ReadStatus status;
    do {
        status = source->read(100, 100, collect, &got);
    } while (status == ReadStatus::idle && milliseconds_since(start) < 6000);
    EXPECT_EQ(status, ReadStatus::end);
    EXPECT_GE(milliseconds_since(start), 500);
    EXPECT_EQ(source->error(), "a0: interface is gone");
    EXPECT_EQ(source->read(100, 100, collect, &got), ReadStatus::end);
}

TEST_F(Live, DropsAreCounted) {
    LiveOptions options = quick();
    options.buffer_bytes = 1 << 20;
    auto source = open_live({"a0"}, "", options);
    Sender sender("a1");
    ASSERT_TRUE(sender.send_soon(Sender::frame(1000)));
    uint64_t sent = 1;
    for (int i = 0; i < 5000; ++i) // five times what the buffer holds
        sent += sender.send(Sender::frame(1000));
    const size_t got = receive(*source, sent, 500).size();
    const SourceStats stats = source->stats();
    EXPECT_GT(stats.kernel_drop, 0u);
    EXPECT_EQ(stats.received, sent);
    EXPECT_EQ(got + stats.kernel_drop, sent);
}

TEST_F(Live, StatsFromAnotherThread) {
    auto source = open_live({"a0"}, "", quick());
    Sender sender("a1");
    ASSERT_TRUE(sender.send_soon(Sender::frame(60)));
    std::atomic<bool> done = false;
    uint64_t highest = 0;
    std::thread other([&] {
        while (!done) {
            const uint64_t now = source->stats().received;
            EXPECT_GE(now, highest);
            highest = now;
        }
    });
    for (int i = 0; i < 2000; ++i)
        sender.send(Sender::frame(60));
    receive(*source, 2001);
    done = true;
    other.join();
    EXPECT_EQ(source->stats().received, 2001u);
}

TEST_F(Live, ErrorsNameTheWayOut) {
    const std::string unknown = open_error({"a0", "eth77"});
    EXPECT_EQ(unknown.find("eth77: no such interface; there are "), 0u) << unknown;
    EXPECT_NE(unknown.find("a0"), unknown.npos);
    EXPECT_EQ(open_error({"a0", "a0"}), "a0: given twice");
    EXPECT_EQ(open_error({}), "no interface to capture on");
}

TEST_F(Live, WithoutTheRight) {
    EXPECT_EXIT(
        {
            if (setresuid(65534, 65534, 65534) != 0) _exit(2);
            const std::string error = open_error({"a0"});
            std::fputs(error.c_str(), stderr);
            _exit(0);
        },
        testing::ExitedWithCode(0),
        "no right to capture on a0: run as root, or give the service CAP_NET_RAW "
        "\\(systemd: AmbientCapabilities=CAP_NET_RAW\\)");
}

// Made again after the process gave up its rights: a clear end, so that a supervisor can start it anew.
TEST_F(Live, RightLostBeforeReopening) {
    EXPECT_EXIT(
        {
            auto source = open_live({"a0"}, "", quick());
            ip("link del a0");
            make("a");
            if (setresuid(65534, 65534, 65534) != 0) _exit(2);
            std::vector<Received> got;
            const auto start = Clock::now();
            while (source->read(100, 100, collect, &got) == ReadStatus::idle && milliseconds_since(start) < 6000) {
            }
            std::fputs(source->error().c_str(), stderr);
            _exit(0);
        },
        testing::ExitedWithCode(0), "no right to capture on a0: ");
}

TEST_F(Live, ListOfInterfaces) {
    ip("address add 192.0.2.1/24 dev a0");
    auto all = list_interfaces();
    auto find = [&](const std::string &name) {
        return std::find_if(all.begin(), all.end(), [&](auto &i) { return i.name == name; });
    };
    ASSERT_NE(find("a0"), all.end());
    EXPECT_TRUE(find("a0")->up);
    EXPECT_FALSE(find("a0")->loopback);
    EXPECT_EQ(find("a0")->addresses, std::vector<std::string>{"192.0.2.1"});
    ASSERT_NE(find("lo"), all.end());
    EXPECT_TRUE(find("lo")->loopback);
    EXPECT_FALSE(find("lo")->up);
}

} // namespace
