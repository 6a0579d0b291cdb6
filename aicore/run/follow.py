# SPDX-License-Identifier: Apache-2.0
"""Captures that others drop into folders, each read once and only when it is finished."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import stat
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aicore.run.context import AdaptorSummary
from aicore.run.ledger import Ledger, Seen
from aicore.run.source import MAGIC_BYTES, begins_as_capture, natural_order, unpacked_name

if TYPE_CHECKING:
    from aicore import _core

logger = logging.getLogger("aicore")

_POLL = 1.0  # seconds between two looks into the folders
_QUIET = 10.0  # seconds without a change, where nobody can tell whether a file is still being written
_REMEMBERED = 10_000  # names of captures whose compressed forms are not read, too
_AHEAD = 64  # files handed to the engine: few, as a ring of captures may write over those that wait
_UNFINISHED = (".tmp", ".part")
# Types of file systems, or beginnings of them, on which another host may write: a lease says nothing about it.
_SHARED = ("nfs", "cifs", "smb", "9p", "fuse", "virtiofs", "ceph", "afs", "lustre", "gfs", "ocfs")


class Folder:
    """What has come into a folder, and what of it is known."""

    def __init__(self, path: str, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._known: set[Seen] = set()  # handed over in this run, or no capture
        self._changed: dict[str, tuple[Seen, float]] = {}  # where only time tells: how it is, and since when
        self._failing: dict[str, str] = {}  # names of files, or "", and why they cannot be read; each is said once
        self._handed: dict[str, None] = {}  # names handed over in this run, the oldest first
        self._leases = not _shared(path)

    def new(self) -> list[tuple[int, str]]:
        """Modification time and name of each file that is not known."""
        found, present, names = [], set(), set()
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    names.add(entry.name)
                    status = None if _left_out(entry.name) else self._status(entry)
                    if status is None or not stat.S_ISREG(status.st_mode):
                        continue
                    seen = Seen.of(status)
                    present.add(seen)
                    if seen not in self._known and seen not in self.ledger:
                        found.append((status.st_mtime_ns, entry.name, seen))
        except OSError as error:
            self._fails("", error.strerror or "?")
            return []
        self._failing.pop("", None)
        fresh = [(mtime, name) for mtime, name, seen in found if not self._is_packed_copy(name, seen, names)]
        self._known &= present
        self._changed = {name: change for name, change in self._changed.items() if name in names}
        self._failing = {name: why for name, why in self._failing.items() if name in names}
        self.ledger.keep(present)
        return fresh

    def _is_packed_copy(self, name: str, seen: Seen, names: Collection[str]) -> bool:
        """`tcpdump -z gzip` and others replace a capture by its compressed form, which must not be read again."""
        plain = unpacked_name(name)
        if plain == name:
            return False
        if plain in self.ledger.names():
            self.ledger.add([(seen, name)])
            return True
        if plain in self._handed:
            self._known.add(seen)
            return True
        return plain in names

    def finished(self, name: str) -> Seen | None:
        """What the file is if it is a capture that nobody writes any more; it is known from here on."""
        try:
            name.encode()
            fd = os.open(os.path.join(self.path, name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeEncodeError) as error:
            self._fails(name, error.strerror or "?" if isinstance(error, OSError) else "its name is not UTF-8")
            return None
        try:
            written = _written(fd) if self._leases else None
            seen = Seen.of(os.fstat(fd))
            if seen.size == 0 or written or (written is None and not self._rests(name, seen)):
                return None
            self._known.add(seen)
            self._changed.pop(name, None)
            if not begins_as_capture(os.pread(fd, MAGIC_BYTES, 0)):
                return None
            self._handed[name] = None
            while len(self._handed) > _REMEMBERED:
                self._handed.pop(next(iter(self._handed)))
            return seen
        except OSError as error:
            self._fails(name, error.strerror or "?")
            return None
        finally:
            os.close(fd)

    def _status(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        try:
            return entry.stat()
        except OSError:
            return None  # gone, or a link to nowhere

    def _rests(self, name: str, seen: Seen) -> bool:
        """Seen by us, as clocks of hosts differ and a copy may have an old modification time."""
        now = time.monotonic()
        before, since = self._changed.get(name, (None, now))
        if before != seen:
            since = now
        self._changed[name] = (seen, since)
        return now - since >= _QUIET

    def _fails(self, name: str, why: str) -> None:
        if self._failing.get(name) != why:
            self._failing[name] = why
            path = os.fsencode(os.path.join(self.path, name) if name else self.path)
            logger.warning("%s: %s", path.decode(errors="backslashreplace"), why)  # a log file takes no surrogates


def _left_out(name: str) -> bool:
    return name.startswith(".") or name.endswith(_UNFINISHED)


def _written(fd: int) -> bool | None:
    """Whether anybody on this host has the file open for writing. None: not ours, so the kernel does not say."""
    try:
        # Who opens it for writing at this moment has a signal sent to us, which would be a deadly SIGIO.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False


def _shared(path: str) -> bool:
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    for fields in map(str.split, mounts):
        if fields[2] == wanted:
            return fields[fields.index("-") + 1].startswith(_SHARED)
    return False


class _File(NamedTuple):
    path: str
    folder: Folder
    seen: Seen


class _Read(NamedTuple):
    """A file that was read to its end, or as far as it goes."""

    file: _File
    batches: int  # of the run, up to its last event
    clock: int  # packet time at its end, ns


class Follow:
    """Gives an engine the captures of folders, and keeps their ledgers. Everything is called on the thread of run().

    A file is entered once `hold` seconds of later packets have ended the flows that were silent since, and each store
    or its spool has all that was known by then. What SIGKILL keeps from being entered is read again, which gives the
    same flows. Flows that went on all that time are the exception: they are cut in two.
    """

    def __init__(self, engine: _core.Engine, folders: Iterable[str], ledgers: Path | None, hold: float) -> None:
        """Opens the ledgers. UsageError if one cannot be used."""
        self._engine = engine
        self._folders: list[Folder] = []
        try:
            self._folders.extend(Folder(path, Ledger(ledgers, path)) for path in folders)
        except BaseException:
            self.close()
            raise
        self._hold = int((hold + 2) * 1e9)  # the flow table looks at a flow's time to the second
        self._found: deque[tuple[Folder, str]] = deque()
        self._next_look = 0.0
        self._given: deque[_File] = deque()
        self._read: list[_Read] = []
        self._handed: dict[int, float] = {}  # number of a batch: when all up to it were with the deliveries

    def close(self) -> None:
        for folder in self._folders:
            folder.ledger.close()

    def tick(self, stores: Callable[[], Sequence[AdaptorSummary]]) -> None:
        """To be called several times a second."""
        now = time.monotonic()
        self._take_read()
        self._enter_safe(stores() if self._read else [], now)
        if self._engine.finished:
            return
        if not self._found and now >= self._next_look:
            self._next_look = now + _POLL
            found = sorted(
                (mtime, natural_order(name), number)
                for number, folder in enumerate(self._folders)
                for mtime, name in folder.new()
            )
            self._found.extend((self._folders[number], order[-1]) for _, order, number in found)
        paths = []
        while self._found and len(self._given) < _AHEAD:
            folder, name = self._found.popleft()
            if (seen := folder.finished(name)) is not None:
                paths.append(os.path.join(folder.path, name))
                self._given.append(_File(paths[-1], folder, seen))
        self._engine.add_files(paths)

    def finish(self, batches: int, stores: Sequence[AdaptorSummary]) -> None:
        """At the end of the run, which had so many batches: all flows have ended. After a second signal not all is
        delivered."""
        self._take_read()
        if self._engine.finished and all(one.counters["batches"] >= batches for one in stores):
            self._enter(self._read if not _lost(stores) else [])

    def _take_read(self) -> None:
        for path, batches, clock in self._engine.finished_files():
            while self._given:
                file = self._given.popleft()
                if file.path == path:
                    self._read.append(_Read(file, batches, clock))
                    break

    def _enter_safe(self, adaptors: Sequence[AdaptorSummary], now: float) -> None:
        if _lost(adaptors):
            self._read.clear()  # the next run reads them again
        safe = [one for one in self._read if self._is_safe(one.batches, adaptors, now)]
        if not safe:
            return
        clock = safe[-1].clock
        # Packet time that has gone back means that all flows were ended in between.
        self._enter([one for one in safe if not clock - self._hold < one.clock <= clock])

    def _is_safe(self, batches: int, adaptors: Sequence[AdaptorSummary], now: float) -> bool:
        """Whether no delivery has a row of those batches in memory."""
        if any(one.counters["batches"] < batches for one in adaptors):
            return False
        handed = self._handed.setdefault(batches, now)
        return all(not one.counters["queued"] or one.lag_seconds < now - handed for one in adaptors)

    def _enter(self, done: Sequence[_Read]) -> None:
        for folder in self._folders:
            files = [(one.file.seen, os.path.basename(one.file.path)) for one in done if one.file.folder is folder]
            if files:
                folder.ledger.add(files)
        entered = {id(one) for one in done}
        self._read = [one for one in self._read if id(one) not in entered]
        waiting = {one.batches for one in self._read}
        self._handed = {batches: when for batches, when in self._handed.items() if batches in waiting}


def _lost(adaptors: Sequence[AdaptorSummary]) -> bool:
    return any(one.counters["lost"] or one.counters["dead_letters_unwritten"] for one in adaptors)
