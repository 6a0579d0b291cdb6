// SPDX-License-Identifier: Apache-2.0
// The reader's side of external protocols: their candidates, streams and owners, by the same rules as the engine's.
// What they are asked depends on the packets alone, not on when a batch was handed over. Reader's thread only.
#pragma once

#include <unordered_map>
#include <vector>

#include "aicore/batch.h"
#include "aicore/external.h"
#include "dissection.h"

namespace aicore {

struct Findings {       // of one batch
    uint64_t batch = 0; // Batch::serial
    std::vector<Finding> list;
};

class Inspection {
  public:
    Inspection(const Registry &registry, const DissectionLimits &limits)
        : dissection_(registry, limits, nullptr, counters_, nullptr) {}

    // Each batch once, in order.
    Findings inspect(const Batch &batch, ExternalProtocols &protocols);
    const Counters &counters() const { return counters_; }
    size_t flows() const { return flows_.size(); }

  private:
    struct Flow {
        Hot hot{};
        Warm warm{};
    };

    void show(Flow &flow, const ShownPayload &shown, const Payloads &payloads, Findings &findings);
    void forget(uint64_t inspection, ExternalProtocols &protocols);

    Counters counters_;
    Dissection dissection_;
    std::unordered_map<uint64_t, Flow> flows_; // by number of the inspection; as many as the engine has begun
};

} // namespace aicore
