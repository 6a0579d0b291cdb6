# SPDX-License-Identifier: Apache-2.0
"""Segments: the files of a spool. A segment is frames and nothing else; a frame is checked by itself.

Frame, little endian: magic ``AIS2`` (4 bytes, the digit is the format's version), payload length u32, CRC-32 u32
(over the two numbers that follow and the payload), rows u32, first_seq u64, payload (see `payload`).
first_seq counts the rows ever appended to the spool: a jump tells how many rows damage has cost.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"AIS2"
HEADER = struct.Struct("<4sIIIQ")
_TAIL = struct.Struct("<IQ")
MAX_PAYLOAD = 64 << 20
_WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose CRC is right, at [start, end) of its segment."""

    start: int
    end: int
    rows: int
    first_seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes [start, end) that are no frame; `tail`: up to the end of the segment."""

    start: int
    end: int
    tail: bool


def header(payload: bytes, rows: int, first_seq: int) -> bytes:
    """The 24 bytes before a payload. ValueError for a payload over 64 MiB."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a spool frame holds at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    return HEADER.pack(MAGIC, len(payload), _crc(rows, first_seq, payload), rows, first_seq)


def read_frame(fd: int, start: int, size: int) -> Frame | None:
    """The frame at that offset, or None if there is no whole, valid one."""
    head = os.pread(fd, HEADER.size, start)
    if len(head) < HEADER.size:
        return None
    magic, length, crc, rows, first_seq = HEADER.unpack(head)
    end = start + HEADER.size + length
    if magic != MAGIC or length > MAX_PAYLOAD or end > size:
        return None
    payload = os.pread(fd, length, start + HEADER.size)
    if len(payload) < length or _crc(rows, first_seq, payload) != crc:
        return None
    return Frame(start, end, rows, first_seq, payload)


def scan(fd: int, start: int, size: int) -> Iterator[Frame | Damage]:
    """Everything in [start, size), in order. Memory: one frame."""
    while start < size:
        found: Frame | None = read_frame(fd, start, size)
        if found is None:
            found = _resync(fd, start + 1, size)
            yield Damage(start, found.start if found else size, found is None)
            if found is None:
                return
        yield found
        start = found.end


def _resync(fd: int, start: int, size: int) -> Frame | None:
    """The next valid frame from that offset on."""
    while start < size:
        window = os.pread(fd, _WINDOW, start)
        at = window.find(MAGIC)
        while at >= 0:
            if frame := read_frame(fd, start + at, size):
                return frame
            at = window.find(MAGIC, at + 1)
        if len(window) < len(MAGIC):
            return None
        # The last three bytes may be the beginning of a magic that the next window completes.
        start += len(window) - (len(MAGIC) - 1) if len(window) == _WINDOW else len(window)
    return None


def _crc(rows: int, first_seq: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_TAIL.pack(rows, first_seq)))
