# SPDX-License-Identifier: Apache-2.0
"""The last line of a file that is appended to, after a crash or a full disk cut it short."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger("aicore")

#: Bytes in which the line's beginning is looked for: more than any record has.
_MOST = 1 << 20


def mend_last_line(path: Path | str, fd: int, begins: tuple[bytes, ...], is_whole: Callable[[bytes], bool]) -> None:
    """Cuts a torn last line away, so that every line is whole. `fd` is open for appending, and nobody else appends now.

    Only what we can have written is cut: a line that begins with one of `begins`, or the zeros that a power failure
    leaves. Any other is ended with a newline, as is one that only lacks that. OSError if the file cannot be changed.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _MOST)
            file.seek(start)
            tail = file.read(size - start)
    except OSError:  # it may be writable only
        return
    if not tail or tail.endswith(b"\n"):
        return
    line = tail.rpartition(b"\n")[2]
    text = line.rstrip(b"\0")
    ours = text.startswith(begins) or any(begin.startswith(text) for begin in begins)
    if ours and (len(line) < len(tail) or start == 0) and not is_whole(line):
        os.ftruncate(fd, size - len(line))
        logger.warning("%s: the last line was cut short by a crash; its %d bytes are cut away", path, len(line))
    else:
        os.write(fd, b"\n")


def begins_with(path: Path | str, begins: tuple[bytes, ...]) -> bool:
    """The file is empty, or begins as one of `begins`, or as the zeros that a power failure leaves; or nobody can tell,
    as with a pipe."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return True
        with open(path, "rb") as file:
            begin = file.read(max(map(len, begins)))
    except OSError:
        return True
    text = begin.rstrip(b"\0")
    return text.startswith(begins) or any(one.startswith(text) for one in begins)


def is_object(line: bytes) -> bool:
    """A whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
