# SPDX-License-Identifier: Apache-2.0
"""What is said on one flow, and what a record of it must hold."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from captures.files import Conversation, Tcp, Udp

CLIENT, SERVER = ("192.0.2.10", "2001:db8::10"), ("198.51.100.20", "2001:db8:1::20")


class Turn(NamedTuple):
    from_server: bool
    data: bytes


def c(data: bytes) -> Turn:
    """The client says."""
    return Turn(False, data)


def s(data: bytes) -> Turn:
    """The server says."""
    return Turn(True, data)


@dataclass(frozen=True)
class Talk:
    transport: str
    port: int  # the server's
    turns: Sequence[Turn]
    layer7: str | None = None  # None: nobody may recognise it
    fields: dict[str, Any] = field(default_factory=dict)
    client_port: int = 40000
    middle: bool = False  # of a connection whose start is not in the capture

    def conversation(self, size: int = Tcp.MSS, v6: bool = False) -> Conversation:
        """As packets; TCP payload in segments of `size`."""
        client, server = (CLIENT[v6], self.client_port), (SERVER[v6], self.port)
        if self.transport == "udp":
            datagrams = Udp(client, server)
            for turn in self.turns:
                datagrams.say(turn.data, turn.from_server)
            return datagrams
        stream = Tcp(client, server)
        if not self.middle:
            stream.open()
        for turn in self.turns:
            stream.say(turn.data, turn.from_server, size)
        return stream if self.middle else stream.close()


def tcp(port: int, *turns: Turn, layer7: str | None = None, middle: bool = False, **fields: Any) -> Talk:
    return Talk("tcp", port, turns, layer7, fields, middle=middle)


def udp(port: int, *turns: Turn, layer7: str | None = None, client_port: int = 40000, **fields: Any) -> Talk:
    return Talk("udp", port, turns, layer7, fields, client_port=client_port)


def u8(*values: int) -> bytes:
    return bytes(values)


def u16(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}H", *values)


def u32(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}I", *values)


def vector(data: bytes, width: int) -> bytes:
    """The data behind its length in `width` bytes."""
    return len(data).to_bytes(width, "big") + data


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\r\n" for text in texts).encode()


def write_seeds(path: Path, talks: Iterable[tuple[str, Talk]]) -> None:
    """The talks for the native tests: strings and turns behind their lengths (see native/seeds.h)."""
    out = []
    for name, talk in talks:
        flags = (talk.transport == "udp") | talk.middle << 1
        out.append(vector(name.encode(), 2) + vector((talk.layer7 or "").encode(), 2))
        out.append(struct.pack("!BHHH", flags, talk.client_port, talk.port, len(talk.turns)))
        out += [u8(turn.from_server) + vector(turn.data, 4) for turn in talk.turns]
    path.write_bytes(b"".join(out))
