# SPDX-License-Identifier: Apache-2.0
"""The project's own captures by name: CAPTURES[name]() is a Capture with the flows that a reader must report.

All addresses and names are those set aside for documentation (RFC 5737, RFC 3849, RFC 2606) or private ones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from captures import links as li
from captures import packets as p
from captures import payloads as pay
from captures import tunnels as tu
from captures.connections import CONNECTIONS
from captures.files import CHDLC, LOOP, NULL, PPP, RAW, SLL, SLL2, Capture, Conversation, Tcp, Udp, reordered, talks

CLIENT, SERVER, RESOLVER = "192.168.1.10", "203.0.113.80", "192.168.1.1"
CLIENT6, SERVER6, RESOLVER6 = "2001:db8:1::10", "2001:db8:80::80", "2001:db8:1::1"


def http(
    port: int = 40000,
    host: str = "www.example.org",
    uri: str = "/index.html",
    client: str = CLIENT,
    server: str = SERVER,
    dport: int = 80,
    size: int = Tcp.MSS,
) -> Tcp:
    """One request and its answer, opened and closed as usual."""
    names: dict[str, Any] = {
        "layer7": "http",
        "httphost": host,
        "httpuri": uri,
        "httpmethod": "GET",
        "httpstatus": 200,
        "useragent": pay.USER_AGENT,
        "end_reason": "fin",
    }
    talk = Tcp((client, port), (server, dport), **names).open()
    return talk.say(pay.http_request(host, uri), size=size).say(pay.http_response(b"x" * 3000), True).close()


def tls(
    port: int = 41000,
    name: str = "www.example.org",
    client: str = CLIENT,
    server: str = SERVER,
    dport: int = 443,
    size: int = Tcp.MSS,
    padding: int = 0,
) -> Tcp:
    names: dict[str, Any] = {
        "layer7": "tls",
        "sslhost": name,
        "ja4": pay.ja4(name, padding=padding),
        "end_reason": "fin",
    }
    talk = Tcp((client, port), (server, dport), **names).open()
    talk.say(pay.client_hello(name, padding=padding), size=size).say(
        pay.server_hello() + pay.tls_data(bytes(2500)), True
    )
    return talk.say(pay.tls_data()).say(pay.tls_data(bytes(4000)), True).close()


def dns(
    port: int = 42000,
    name: str = "www.example.org",
    address: str = SERVER,
    client: str = CLIENT,
    server: str = RESOLVER,
) -> Udp:
    qtype = pay.AAAA if ":" in address else pay.A
    names = {"layer7": "dns", "dnsdomain": name, "dnsdomains": [name], "dnsips": [address], "end_reason": "shutdown"}
    talk = Udp((client, port), (server, 53), **names)
    return talk.ask(pay.dns_query((name, qtype)), pay.dns_response((name, qtype), answers=[(qtype, address)]))


def link(linktype: int, wrap: Callable[[bytes], bytes]) -> Capture:
    """The same three conversations on a link layer."""
    return talks(dns(), http(), tls(client=CLIENT6, server=SERVER6), linktype=linktype, wrap=wrap)


def ethernet(wrap: Callable[[bytes], bytes] = p.ethernet) -> Capture:
    return link(1, wrap)


def tunnel(wrap: Callable[[bytes], bytes], inner: Conversation | None = None) -> Capture:
    return Capture(wrap=lambda packet: p.ethernet(wrap(packet))).add(inner or http())


def fragmented(v6: bool = False, order: tuple[int, ...] = (0, 1, 2)) -> Capture:
    """A DNS answer of three fragments among whole datagrams: one flow, garbage ports nowhere."""
    talk = dns(client=CLIENT6, server=RESOLVER6) if v6 else dns()
    talk.say(bytes(3000), True)
    talk.packets[-1:] = [p.fragments(talk.packets[-1], 1232)[i] for i in order]
    talk.fields["payload_bytes"] = sum(len(packet) - (48 if v6 else 28) for packet in talk.packets[:2]) + 3000
    return talks(talk)


def fragmented_request(size: int = 24, order: tuple[int, ...] = (), copies: int = 1) -> Capture:
    """A TCP segment in IP fragments: its request is read and its flags count, whatever the order and size of them."""
    talk = http(40014)
    parts = p.fragments(talk.packets[3], size)
    parts = [parts[i] for i in order or range(len(parts)) for _ in range(copies)]
    talk.packets[3:4] = parts
    return talks(talk)


def overlapping_fragments() -> Capture:
    """Fragments that contradict each other: counted, but no request is put together from them (RFC 5722)."""
    talk = http(40015)
    for name in ("httphost", "httpuri", "httpmethod", "useragent"):
        talk.fields[name] = None
    parts = p.fragments(talk.packets[3], 64)
    contrary = p.fragments(talk.packets[3][:-48] + bytes(48), 64)[-1]
    talk.packets[3:4] = [parts[0], parts[-1], contrary, *parts[1:-1]]
    talk.fields["anomaly"] = "fragment_overlaps"
    return talks(talk)


def fragmented_in_tunnel() -> Capture:
    """A DNS answer in fragments, each in a VXLAN packet of its own."""
    capture = Capture(wrap=lambda packet: p.ethernet(p.vxlan(packet)))
    talk = dns(42013)
    talk.say(bytes(3000), True)
    talk.packets[-1:] = p.fragments(talk.packets[-1], 1232)[::-1]
    return capture.add(talk)


def fragmented_tunnel(order: tuple[int, ...] = (0, 1)) -> Capture:
    """A tunnel whose packets come in fragments: what they carry counts once."""
    talk, capture = http(40016), Capture()
    capture.flows.append(talk.flow)
    for ident, packet in enumerate(talk.packets):
        outer = p.vxlan(packet)
        parts = p.fragments(outer, 1000, ident)
        capture.add([parts[i] for i in order] if len(parts) == 2 else [outer], ident * 0.01)
    return capture


def orphan_fragment() -> Capture:
    """A later fragment whose first is not in the capture: it has no ports, so it belongs to no flow."""
    later = p.fragments(p.udp(CLIENT, 42001, RESOLVER, 53, bytes(2000)), 1480)[1]
    return talks(dns()).add([later], 1.0)


def vlan_twins() -> Capture:
    """The same 5-tuple in two VLANs at once: two flows."""
    capture = Capture()
    for i, tag in enumerate((10, 20)):
        capture.add(dns(), i * 0.0001, wrap=partial(p.ethernet, vlans=(tag,)))
    return capture.sorted()


def vni_twins() -> Capture:
    """The same 5-tuple under two VXLAN network identifiers: two flows."""
    capture = Capture()
    for i, vni in enumerate((1, 2)):
        capture.add(http(), i * 0.0001, wrap=lambda packet, vni=vni: p.ethernet(p.vxlan(packet, vni)))  # type: ignore[misc]
    return capture.sorted()


def reset() -> Capture:
    talk = Tcp((CLIENT, 40002), (SERVER, 80), layer7="http", httphost="reset.example.org", end_reason="rst").open()
    return talks(talk.say(pay.http_request("reset.example.org")).reset(True))


def refused() -> Capture:
    """A SYN answered by RST, as a closed port does."""
    talk = Tcp((CLIENT, 40003), (SERVER, 81), end_reason="rst").segment(p.SYN)
    return talks(talk.segment(p.RST | p.ACK, from_server=True))


def half_open() -> Capture:
    return talks(Tcp((CLIENT, 40004), (SERVER, 82), end_reason="shutdown").segment(p.SYN).segment(p.SYN, seq=1000))


def midstream() -> Capture:
    """A connection that was open before the capture began: one flow however long it goes on."""
    talk = Tcp((CLIENT, 40005), (SERVER, 22), end_reason="shutdown")
    for i in range(20):
        talk.segment(p.ACK | p.PSH, bytes([i]) * 48, from_server=bool(i % 2)).segment(p.ACK, from_server=not i % 2)
    return talks(talk)


def midstream_http() -> Capture:
    """The first packet of the capture begins a request whose head goes on in two more, the host in the last."""
    names: dict[str, Any] = {
        "layer7": "http",
        "httphost": "long.example.org",
        "httpstatus": 204,
        "end_reason": "shutdown",
    }
    request = pay.http_request("long.example.org", "/track?" + "a" * 1500)
    talk = Tcp((CLIENT, 40013), (SERVER, 80), **names).segment(p.ACK, request[:1440])
    talk.segment(p.ACK | p.PSH, request[1440:1460]).segment(p.ACK | p.PSH, request[1460:])
    return talks(talk.say(pay.http_response(b"", 204, "No Content"), True))


def port_reuse() -> Capture:
    """The tuple is used again right after its close: two flows of one key."""
    first = http(40006, "one.example.org")
    again = Tcp(
        (CLIENT, 40006),
        (SERVER, 80),
        (9_000_000, 8_000_000),
        layer7="http",
        httphost="two.example.org",
        end_reason="fin",
    ).open()
    again.say(pay.http_request("two.example.org")).say(pay.http_response(), True).close()
    return talks(first, again)


def equal_ports() -> Capture:
    """Both ports equal: direction comes from the addresses."""
    talk = Tcp(
        (CLIENT, 7000), (SERVER, 7000), layer7="http", httphost="peer.example.org", httpstatus=200, end_reason="fin"
    ).open()
    return talks(talk.say(pay.http_request("peer.example.org")).say(pay.http_response(), True).close())


def short_segments() -> Capture:
    """Requests and hellos in segments of a few bytes."""
    return talks(http(40007, size=3), tls(41007, size=7))


def out_of_order() -> Capture:
    """The hello's segments arrive last first, the request's second and third swapped."""
    hello = tls(41008, size=400, padding=900)
    request = http(40008, uri="/" + "a" * 900, size=400)
    n = range(len(hello.packets))
    return talks(
        reordered(hello, [*n[:3], 6, 5, 4, 3, *n[7:]]),
        reordered(request, [0, 1, 2, 4, 3, *range(5, len(request.packets))]),
    )


def retransmitted() -> Capture:
    """Every data segment is sent twice; the copies are counted and parsed once."""
    talk = http(40009)
    order = [i for i in range(len(talk.packets)) for _ in range(2 if len(talk.packets[i]) > 60 else 1)]
    return talks(reordered(talk, order))


def odd_ports() -> Capture:
    return talks(http(40010, dport=49152), tls(41010, dport=49153), dns(42010))


def snaplen() -> Capture:
    """Cut to 128 bytes a frame: counted as on the wire, the names that still stand in the bytes are found."""
    talk = http(40011)
    talk.fields = {"layer7": "http", "end_reason": "fin"}
    return talks(talk).cut(128)


def jumbo() -> Capture:
    """Frames of 9 kB, and one of 60 kB as a host with segmentation offload captures it."""
    talk = Tcp(
        (CLIENT, 40012), (SERVER, 80), layer7="http", httphost="big.example.org", httpstatus=200, end_reason="fin"
    ).open()
    talk.say(pay.http_request("big.example.org")).say(pay.http_response(bytes(100_000)), True, size=8960)
    return talks(talk.say(bytes(60_000), True, size=60_000).close())


def local_names() -> Capture:
    mdns = Udp((CLIENT, 5353), ("224.0.0.251", 5353), layer7="mdns", dnsdomain="_ipp._tcp.local", end_reason="shutdown")
    mdns.say(pay.dns_query(("_ipp._tcp.local", pay.PTR), ident=0, flags=0), ttl=255)
    llmnr = Udp((CLIENT, 42020), ("224.0.0.252", 5355), layer7="llmnr", dnsdomain="printer", end_reason="shutdown")
    llmnr.say(pay.dns_query(("printer", pay.A), flags=0), ttl=1)
    return talks(mdns, llmnr)


def dns_many() -> Capture:
    """One flow with several questions, errors and answers."""
    names = ["a.example.org", "b.example.org", "c.example.org"]
    talk = Udp(
        (CLIENT, 42021), (RESOLVER, 53), layer7="dns", dnsdomain=names[0], dnsdomains=names, end_reason="shutdown"
    )
    for i, name in enumerate(names):
        answer = pay.dns_response((name, pay.A), answers=[(pay.A, f"203.0.113.{i}")], ident=i)
        talk.ask(pay.dns_query((name, pay.A), ident=i), answer)
    return talks(talk)


def extensions() -> Capture:
    """IPv6 with hop-by-hop and destination options, IPv4 with options."""
    hop = [(0, bytes([0, 1, 4, 0, 0, 0, 0])), (60, bytes([0, 1, 4, 0, 0, 0, 0]))]
    six = Udp((CLIENT6, 42022), (RESOLVER6, 53), layer7="dns", dnsdomain="six.example.org", end_reason="shutdown")
    six.say(pay.dns_query(("six.example.org", pay.AAAA)), extensions=hop)
    four = Udp((CLIENT, 42023), (RESOLVER, 53), layer7="dns", dnsdomain="four.example.org", end_reason="shutdown")
    return talks(six, four.say(pay.dns_query(("four.example.org", pay.A)), options=bytes([148, 4, 0, 0])))


def not_tracked() -> Capture:
    """ICMP, ICMPv6, SCTP, IGMP, ESP and ARP: counted, no flow; one DNS flow among them."""
    capture = talks(dns())
    for i, proto in enumerate((p.ICMP, p.SCTP, p.IGMP, p.ESP)):
        capture.add([p.ip(CLIENT, SERVER, proto, bytes([8]) + bytes(39))], 1 + i)
    capture.add([p.ip(CLIENT6, SERVER6, p.ICMPV6, bytes([128]) + bytes(39))], 5)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + p.MAC_A + p.packed(CLIENT) + bytes(6) + p.packed(SERVER)
    return capture.add([arp], 6, wrap=partial(p.ethernet, ethertype=0x0806))


CAPTURES: dict[str, Callable[[], Capture]] = {
    "http": lambda: talks(http()),
    "tls": lambda: talks(tls()),
    "dns": lambda: talks(dns()),
    "ethernet": ethernet,
    "vlan": partial(ethernet, partial(p.ethernet, vlans=(100,))),
    "qinq": partial(ethernet, partial(p.ethernet, vlans=(200, 100))),
    "mpls": partial(ethernet, partial(p.mpls, labels=(16, 17, 18))),
    "pppoe": partial(ethernet, p.pppoe),
    "ppp": partial(link, PPP, p.ppp_hdlc),
    "chdlc": partial(link, CHDLC, p.chdlc),
    "sll": partial(link, SLL, p.sll),
    "sll2": partial(link, SLL2, p.sll2),
    "raw": partial(link, RAW, p.raw),
    "null": partial(link, NULL, p.null),
    "loop": partial(link, LOOP, p.loop),
    "vn_tag": partial(ethernet, li.vn_tag),
    "vn_tag_vlan": partial(ethernet, li.vn_tag_vlan),
    "e_tag": partial(ethernet, li.e_tag),
    "cisco_metadata": partial(ethernet, li.cisco_metadata),
    "hsr": partial(ethernet, li.hsr),
    "prp": partial(ethernet, li.prp),
    "macsec": partial(ethernet, li.macsec),
    "pbb": partial(ethernet, li.pbb),
    "trill": partial(ethernet, li.trill),
    "nsh": partial(ethernet, li.nsh),
    "nsh_ethernet": partial(ethernet, li.nsh_ethernet),
    "ppi": partial(link, li.PPI, li.ppi),
    "nflog": partial(link, li.NFLOG, li.nflog),
    "nflog_big": partial(link, li.NFLOG, partial(li.nflog, order=">")),
    "pflog": partial(link, li.PFLOG, li.pflog),
    "pktap": partial(link, li.PKTAP, li.pktap),
    "frame_relay": partial(link, li.FRELAY, li.frame_relay),
    "frame_relay_snap": partial(link, li.FRELAY, li.frame_relay_snap),
    "frame_relay_cisco": partial(link, li.FRELAY, li.frame_relay_cisco),
    "slip": partial(link, li.SLIP, li.slip),
    "arcnet_bsd": partial(link, li.ARCNET_BSD, li.arcnet_bsd),
    "arcnet_linux": partial(link, li.ARCNET_LINUX, li.arcnet_linux),
    "ipip_4in4": partial(tunnel, p.ipip),
    "ipip_6in4": lambda: tunnel(p.ipip, http(client=CLIENT6, server=SERVER6)),
    "ipip_4in6": partial(tunnel, partial(p.ipip, outer=p.OUTER6)),
    "ipip_6in6": lambda: tunnel(partial(p.ipip, outer=p.OUTER6), http(client=CLIENT6, server=SERVER6)),
    "gre": partial(tunnel, p.gre),
    "gre_key": partial(tunnel, partial(p.gre, key=7, seq=1)),
    "gre_ethernet": partial(tunnel, p.gre_ethernet),
    "erspan": partial(tunnel, p.erspan),
    "vxlan": partial(tunnel, p.vxlan),
    "geneve": partial(tunnel, p.geneve),
    "gtpu": partial(tunnel, p.gtpu),
    "gtpu_extension": partial(tunnel, partial(p.gtpu, extension=True)),
    "teredo": lambda: tunnel(p.teredo, http(client=CLIENT6, server=SERVER6)),
    "teredo_origin": lambda: tunnel(partial(p.teredo, origin=True), http(client=CLIENT6, server=SERVER6)),
    "etherip": partial(tunnel, tu.etherip),
    "gre_mpls": partial(tunnel, tu.gre_mpls),
    "gre_wccp": partial(tunnel, tu.gre_wccp),
    "gre_wccp_1": partial(tunnel, partial(tu.gre_wccp, version=1)),
    "gre_nsh": partial(tunnel, tu.gre_nsh),
    "mpls_ip": partial(tunnel, tu.mpls_ip),
    "mpls_udp": partial(tunnel, tu.mpls_udp),
    "mpls_udp_ethernet": partial(tunnel, tu.mpls_udp_ethernet),
    "vxlan_gpe": partial(tunnel, tu.vxlan_gpe),
    "vxlan_gpe_nsh": partial(tunnel, tu.vxlan_gpe_nsh),
    "l2tp": partial(tunnel, tu.l2tp),
    "l2tp_full": partial(tunnel, partial(tu.l2tp, full=True)),
    "l2tp3_udp": partial(tunnel, tu.l2tp3_udp),
    "l2tp3_ip": partial(tunnel, tu.l2tp3_ip),
    "capwap": partial(tunnel, tu.capwap),
    "capwap_wifi": partial(tunnel, tu.capwap_wifi),
    "capwap_exchanged": partial(tunnel, partial(tu.capwap_wifi, exchanged=True)),
    "ayiya": lambda: tunnel(tu.ayiya, http(client=CLIENT6, server=SERVER6)),
    "pim_register": partial(tunnel, tu.pim_register),
    "ipcomp": partial(tunnel, tu.ipcomp),
    "tunnel_in_tunnel": partial(tunnel, lambda packet: p.gre(p.vxlan(packet))),
    "fragments": fragmented,
    "fragments_v6": partial(fragmented, True),
    "fragments_last_first": partial(fragmented, order=(2, 1, 0)),
    "fragments_last_first_v6": partial(fragmented, True, (2, 0, 1)),
    "fragments_tcp": fragmented_request,
    "fragments_tcp_last_first": partial(fragmented_request, 96, (1, 0)),
    "fragments_tcp_tiny": partial(fragmented_request, 8),
    "fragments_tcp_twice": partial(fragmented_request, 48, copies=2),
    "fragments_overlap": overlapping_fragments,
    "fragments_in_vxlan": fragmented_in_tunnel,
    "fragments_of_vxlan": fragmented_tunnel,
    "fragments_of_vxlan_last_first": partial(fragmented_tunnel, (1, 0)),
    "orphan_fragment": orphan_fragment,
    "vlan_twins": vlan_twins,
    "vni_twins": vni_twins,
    "reset": reset,
    "refused": refused,
    "half_open": half_open,
    "midstream": midstream,
    "midstream_http": midstream_http,
    "port_reuse": port_reuse,
    "equal_ports": equal_ports,
    "short_segments": short_segments,
    "out_of_order": out_of_order,
    "retransmitted": retransmitted,
    "odd_ports": odd_ports,
    "snaplen": snaplen,
    "jumbo": jumbo,
    "local_names": local_names,
    "dns_many": dns_many,
    "extensions": extensions,
    "not_tracked": not_tracked,
    **CONNECTIONS,
}
