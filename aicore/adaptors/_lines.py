# SPDX-License-Identifier: Apache-2.0
"""Appending lines to a file, a pipe or standard output, and the base of the adaptors that do it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

from aicore.errors import Fatal, UsageError
from aicore.plugins.file_store import FileStore
from aicore.plugins.files import check_file, path_of
from aicore.plugins.lines import begins_with, mend_last_line

if TYPE_CHECKING:
    from aicore.plugins.url import AdaptorURL

# What no later attempt cures; a full disk or an I/O error may pass.
_FATAL = frozenset(
    (
        errno.EBADF,
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    )
)

_STDOUT = "standard output"
_FOREIGN = "it begins with a line that is not aicore's; adopt=yes appends to it"


class LineStore(FileStore):
    """Subclasses give `begins` and `is_whole` of their lines, and write to `lines`."""

    begins: ClassVar[tuple[bytes, ...]]
    versions = False  # of lines with one flow_id the last counts

    lines: LineFile | None = None

    @staticmethod
    def is_whole(line: bytes) -> bool:
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """The reader of standard output has gone: nothing more can be written, and nobody misses it."""
        return self.lines is not None and self.lines.ended

    def check(self, url: AdaptorURL) -> None:
        check_file(url, stdout=True)
        path = path_of(url, self.scheme)
        if self._is_foreign(path):
            raise UsageError(f"{self.scheme}: {path}: {_FOREIGN}")

    def open_file(self) -> None:
        """Fatal where the file cannot be written, ConnectionError for a pipe that nobody reads."""
        if self._is_foreign(self.path):
            raise Fatal(f"{self.scheme}: {self.path}: {_FOREIGN}")
        self.lines = LineFile(self.path, self.begins, self.is_whole)

    def close_file(self, *, gone: bool) -> None:  # noqa: ARG002  # of an append-only file nothing is left to do
        if self.lines is not None:
            self.lines.close()
            self.lines = None

    def _is_foreign(self, path: str) -> bool:
        return path != "-" and not self.config["adopt"] and not begins_with(path, self.begins)


class LineFile:
    """An append-only file of lines; "-" is standard output. Not thread-safe.

    A file that is there is appended to, as a log: what an earlier run wrote is never lost, and a run that takes up
    the spool of an earlier one completes its file. A last line that a crash cut short is cut away first, as
    `mend_last_line` says; several runs may append to one file.
    """

    def __init__(self, path: str, begins: tuple[bytes, ...], is_whole: Callable[[bytes], bool]) -> None:
        """`begins`, `is_whole`: of the lines. ConnectionError for a pipe that nobody reads, Fatal for what no later
        attempt cures."""
        #: The reader of standard output has gone, as `| head` does when it has enough: what is written then is dropped.
        self.ended = False
        self._fd = -1
        self._name = _STDOUT if path == "-" else path
        try:
            if path == "-":
                sys.stdout.flush()
                self._fd = os.dup(sys.stdout.fileno())
            else:
                # Not blocking: a pipe that nobody reads would hold us up for ever.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
                self._fd = os.open(path, flags, 0o666)
                os.set_blocking(self._fd, True)
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
            if self._regular and path != "-":
                with _alone(self._fd) as alone:
                    if alone:
                        mend_last_line(path, self._fd, begins, is_whole)
        except OSError as error:
            self.close()
            if error.errno == errno.ENXIO:
                raise ConnectionError(f"nobody reads {path}") from error
            raise self._judged(error) from error

    def write(self, lines: bytes) -> None:
        """All of it or, on a regular file, none of it. OSError where a retry makes sense, else Fatal: also where the
        reader of a pipe has gone, which is an error but for standard output."""
        if self.ended:
            return
        start = os.fstat(self._fd).st_size if self._regular else 0
        view, done = memoryview(lines), 0
        try:
            while done < len(lines):
                # A disk that fills up gives a short count first, and the error only next time.
                done += self._write_some(view[done:])
        except BrokenPipeError as error:
            if self._name != _STDOUT:
                raise Fatal(f"the reader of {self._name} has gone") from error
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


@contextlib.contextmanager
def _alone(fd: int) -> Iterator[bool]:
    """True while nobody else has the file: what looks torn may be what another run is writing. Then it is held, shared,
    until it is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except OSError as error:  # some file systems know no locks
        alone = error.errno not in (errno.EAGAIN, errno.EACCES)
    yield alone
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
