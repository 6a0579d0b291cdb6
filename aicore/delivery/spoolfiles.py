# SPDX-License-Identifier: Apache-2.0
"""The files of a spool: its lock, new segments, writes that are whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

log = logging.getLogger("aicore.delivery")


class SpoolInUse(OSError):
    """Another process has this spool open."""


def lock(path: Path) -> int:
    """A descriptor that holds the lock of a spool's directory. SpoolInUse, OSError."""
    fd = os.open(path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise SpoolInUse(error.errno, "the spool is in use by another process", str(path)) from None
        raise
    return fd


def create(path: Path) -> int:
    """A descriptor for appending; -1 if there is a file of that name. The directory is synced."""
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return -1
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return fd


def inode(path: Path) -> int:
    """-1 if there is no such file."""
    try:
        return path.stat().st_ino
    except OSError:
        return -1


def sync(fd: int, path: Path) -> None:
    """Makes what was written outlast a power cut; `path` is the spool, for the log."""
    try:
        os.fdatasync(fd)
    except OSError as error:
        log.warning("spool %s: fdatasync: %s", path, error.strerror)


def write(fd: int, head: bytes, payload: bytes, size: int) -> None:
    """One write. A full disk shows as a short count first and as an error only the next time (measured on tmpfs)."""
    try:
        written = os.writev(fd, (head, payload))
        if written != len(head) + len(payload):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(fd, size)
        raise
