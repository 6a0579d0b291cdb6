# SPDX-License-Identifier: Apache-2.0
"""The base of adaptors whose store is a file: files that are moved, deleted or replaced while a run writes them.

A program that rotates files (logrotate) moves one away and expects a new one at its path. Rows that were written to the
file before stay in it, wherever it went; later rows go to the new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from aicore.errors import Fatal, RowError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.plugins.files import path_of
from aicore.plugins.options import Option

if TYPE_CHECKING:
    from aicore.record.batch import FlowBatch

logger = logging.getLogger("aicore")


class FileStore(DatabaseAdaptor):
    """Subclasses give `scheme`, `open_file`, `write_file` and `close_file`; the rest is done here.

    Before each batch the path is looked at: if it does not name the file that is open any more, that is closed and the
    path opened anew. A batch counts as written when its file still had a name afterwards; a file that was deleted
    under it is written again, to a new one. What is wrong with the path by then is not fatal, as at the start, but
    tried again: whoever moved the folder may put it back.
    """

    options = {
        "adopt": Option(
            bool,
            default=False,
            help="yes: write also into what somebody else has made (a table, a file of other lines)",
            tuning=True,
        )
    }
    scheme: ClassVar[str]
    #: Added to the path: a file beside it which exists while it is open, and without which it is not whole.
    companion: ClassVar[str] = ""

    path: str = ""
    _watch: FileWatch | None = None
    _is_open = False
    _has_been_open = False

    def open_file(self) -> None:
        """Opens or makes the file at `self.path`, with all that it needs. Fatal for what no later attempt cures."""
        raise NotImplementedError

    def write_file(self, batch: FlowBatch) -> Sequence[RowError] | None:
        """As `write`, into the open file."""
        raise NotImplementedError

    def close_file(self, *, gone: bool) -> None:
        """Closes it, or what has been opened of it. `gone`: the path does not name it any more; what is at the path now
        is somebody else's. Raises nothing."""
        raise NotImplementedError

    def connect(self, connection_str: str) -> None:
        self.close()
        self.path = path_of(connection_str, self.scheme)
        self._open()

    def write(self, batch: FlowBatch) -> Sequence[RowError] | None:
        if not self.path:
            raise Fatal(f"{self.scheme}: not connected")
        while True:
            self._look(logging.WARNING)
            if not self._is_open:
                self._open()
            try:
                answer = self.write_file(batch)
            except Fatal as error:
                if self._watch is not None and self._watch.gone():
                    raise ConnectionError(str(error)) from error
                raise
            if self._watch is None or not self._watch.deleted:
                return answer

    def reload(self) -> None:
        """After `SIGHUP` the next batch would find out as well; but whoever has moved the file may wait for it now."""
        self._look(logging.INFO)
        if self.path and not self._is_open:
            self._open()

    def close(self) -> None:
        if self._is_open:
            self._shut(gone=self._watch is not None and self._watch.gone() is not None)

    def watch_file(self) -> None:
        """For a subclass that puts another file in the place of its own: that is its file from now on."""
        self._unwatch()
        if self.path != "-" and stat.S_ISREG(os.stat(self.path).st_mode):
            self._watch = FileWatch(self.path, self.companion)

    def need_directory(self) -> None:
        """For `open_file` of a database, whose library says less of it: Fatal where there is no such directory."""
        directory = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(directory):
            raise Fatal(f"{self.scheme}: {self.path}: there is no directory {directory}")

    def keep_orphan(self, suffix: str, least: int = 1) -> None:
        """For `open_file` of a database whose log is the path with `suffix`. A log without a database, or with one of
        fewer than `least` bytes, was left when that was moved away without it; it may hold rows. A new database would
        delete it or, worse, replay it: it is renamed, and the log says so."""
        path = os.path.realpath(self.path)
        log = path + suffix
        with contextlib.suppress(FileNotFoundError):
            if os.stat(log).st_size == 0 or (os.path.exists(path) and os.stat(path).st_size >= least):
                return
            number = 1
            while os.path.exists(kept := f"{path}.{number}{suffix}"):
                number += 1
            os.rename(log, kept)
            text = (
                "%s: %s is of a database that was moved away without it, and may hold rows; it is kept as %s: give it"
            )
            logger.warning(f"{text} that database's name with %s, and open that", self.scheme, log, kept, suffix)

    def _look(self, level: int) -> None:
        if self._watch is not None and (what := self._watch.gone()):
            logger.log(level, "%s: %s; it is opened anew", self.scheme, what)
            self._shut(gone=True)

    def _open(self) -> None:
        try:
            self.open_file()
            self._is_open = True
            self.watch_file()
        except BaseException as error:
            self._shut(gone=isinstance(error, FileNotFoundError))  # somebody was faster than watch_file()
            if self._has_been_open and isinstance(error, Fatal | FileNotFoundError):
                raise ConnectionError(str(error)) from error
            raise
        self._has_been_open = True

    def _shut(self, *, gone: bool) -> None:
        self._is_open = False
        self._unwatch()
        self.close_file(gone=gone)

    def _unwatch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()


class FileWatch:
    """Whether a path still names the file that it named. Not thread-safe.

    It holds the inode, so that no other file gets its number, by O_PATH: closing such a descriptor does not give up the
    locks that a library has on the file, as closing any other does (fcntl(2))."""

    def __init__(self, path: str, companion: str = "") -> None:
        """`companion`: added to the path, a file beside it that must not go either. OSError where there is no file."""
        paths = [path, os.path.realpath(path) + companion] if companion else [path]
        self._held: list[tuple[str, int, tuple[int, int]]] = []  # path, descriptor, identity
        try:
            for one in paths:
                fd = os.open(one, os.O_PATH | os.O_CLOEXEC)
                self._held.append((one, fd, _identity(os.fstat(fd))))
        except BaseException:
            self.close()
            raise

    def gone(self) -> str | None:
        """What became of the file, in words; None while it is there, or nobody can tell. One stat(2) for each file."""
        for path, fd, file in self._held:
            try:
                now = _identity(os.stat(path))
            except (FileNotFoundError, NotADirectoryError):
                now = None
            except OSError:
                continue
            if now != file:
                what = "was deleted" if os.fstat(fd).st_nlink == 0 else "was moved away"
                return f"{path} {what}{' and made again' if now else ''}"
        return None

    @property
    def deleted(self) -> bool:
        """One of them has no name left."""
        return any(os.fstat(fd).st_nlink == 0 for _, fd, _ in self._held)

    def close(self) -> None:
        """Idempotent."""
        while self._held:
            os.close(self._held.pop()[1])


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
