# SPDX-License-Identifier: Apache-2.0
"""Capture files for tests of protocols and hooks: one conversation between two hosts."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

_CLIENT, _SERVER = bytes([192, 0, 2, 10]), bytes([198, 51, 100, 20])
_CLIENT_PORT = 40000
_START = 1_700_000_000  # s since the epoch
_MSS = 1400
_FIN, _SYN, _PSH, _ACK = 1, 2, 8, 16
_LINKTYPE_RAW = 101  # the packets begin with the IP header


def write_capture(
    path: str | Path, port: int, turns: Sequence[bytes], transport: Literal["tcp", "udp"] = "udp"
) -> Path:
    """Writes a pcap file with one conversation of a client and the server on `port`, and returns its path.

    Client and server say the turns by turns, the client first; an empty one is not sent. Over UDP a turn is a
    datagram; over TCP the connection is opened, turns of more than 1,400 bytes are cut into segments, and it is closed.
    Packets are 1 ms apart. IPv4; checksums of TCP and UDP are left out, as network cards leave them.
    """
    said = [(bool(number % 2), turn) for number, turn in enumerate(turns) if turn]
    packets = _datagrams(port, said) if transport == "udp" else _segments(port, said)
    path = Path(path)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_RAW))
        for number, packet in enumerate(packets):
            seconds, ms = divmod(number, 1000)
            file.write(struct.pack("<IIII", _START + seconds, ms * 1000, len(packet), len(packet)) + packet)
    return path


def _ip(reverse: bool, proto: int, body: bytes) -> bytes:
    """RFC 791 section 3.1."""
    source, target = (_SERVER, _CLIENT) if reverse else (_CLIENT, _SERVER)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, proto, 0) + source + target
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:] + body


def _ports(port: int, reverse: bool) -> tuple[int, int]:
    return (port, _CLIENT_PORT) if reverse else (_CLIENT_PORT, port)


def _datagrams(port: int, said: Sequence[tuple[bool, bytes]]) -> Iterator[bytes]:
    """RFC 768."""
    for reverse, data in said:
        yield _ip(reverse, 17, struct.pack("!HHHH", *_ports(port, reverse), 8 + len(data), 0) + data)


def _segments(port: int, said: Sequence[tuple[bool, bytes]]) -> Iterator[bytes]:
    """RFC 9293: three-way handshake, the turns, FIN of both."""
    sequence = [1000, 5000]  # of client and server

    def segment(reverse: bool, flags: int, data: bytes = b"") -> bytes:
        acknowledged = sequence[not reverse] if flags & _ACK else 0
        head = struct.pack(
            "!HHIIBBHHH", *_ports(port, reverse), sequence[reverse], acknowledged, 0x50, flags, 65535, 0, 0
        )
        sequence[reverse] += len(data) + bool(flags & (_SYN | _FIN))
        return _ip(reverse, 6, head + data)

    yield segment(False, _SYN)
    yield segment(True, _SYN | _ACK)
    yield segment(False, _ACK)
    for reverse, turn in said:
        for start in range(0, len(turn), _MSS):
            yield segment(reverse, _PSH | _ACK, turn[start : start + _MSS])
        yield segment(not reverse, _ACK)
    for reverse in (False, True):
        yield segment(reverse, _FIN | _ACK)
    yield segment(False, _ACK)
