# SPDX-License-Identifier: Apache-2.0
"""Small files of a spool, of which nothing may keep a run from starting: what has become a pipe, a directory or huge is
an error, and nobody waits for it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_small(path: Path, most: int = 4096) -> bytes:
    """The first bytes of a file. OSError, too, if it is none."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.read(fd, most)
    finally:
        os.close(fd)


def replace_small(path: Path, data: bytes, *, sync: bool = False) -> None:
    """The old content or the new one, whenever the process ends; with `sync` the new one also after a power cut.
    OSError if it cannot be written."""
    temporary = path.with_name(f"{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
    if sync:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
