// SPDX-License-Identifier: Apache-2.0
// Payload to protocols: in-order streams, candidates, recognition, ownership. See protocol.h for the contract that this
// keeps. Engine thread only.
#pragma once

#include "aicore/counters.h"
#include "aicore/external.h"
#include "aicore/flow_table.h"
#include "aicore/siphash.h"
#include "cold.h"
#include "meters.h"

namespace aicore {

struct DissectionLimits {
    size_t stream_bytes = 16 << 10;   // buffered a direction
    size_t streams_bytes = 64 << 20;  // buffered in all; the longest unused is given up first
    uint32_t inspected_flows = 65536; // shown to external protocols at once
};

// What an external protocol found out about a flow.
struct Finding {
    uint64_t inspection = 0;
    uint32_t slot = 0;
    uint8_t table = 0;
    uint8_t shut = 0;             // bit d: nothing more of direction d is needed until a protocol owns the flow
    bool over = false;            // nothing more is needed of the flow at all
    uint16_t owner = kNoProtocol; // whom the flow's further payload is for
    uint16_t layer7 = 0;          // index in Schema::names, 0 = not recognised
    AttributeSet values;          // set at this payload
};

class BatchWriter;

class Dissection {
  public:
    // `meters`: null if there are none. `writer` takes the payloads for external protocols. Null: this is the reader's,
    // which asks them itself.
    Dissection(const Registry &registry, const DissectionLimits &limits, Meters *meters, Counters &counters,
               BatchWriter *writer);
    ~Dissection();

    // Looks at one packet's payload, for the dissectors of a flow that is not kDone and for the meters; the caller has
    // checked that somebody wants it and that there is payload.
    // `expected` is the sequence number that the direction stood at before this packet, if `expected_known`.
    // True: something that is worth an update event was learnt.
    bool tcp(FlowRef flow, const Packet &packet, uint8_t direction, uint32_t expected, bool expected_known);
    bool udp(FlowRef flow, const Packet &packet, uint8_t direction);

    // The other direction acknowledged bytes of `direction` that the capture does not have: do not wait for them.
    bool acknowledged(FlowRef flow, uint8_t direction, uint32_t ack, int64_t time);

    // The first payload of a direction is looked at even if the flow was given up before: kDone goes if it must.
    void first_payload(FlowRef flow, uint8_t direction);

    // One payload: a datagram, or what comes next in the stream of a direction.
    bool deliver(FlowRef flow, uint8_t d, const uint8_t *data, size_t length, uint8_t flags, int64_t time);

    // External protocols, the engine's side. True: worth an update event.
    bool found(FlowRef flow, const Finding &finding);
    bool waiting(const Warm &warm); // payload of the flow is out, and the findings are not back

    // External protocols, the reader's side.
    struct Asking {
        ExternalProtocols *protocols = nullptr;
        uint64_t inspection = 0;
        uint32_t row = 0;
    } asking; // who is asked in deliver()
    void begin(Warm &warm, uint16_t owner);
    uint8_t shut(const Warm &warm); // bit d: Stream::shut of direction d
    void take_values(const Warm &warm, Finding &finding);

    void note_anomaly(Warm &warm, uint16_t name);
    void end(FlowRef flow);  // before the last events: a name by port if payload gave none
    void forget(Warm &warm); // gives the cold block back

    ColdPool &cold() { return pool_; }
    bool prefetch(const Warm &warm) const { // the cold block; false: there is none
        if (warm.cold == kNoSlot) return false;
        pool_.prefetch(warm.cold);
        return true;
    }
    void prefetch_streams(const Warm &warm) const { pool_.prefetch_streams(warm.cold); } // of a flow that has one
    const std::vector<uint64_t> &anomalies() const { return anomalies_; }                // by names index

  private:
    struct Call;

    Cold &cold_of(Warm &warm);
    Streams &streams_of(Cold &cold);
    bool recognise(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                   int64_t time);
    bool continue_owned(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                        int64_t time);
    int inspect(uint16_t index, Call &call, aicore_payload &payload, void *state);
    size_t used(uint16_t index, const aicore_payload &payload, int answer) const;
    void open_inspection(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                         int64_t time);
    void continue_handed_over(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags,
                              int64_t time);
    void show(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, uint8_t flags, int64_t time);
    void close_inspection(Cold &cold);
    void begin_owned(Cold &cold);
    struct Learnt {
        bool something = false;
        bool notify = false; // worth an update event
    };
    Learnt merge(FlowRef flow, Cold &cold, const AttributeSet &values);
    Stored add_name(FlowRef flow, Cold &cold, uint16_t field, const uint8_t *bytes, size_t length);
    void show_names(FlowRef flow, Cold &cold); // in an update, now
    uint64_t hash_of_name(uint16_t field, std::string_view name) const;
    bool own(FlowRef flow, Cold &cold, Call &call, uint16_t index, int answer);
    void after_hand_over(FlowRef flow, Cold &cold, const Call &call);
    void give_up(FlowRef flow, Cold &cold);
    void stop(FlowRef flow, Cold &cold);
    void undecided_datagram(FlowRef flow, Cold &cold);
    void undecided_stream(FlowRef flow, Cold &cold, uint8_t d, const uint8_t *data, size_t length, bool anywhere);
    bool drain_later(FlowRef flow, uint8_t d, int64_t time);
    void keep_later(Cold &cold, Stream &stream, uint32_t seq, const uint8_t *data, size_t length, uint32_t wire);
    void keep(Cold &cold, Stream &stream, const uint8_t *data, size_t length); // replaces the buffer
    void drop(Cold &cold, Stream &stream);
    // Puts new bytes behind those that wait; data and length are then those of both. False: none wait, nothing is done.
    bool join(Cold &cold, Stream *stream, const uint8_t *&data, size_t &length);
    void keep_pending(Cold &cold, uint16_t index, bool more);
    bool rename(FlowRef flow, Cold &cold, uint16_t layer7, int answer);
    void consume(Cold &cold, Stream &stream, bool buffered, const uint8_t *data, size_t length, size_t consumed);
    static void skip(Stream &stream, uint64_t bytes);
    static void pass(Stream &stream, uint32_t seq, uint32_t wire);
    static void jump(Stream &stream, uint32_t seq);
    bool give(FlowRef flow, uint8_t d, Stream &stream, const uint8_t *data, size_t length, uint32_t wire, int64_t time);
    void held(Streams &streams, ptrdiff_t change);
    void drop_streams(Cold &cold);
    void set_layer7(FlowRef flow, uint16_t name, Layer7By by);
    void unlink(Streams &streams);
    uint8_t start_flags(const Hot &hot, const Stream &stream) const;

    // For meters, in metering.cpp.
    bool tells_names() const { return meters_ && meters_->names_wanted(); }
    void report(const Call &call, uint16_t field, std::string_view text);
    void keep_report(uint16_t field, std::string_view text);
    void tell_reports(const FlowRef &flow);
    void forget_reports();
    void tell_names(const FlowRef &flow, const AttributeSet &values);
    bool pass_on(FlowRef flow, const Packet &packet, uint8_t d, uint32_t seq, uint32_t expected);
    bool meters_wait(FlowRef flow, const Cold &cold) const;
    void release(FlowRef flow);

    const Registry &registry_;
    DissectionLimits limits_;
    Meters *const meters_;
    Counters &counters_;
    BatchWriter *const writer_;
    ColdPool pool_;
    AttributeSet scratch_;
    std::vector<uint64_t> scratch_state_;
    std::vector<uint64_t> anomalies_;
    struct Report {
        uint16_t field;
        size_t begin, length; // in reports_text_
    };
    std::vector<Report> reports_; // of a call that may recognise a flow: texts that the meters shall see if it does
    std::string reports_text_;
    const HashKey name_key_ = random_hash_key();
    Streams *oldest_ = nullptr, *newest_ = nullptr;
    size_t held_ = 0;
    uint64_t last_inspection_ = 0;
    uint32_t inspections_ = 0;                    // open
    std::vector<std::unique_ptr<Streams>> spare_; // of flows that are done: their memory serves the next

    friend struct HostFunctions;
    friend struct Question;
};

} // namespace aicore
