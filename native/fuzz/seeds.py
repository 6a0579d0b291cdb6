# SPDX-License-Identifier: Apache-2.0
"""Inputs for the fuzz programs, made from the project's captures and the conversations of the plugins' tests.

python native/fuzz/seeds.py core|protocols|quic FOLDER     writes FOLDER/TARGET/N, in a FOLDER made afresh
"""

from __future__ import annotations

import gzip
import importlib
import lzma
import shutil
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from binary_form import EXAMPLES
from captures import links
from captures import payloads as pay
from captures.build import CAPTURES
from captures.files import CHDLC, ETHERNET, LOOP, NULL, PPP, RAW, SLL, SLL2, Capture

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"

Turn = tuple[bool, bytes]  # said by the server, what
Seeds = Iterable[tuple[str, bytes]]  # target, input

# links.h
LINKS = (NULL, ETHERNET, PPP, None, CHDLC, LOOP, SLL, SLL2, RAW, *(None,) * 7)
LINKS += (
    links.SLIP,
    links.PPI,
    links.FRELAY,
    links.ARCNET_BSD,
    links.PFLOG,
    links.ARCNET_LINUX,
    links.NFLOG,
    links.PKTAP,
)
PORTS = (80, 443, 53, 9999)  # packets.cpp
MIDSTREAM = 2
# A capture of one packet by zstd and lz4, for which Python has no module.
PACKED = (
    "28b52ffd00482d0100e8d4c3b2a102000400ffff000001000000010000000200000004646174610200777911800b",
    "04224d184040c02300000084d4c3b2a102000400010062ffff000001000400310200001a0080040000006461746100000000",
)


def short(data: bytes) -> bytes:
    """Behind its length."""
    return struct.pack("!H", len(data)) + data


def dissect(turns: Sequence[Turn], udp: bool = False, port: bool = True, middle: bool = False) -> bytes:
    """For dissect.cpp."""
    flags = MIDSTREAM << 1 if middle else 0
    return bytes([udp | port << 1]) + b"".join(bytes([server | flags]) + short(data) for server, data in turns)


def steps(turns: Sequence[Turn], port: int, udp: bool = False) -> bytes:
    """For packets.cpp: a connection's packets, or datagrams."""
    who = PORTS.index(port)
    if udp:
        return b"".join(bytes([2, who | server << 2]) + short(data) for server, data in turns)
    syn, ack, fin = 2, 16, 17
    talk = [(False, syn, b""), (True, syn | ack, b""), (False, ack, b"")]
    talk += [(server, ack, data) for server, data in turns]
    talk += [(False, fin, b""), (True, fin, b""), (False, ack, b"")]
    return b"".join(bytes([0, who | server << 2, flags, 0]) + short(data) for server, flags, data in talk)


def conversations() -> Iterator[tuple[str, int, bool, list[Turn]]]:
    """Protocol, port, over UDP, turns."""
    site = "www.example.org"
    page = pay.http_response(b"x" * 40)
    yield "http", 80, False, [(False, pay.http_request(site)), (True, page)]
    yield "http", 80, False, [(False, pay.http_request(site, "/form", "POST", body=b"a=1")), (True, page)] * 2
    proxy = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"
    yield "http", 80, False, [(False, proxy), (True, b"HTTP/1.1 200 OK\r\n\r\n"), (False, pay.client_hello())]
    upgrade = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi"
    yield "http", 80, False, [(False, b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"), (True, upgrade)]
    for tls13 in (False, True):
        answer = pay.server_hello(tls13, None if tls13 else "h2")
        yield (
            "tls",
            443,
            False,
            [(False, pay.client_hello(tls13=tls13)), (True, answer), (True, pay.tls_data(b"x" * 9))],
        )
    hello = pay.client_hello(padding=600)
    yield "tls", 443, False, [(False, hello[:300]), (False, hello[300:])]
    yield "tls", 443, False, [(True, b"220 a\r\n"), (False, b"EHLO a\r\nSTARTTLS\r\n"), (False, pay.client_hello())]
    question = (site, pay.A)
    answers = [(pay.A, "192.0.2.1"), (pay.AAAA, "2001:db8::1"), (pay.CNAME, "a.example")]
    query, reply = pay.dns_query(question), pay.dns_response(question, answers=answers)
    yield "dns", 53, True, [(False, query), (True, reply)]
    yield "dns", 53, True, [(True, pay.mdns_announcement("printer.local", "192.0.2.7"))]
    yield "dns", 53, True, [(False, query), (True, pay.dns_response(question, rcode=3))]
    yield "dns", 53, False, [(False, short(query) + short(query)), (True, short(reply))]


def frames(capture: Capture) -> bytes:
    """For packets.cpp: the capture's frames as they are."""
    link = LINKS.index(capture.linktype)
    return b"".join(bytes([3, link]) + short(frame.data) for frame in capture.frames[:40])


def readers() -> Seeds:
    """For reader.cpp, and the compressed ones for capture.cpp: each kind of file, with blocks that are rare."""
    capture = CAPTURES["http"]()
    capture.frames = capture.frames[:5]
    whole = capture.pcap()
    record = whole[24:40] + bytes(8)  # of the modified kind, then its data
    files = [whole, capture.pcap(">", True), capture.pcapng(), capture.pcapng(">", True)]
    files += [whole[:6] + bytes([minor, 0]) + whole[8:] for minor in (2, 3)]
    files.append(bytes.fromhex("34cdb2a1") + whole[4:24] + record + capture.frames[0].data)

    def block(order: str, kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + length + body + length

    mixed = b""
    for order in "<>":
        mixed += block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
        mixed += block(order, 1, struct.pack(order + "HHIHHB3xHHqI", 1, 0, 0, 9, 1, 0x8A, 14, 8, -1, 0))
        mixed += block(order, 1, struct.pack(order + "HHIHHB3xI", 101, 0, 9, 9, 1, 9, 0))
        mixed += block(order, 3, struct.pack(order + "I", 60) + bytes(60))
        mixed += block(order, 2, struct.pack(order + "HHIIII", 1, 0, 0, 5, 4, 4) + b"data")
        mixed += block(order, 6, struct.pack(order + "IIIII", 0, 1, 5, 4, 4) + b"data" + bytes(4))
        mixed += block(order, 5, bytes(12)) + block(order, 10, b"secrets") + block(order, 0xBAD, b"custom")
    files.append(mixed)
    packed = [
        gzip.compress(whole),
        gzip.compress(whole[:30]) + gzip.compress(whole[30:]) + bytes(9),
        lzma.compress(whole),
    ]
    packed += [bytes.fromhex(text) for text in PACKED]
    for number, data in enumerate([*files, *packed]):
        yield "reader", bytes([number % 8 | (number % 2) << 3]) + data
    for data in packed:
        yield "capture", bytes([0]) + data


def core() -> Seeds:
    for make in CAPTURES.values():
        capture = make()
        link = LINKS.index(capture.linktype)
        for data in {len(frame.data): frame.data for frame in capture.frames}.values():
            yield "decode", bytes([link, 1, 0]) + data
        for metered in (0, 128):
            yield "packets", bytes([0b10010 | metered]) + frames(capture)
        capture.frames = capture.frames[:12]
        for pipe in range(2):
            yield "capture", bytes([pipe]) + capture.pcap("<>"[pipe], bool(pipe))
            yield "capture", bytes([pipe]) + capture.pcapng("<>"[pipe], bool(pipe))
    yield from readers()
    for form in EXAMPLES:
        yield "binary", short(form.schema()) + form.batch()
    for name, port, udp, turns in conversations():
        yield name, dissect(turns, udp)
        for metered in (0, 128):
            yield "packets", bytes([0x20 | metered]) + steps(turns, port, udp)
        answer, later = bytes([6, 0, 62, 2]) + b"hi", bytes([4, 33])
        for metered in (0, 128):
            asked = bytes([0x21 | metered]) + steps(turns, 9999, udp)
            yield "packets", asked + bytes([7, 1]) + answer + later + bytes([5])


def protocols() -> Seeds:
    from messages import TALKS

    for name, talk in TALKS.items():
        turns = [(turn.from_server, turn.data) for turn in talk.turns]
        if max((len(data) for _, data in turns), default=0) < 1 << 16:
            yield name.split("-")[0], dissect(turns, talk.transport == "udp", middle=talk.middle)


def quic() -> Seeds:
    import conversations
    import packets

    def unsealed(_cipher: int, _key: bytes, _iv: bytes | None, _header: bytes, data: bytes, tag: int) -> bytes:
        return data + bytes(tag) if tag else bytes(len(data))

    for target in ("quic", "quic-unsealed"):
        if target == "quic-unsealed":  # what tests/native/unsealed.cpp opens
            packets._encrypt = unsealed
            importlib.reload(conversations)
        for case in conversations.CASES.values():
            yield target, dissect([(False, datagram) for datagram in case.client])


MAKERS = {"core": core, "protocols": protocols, "quic": quic}


def main(kind: str, folder: str) -> None:
    sys.path.insert(0, str(PLUGINS / f"aicore-{kind}" / "tests"))
    shutil.rmtree(folder, ignore_errors=True)
    for number, (target, data) in enumerate(MAKERS[kind]()):
        path = Path(folder, target, str(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
