# SPDX-License-Identifier: Apache-2.0
"""The cursor of a spool: how far the store has its rows, and how many the spool has ever got.

One line: segment, offset, expected, end, carried, carried_rows, CRC-32. `expected` is the first_seq of the next frame
to read, `end` that of the next to append: what is missing at the end shows too, not only what is missing in between.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import NamedTuple

from aicore.delivery.smallfile import read_small, replace_small

log = logging.getLogger("aicore.delivery")

_NAME = "cursor"


class Cursor(NamedTuple):
    #: Name of the segment that is read; "-": the one that begins at `expected`, "": there is no cursor.
    segment: str = ""
    offset: int = 0
    expected: int = 0
    end: int = 0
    #: Number of the segment with what was read before and is not delivered, 0: there is none; and its rows.
    carried: int = 0
    carried_rows: int = 0

    @property
    def done(self) -> int:
        """Segments that begin before it are delivered."""
        return self.expected if self.segment in ("-", "") else int(self.segment[:20])


def read_cursor(path: Path) -> Cursor:
    """That of a spool's directory. A damaged one delivers again from the first segment: too often is safe, too late is
    not."""
    try:
        line = read_small(path / _NAME)
        segment, *numbers = line.decode().split()[:-1]
        found = Cursor(segment, *map(int, numbers))
        if line == _line(found) and found.done >= 0:
            return found
    except FileNotFoundError:
        return Cursor()
    except (OSError, ValueError, TypeError):
        pass
    log.warning("spool %s: the cursor is damaged; delivering again from the first segment", path)
    return Cursor()


def write_cursor(path: Path, cursor: Cursor, *, sync: bool = False) -> None:
    """OSError if it cannot be written; the old one then stays. `sync`: it outlasts a power cut."""
    replace_small(path / _NAME, _line(cursor), sync=sync)


def _line(cursor: Cursor) -> bytes:
    text = " ".join(map(str, cursor))
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()
