// SPDX-License-Identifier: Apache-2.0
// Events into batches, batches into the queue. Engine thread only.
#pragma once

#include <string>

#include "aicore/counters.h"
#include "aicore/engine.h"
#include "batch_queue.h"
#include "dissection.h"

namespace aicore {

class BatchWriter {
  public:
    // `meters`: null if there are none.
    BatchWriter(const EngineOptions &options, std::shared_ptr<const Schema> schema, uint16_t sensor, BatchQueue &queue,
                Meters *meters, Counters &counters);

    // From a file: waits until n rows fit; false only if the reader has closed the queue. Live: never waits.
    bool room(size_t n);
    void set_waiting(bool waiting) { waiting_ = waiting; }

    bool wanted(EventKind kind) const { return wanted_ & 1u << static_cast<unsigned>(kind); }
    void append(EventKind kind, const FlowRef &flow, ColdPool &cold, EndReason reason); // after room()
    void append_update(const FlowRef &flow, ColdPool &cold, bool sampled);              // of a flow that lives on
    void append_final_update(const FlowRef &flow, ColdPool &cold, EndReason reason, bool repeats);
    bool flush(); // hands the open batch over if it holds anything
    bool due(int64_t monotonic_ns) const { return open_ && has_content() && monotonic_ns - opened_ >= flush_; }
    void note_time(int64_t monotonic_ns) { now_ = monotonic_ns; }
    int64_t now() const { return now_; } // monotonic, as noted last

    struct Payload {
        const uint8_t *data;
        size_t length;
        uint8_t flags, direction;
        int64_t time;
    };
    // A copy for the external protocols that look at the flow. From a file it waits for room; live it never waits:
    // false.
    bool show(const FlowRef &flow, ColdPool &cold, const Payload &payload);
    void end_inspection(uint64_t inspection) { ended_.push_back(inspection); }
    void note_inspected(uint64_t batch) { inspected_ = batch; } // its findings were taken, and those of all before
    uint64_t inspected() const { return inspected_; }
    uint64_t last_shown() const { return last_shown_; } // batch of the last payload
    bool waits() const { return waiting_; }

  private:
    bool has_content() const { return !open_->rows.empty() || has_payloads(); }
    bool has_payloads() const { return open_->payloads && !open_->payloads->items.empty(); }
    Payloads &payloads() {
        if (!open_->payloads) open_->payloads = std::make_unique<Payloads>();
        return *open_->payloads;
    }
    void fill(Row &row, EventKind kind, const FlowRef &flow, ColdPool &cold, EndReason reason);
    void add_metered(Row &row, const AttributeSet &values);

    const std::shared_ptr<const Schema> schema_;
    BatchQueue &queue_;
    Meters *const meters_;
    Counters &counters_;
    const size_t capacity_;
    const int64_t flush_;
    const int64_t version_base_;
    const uint16_t sensor_;
    const unsigned wanted_;
    bool waiting_ = true;
    int64_t now_ = 0, opened_ = 0;
    int64_t seq_ = 0;
    uint64_t serial_ = 0;
    const size_t flow_bytes_; // payload of a flow that may be out at once, live
    size_t payload_bytes_ = 0;
    uint64_t inspected_ = 0, last_shown_ = 0;
    std::vector<uint64_t> ended_; // inspections; at most as many as the flow tables have slots wait for a batch
    const std::shared_ptr<BatchMemory> memory_ = std::make_shared<BatchMemory>();
    std::unique_ptr<Batch> open_;
};

} // namespace aicore
