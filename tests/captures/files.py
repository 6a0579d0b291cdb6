# SPDX-License-Identifier: Apache-2.0
"""Capture files, and conversations that know which flow a reader must report for them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from captures import packets as p

SECOND = 1_000_000_000  # ns
EPOCH = 1_700_000_000 * SECOND  # 2023-11-14 22:13:20 UTC

NULL, ETHERNET, PPP, RAW, CHDLC, LOOP, SLL, SLL2 = 0, 1, 9, 101, 104, 108, 113, 276  # LINKTYPE_* of capture files


class Flow(NamedTuple):
    """What a reader must report: the record's key, packets and IP bytes, and the fields that are known."""

    key: str
    packets: int
    bytes: int
    fields: dict[str, Any]


class Frame(NamedTuple):
    time: int  # ns since the epoch
    data: bytes
    length: int  # on the wire


def key(src: str, sport: int, proto: int, dst: str, dport: int) -> str:
    a, b = (f"[{x}]" if ":" in x else x for x in (src, dst))
    return f"{a}:{sport}:{proto}:{b}:{dport}"


class Conversation:
    """Packets of one 5-tuple. Methods append packets and return self, so that they chain."""

    proto = p.UDP

    def __init__(self, client: tuple[str, int], server: tuple[str, int], **fields: Any) -> None:
        self.client, self.server = client, server
        self.fields = fields
        self.packets: list[bytes] = []

    @property
    def flow(self) -> Flow:
        ends = (self.client, self.server) if self._starts_client() else (self.server, self.client)
        return Flow(key(*ends[0], self.proto, *ends[1]), len(self.packets), sum(map(len, self.packets)), self.fields)

    def _starts_client(self) -> bool:
        """Whether the first packet, as the list stands now, is the client's, or answers its SYN."""
        first = self.packets[0]
        transport = first[40:] if first[0] >> 4 == 6 else first[20:]
        if self.proto == p.TCP and transport[13] & (p.SYN | p.ACK) == p.SYN | p.ACK:
            return True
        address, ports = (first[8:24], first[40:42]) if first[0] >> 4 == 6 else (first[12:16], first[20:22])
        if self.client[0] != self.server[0]:
            return address == p.packed(self.client[0])
        return ports == struct.pack("!H", self.client[1])


class Udp(Conversation):
    def say(self, payload: bytes, from_server: bool = False, **kwargs: Any) -> Udp:
        a, b = (self.server, self.client) if from_server else (self.client, self.server)
        self.packets.append(p.udp(*a, *b, payload, **kwargs))
        return self

    def ask(self, query: bytes, answer: bytes) -> Udp:
        return self.say(query).say(answer, True)


class Tcp(Conversation):
    proto = p.TCP
    MSS = 1460

    def __init__(
        self, client: tuple[str, int], server: tuple[str, int], isn: tuple[int, int] = (1000, 5000), **fields: Any
    ) -> None:
        super().__init__(client, server, **fields)
        self.seq = list(isn)  # next sequence number of client and server

    def segment(
        self, flags: int, payload: bytes = b"", from_server: bool = False, seq: int | None = None, **kwargs: Any
    ) -> Tcp:
        """One segment; sequence numbers advance unless `seq` is given (a retransmission, or out of the window)."""
        a, b = (self.server, self.client) if from_server else (self.client, self.server)
        mine, other = self.seq[from_server], self.seq[not from_server]
        ack = other if flags & p.ACK else 0
        self.packets.append(p.tcp(*a, *b, mine if seq is None else seq, ack, flags, payload, **kwargs))
        if seq is None:
            self.seq[from_server] = mine + len(payload) + bool(flags & (p.SYN | p.FIN))
        return self

    def open(self) -> Tcp:
        mss = struct.pack("!BBH", 2, 4, self.MSS)
        self.segment(p.SYN, options=mss).segment(p.SYN | p.ACK, from_server=True, options=mss)
        return self.segment(p.ACK)

    def say(self, data: bytes, from_server: bool = False, size: int = MSS, ack: bool = True) -> Tcp:
        """The data in segments of `size`, then one bare ACK of the other side."""
        for at in range(0, len(data), size):
            last = at + size >= len(data)
            self.segment(p.ACK | (p.PSH if last else 0), data[at : at + size], from_server)
        return self.segment(p.ACK, from_server=not from_server) if ack else self

    def close(self, from_server: bool = False) -> Tcp:
        """FIN both ways and the last ACK."""
        self.segment(p.FIN | p.ACK, from_server=from_server)
        return self.segment(p.FIN | p.ACK, from_server=not from_server).segment(p.ACK, from_server=from_server)

    def reset(self, from_server: bool = False) -> Tcp:
        return self.segment(p.RST | p.ACK, from_server=from_server)


@dataclass
class Capture:
    """Frames, and the flows that a reader must report for them (none listed for what is not tracked)."""

    linktype: int = ETHERNET
    wrap: Callable[[bytes], bytes] = p.ethernet
    frames: list[Frame] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)

    def add(
        self,
        talk: Conversation | Iterable[bytes],
        at: float = 0.0,
        step: float = 0.001,
        wrap: Callable[[bytes], bytes] | None = None,
    ) -> Capture:
        """Packets from `at` seconds on, `step` seconds apart, in their order."""
        wrap = wrap or self.wrap
        if isinstance(talk, Conversation):
            self.flows.append(talk.flow)
        for i, packet in enumerate(talk.packets if isinstance(talk, Conversation) else talk):
            data = wrap(packet)
            self.frames.append(Frame(EPOCH + round((at + i * step) * 1e6) * 1000, data, len(data)))
        return self

    def sorted(self) -> Capture:
        """By time, as an interface sees conversations that go on at once."""
        self.frames.sort(key=lambda frame: frame.time)
        return self

    def cut(self, snaplen: int) -> Capture:
        self.frames = [Frame(f.time, f.data[:snaplen], f.length) for f in self.frames]
        return self

    def pcap(self, order: str = "<", nano: bool = False, snaplen: int = 262144) -> bytes:
        """The classic format: byte order "<" or ">", micro- or nanoseconds."""
        unit = 1 if nano else 1000
        out = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, self.linktype)]
        for frame in self.frames:
            seconds, rest = divmod(frame.time, SECOND)
            out.append(struct.pack(order + "IIII", seconds, rest // unit, len(frame.data), frame.length) + frame.data)
        return b"".join(out)

    def pcapng(self, order: str = "<", nano: bool = False, snaplen: int = 262144) -> bytes:
        """Section header, one interface, an enhanced packet block a frame (draft-ietf-opsawg-pcapng)."""

        def block(kind: int, body: bytes) -> bytes:
            body += bytes(-len(body) % 4)
            return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

        options = struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0) if nano else b""
        out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
        out.append(block(1, struct.pack(order + "HHI", self.linktype, 0, snaplen) + options))
        for frame in self.frames:
            ticks = frame.time if nano else frame.time // 1000
            head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame.data), frame.length)
            out.append(block(6, head + frame.data))
        return b"".join(out)

    def write(self, path: Path | str, ng: bool = False, **kwargs: Any) -> Path:
        target = Path(path)
        target.write_bytes(self.pcapng(**kwargs) if ng else self.pcap(**kwargs))
        return target


def talks(*conversations: Conversation, gap: float = 0.05, **kwargs: Any) -> Capture:
    """A capture of conversations one after the other, `gap` seconds between their starts at least."""
    capture, at = Capture(**kwargs), 0.0
    for talk in conversations:
        capture.add(talk, at)
        at += gap + len(talk.packets) * 0.001
    return capture


def reordered(talk: Conversation, order: Sequence[int]) -> Conversation:
    """The same conversation with its packets in another order (indices may repeat: copies, or be missing: lost)."""
    talk.packets = [talk.packets[i] for i in order]
    return talk
