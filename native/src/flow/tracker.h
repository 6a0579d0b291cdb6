// SPDX-License-Identifier: Apache-2.0
// Packets to flows to events: admission, state, time, ends. The rules are those of design: insert, updates, one remove.
// Engine thread only.
#pragma once

#include <functional>
#include <mutex>
#include <span>
#include <unordered_map>

#include "aicore/counters.h"
#include "aicore/engine.h"
#include "batch_writer.h"
#include "dissection.h"
#include "inspection.h"
#include "meters.h"
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
    void fetch(std::span<Decoded> group);   // asks for that memory
    void pass(int64_t time);                // what a packet's time does to all flows; packet() begins with it
    void overdue(const Packet &packet);     // of Decoder::overdue()
    void begin_file() { new_file_ = true; } // the next packet is the first of another file
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

    FlowRef ref(size_t table, uint32_t slot) {
        return {tables_[table].hot(slot), tables_[table].warm(slot), slot, static_cast<uint8_t>(table)};
    }
    bool prefetch(const Decoded &decoded);
    void advance(int64_t time);
    bool due(const FlowRef &flow) const;
    bool over(const FlowRef &flow, const Packet &packet, EndReason &reason) const; // this packet belongs to a new flow
    uint32_t open(size_t table, const Packet &packet, uint64_t hash);
    bool make_room(size_t table);
    void identify(Warm &warm, const Packet &packet);
    void count(FlowRef flow, const Packet &packet, uint8_t d);
    void note_skew(FlowRef flow, bool skewed);
    // Where a packet is in its direction's sequence numbers.
    struct Place {
        uint32_t expected = 0; // where the direction stood before it, if `known`
        bool known = false;
        bool retransmission = false;
    };
    Place place(FlowRef flow, const Packet &packet, uint8_t d);
    bool tcp(FlowRef flow, const Packet &packet, uint8_t d, const Place &place);
    bool dissect(const FlowRef &flow, const Packet &packet, uint8_t d, const Place &place);
    bool sample(const FlowRef &flow, uint32_t packets);
    bool wanted(FlowRef flow, const Packet &packet, uint8_t d);
    void meter(const FlowRef &flow, const Packet &packet, const RawPacket &raw, uint8_t d, const Place &place,
               bool opened);
    void tcp_state(FlowRef flow, const Packet &packet, uint8_t d);
    void update(FlowRef flow, bool sampled);     // sampled: for nothing but the number of packets
    bool end(FlowRef flow, EndReason reason);    // false: it waits in List::ended for room or for findings
    bool finish(FlowRef flow, EndReason reason); // false: no room
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
    uint64_t sensor_hash_;
    int64_t clock_ = INT64_MIN, next_sweep_ = INT64_MIN;
    int64_t leapt_to_ = INT64_MIN; // the packet before claimed a time too far ahead: this one
    bool live_ = false, new_file_ = false, behind_ = false;
    int64_t last_opened_ = INT64_MIN; // first_seen of the flow opened last, and the ids given at that time
    uint64_t last_id_ = 0;
    std::unordered_map<uint64_t, uint64_t> ids_now_; // id of ordinal 0 -> next ordinal; empty while there is but one
    std::function<void(uint64_t)> settle_;
    mutable std::mutex tops_mutex_; // guards the three lists: written here, read by tops()
    TopList top_protocols_, top_hosts_, top_talkers_;
};

} // namespace aicore
