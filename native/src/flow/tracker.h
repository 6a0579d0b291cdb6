// SPDX-License-Identifier: Apache-2.0
// Packets to flows to events: admission, state, time, ends. The rules are those of design: insert, updates, one remove.
// Engine thread only.
#pragma once

#include <functional>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "aicore/counters.h"
#include "aicore/engine.h"
#include "batch_writer.h"
#include "dissection.h"
#include "doubts.h"
#include "given_ids.h"
#include "inspection.h"
#include "meters.h"
#include "packet_clock.h"
#include "tops.h"

namespace aicore {

// A packet on its way to its flow.
struct Decoded {
    Packet packet;
    const RawPacket *raw;
    uint64_t hash;
    uint32_t slot;  // set by Tracker::fetch(): where its flow most likely is
    bool dissected; // same: that flow has a cold block, and its dissector may want the payload
};

class Tracker {
  public:
    // `meters`: null if there are none.
    Tracker(const EngineOptions &options, const Registry &registry, BatchWriter &writer, Meters *meters,
            Counters &counters);

    uint64_t hash(const Packet &packet) const { return tables_[table_of(packet.key)].hash(packet.key); }
    // `slot`: where the flow most likely is, or kNoSlot.
    void packet(const Packet &packet, const RawPacket &raw, uint64_t hash, uint32_t slot);
    // One after the other, having asked for the memory of all their flows before, step by step, so that the caches'
    // misses overlap: waiting for them one by one took half of a packet's time. A few dozen packets fit into the first
    // level with all that is asked for; at most 32.
    void packets(std::span<Decoded> group);
    void fetch(std::span<Decoded> group);     // asks for that memory
    void pass(int64_t time);                  // what a packet's time does to all flows; packet() begins with it
    void overdue(const Packet &packet);       // of Decoder::overdue()
    void begin_file() { time_.begin_file(); } // the next packet is the first of another file
    // Since the last call a file has begun that is of one time with the one before it, and was taken for another time.
    bool take_overlap() { return std::exchange(overlap_, false); }
    void set_live(int64_t clock) {
        live_ = true;
        clock_ = clock;
    }
    void tick(int64_t clock);             // live: the clock moves without packets
    void sweep(size_t budget);            // ends what is due, at most so many looks
    void end_all();                       // end of the input; what waits for findings goes to List::ended
    void finish_all();                    // ends those too
    void found(const Findings &findings); // of external protocols
    void end_meters();                    // tells the meters that the flows that are still there have ended
    // Where events may wait, so does an ended flow for the findings about it: `settle` has them taken as far as they
    // come.
    void set_settle(std::function<void(uint64_t batch)> settle) { settle_ = std::move(settle); }

    int64_t clock() const { return clock_; }
    uint32_t live(size_t table) const { return tables_[table].live(); }
    const Dissection &dissection() const { return dissection_; }
    void tops(std::vector<TopEntry> &protocols, std::vector<TopEntry> &hosts, std::vector<TopEntry> &talkers,
              size_t limit) const;

  private:
    static size_t table_of(const FlowKey &key) { return key.proto == kProtoTcp ? 0 : 1; }

    static uint8_t direction(const FlowRef &flow, const Packet &packet) { // 0 = from src
        return packet.reversed != ((flow.hot.bits & kSourceIsB) != 0);
    }
    FlowRef ref(size_t table, uint32_t slot) {
        return {tables_[table].hot(slot), tables_[table].warm(slot), slot, static_cast<uint8_t>(table)};
    }
    bool prefetch(const Decoded &decoded);
    void advance(int64_t time);
    template <class Which> void end_where(Which which);
    void leap();
    void restart();
    int64_t limit(const FlowRef &flow) const; // without packets, until it ends
    int64_t seen(const FlowRef &flow) const;  // by the clock
    bool due(const FlowRef &flow) const;
    bool of_another_time(const FlowRef &flow, int64_t time) const;
    bool over(const FlowRef &flow, const Packet &packet, EndReason &reason) const; // this packet belongs to a new flow
    void admit(const Packet &packet, const RawPacket &raw, uint64_t hash, uint32_t slot);
    uint32_t open(size_t table, const Packet &packet, uint64_t hash);
    bool make_way(const FlowRef &flow, const Packet &packet, uint64_t hash, EndReason reason, bool answered);
    bool resume(FlowRef flow, const Packet &packet, uint64_t hash);
    bool make_room(size_t table);
    void begin(FlowRef flow, const Packet &packet, uint64_t hash);
    void identify(FlowRef flow, uint64_t hash);
    void count(FlowRef flow, const Packet &packet, uint8_t d);
    void note_skew(FlowRef flow, bool skewed);
    // Where a segment is in its direction's sequence numbers.
    struct Place {
        uint32_t expected = 0; // where the direction stood before it, if `known`
        bool known = false;
        bool retransmission = false;
        bool outside = false;  // of the window: it changes nothing
        bool advanced = false; // it has numbers behind all that were seen
    };
    // In tcp.cpp.
    Place segment(FlowRef flow, const Packet &packet, uint8_t d);
    Place other_segment(FlowRef flow, const Packet &packet, uint8_t d);
    Place place(FlowRef flow, const Packet &packet, uint8_t d, bool first_syn);
    bool follow_strays(FlowRef flow, const Packet &packet, uint8_t d, uint32_t behind);
    void trust_acknowledged(FlowRef flow, const Packet &packet, uint8_t d, Doubts &doubts);
    static bool accepts_reset(FlowRef flow, const Packet &packet, uint8_t d);
    static uint32_t window(FlowRef flow, uint8_t d);
    void tcp_state(FlowRef flow, const Packet &packet, uint8_t d, const Place &place);
    void after_reset(FlowRef flow, const Packet &packet, uint8_t d, const Place &place);
    void reopen(FlowRef flow);
    void stay(FlowRef flow, const Packet &packet);
    Doubts &doubts_of(FlowRef flow);
    // In handshakes.cpp.
    enum class Opening : uint8_t {
        none,     // the packet belongs to the flow
        held,     // it may be the next connection's: it waits
        answered, // it shows that the held ones are the next connection's
    };
    Opening opening(FlowRef flow, const Packet &packet, const RawPacket &raw, uint8_t d);
    bool other_number(const FlowRef &flow, const Packet &packet, uint8_t d) const;
    bool hold(FlowRef flow, const Packet &packet, const RawPacket &raw);
    std::vector<HeldPacket> take_held(FlowRef flow);
    void restore_held(FlowRef flow, std::vector<HeldPacket> held);
    void release_held(FlowRef flow);

    bool tcp(FlowRef flow, const Packet &packet, uint8_t d, const Place &place);
    bool dissect(const FlowRef &flow, const Packet &packet, uint8_t d, const Place &place);
    bool sample(const FlowRef &flow, uint32_t packets);
    bool wanted(FlowRef flow, const Packet &packet, uint8_t d);
    void meter(const FlowRef &flow, const Packet &packet, const RawPacket &raw, uint8_t d, const Place &place,
               bool opened);
    void update(FlowRef flow, bool sampled);     // sampled: for nothing but the number of packets
    bool end(FlowRef flow, EndReason reason);    // false: it waits in List::ended for room or for findings
    bool finish(FlowRef flow, EndReason reason); // false: no room
    bool tell_end(FlowRef flow, EndReason reason);
    void wait_in_ended(FlowRef flow, EndReason reason);
    EndReason natural_reason(const FlowRef &flow) const;
    void add_tops(const FlowRef &flow);

    const EngineOptions &options_;
    const Registry &registry_;
    BatchWriter &writer_;
    Counters &counters_;
    FlowTable tables_[2]; // TCP, UDP
    Meters *const meters_;
    Dissection dissection_;
    DoubtsPool doubts_;
    uint32_t holding_ = 0; // flows with held packets
    uint64_t sensor_hash_;
    PacketClock time_; // of files
    int64_t clock_ = INT64_MIN, next_sweep_ = INT64_MIN;
    int64_t turned_ = INT64_MIN; // where the clock last leapt to
    bool live_ = false, behind_ = false, overlap_ = false;
    GivenIds ids_;
    std::function<void(uint64_t)> settle_;
    mutable std::mutex tops_mutex_; // guards the three lists: written here, read by tops()
    TopList top_protocols_, top_hosts_, top_talkers_;
};

} // namespace aicore
