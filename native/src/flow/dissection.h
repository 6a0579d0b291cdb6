// SPDX-License-Identifier: Apache-2.0
// Payload to protocols: in-order streams, candidates, recognition, ownership. See protocol.h for the contract that this
// keeps. Engine thread only.
#pragma once

#include <functional>

#include "aicore/counters.h"
#include "aicore/flow_table.h"
#include "cold.h"

namespace aicore {

struct DissectionLimits {
    size_t stream_bytes = 16 << 10;  // buffered a direction
    size_t streams_bytes = 64 << 20; // buffered in all; the longest unused is given up first
};

// The flow whose packet is looked at: both parts of its slot, and how to name it in a question.
struct FlowRef {
    Hot &hot;
    Warm &warm;
    uint32_t slot;
    uint8_t table; // 0 TCP, 1 UDP
};

// What an external protocol was asked.
struct Asked {
    uint8_t table, direction;
    uint16_t protocol;
    uint32_t slot, length; // length of the data
    uint32_t drops;        // Stream::drops then
    uint64_t flow_id[2];
};

class Dissection {
  public:
    // Puts a payload before an external protocol; false = no room, ask again later.
    using Ask = std::function<bool(const FlowRef &, uint16_t protocol, bool reverse, const uint8_t *data, size_t length,
                                   const uint8_t *other, size_t other_length)>;

    Dissection(const Registry &registry, const DissectionLimits &limits, Counters &counters, Ask ask);
    ~Dissection();

    // Looks at one packet's payload; the caller has checked that the flow is not kDone and that there is payload.
    // `expected` is the sequence number that the direction stood at before this packet, if `expected_known`.
    // True: something that is worth an update event was learnt.
    bool tcp(FlowRef flow, const Packet &packet, uint8_t direction, uint32_t expected, bool expected_known);
    bool udp(FlowRef flow, const Packet &packet, uint8_t direction);

    // The other direction acknowledged bytes of `direction` that the capture does not have: do not wait for them.
    bool acknowledged(FlowRef flow, uint8_t direction, uint32_t ack, int64_t time);

    // An external protocol's answer to what it was asked about that direction.
    bool answer(FlowRef flow, const Asked &asked, int answer, uint16_t layer7, const AttributeSet &values);
    bool waiting(const Warm &warm) { return warm.cold != kNoSlot && pool_[warm.cold].questions > 0; } // for answers
    void note_anomaly(Warm &warm, uint16_t name);
    void end(FlowRef flow);  // before the last events: a name by port if payload gave none
    void forget(Warm &warm); // gives the cold block back

    ColdPool &cold() { return pool_; }
    const std::vector<uint64_t> &anomalies() const { return anomalies_; } // by names index

  private:
    struct Call;

    Cold &cold_of(Warm &warm);
    Streams &streams_of(Cold &cold);
    bool deliver(FlowRef flow, uint8_t d, const uint8_t *data, size_t length, uint8_t flags, int64_t time);
    bool recognise(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                   int64_t time);
    bool continue_owned(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                        int64_t time);
    void question(FlowRef flow, Cold &cold, uint16_t index, uint8_t d, const uint8_t *data, size_t length,
                  const Stream *other);
    bool merge(Cold &cold, const AttributeSet &values);
    bool own(FlowRef flow, Cold &cold, Call &call, uint16_t index, int answer);
    void after_hand_over(FlowRef flow, Cold &cold, const Call &call);
    void give_up(FlowRef flow, Cold &cold);
    void stop(FlowRef flow, Cold &cold);
    bool exhausted(const FlowRef &flow, const Cold &cold, bool anywhere) const;
    bool drain_later(FlowRef flow, uint8_t d, int64_t time);
    void keep_later(Cold &cold, Stream &stream, uint32_t seq, const uint8_t *data, size_t length, uint32_t wire);
    void keep(Cold &cold, Stream &stream, const uint8_t *data, size_t length); // replaces the buffer
    void drop(Cold &cold, Stream &stream);
    void keep_pending(Cold &cold, uint16_t index, bool more);
    bool rename(FlowRef flow, Cold &cold, uint16_t layer7, int answer);
    void consume(Cold &cold, Stream &stream, bool buffered, const uint8_t *data, size_t length, size_t consumed);
    void held(Streams &streams, ptrdiff_t change);
    void drop_streams(Cold &cold);
    void unlink(Streams &streams);
    uint8_t start_flags(const Hot &hot, const Stream &stream) const;

    const Registry &registry_;
    DissectionLimits limits_;
    Counters &counters_;
    Ask ask_;
    ColdPool pool_;
    AttributeSet scratch_;
    std::vector<uint64_t> scratch_state_;
    std::vector<uint64_t> anomalies_;
    Streams *oldest_ = nullptr, *newest_ = nullptr;
    size_t held_ = 0;
    std::vector<std::unique_ptr<Streams>> spare_; // of flows that are done: their memory serves the next

    friend struct HostFunctions;
};

} // namespace aicore
