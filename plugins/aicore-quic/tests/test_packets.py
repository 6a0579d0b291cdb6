# SPDX-License-Identifier: Apache-2.0
"""Sealed packets through the engine: recognised by their tag alone, with these values."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from captures.files import Tcp, Udp, talks
from conversations import CASES, HOST, JA4, LONG, OTHERS, RFC_V1, RFC_V2, in_two
from packets import DCID, V1, V2, crypto, initial, keys, padded

import aicore

CLIENT, SERVER = ("192.0.2.10", 40000), ("198.51.100.20", 8443)


def read(datagrams: list[bytes], path: Path) -> aicore.Flow:
    talk = Udp(CLIENT, SERVER)
    for datagram in datagrams:
        talk.say(datagram)
    (flow,) = aicore.flows(str(talks(talk).write(path / "talk.pcap")))
    return flow


def test_generator_against_the_rfcs() -> None:
    """The tag at a packet's end covers all of it."""
    assert [k.hex() for k in keys(V1, DCID)] == [
        "1f369613dd76d5467730efcbe3b1a22d",
        "fa044b2f42a3fd3b46fb255c",
        "9f50449e04a0e810283a1e9933adedd2",
    ]
    assert [k.hex() for k in keys(V2, DCID)] == [
        "8b1a0bc121284290a29e0971b5cd045d",
        "91f73e2351d8fa91660e909f",
        "45b95e15235d6f45a6b19cbcb0294ba9",
    ]
    for packet, head, tag in (
        (RFC_V1, "c000000001088394c8f03e5157080000449e7b9aec34", "e221af44860018ab0856972e194cd934"),
        (RFC_V2, "d76b3343cf088394c8f03e5157080000449ea0c95e82", "a18b2faa745b6fe189cf772a9f84cbfc"),
    ):
        assert (len(packet), packet[:22].hex(), packet[-16:].hex()) == (1200, head, tag)


@pytest.mark.parametrize("name", CASES)
def test_recognised(name: str, tmp_path: Path) -> None:
    flow, want = read(CASES[name].client, tmp_path), CASES[name].fields
    assert (flow.layer7, flow.layer7_by) == ("quic", "payload")
    assert {field: getattr(flow, field) for field in want} == want
    assert "anomaly" in want or flow.anomaly is None


@pytest.mark.parametrize("name", OTHERS)
def test_not_recognised(name: str, tmp_path: Path) -> None:
    assert read(OTHERS[name], tmp_path).layer7 is None


def test_ja4(tmp_path: Path) -> None:
    rest = hashlib.sha256(b"000a,000d,002b,0033,0039_0403,0804,0401").hexdigest()[:12]
    assert hashlib.sha256(b"1301,1302,1303").hexdigest()[:12] == JA4.split("_")[1]
    for name in ("one packet", "shuffled frames", "two datagrams reordered"):
        assert read(CASES[name].client, tmp_path).ja4 == JA4 + rest
    assert read(CASES["without a name"].client, tmp_path).ja4.startswith("q13i0306h3_")
    assert read(CASES["Q046"].client, tmp_path).ja4 is None


def test_ja4_is_that_of_the_same_hello_over_tcp(tmp_path: Path) -> None:
    """But for the first letter, which names the transport: the two readers are each other's check."""
    record = b"\x16\x03\x01" + len(LONG).to_bytes(2, "big") + LONG
    talk = Tcp(CLIENT, SERVER).open().say(record).close()
    (tls,) = aicore.flows(str(talks(talk).write(tmp_path / "tls.pcap")))
    quic = read(in_two(LONG, 1000), tmp_path)
    assert (quic.ja4, quic.sslhost, quic.alpn) == ("q" + tls.ja4[1:], tls.sslhost, tls.alpn)


def test_every_piece_in_any_order(tmp_path: Path) -> None:
    """Eight packets, rotated: whichever comes first or last."""
    step = -(-len(LONG) // 8)
    packets = [initial(padded(crypto(LONG, at, at + step)), number=i) for i, at in enumerate(range(0, len(LONG), step))]
    for first in range(8):
        flow = read(packets[first:] + packets[:first], tmp_path)
        assert (flow.sslhost, flow.anomaly) == (HOST, None)


def test_many_unfinished_hellos_lose_the_oldest(tmp_path: Path) -> None:
    """A pool has 256 slots: of 300 hellos at once the first 44 lose their first half, and say so."""
    first, second = in_two(LONG, 1000)
    flows = [Udp(("192.0.2.10", 20000 + i), SERVER) for i in range(300)]
    capture = talks(*[flow.say(first) for flow in flows])
    frames = len(capture.frames)
    late = talks(*[Udp(("192.0.2.10", 20000 + i), SERVER).say(second) for i in range(300)])
    for frame in late.frames:
        capture.frames.append(frame._replace(time=frame.time + 20 * 10**9))
    assert len(capture.frames) == 2 * frames
    found = {flow.portsrc - 20000: flow for flow in aicore.flows(str(capture.write(tmp_path / "many.pcap")))}
    lost = {i for i, flow in found.items() if flow.anomaly == "quic_lost_hello"}
    assert lost == set(range(44))
    assert all(found[i].sslhost == HOST for i in range(44, 300))


def test_a_hello_that_never_comes_is_given_up(tmp_path: Path) -> None:
    """The flow stays QUIC, its packets are counted on, its hello is waited for no longer."""
    first, second = in_two(LONG, 1000)
    flow = read([first] * 64 + [second], tmp_path)
    assert (flow.layer7, flow.sslhost, flow.packets) == ("quic", None, 65)
    assert read([first] * 62 + [second], tmp_path).sslhost == HOST


def test_both_ways_and_the_servers_side(tmp_path: Path) -> None:
    """What the server sends in between changes nothing; a capture that begins with it is recognised later."""
    first, second = in_two(LONG, 1000)
    answer = initial(padded(b"\2\0\0\0\0"), dcid=b"", scid=b"\7" * 8, secret_dcid=DCID, side="server in")
    talk = Udp(CLIENT, SERVER).say(answer, True).say(first).say(answer, True).say(second).say(b"\x40" * 60, True)
    (flow,) = aicore.flows(str(talks(talk).write(tmp_path / "both.pcap")))
    assert (flow.layer7, flow.sslhost, flow.packets) == ("quic", HOST, 5)


def test_listed_with_its_fields() -> None:
    rows = [row for row in aicore.list_plugins() if row.distribution == "aicore-quic"]
    assert [(row.name, row.status) for row in rows] == [("protocol:quic", "ok")]
