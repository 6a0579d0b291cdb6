# SPDX-License-Identifier: Apache-2.0
"""Segments: the files of a spool. A segment is frames and nothing else; a frame is checked by itself.

Frame, little endian: magic ``AIS3`` (4 bytes, the digit is the format's version), payload length u32, rows u32,
first_seq u64, CRC-32 of the payload u32, CRC-32 of the 24 bytes so far u32, payload (see `payload`). first_seq counts
the rows ever appended to the spool: a jump tells how many rows damage has cost. The header has a checksum of its own so
that the next frame is found without reading what a wrong length or a payload that looks like headers pretends to be,
and so that a frame with a broken payload still tells how many rows it had.

Payloads are not compressed: of 75,311 rows with 118 bytes each zlib leaves half, for 4.4 µs per row (level 1).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAGIC = b"AIS3"
_FIELDS = struct.Struct("<4sIIQI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CRC.size
MAX_PAYLOAD = 64 << 20
_WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose checksums are right, at [start, end) of its segment."""

    start: int
    end: int
    rows: int
    first_seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes [start, end) that are no frame; `tail`: up to the end of the segment. `next_seq`: the rows before it have
    existed, as headers in these bytes say; 0 if there is none."""

    start: int
    end: int
    tail: bool
    next_seq: int


class _Header(NamedTuple):
    end: int
    rows: int
    first_seq: int
    payload_crc: int


def header(payload: bytes, rows: int, first_seq: int) -> bytes:
    """The 28 bytes before a payload. ValueError for a payload over 64 MiB."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a spool frame holds at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    fields = _FIELDS.pack(MAGIC, len(payload), rows, first_seq, zlib.crc32(payload))
    return fields + _CRC.pack(zlib.crc32(fields))


def read_frame(fd: int, start: int, size: int) -> Frame | None:
    """The frame at that offset, or None if there is no whole, valid one."""
    found = _read_header(fd, start)
    return _read_payload(fd, start, size, found) if found else None


def scan(fd: int, start: int, size: int) -> Iterator[Frame | Damage]:
    """Everything in [start, size), in order. Memory: one frame."""
    while start < size:
        found = read_frame(fd, start, size)
        if found is None:
            found, next_seq = _resync(fd, start, size)
            yield Damage(start, found.start if found else size, found is None, next_seq)
            if found is None:
                return
        yield found
        start = found.end


def _read_header(fd: int, start: int) -> _Header | None:
    head = os.pread(fd, HEADER_BYTES, start)
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        return None
    if _CRC.unpack_from(head, _FIELDS.size)[0] != zlib.crc32(head[: _FIELDS.size]):
        return None
    _, length, rows, first_seq, payload_crc = _FIELDS.unpack_from(head)
    return _Header(start + HEADER_BYTES + length, rows, first_seq, payload_crc)


def _read_payload(fd: int, start: int, size: int, found: _Header) -> Frame | None:
    length = found.end - start - HEADER_BYTES
    if length > MAX_PAYLOAD or found.end > size:
        return None
    payload = os.pread(fd, length, start + HEADER_BYTES)
    if len(payload) < length or zlib.crc32(payload) != found.payload_crc:
        return None
    return Frame(start, found.end, found.rows, found.first_seq, payload)


def _resync(fd: int, start: int, size: int) -> tuple[Frame | None, int]:
    """The next valid frame from a damaged place on, and the `next_seq` of the headers before it."""
    next_seq = 0
    if found := _read_header(fd, start):
        next_seq = found.first_seq + found.rows
        # The rule: its payload alone is broken. Nothing in there is taken for a frame.
        if frame := read_frame(fd, found.end, size):
            return frame, next_seq
    start += 1
    while start < size:
        window = os.pread(fd, _WINDOW, start)
        at = window.find(MAGIC)
        while at >= 0:
            if found := _read_header(fd, start + at):
                if frame := _read_payload(fd, start + at, size, found):
                    return frame, next_seq
                next_seq = max(next_seq, found.first_seq + found.rows)
            at = window.find(MAGIC, at + 1)
        if len(window) < len(MAGIC):
            break
        # The last three bytes may be the beginning of a magic that the next window completes.
        start += len(window) - (len(MAGIC) - 1) if len(window) == _WINDOW else len(window)
    return None, next_seq
