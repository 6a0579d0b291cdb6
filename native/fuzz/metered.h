// SPDX-License-Identifier: Apache-2.0
// Meters that check what the core promises them, and read every byte that they are given.
#pragma once

#include "aicore/meter.h"
#include "input.h"

namespace aicore::fuzz {

struct MeteredFlow { // a meter's state
    uint64_t open, packets, given[2];
};

template <uint32_t stream_bytes> struct CheckingMeter {
    static MeteredFlow &of(void *state) { return *static_cast<MeteredFlow *>(state); }

    static void opened(void *, aicore_meter_flow *flow, void *state) {
        const MeteredFlow &f = of(state);
        require(!f.open && !f.packets && !f.given[0] && !f.given[1], "the state of a new flow is zeroed");
        of(state).open = 1;
        require(flow->packets[0] + flow->packets[1] >= 1, "opened comes at the first packet");
    }
    static void packet(void *, aicore_meter_flow *flow, const aicore_packet *p, void *state) {
        require(of(state).open == 1, "packets come between opened and ended");
        const uint64_t all = flow->packets[0] + flow->packets[1]; // fragments that waited are counted without a call
        require(++of(state).packets == all || (p->flags & AICORE_FRAGMENT && of(state).packets < all),
                "packets are numbered");
        of(state).packets = all;
        require(p->frame <= p->ip && p->ip + aicore_ip_header(p) + aicore_transport_header(p) == p->payload,
                "headers follow");
        require(!p->transport || p->transport == p->ip + aicore_ip_header(p), "the transport follows the IP header");
        require(p->payload + p->payload_captured <= p->frame + p->frame_captured, "all is within the frame");
        touch(p->frame, p->frame_captured);
        if (p->seq % 16 == 3) flow->host->notify(flow);
        if (p->seq % 16 == 5) flow->host->detected(flow, "five");
    }
    static void stream(void *, aicore_meter_flow *, const aicore_chunk *chunk, void *state) {
        MeteredFlow &f = of(state);
        require(f.open == 1 && chunk->length > 0, "chunks hold bytes");
        require(chunk->offset == f.given[chunk->reverse], "a direction's bytes are counted");
        f.given[chunk->reverse] += chunk->length;
        require(f.given[chunk->reverse] <= stream_bytes, "no more than was asked for");
        touch(chunk->data, chunk->length);
    }
    static void named(void *, aicore_meter_flow *flow, const aicore_name *name, void *state) {
        require(of(state).open == 1, "names come between opened and ended");
        touch(name->value, name->length);
        if (name->kind == AICORE_NAME_RULE) flow->host->detected(flow, "another");
    }
    static void record(void *, aicore_meter_flow *flow, void *state) {
        require(of(state).open == 1 && flow->event >= AICORE_INSERT && flow->event <= AICORE_REMOVE,
                "rows are of a flow");
        flow->host->set_integer(flow, 0, static_cast<int64_t>(of(state).packets));
        flow->host->add_string(flow, 1, state, 16);
    }
    static void ended(void *, aicore_meter_flow *, void *state) {
        require(of(state).open == 1, "ended once");
        of(state).open = 2;
    }

    static aicore_meter meter(const char *name, const aicore_field *fields) {
        aicore_meter m{};
        m.abi = AICORE_METER_ABI;
        m.size = sizeof m;
        m.name = name;
        m.state_size = sizeof(MeteredFlow);
        m.stream_bytes = stream_bytes;
        m.fields = fields;
        m.field_count = 2;
        m.field_size = sizeof(aicore_field);
        m.opened = opened;
        m.packet = packet;
        m.stream = stream;
        m.named = named;
        m.record = record;
        m.ended = ended;
        return m;
    }
};

} // namespace aicore::fuzz
