# SPDX-License-Identifier: Apache-2.0
"""libndpi as a protocol: what it names, what it must leave to others, and its bounds."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from captures.files import Capture, Conversation, Tcp, Udp, reordered, talks

import aicore
from aicore._core import Registry

CLIENT, SERVER = ("192.0.2.10", 40000), ("198.51.100.20", 50000)
CLIENT6, SERVER6 = ("2001:db8::10", 40000), ("2001:db8:1::20", 50000)

RFB = b"RFB 003.008\n"  # RFC 6143 section 7.1.1: both sides say it
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def vnc(client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER) -> Tcp:
    return Tcp(client, server).open().say(RFB, True).say(RFB).say(b"\1\1", True).close()


def netflow(records: int = 1) -> bytes:
    """Version 5 of Cisco's NetFlow: 24 bytes of header, 48 a record."""
    head = struct.pack("!HHIIIIBBH", 5, records, 1000, 1_700_000_000, 0, 7, 0, 0, 0)
    return head + records * struct.pack(
        "!IIIHHIIIIHHBBBBHHBBH", 1, 2, 3, 0, 0, 4, 99, 1, 2, 80, 81, 0, 2, 6, 0, *[0] * 5
    )


def read(path: Path, *conversations: Conversation) -> list[aicore.Flow]:
    return list(aicore.flows(str(talks(*conversations).write(path / "talk.pcap"))))


@pytest.mark.parametrize(
    ("talk", "layer7", "name", "category"),
    [
        (vnc(), "vnc", "VNC", "RemoteAccess"),
        (vnc(CLIENT6, SERVER6), "vnc", "VNC", "RemoteAccess"),
        (Udp(CLIENT, ("198.51.100.20", 2055)).say(netflow()), "netflow", "NetFlow", "Network"),
    ],
)
def test_names_what_nobody_else_knows(
    talk: Conversation, layer7: str, name: str, category: str, tmp_path: Path
) -> None:
    (flow,) = read(tmp_path, talk)
    assert (flow.layer7, flow.layer7_by, flow.ndpiprotocol, flow.ndpicategory) == (layer7, "payload", name, category)


def test_others_come_first(tmp_path: Path) -> None:
    (flow,) = read(tmp_path, Tcp(CLIENT, SERVER).open().say(REQUEST).say(ANSWER, True).close())
    assert (flow.layer7, flow.httphost, flow.ndpiprotocol) == ("http", "www.example.com", None)


def test_others_still_get_what_was_named_early(tmp_path: Path) -> None:
    """A message in two segments: libndpi names the flow by the first, the whole head belongs to http."""
    for cut in range(4, len(REQUEST), 7):
        talk = Tcp(CLIENT, SERVER).open().say(REQUEST[:cut]).say(REQUEST[cut:]).say(ANSWER, True).close()
        (flow,) = read(tmp_path, talk)
        assert (flow.layer7, flow.httphost, flow.httpuri) == ("http", "www.example.com", "/index.html"), cut
        assert flow.useragent == "test"


def test_a_port_names_nothing(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(300)
    talks_ = [Tcp(CLIENT, ("198.51.100.20", port)).open().say(noise).say(noise, True).close() for port in (3306, 5900)]
    talks_ += [Udp(CLIENT, ("198.51.100.20", port)).ask(noise, noise) for port in (161, 2055)]
    assert [flow.ndpiprotocol for flow in read(tmp_path, *talks_)] == [None] * 4


def test_the_next_flow_of_the_same_addresses_is_looked_at_anew(tmp_path: Path) -> None:
    noise = random.Random(2).randbytes(200)
    first = Tcp(CLIENT, SERVER).open()
    for _ in range(20):
        first.say(noise)
    flows = read(tmp_path, first.close(), vnc(), first, vnc())
    assert sorted(str(flow.ndpiprotocol) for flow in flows) == ["None", "None", "VNC", "VNC"]


def test_more_flows_than_the_table_holds(tmp_path: Path) -> None:
    """5,000 at once in a table of 4,096: those that gave way are looked at from their streams' start again."""
    capture = Capture()
    for i in range(5000):
        talk = Tcp((f"10.0.{i >> 8}.{i & 255}", 40000), SERVER).say(RFB, True, ack=False).say(RFB, ack=False)
        capture.add(talk, at=i * 1e-6, step=1)  # all flows' first packets, then all flows' second ones
    flows = list(aicore.flows(str(capture.sorted().write(tmp_path / "many.pcap"))))
    assert [flow.ndpiprotocol for flow in flows] == ["VNC"] * 5000


def test_holes_and_the_middle_of_connections(tmp_path: Path) -> None:
    talk = vnc()
    packets = range(len(talk.packets))
    for left_out in packets:
        rest = [i for i in packets if i != left_out]
        (flow,) = read(tmp_path, reordered(vnc(), rest))
        assert flow.packets == len(rest)
    (flow,) = read(tmp_path, reordered(vnc(), list(packets)[3:]))
    assert flow.ndpiprotocol == "VNC"


def test_noise_and_changed_messages(tmp_path: Path) -> None:
    """Nothing of it may end the process, whatever libndpi makes of it."""
    dice = random.Random(3)
    conversations: list[Conversation] = []
    for i in range(600):
        message = bytearray(dice.choice([REQUEST, ANSWER, RFB, netflow(3), dice.randbytes(dice.randrange(1, 1400))]))
        for _ in range(dice.randrange(4)):
            message[dice.randrange(len(message))] = dice.randrange(256)
        client, server = ("192.0.2.10", 10000 + i), ("198.51.100.20", dice.choice([53, 80, 443, 2055, 50000]))
        data = bytes(message[: dice.randrange(1, len(message) + 1)])
        conversations.append(Udp(client, server).ask(data, data))
        conversations.append(Tcp(client, server).open().say(data).say(data, True).close())
    assert len(read(tmp_path, *conversations)) == len(conversations)


def test_a_large_datagram(tmp_path: Path) -> None:
    for data in (b"", b"\0" * 65507):
        (flow,) = read(tmp_path, Udp(CLIENT, SERVER).say(data))
        assert flow.layer7 is None


def test_listed_with_its_fields() -> None:
    (row,) = [row for row in aicore.list_plugins() if row.distribution == "aicore-ndpi"]
    assert (row.name, row.status) == ("protocol:ndpi", "ok")
    from aicore_ndpi import _native

    registry = Registry()
    registry.add(_native.ndpi)  # checks every name
    assert [field["name"] for field in registry.fields()] == ["ndpiprotocol", "ndpicategory"]
