# SPDX-License-Identifier: Apache-2.0
"""TCP connections whose packets are out of order, sent again, forged, or of the next connection of their endpoints."""

from __future__ import annotations

from captures import packets as p
from captures import payloads as pay
from captures.files import Capture, Conversation, Tcp, reordered

CLIENTS = {4: "192.168.1.10", 6: "2001:db8:1::10"}
SERVERS = {4: "203.0.113.80", 6: "2001:db8:80::80"}


def web(port: int, host: str = "www.example.org", version: int = 4, isn: tuple[int, int] = (1000, 5000)) -> Tcp:
    """A request and its answer, not closed."""
    talk = Tcp((CLIENTS[version], port), (SERVERS[version], 80), isn, layer7="http", httphost=host).open()
    return talk.say(pay.http_request(host)).say(pay.http_response(), True)


def _ended(talk: Tcp, reason: str, **fields: object) -> Tcp:
    talk.fields.update(end_reason=reason, **fields)
    return talk


def syn_ack_first() -> Capture:
    """The SYN+ACK stands before the SYN, or without it: its receiver is the client all the same."""
    capture = Capture()
    for version in (4, 6):
        whole = _ended(web(43000, version=version).close(), "fin", retransmissions=0)
        n = range(len(whole.packets))
        for i, order in enumerate(([1, 0, *n[2:]], [*n[1:]], [*n[1:], 0])):
            talk = _ended(web(43000 + i, version=version).close(), "fin", retransmissions=0, anomaly=None)
            capture.add(reordered(talk, order), 10.0 * i + version / 10)
    return capture.sorted()


def reused() -> Capture:
    """The endpoints open a connection anew; the old one was not seen to end, or one side closed it."""
    capture = Capture()
    for version in (4, 6):
        for i, closes in enumerate((None, False, True)):
            first = _ended(web(43010 + i, "one.example.org", version), "reused")
            if closes is not None:
                first.segment(p.FIN | p.ACK, from_server=closes)
            again = _ended(web(43010 + i, "two.example.org", version, (900_000, 700_000)).close(), "fin")
            capture.add(first, i).add(again, i + 60)
    return capture.sorted()


def retries() -> Capture:
    """A SYN that nobody answers, one that is refused three times, and a last FIN that is not acknowledged."""
    capture = Capture()
    for version in (4, 6):
        client, server = CLIENTS[version], SERVERS[version]
        unanswered = Tcp((client, 43020), (server, 81), end_reason="shutdown", tcp_state="syn_sent")
        refused = Tcp((client, 43021), (server, 81), end_reason="rst")
        fin = _ended(web(43022, version=version).close(), "fin")
        del fin.packets[-1]
        times = [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0]
        for _ in times:
            unanswered.segment(p.SYN, seq=1000)
        _at(capture, unanswered, times)
        for _ in range(3):
            refused.segment(p.SYN, seq=1000)
            refused.packets.append(p.tcp(server, 81, client, 43021, 0, 1001, p.RST | p.ACK))
        _at(capture, refused, [0.5 * (i // 2) + 0.001 * (i % 2) for i in range(6)])
        begin = [0.01 * i for i in range(len(fin.packets))]
        again = [begin[-1] + t for t in (0.2, 0.6, 1.4, 3.0, 6.2, 12.6)]
        fin.packets += [fin.packets[-1]] * len(again)
        fin.fields["retransmissions"] = len(again)
        _at(capture, fin, begin + again)
    return capture.sorted()


def forged() -> Capture:
    """RST, FIN and data far outside the window, and a SYN of another number, into connections that go on."""
    capture = Capture()
    far = 0x20000000
    for version in (4, 6):
        for i, flags in enumerate((p.RST, p.RST | p.ACK, p.FIN | p.ACK, p.PSH | p.ACK)):
            talk = Tcp((CLIENTS[version], 43030 + i), (SERVERS[version], 80), layer7="http", httphost="www.example.org")
            talk.open().segment(flags, b"x" * 99 if flags & p.PSH else b"", seq=talk.seq[0] + far)
            talk.say(pay.http_request("www.example.org")).say(pay.http_response(), True).close()
            capture.add(_ended(talk, "fin", anomaly="outside_window", retransmissions=0), i, 1.0)
        talk = Tcp((CLIENTS[version], 43034), (SERVERS[version], 80), layer7="http", httphost="www.example.org")
        talk.open().segment(p.SYN, seq=7_000_000).say(pay.http_request("www.example.org"))
        talk.say(pay.http_response(), True).close()
        capture.add(_ended(talk, "fin", retransmissions=0), 9, 1.0)
    return capture.sorted()


def overtaken() -> Capture:
    """Segments that arrive in swapped pairs: each was seen once."""
    capture = Capture()
    for version in (4, 6):
        talk = web(43040, version=version)
        begin = len(talk.packets)
        talk.say(bytes(4000), size=100, ack=False).close()
        n = list(range(len(talk.packets)))
        for i in range(begin, begin + 40, 2):
            n[i], n[i + 1] = n[i + 1], n[i]
        capture.add(reordered(_ended(talk, "fin", retransmissions=0), n), version)
    return capture


def _at(capture: Capture, talk: Conversation, times: list[float]) -> None:
    capture.flows.append(talk.flow)
    for at, packet in zip(times, talk.packets, strict=True):
        capture.add([packet], at)


CONNECTIONS = {
    "syn_ack_first": syn_ack_first,
    "reused": reused,
    "retries": retries,
    "forged": forged,
    "overtaken": overtaken,
}
