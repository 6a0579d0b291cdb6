// SPDX-License-Identifier: Apache-2.0
// Traffic that wants all memory: it stays that of the table, and what was there before survives.
#include <gtest/gtest.h>

#include <cstdio>

#include "scenario.h"

namespace aicore::test {
namespace {

size_t resident_bytes() {
    long total = 0, resident = 0;
    FILE *f = std::fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (std::fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(f);
    return static_cast<size_t>(resident) * 4096;
}

// Made on the fly: 2 million frames would be a gigabyte.
class FloodSource final : public Source {
  public:
    static constexpr uint32_t kPackets = 2'000'000, kFriends = 100, kEvery = 2000; // a friend's packet each so many
    FloodSource() {
        syn_ = tcp_frame(0, {"10.0.0.1", "192.0.2.1", 1, 80}, kSyn, 1, 0);
        for (uint16_t i = 0; i < kFriends; ++i)
            friends_.push_back(Endpoints{"172.16.0.1", "172.16.0.2", static_cast<uint16_t>(1000 + i), 80});
    }
    ReadStatus read(int max, int, PacketHandler handler, void *user) override {
        for (int n = 0; n < max; ++n, ++at_) {
            if (at_ == kPackets) return ReadStatus::end;
            if (at_ == kPackets / 4) quarter = resident_bytes();
            const double t = at_ * 0.00001; // 100,000 a second
            if (at_ < 3 * kFriends) {
                static constexpr uint8_t kFlags[] = {kSyn, kSyn | kAck, kAck};
                const Endpoints &e = friends_[at_ / 3];
                const Frame f = tcp_frame(t, at_ % 3 == 1 ? e.back() : e, kFlags[at_ % 3], 1, 1);
                handler(user, raw(f));
            } else if (at_ % kEvery == 0) {
                const Frame f = tcp_frame(t, friends_[at_ / kEvery % kFriends], kAck, 2, 2, "on");
                handler(user, raw(f));
            } else { // another source each, scattered
                const uint32_t source = 0x0a000000 + at_ * 7919 % 0x00ffffff;
                for (size_t i = 0; i < 4; ++i)
                    syn_.bytes[14 + 12 + i] = static_cast<uint8_t>(source >> (24 - 8 * i));
                syn_.bytes[14 + 20 + 1] = static_cast<uint8_t>(at_);
                syn_.time = kStart + seconds(t);
                handler(user, raw(syn_));
            }
        }
        return ReadStatus::ok;
    }
    bool live() const override { return false; }
    size_t quarter = 0; // memory then

  private:
    Frame syn_;
    std::vector<Endpoints> friends_;
    uint32_t at_ = 0;
};

TEST(Flood, two_million_syns_leave_memory_flat_and_established_flows_alive) {
    EngineOptions o;
    o.tcp_flows = 100'000;
    Engine engine(std::make_shared<Registry>(), o);
    auto s = std::make_unique<FloodSource>();
    FloodSource *source = s.get();
    engine.open(std::move(s));
    engine.start();
    uint64_t inserts = 0, updates = 0, removes = 0, evicted = 0, packets = 0, friends = 0, seq = 0;
    size_t end = 0;
    while (!engine.finished()) {
        const auto batch = engine.pull(1000);
        if (!batch) continue;
        for (const Row &row : batch->rows) {
            ASSERT_EQ(row.seq, ++seq);
            inserts += row.kind == EventKind::insert;
            updates += row.kind == EventKind::update;
            if (row.kind != EventKind::remove) continue;
            ++removes;
            packets += row.packets;
            evicted += row.end_reason == EndReason::evicted;
            if (row.ipsrc[0] != 172) continue;
            ++friends;
            EXPECT_EQ(row.end_reason, EndReason::shutdown);
            EXPECT_GE(row.packets, 12u);
        }
        if (removes > 1'800'000 && !end) end = resident_bytes();
    }
    EXPECT_EQ(inserts, removes);
    EXPECT_EQ(updates, removes) << "each flow's final one, and none besides";
    EXPECT_EQ(packets, uint64_t{FloodSource::kPackets});
    EXPECT_EQ(friends, uint64_t{FloodSource::kFriends});
    EXPECT_GT(evicted, 1'800'000u);
    ASSERT_GT(source->quarter, 0u);
    ASSERT_GT(end, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(end, source->quarter + source->quarter / 20 + (4u << 20));
#endif
}

} // namespace
} // namespace aicore::test
