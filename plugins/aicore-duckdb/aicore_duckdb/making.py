# SPDX-License-Identifier: Apache-2.0
"""A new file is made aside and then put in its place, as DuckDB cannot open one that a killed process has begun."""

from __future__ import annotations

import fcntl
import glob
import os
import stat
from collections.abc import Callable
from contextlib import suppress

#: Three headers of 4096 bytes: a shorter file was only begun. DuckDB does not open an empty one either.
HEADERS = 3 * 4096


def is_unfinished(path: str) -> bool:
    """There is no database, or one without rows that does not open."""
    try:
        info = os.stat(path)
        # A whole file is not opened: to close it would give up the locks that this process has on it (fcntl(2)).
        if info.st_size >= HEADERS or not stat.S_ISREG(info.st_mode):
            return False
        with open(path, "rb") as file:
            return info.st_size == 0 or file.read(12)[8:] == b"DUCK"
    except FileNotFoundError:
        return True


def make_whole(path: str, make: Callable[[str], None]) -> None:
    """`make` writes a file at the path that it gets; it is then at `path`, unless another process was faster.

    BlockingIOError while another process is at it; what `make` raises, OSError."""
    aside = f"{path}.{os.getpid()}.new"
    try:
        make(aside)
        _put(aside, path)
    finally:
        _remove(aside)


def _put(aside: str, path: str) -> None:
    """Never over a database: another process may have it open already."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.rename(aside, path)
    else:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            info = os.fstat(fd)
            if info.st_size < HEADERS and os.path.samestat(info, os.stat(path)):
                os.replace(aside, path)
        finally:
            os.close(fd)
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(path: str) -> None:
    """Removes what killed processes have left."""
    for left in glob.glob(f"{glob.escape(path)}.*.new"):
        number = left[len(path) + 1 : -len(".new")]
        if number.isdigit() and not os.path.exists(f"/proc/{number}"):
            _remove(left)


def _remove(aside: str) -> None:
    for name in (aside, f"{aside}.wal"):
        with suppress(FileNotFoundError):
            os.unlink(name)
