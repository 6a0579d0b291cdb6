# SPDX-License-Identifier: Apache-2.0
"""Versions that never go back: those of a run are higher than those of every earlier run of this user on this machine,
also where the clock was set back in between. A store keeps the record with the highest version of a flow.

A run's versions begin with its start, in microseconds of the clock, and rise by one with each event. The state folder
holds the lowest number that no run has taken. A run takes a block of numbers at a time, before any of them is in a
store, so that nothing that a crash leaves is ever given out again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aicore.delivery.smallfile import read_small, replace_small
from aicore.run.state import state_folder

logger = logging.getLogger("aicore")

#: Numbers that a run takes at its start, and each time later: what it leaves unused if it is killed. They are 66 ms and
#: 4 s of the clock.
FIRST = 1 << 16
BLOCK = 1 << 22
#: 2026-01-01. A clock that shows less is wrong, as of a board without a battery.
_EPOCH_US = 1_767_225_600_000_000
#: What is further ahead of both the clock and 2026 is damage, or of a clock that was set to nonsense.
_AHEAD_US = 20 * 365 * 86_400_000_000
#: Less is not worth a word: blocks of runs that were killed.
_WORTH_A_WORD_US = 60_000_000
# Seconds for which another run may hold the lock: it has it for the time of one write.
_PATIENCE = 2.0


class Versions:
    """The versions of a run. For one thread. Where the folder cannot be used, `start` is the clock, and a line in
    the log says so."""

    def __init__(self, folder: Path | None = None) -> None:
        #: Every version of the run is this or more: its start, in microseconds since the epoch.
        self.start = _now()
        self._end = 0  # first number that is not taken; 0 if nothing is kept
        try:
            self._folder = state_folder() if folder is None else folder
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._state() as free:
                behind = free - self.start
                self.start = max(self.start, free)
                self._take(self.start + FIRST)
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
            _unusable(error)
        else:
            if behind > _WORTH_A_WORD_US:
                logger.warning(
                    "the clock is %s behind that of an earlier run; versions go on from there, so that this run's"
                    " records replace the earlier ones",
                    _length(behind),
                )

    def reach(self, version: int) -> None:
        """To be called before any version up to this one is written anywhere."""
        if not 0 < self._end <= version:
            return
        try:
            with self._state() as free:
                self._take(max(free, version + BLOCK))
        except OSError as error:
            _unusable(error)
            self._end = 0

    def close(self, last: int) -> None:
        """Gives back what was taken beyond `last`, the last version of the run, unless other runs have gone on from
        there."""
        if not self._end:
            return
        try:
            with self._state() as free:
                if free == self._end:
                    self._write(last + 1)
        except OSError as error:
            _unusable(error)
        self._end = 0

    def _take(self, end: int) -> None:
        self._write(end)
        self._end = end

    def _write(self, free: int) -> None:
        replace_small(self._folder / "clock", f"{free}\n".encode(), sync=True)

    @contextmanager
    def _state(self) -> Iterator[int]:
        """The lowest number that is free, 0 if that is not known; nobody else changes it within."""
        fd = os.open(self._folder / "clock.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            _lock(fd)
            yield self._read()
        finally:
            os.close(fd)

    def _read(self) -> int:
        path = self._folder / "clock"
        try:
            text = read_small(path).decode()
        except FileNotFoundError:
            return 0
        except UnicodeDecodeError:
            text = ""
        free = int(text) if text.endswith("\n") and text[:-1].isascii() and text[:-1].isdigit() else -1
        if 0 <= free <= max(_now(), _EPOCH_US) + _AHEAD_US:
            return free
        logger.warning(
            "%s is damaged; if the clock has gone back, records of this run will not replace earlier ones", path
        )
        return 0


def _now() -> int:
    return time.time_ns() // 1000


def _lock(fd: int) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.005)


def _unusable(error: Exception) -> None:
    where = getattr(error, "filename", None) or "the state folder"
    logger.warning(
        "%s: %s; if the clock goes back, records of later runs will not replace earlier ones",
        where,
        getattr(error, "strerror", None) or error,
    )


def _length(microseconds: int) -> str:
    """A time for people: 2 days, 3 hours, 61 s."""
    seconds = microseconds / 1_000_000
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
