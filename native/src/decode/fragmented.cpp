// SPDX-License-Identifier: Apache-2.0
// Fragments (RFC 791 section 3.2, RFC 8200 section 4.5). Each counts in the flow of its datagram as it comes, those
// that come before the first one together with it; a datagram that becomes whole is decoded again, for the dissectors.
// What contradicts itself is not put together (RFC 5722, and as Linux does for IPv4).
#include <algorithm>

#include "aicore/decode.h"
#include "fragments.h"
#include "transport.h"

namespace aicore::wire {
namespace {

FragmentKey fragment_key(const FragmentHeader &header, const Walk &w) {
    FragmentKey key{};
    size_t n = w.at.version == 4 ? 4 : 16;
    std::memcpy(key.src, w.at.src, n);
    std::memcpy(key.dst, w.at.dst, n);
    key.id = header.id;
    key.version = w.at.version;
    key.proto = w.at.version == 4 ? header.proto : 0;
    key.vlan = w.at.vlan;
    key.vlan_inner = w.at.vlan_inner;
    key.tunnel_id = w.at.tunnel_id;
    key.tunnel = static_cast<uint8_t>(w.at.tunnel_of_id);
    return key;
}

// The payload's place in a datagram whose first fragment was decoded into `out`.
uint32_t header_bytes(const Packet &out, View v) {
    if (out.payload_bytes > 0) return v.length - out.payload_bytes;
    return static_cast<uint32_t>(out.transport - v.data) + (out.key.proto == kProtoTcp ? kTcpHeader : kUdpHeader);
}

// What the first fragment says about its datagram. What it carries is cut. False: nothing of a flow, and w.out is not
// filled; a further first fragment, with other bytes, leaves its datagram what it was.
bool begin(FragmentTable &table, FragmentedDatagram &d, const FragmentHeader &header, View v, int headers, Walk &w) {
    const Found before = w.at;
    d.proto = header.proto;
    w.at.first_fragment = w.at.cut = w.at.in_datagram = true;
    const Verdict verdict = carried(header.proto, v, headers, w);
    if (verdict == Verdict::flow) {
        d.kind = w.at.tunnels > before.tunnels ? FragmentedDatagram::carrier : FragmentedDatagram::flow;
        d.key = w.out.key;
        d.reversed = w.out.reversed;
        if (d.kind == FragmentedDatagram::flow) {
            d.header = header_bytes(w.out, v);
        } else {
            table.count(Counter::tunnel_fragments, d.waiting);
            d.waiting = 0;
        }
    } else if (verdict == Verdict::untracked || (verdict == Verdict::broken && v.captured < v.length)) {
        d.kind = FragmentedDatagram::untracked;
        d.protocol = w.at.why;
        table.count(d.protocol, d.waiting);
        d.waiting = 0;
    }
    if (verdict != Verdict::flow) {
        const Counter anomaly = w.at.anomaly;
        w.at = before;
        if (anomaly != Counter::none) w.note(anomaly);
    }
    return verdict == Verdict::flow;
}

void without_transport(Walk &w, const FragmentedDatagram &d, View v) {
    w.out.key = d.key;
    w.out.reversed = d.reversed;
    w.out.ip_bytes = w.at.ip_bytes;
    no_tcp_fields(w.out);
    w.out.transport = nullptr;
    w.out.payload = v.data;
    w.out.payload_length = v.captured;
    w.out.payload_bytes = v.length;
}

// This packet, and those that waited for it.
Verdict counted(FragmentTable &table, FragmentedDatagram &d, const Packet *whole, Walk &w) {
    const uint32_t payload = whole ? whole->payload_bytes : w.at.duplicate ? d.counted : table.payload_bytes(d);
    const uint32_t fresh = payload > d.counted ? payload - d.counted : 0;
    table.part = {1 + d.waiting, fresh, w.out.ip_bytes + d.waiting_bytes, d.waiting ? d.earliest : w.time, whole};
    d.counted += fresh;
    d.waiting = 0;
    d.waiting_bytes = 0;
    w.out.fragment = &table.part;
    return Verdict::flow;
}

Verdict wait(FragmentedDatagram &d, Walk &w) {
    d.earliest = d.waiting == 0 ? w.time : std::min(d.earliest, w.time);
    d.waiting += 1;
    d.waiting_bytes += w.at.ip_bytes;
    return Verdict::waiting;
}

// A datagram of which no fragment could be decoded by itself, now that it is whole.
Verdict decoded_late(const FragmentKey &key, const Walk &inner, const Packet &whole, Verdict verdict, Walk &w) {
    FragmentTable &table = w.fragments;
    FragmentedDatagram *d = table.find(key); // what it carries may have pushed it out of the table
    FragmentedDatagram gone;
    if (!d) d = &gone;
    const bool tunnel = inner.at.tunnels > w.at.tunnels;
    if (verdict == Verdict::flow && !tunnel) {
        d->kind = FragmentedDatagram::flow;
        d->key = whole.key;
        d->reversed = whole.reversed;
        without_transport(w, *d, {whole.payload, 0, 0});
        table.whole = whole;
        finish(table.whole, inner);
        w.out.transport = whole.transport;
        return counted(table, *d, &table.whole, w);
    }
    d->kind = tunnel ? FragmentedDatagram::carrier : FragmentedDatagram::untracked;
    d->protocol = tunnel ? Counter::tunnel_fragments : inner.at.why;
    table.count(d->protocol, d->waiting);
    d->waiting = 0;
    w.out = whole;
    w.at = inner.at;
    if (verdict == Verdict::flow && !whole.fragment) {
        finish(w.out, w);
        table.whole = w.out;
        table.part = {1, whole.payload_bytes, whole.ip_bytes, w.time, &table.whole};
        w.out.fragment = &table.part;
    }
    return verdict;
}

} // namespace

Verdict fragment(const FragmentHeader &header, View v, int headers, Walk &w) {
    w.at.fragment = true;
    if (w.at.in_datagram) return w.untracked(Counter::bad_ipv6_extension); // a fragment of a fragment
    if (w.at.together == FragmentTable::kMaxDepth) return w.broken(Counter::too_deep);
    if (w.at.cut) return Verdict::waiting; // its own outer datagram is not whole
    FragmentTable &table = w.fragments;
    const FragmentKey key = fragment_key(header, w);
    FragmentedDatagram gone;
    FragmentedDatagram *d = &table.at(key, w.time);
    const auto place = table.add(*d, {header.offset, v.length, header.more, v.data, v.captured}, w.time);
    if (place == FragmentTable::Place::unfit) w.note(Counter::bad_fragment);
    if (place == FragmentTable::Place::overlap) w.note(Counter::fragment_overlaps);
    if (place == FragmentTable::Place::duplicate) w.at.duplicate = true;

    const Found outer = w.at;
    const Packet *whole = nullptr;
    Packet together;
    Walk inner{together, table, w.time, w.options, outer};
    Verdict verdict = Verdict::waiting;
    const bool filled =
        header.offset == 0 && place != FragmentTable::Place::duplicate && begin(table, *d, header, v, headers, w);
    if (header.offset > 0 && d->kind == FragmentedDatagram::flow && d->key.proto == kProtoTcp &&
        header.offset < kTcpHeader)
        w.note(Counter::bad_fragment); // RFC 3128
    if (FragmentTable::complete(*d)) {
        const FragmentedDatagram::Kind kind = d->kind;
        const uint32_t total = d->total;
        if (const uint8_t *bytes = table.put_together(*d, outer.together);
            bytes && kind != FragmentedDatagram::untracked) {
            inner.at.together += 1;
            inner.at.in_datagram = true;
            gone = *d;
            verdict = carried(gone.proto, {bytes, total, total}, headers, inner);
            if (kind == FragmentedDatagram::unknown) return decoded_late(key, inner, together, verdict, w);
            d = table.find(key);
            if (!d) d = &gone; // fragments that it carries pushed it out of the table
            if (verdict == Verdict::flow && together.key == d->key) {
                finish(together, inner);
                table.whole = together;
                whole = &table.whole;
                if (inner.at.anomaly != Counter::none) w.note(inner.at.anomaly);
            }
        }
    }
    switch (d->kind) {
    case FragmentedDatagram::flow:
        if (!filled) without_transport(w, *d, v);
        return counted(table, *d, whole, w);
    case FragmentedDatagram::untracked:
        return w.untracked(d->protocol);
    case FragmentedDatagram::carrier:
        if (filled) {
            table.part = {1, w.out.payload_bytes, w.out.ip_bytes, w.time, whole};
        } else if (whole) {
            w.out = together;
            w.at = inner.at;
            table.part = {0, 0, 0, w.time, whole};
        } else {
            ++w.at.tunnels;
            return w.untracked(Counter::tunnel_fragments);
        }
        w.out.fragment = &table.part;
        return Verdict::flow;
    case FragmentedDatagram::unknown:
        break;
    }
    return wait(*d, w);
}

bool overdue(FragmentTable &table, int64_t time, const DecodeOptions &options, Packet &out) {
    for (FragmentTable::Overdue late; table.overdue(time, late);) {
        const FragmentedDatagram &d = late.datagram;
        if (late.length <= d.header || (d.kind != d.flow && d.kind != d.carrier)) continue;
        Walk w{out, table, late.time, options};
        w.at.version = late.key.version;
        w.at.src = late.key.src;
        w.at.dst = late.key.dst;
        w.at.vlan = late.key.vlan;
        w.at.vlan_inner = late.key.vlan_inner;
        w.at.tunnel_id = late.key.tunnel_id;
        w.at.tunnel_of_id = static_cast<Tunnel>(late.key.tunnel);
        w.at.first_fragment = w.at.cut = true;
        if (carried(d.proto, {late.data, late.length, late.length}, 0, w) != Verdict::flow || !(out.key == d.key))
            continue;
        finish(out, w);
        // So that it shows that something is missing.
        const uint32_t length = out.key.proto == kProtoUdp && d.kind == d.flow ? be16(out.transport + 4) : 0u;
        if (length > kUdpHeader) out.payload_bytes = std::max(out.payload_bytes, length - kUdpHeader);
        return true;
    }
    return false;
}

} // namespace aicore::wire
