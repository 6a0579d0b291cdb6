# SPDX-License-Identifier: Apache-2.0
"""What a spool finds at its start. Damage is counted and set aside, once, and never keeps it from starting."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aicore.delivery.cursor import Cursor, read_cursor
from aicore.delivery.segment import MAGIC, Damage, Frame, read_frame, scan
from aicore.delivery.smallfile import replace_small
from aicore.delivery.told import Told

log = logging.getLogger("aicore.delivery")

_NAME = re.compile(r"(head-|carry-)?(\d{20})\.seg")
_CARRIED = "carry-"
_PREFIXES = ("head-", _CARRIED, "")  # in the order of delivery
_MAX_SEQ = 1 << 62
#: Bytes of a segment at most: 16 MiB and one frame, and some. What a broken file system has grown is not searched.
_MAX_SEGMENT = 128 << 20


@dataclass(slots=True)
class Segment:
    path: Path
    first: int
    head: bool  # comes before all that are none, and is freed as a whole
    size: int
    rows: int  # not yet acknowledged
    created: float
    inode: int


@dataclass
class Recovery:
    """The segments with rows to deliver, in order, and what was found on the way."""

    path: Path
    max_bad: int  # bytes of `.bad` files
    segments: list[Segment] = field(default_factory=list)
    cursor: Cursor = field(default_factory=Cursor)
    next: int = 0  # first_seq of the next frame to append
    set_aside: int = 0
    damaged_bytes: int = 0  # of which no earlier run has told; so it is with lost_rows
    lost_rows: int = 0
    told: Told = field(init=False)
    _seen: int = 0  # first_seq of the next frame, if nothing is missing

    def run(self) -> None:
        """OSError only where the directory itself cannot be read."""
        self.told = Told(self.path)
        self.cursor = read_cursor(self.path)
        with suppress(OSError):
            (self.path / "cursor.tmp").unlink(missing_ok=True)
        found = segment_files(self.path)
        if not self.cursor.segment:
            found = [_uncarried(one) for one in found]
            start = next((one.number for one in found if not one.head), 0)
            self.cursor = Cursor("-", 0, start, start)
        self._seen = self.cursor.expected
        self.next = max(self._seen, self.cursor.end)
        for index, one in enumerate(found):
            if one.done(self.cursor):
                with suppress(OSError):
                    one.path.unlink(missing_ok=True)  # killed between cursor and unlink
                continue
            if segment := self._segment(one.path, one.head, one.number, last=index == len(found) - 1):
                self.segments.append(segment)
        self._seen = self._lose("rows", self._seen, self.next)
        carried = carry_path(self.path, self.cursor.carried)
        if all(one.path != carried for one in found):
            self._lose(f"rows of {carried.name}", 0, self.cursor.carried_rows)

    def _segment(self, path: Path, head: bool, first: int, *, last: bool) -> Segment | None:
        """Checks every frame; None if nothing is left to deliver in it."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            log.warning("spool %s: %s cannot be opened: %s; set aside", self.path, path.name, error.strerror)
            self.set_aside += 1
            return None
        try:
            return self._checked(fd, path, head, first, last)
        except OSError as error:
            log.warning("spool %s: %s cannot be read: %s; set aside", self.path, path.name, error.strerror)
            self.set_aside += 1
            return None
        finally:
            os.close(fd)

    def _checked(self, fd: int, path: Path, head: bool, first: int, last: bool) -> Segment | None:
        info = os.fstat(fd)
        size = segment_size(info)
        if size < info.st_size:
            self.damaged_bytes += info.st_size - size
            log.warning("spool %s: %s has %d bytes; the first %d are read", self.path, path.name, info.st_size, size)
        if version := other_version(fd, size):
            path.rename(path.with_suffix(f".seg-v{version}"))
            log.warning("spool %s: %s is of another version; set aside", self.path, path.name)
            self.set_aside += 1
            return None
        begin = self._begin(fd, path, size)
        rows, end = 0, begin
        what, seen = (f"rows of {path.name}", 0) if head else ("rows", self._seen)
        next_seq = 0 if head else first
        for part in scan(fd, begin, size):
            if isinstance(part, Damage):
                torn = part.tail and last
                # What a killed process was writing, nobody had been told to be safe: the cursor says what was.
                next_seq = next_seq if torn else max(next_seq, part.next_seq)
                self._keep_damage(fd, path, part, torn=torn)
                continue
            next_seq = max(next_seq, part.first_seq + part.rows)
            end = part.end
            if part.first_seq < seen:  # a second copy
                continue
            rows += part.rows
            self._lose(what, seen, part.first_seq)
            seen = part.first_seq + part.rows
        if head:
            copied = self.cursor.carried_rows if path == carry_path(self.path, self.cursor.carried) else 0
            self._lose(what, seen, max(next_seq, copied))
        else:
            self._seen, self.next = seen, max(self.next, min(next_seq, _MAX_SEQ))
        if rows == 0:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        if end < info.st_size:
            with suppress(OSError):  # it is not read in any case
                os.ftruncate(fd, end)
        return Segment(path, first, head, end, rows, info.st_mtime, info.st_ino)

    def _lose(self, what: str, seen: int, first_seq: int) -> int:
        """The rows before this one, if any are missing; returns the greater number."""
        self.lost_rows += self.told.news(what, seen, first_seq)
        return max(seen, first_seq)

    def _begin(self, fd: int, path: Path, size: int) -> int:
        """Where the rows begin that are not delivered."""
        if path.name != self.cursor.segment:
            return 0
        begin = self.cursor.offset
        if begin < size and read_frame(fd, begin, size) is None:  # perhaps what is before it has moved
            for part in scan(fd, 0, size):
                if isinstance(part, Frame) and part.first_seq >= self.cursor.expected:
                    begin = min(begin, part.start)
                    break
            self.cursor = self.cursor._replace(offset=begin)
        return begin

    def _keep_damage(self, fd: int, path: Path, part: Damage, *, torn: bool) -> None:
        """Copies what is no frame to a `.bad` file, so that it can be looked at, within bounds; but not the frame that
        a process was writing when it was killed."""
        length = part.end - part.start
        fresh = self.told.news(path.name, part.start, part.end)
        self.damaged_bytes += fresh
        if not fresh:
            return
        what = "at the end of an interrupted write cut away" if torn else f"at {part.start} skipped"
        log.warning("spool %s: %s: %d damaged bytes %s", self.path, path.name, length, what)
        if not torn:
            keep_bad(path, part.start, lambda: os.pread(fd, length, part.start), length, self.max_bad)


def segment_size(info: os.stat_result) -> int:
    """The bytes of a segment that are looked at."""
    return min(info.st_size, _MAX_SEGMENT)


def other_version(fd: int, size: int) -> str:
    """The version of a segment of another aicore, which has no frame that this one can read; "" for any other."""
    magic = os.pread(fd, len(MAGIC), 0)
    if len(magic) < len(MAGIC) or magic == MAGIC or magic[:3] != MAGIC[:3] or not magic[3:].isdigit():
        return ""
    return "" if any(isinstance(part, Frame) for part in scan(fd, 0, size)) else magic[3:].decode()


def keep_bad(segment: Path, start: int, read: Callable[[], bytes], length: int, most: int) -> None:
    """Writes what stood in a segment to a `.bad` file beside it, unless those would have more than `most` bytes."""
    try:
        if sum(bad.stat().st_size for bad in segment.parent.glob("*.bad")) + length <= most:
            replace_small(segment.parent / f"{segment.stem}-{start}.bad", read())
    except OSError as error:
        log.warning("spool %s: damaged bytes cannot be kept: %s", segment.parent, error.strerror)


class SegmentFile(NamedTuple):
    """`<number>.seg`, numbered by the first_seq of its first frame; before them those with rows of earlier times:
    `head-<number>.seg`, in memory at the end of a run, and `carry-<number>.seg`, read and not delivered."""

    path: Path
    prefix: str
    number: int

    @property
    def head(self) -> bool:
        return bool(self.prefix)

    def done(self, cursor: Cursor) -> bool:
        """Nothing of it waits: it was delivered, or is a copy that was not finished, or has been copied again."""
        if self.prefix == _CARRIED:
            return bool(cursor.segment) and self.number != cursor.carried
        return not self.prefix and self.number < cursor.done


def segment_files(path: Path) -> list[SegmentFile]:
    """In the order of delivery."""
    found = [
        SegmentFile(entry, match[1] or "", int(match[2]))
        for entry in path.iterdir()
        if (match := _NAME.fullmatch(entry.name)) and int(match[2]) < _MAX_SEQ and entry.is_file()
    ]
    return sorted(found, key=lambda one: (_PREFIXES.index(one.prefix), one.number))


def carry_path(path: Path, number: int) -> Path:
    """Of the segment in a spool's directory that the cursor is to name."""
    return path / f"{_CARRIED}{number:020d}.seg"


def _uncarried(one: SegmentFile) -> SegmentFile:
    """Where the cursor is lost, no later one names it: it becomes a head, which waits in any case."""
    if one.prefix != _CARRIED:
        return one
    path = one.path.with_name(one.path.name.replace(_CARRIED, "head-"))
    with suppress(OSError):
        os.link(one.path, path)  # never over another
        one.path.unlink()
        return SegmentFile(path, "head-", one.number)
    return one
