// SPDX-License-Identifier: Apache-2.0
// TCP (RFC 9293 section 3.1), UDP (RFC 768). A header whose ports can be read
// makes a packet of a flow; what else is wrong with it is the packet's anomaly.
#include "transport.h"

namespace aicore::wire {
namespace {

// Everything but payload and TCP fields.
void finish(Walk &w, uint8_t proto, uint16_t src_port, uint16_t dst_port) {
    Packet &out = w.out;
    FlowKey &key = out.key;
    out.reversed = w.at.version == 4 ? endpoints4(key, w.at.src, w.at.dst, src_port, dst_port)
                                     : endpoints6(key, w.at.src, w.at.dst, src_port, dst_port);
    key.vlan = w.options.vlan_in_key ? w.at.vlan : 0;
    key.vlan_inner = w.options.vlan_in_key ? w.at.vlan_inner : 0;
    key.tunnel_id = w.options.tunnel_in_key ? w.at.tunnel_id : 0;
    key.proto = proto;
    key.version = w.at.version;
    key.tunnel = w.options.tunnel_in_key ? static_cast<uint8_t>(w.at.tunnel_of_id) : 0;
    key.zero = 0;
    out.ip_bytes = w.at.ip_bytes;
    out.fragment = nullptr;
}

void payload(Walk &w, View v) {
    w.out.payload = v.data;
    w.out.payload_length = v.captured;
    w.out.payload_bytes = v.length;
}

// The transport header is cut: by a small snaplen, by a first fragment made too small for it (RFC 1858), or because
// the datagram is that short.
Verdict cut_header(Walk &w, uint8_t proto, View v, uint32_t header) {
    Counter why = w.at.first_fragment && v.length < header ? Counter::bad_fragment : Counter::short_transport;
    if (!v.has(4)) return w.broken(why);
    w.note(why);
    no_tcp_fields(w.out);
    w.out.transport = v.data;
    payload(w, {v.data + v.captured, 0, v.length > header ? v.length - header : 0});
    finish(w, proto, be16(v.data), be16(v.data + 2));
    return Verdict::flow;
}

} // namespace

Verdict tcp(View v, Walk &w) {
    if (!v.has(kTcpHeader)) return cut_header(w, kProtoTcp, v, kTcpHeader);
    w.out.transport = v.data;
    uint32_t header = static_cast<uint32_t>(v.data[12] >> 4) * 4;
    if (header < kTcpHeader || header > v.length) {
        // No host accepts such a segment: its flags must not move the state of the connection.
        w.note(w.at.first_fragment && header > v.length ? Counter::bad_fragment : Counter::bad_tcp_offset);
        no_tcp_fields(w.out);
        payload(w, {v.data + kTcpHeader, 0, 0});
    } else {
        tcp_fields(w.out, v.data);
        payload(w, v.has(header) ? v.from(header) : View{v.data + v.captured, 0, v.length - header});
    }
    finish(w, kProtoTcp, be16(v.data), be16(v.data + 2));
    return Verdict::flow;
}

Verdict udp(View v, Walk &w) {
    if (!v.has(kUdpHeader)) return cut_header(w, kProtoUdp, v, kUdpHeader);
    uint16_t src_port = be16(v.data), dst_port = be16(v.data + 2), length = be16(v.data + 4);
    View body = v.from(kUdpHeader);
    bool bad_length = false;
    if (length < kUdpHeader) {
        // 0 is legal for a jumbogram (RFC 2675 section 4), where the IP length is the only one.
        bad_length = length != 0 || v.length <= UINT16_MAX;
        if (length != 0) body = body.first(0);
    } else if (length > v.length) {
        bad_length = !w.at.first_fragment; // else it is the length of the whole datagram
    } else {
        body = body.first(length - kUdpHeader);
    }
    if (may_be_tunnel(src_port, dst_port)) {
        Found outer = w.at;
        w.at.anomaly = Counter::none;
        Verdict verdict = udp_tunnel(src_port, dst_port, body, w);
        if (verdict == Verdict::waiting) return verdict;
        if (verdict == Verdict::flow || verdict == Verdict::untracked) {
            // An IP packet longer than the datagram that would carry it is none: the port alone made it look so.
            if (w.at.anomaly != Counter::bad_ip_length) {
                if (outer.anomaly != Counter::none) w.at.anomaly = outer.anomaly;
                return verdict;
            }
            verdict = w.broken(Counter::bad_tunnel);
        }
        Counter why = w.at.why;
        w.at = outer;
        // That a packet is cut is not the tunnel's fault.
        bool whole = !outer.cut && body.captured == body.length;
        if (verdict == Verdict::broken && (whole || why == Counter::too_deep))
            w.note(why == Counter::too_deep ? why : Counter::bad_tunnel);
    }
    if (bad_length) w.note(Counter::bad_udp_length);
    no_tcp_fields(w.out);
    w.out.transport = v.data;
    payload(w, body);
    finish(w, kProtoUdp, src_port, dst_port);
    return Verdict::flow;
}

} // namespace aicore::wire
