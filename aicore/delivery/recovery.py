# SPDX-License-Identifier: Apache-2.0
"""What a spool finds at its start. Damage is counted and set aside, and never keeps it from starting."""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aicore.delivery.segment import MAGIC, Damage, Frame, scan

log = logging.getLogger("aicore.delivery")

_NAME = re.compile(r"(head-)?(\d{20})\.seg")
_MAX_SEQ = 1 << 62


@dataclass(slots=True)
class Segment:
    path: Path
    first: int
    head: bool  # comes before all that are none, and has no cursor
    size: int
    rows: int  # not yet acknowledged
    created: float


@dataclass
class Recovery:
    """The segments with rows to deliver, in order, and what was found on the way."""

    path: Path
    max_bad: int  # bytes of `.bad` files
    segments: list[Segment] = field(default_factory=list)
    cursor: tuple[str, int, int] = ("", 0, 0)
    next: int = 0  # first_seq of the next frame to append
    torn: int = 0
    set_aside: int = 0
    damaged_bytes: int = 0

    def run(self) -> None:
        self.cursor = read_cursor(self.path)
        name, offset, expected = self.cursor
        done = expected if name == "-" else int(name[:20] or 0)
        self.next = expected
        (self.path / "cursor.tmp").unlink(missing_ok=True)
        found = segment_files(self.path)
        for index, (path, head, first) in enumerate(found):
            if not head and first < done:
                path.unlink(missing_ok=True)  # killed between cursor and unlink
                continue
            begin = offset if path.name == name else 0
            if segment := self._segment(path, head, first, begin, last=index == len(found) - 1):
                self.segments.append(segment)

    def _segment(self, path: Path, head: bool, first: int, begin: int, *, last: bool) -> Segment | None:
        """Checks every frame; None if nothing is left to deliver in it."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            log.warning("spool %s: %s cannot be opened: %s; set aside", self.path, path.name, error.strerror)
            self.set_aside += 1
            return None
        try:
            info = os.fstat(fd)
            magic = os.pread(fd, len(MAGIC), 0)
            if magic[:3] == MAGIC[:3] and len(magic) == 4 and magic != MAGIC and magic[3:].isdigit():
                path.rename(path.with_suffix(f".seg-v{magic[3:].decode()}"))
                log.warning("spool %s: %s is of another version; set aside", self.path, path.name)
                self.set_aside += 1
                return None
            size, rows, end = info.st_size, 0, begin
            for part in scan(fd, begin, size):
                if isinstance(part, Frame):
                    rows += part.rows
                    end = part.end
                    if not head:
                        self.next = max(self.next, part.first_seq + part.rows)
                elif part.tail and last and not head:
                    self.torn += 1
                else:
                    self._keep_damage(fd, path, part)
            if not head:
                self.next = max(self.next, first + 1)
            if rows == 0:
                path.unlink(missing_ok=True)
                return None
            if end < size:
                os.ftruncate(fd, end)
            return Segment(path, first, head, end, rows, info.st_mtime)
        except OSError as error:
            log.warning("spool %s: %s cannot be read: %s; set aside", self.path, path.name, error.strerror)
            self.set_aside += 1
            return None
        finally:
            os.close(fd)

    def _keep_damage(self, fd: int, path: Path, part: Damage) -> None:
        """Copies what is no frame to a `.bad` file, so that it can be looked at, within bounds."""
        length = part.end - part.start
        self.damaged_bytes += length
        log.warning("spool %s: %s: %d damaged bytes at %d skipped", self.path, path.name, length, part.start)
        keep_bad(path, part.start, lambda: os.pread(fd, length, part.start), length, self.max_bad)


def keep_bad(segment: Path, start: int, read: Callable[[], bytes], length: int, most: int) -> None:
    """Writes what stood in a segment to a `.bad` file beside it, unless those would have more than `most` bytes."""
    try:
        if sum(bad.stat().st_size for bad in segment.parent.glob("*.bad")) + length <= most:
            (segment.parent / f"{segment.stem}-{start}.bad").write_bytes(read())
    except OSError as error:
        log.warning("spool %s: damaged bytes cannot be kept: %s", segment.parent, error.strerror)


def segment_files(path: Path) -> list[tuple[Path, bool, int]]:
    """Segments in the order of delivery: path, head, first_seq."""
    found = [
        (entry, match[1] is not None, int(match[2]))
        for entry in path.iterdir()
        if (match := _NAME.fullmatch(entry.name)) and int(match[2]) < _MAX_SEQ and entry.is_file()
    ]
    return sorted(found, key=lambda item: (not item[1], item[2]))


def cursor_line(name: str, offset: int, expected: int) -> bytes:
    text = f"{name} {offset} {expected}"
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def read_cursor(path: Path) -> tuple[str, int, int]:
    """Segment name (empty: no cursor, "-": all was delivered), offset and first_seq of the next frame.

    A damaged cursor delivers again from the first segment: too often is safe, too late is not.
    """
    try:
        line = (path / "cursor").read_bytes()
        name, offset, expected, _ = line.decode().split()
        if line == cursor_line(name, int(offset), int(expected)):
            return name, int(offset), int(expected)
    except FileNotFoundError:
        return "", 0, 0
    except (OSError, ValueError):
        pass
    log.warning("spool %s: the cursor is damaged; delivering again from the first segment", path)
    return "", 0, 0
