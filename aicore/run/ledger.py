# SPDX-License-Identifier: Apache-2.0
"""Which captures of a followed folder were read: a line for each, so that the next run does not read them again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from aicore.errors import UsageError

logger = logging.getLogger("aicore")

_SLACK = 1000  # lines of files that are gone, before the ledger is written anew


class Seen(NamedTuple):
    """A file as it was. The name plays no part, so that a file may be renamed; nor does the device, whose number may be
    another one after a boot."""

    ino: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Seen:
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class Ledger:
    """The ledger of one folder, in a file below `base`, or in memory alone. One process at a time has a file open.

    Losing lines, as by a power failure, is safe: those files are read again. So only whole rewrites are synced."""

    def __init__(self, base: Path | None, folder: str) -> None:
        """UsageError if it cannot be used; damage in it is none."""
        self._entries: dict[Seen, str] = {}
        self._lines = 0
        self._lock = -1
        self._path: Path | None = None
        if base is not None:
            self._open(base, folder)

    @property
    def path(self) -> Path:
        """The file."""
        assert self._path is not None
        return self._path

    def _open(self, base: Path, folder: str) -> None:
        place = os.path.realpath(folder)
        name = f"{os.path.basename(place)}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"
        self._path = base / f"{name}.jsonl"
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(base / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise UsageError(f"another run follows {folder}, with its ledger in {base}") from None
            self._entries = self._read()
            self._rewrite()
        except OSError as error:
            raise UsageError(f"the ledger {self.path} cannot be used: {error.strerror}") from error

    def close(self) -> None:
        """Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __contains__(self, seen: Seen) -> bool:
        return seen in self._entries

    def names(self) -> Collection[str]:
        """Of the files that are in it."""
        return self._entries.values()

    def add(self, files: Iterable[tuple[Seen, str]]) -> None:
        """Files that were read to their end, and whose records are safe."""
        fresh = dict(files)
        self._entries.update(fresh)
        self._lines += len(fresh)
        if self._path is None:
            return
        try:
            with self.path.open("ab") as file:
                file.writelines(_line(seen, name) for seen, name in fresh.items())
        except OSError as error:
            logger.error("%s: %s; what it lacks is read again by the next run", self.path, error.strerror)

    def keep(self, present: Iterable[Seen]) -> None:
        """Drops the files that are gone. An empty folder drops none: it may be one that is not mounted yet."""
        there = set(present)
        if not there or self._entries.keys() <= there:
            return
        self._entries = {seen: name for seen, name in self._entries.items() if seen in there}
        if self._path is not None and self._lines > 2 * len(self._entries) + _SLACK:
            try:
                self._rewrite()
            except OSError as error:
                logger.error("%s: %s", self.path, error.strerror)

    def _read(self) -> dict[Seen, str]:
        entries: dict[Seen, str] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self.path.read_bytes().splitlines():
                # A crash may have cut the last line off.
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    entry = json.loads(line)
                    seen = Seen(int(entry["ino"]), int(entry["size"]), int(entry["mtime_ns"]))
                    entries[seen] = str(entry["name"])
        return entries

    def _rewrite(self) -> None:
        new = self.path.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(_line(seen, name) for seen, name in self._entries.items())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        self._lines = len(self._entries)


def _line(seen: Seen, name: str) -> bytes:
    return json.dumps({**seen._asdict(), "name": name}).encode() + b"\n"
