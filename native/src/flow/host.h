// SPDX-License-Identifier: Apache-2.0
// One call of a dissector: what it may reach through aicore_host.
#pragma once

#include "dissection.h"

namespace aicore {

struct Dissection::Call {
    aicore_flow view{}; // what the dissector is shown; core = this
    Dissection &dissection;
    FlowRef flow;
    Cold &cold;
    const Registered *protocol = nullptr;
    AttributeSet *target = nullptr; // the flow's own once recognised, the scratch set before
    uint16_t layer7 = 0;            // set by set_layer7
    uint16_t anomaly = 0;           // before recognition
    uint16_t next_owner = kNoProtocol;
    bool handed_over = false;
    bool nobody_next = false; // handed over to a protocol that is not loaded
    bool notify = false;
    bool changed = false;

    Call(Dissection &d, FlowRef f, Cold &c);
    void start(const Registered &p, AttributeSet &set, bool recognised) {
        protocol = &p;
        target = &set;
        view.recognised = recognised;
        layer7 = anomaly = 0;
        next_owner = kNoProtocol;
        handed_over = nobody_next = notify = changed = false;
    }
};

} // namespace aicore
