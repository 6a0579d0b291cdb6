# SPDX-License-Identifier: Apache-2.0
"""Appending lines to a file, a pipe or standard output."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys

from aicore.errors import Fatal

# What no later attempt cures; a full disk or an I/O error may pass.
_FATAL = frozenset(
    (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
)


class LineFile:
    """An append-only file of lines; "-" is standard output. Not thread-safe.

    A file that is there is appended to, as a log: what an earlier run wrote is never lost, and a run that takes up
    the spool of an earlier one completes its file. A last line that a crash cut short is ended first.
    """

    def __init__(self, path: str) -> None:
        #: The reader of the pipe has gone, as `| head` does when it has enough: what is written then is dropped.
        self.ended = False
        self._name = "standard output" if path == "-" else path
        try:
            if path == "-":
                sys.stdout.flush()
                self._fd = os.dup(sys.stdout.fileno())
            else:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
            if self._regular and path != "-" and _cut_short(path):
                self.write(b"\n")
        except OSError as error:
            raise self._judged(error) from error

    def write(self, lines: bytes) -> None:
        """All of it or, on a regular file, none of it. OSError where a retry makes sense, else Fatal."""
        if self.ended:
            return
        start = os.fstat(self._fd).st_size if self._regular else 0
        view, done = memoryview(lines), 0
        try:
            while done < len(lines):
                # A disk that fills up gives a short count first, and the error only next time.
                done += self._write_some(view[done:])
        except BrokenPipeError:
            self.ended = True
        except OSError as error:
            # Cut only what is ours: somebody else may append to the same file.
            if done and self._regular and os.fstat(self._fd).st_size == start + done:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, start)
            raise self._judged(error) from error

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._fd, view)
        except BlockingIOError:  # a terminal or pipe that somebody else made non-blocking
            select.select([], [self._fd], [], 1.0)
            return 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _judged(self, error: OSError) -> Exception:
        if error.errno in _FATAL:
            return Fatal(f"cannot write {self._name}: {error.strerror}")
        return error


def _cut_short(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # it may be writable only
        return False
