// SPDX-License-Identifier: Apache-2.0
#include "inspection.h"

#include <cstring>

#include "host.h"

namespace aicore {

namespace {

// The row's flow, its source as key.a. No payload is counted: a port names nothing here.
void take_flow(const Row &row, Hot &hot) {
    std::memcpy(hot.key.a, row.ipsrc, sizeof hot.key.a);
    std::memcpy(hot.key.b, row.ipdst, sizeof hot.key.b);
    hot.key.port_a = row.portsrc;
    hot.key.port_b = row.portdst;
    hot.key.version = row.ip_version;
    hot.key.proto = row.proto;
    hot.packets[0] = row.src_packets;
    hot.packets[1] = row.dst_packets;
}

} // namespace

void Question::set_layer7(const std::string &name) const {
    if (const uint16_t index = registry.name_later(name)) static_cast<Dissection::Call *>(flow.core)->layer7 = index;
}

Findings Inspection::inspect(const Batch &batch, ExternalProtocols &protocols) {
    Findings findings;
    findings.batch = batch.serial;
    if (!batch.payloads) return findings;
    const Payloads &payloads = *batch.payloads;
    for (const ShownPayload &shown : payloads.items) {
        auto at = flows_.find(shown.inspection);
        if (at == flows_.end()) {
            if (!shown.first) continue; // nobody wanted more of it
            at = flows_.try_emplace(shown.inspection).first;
            at->second.warm.cold = kNoSlot;
            dissection_.begin(at->second.warm, shown.owner);
        }
        dissection_.asking = {&protocols, shown.inspection, shown.row};
        show(at->second, shown, payloads, findings);
        if (at->second.hot.bits & kDone) forget(shown.inspection, protocols);
    }
    for (const uint64_t ended : payloads.ended)
        if (flows_.count(ended)) forget(ended, protocols);
    return findings;
}

void Inspection::show(Flow &flow, const ShownPayload &shown, const Payloads &payloads, Findings &findings) {
    take_flow(payloads.rows[shown.row], flow.hot);
    const FlowRef ref{flow.hot, flow.warm, shown.slot, shown.table};
    const uint16_t layer7 = flow.warm.layer7;
    const uint8_t shut = dissection_.shut(flow.warm);
    Finding found;
    dissection_.deliver(ref, shown.direction, reinterpret_cast<const uint8_t *>(payloads.bytes.data()) + shown.at,
                        shown.length, shown.flags, shown.time);
    found.over = flow.hot.bits & kDone;
    found.shut = static_cast<uint8_t>(dissection_.shut(flow.warm) & ~shut);
    dissection_.take_values(flow.warm, found);
    const bool renamed = flow.warm.layer7 != layer7;
    if (!found.over && !found.shut && !renamed && found.values.items.empty()) return;
    found.inspection = shown.inspection;
    found.slot = shown.slot;
    found.table = shown.table;
    found.layer7 = flow.warm.layer7;
    findings.list.push_back(std::move(found));
}

void Inspection::forget(uint64_t inspection, ExternalProtocols &protocols) {
    const auto at = flows_.find(inspection);
    dissection_.forget(at->second.warm);
    flows_.erase(at);
    protocols.ended(inspection);
}

} // namespace aicore
