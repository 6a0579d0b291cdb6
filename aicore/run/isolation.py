# SPDX-License-Identifier: Apache-2.0
"""Keeps one plugin's failure its own: counts, times, sets aside, names what hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aicore.plugins.secrets import one_line

logger = logging.getLogger("aicore")

#: Failures in a row after which a plugin is set aside.
FAILURES = 5
#: A plugin whose mean over WINDOW calls is above this is set aside: CPU time of the thread, for a unit of work (a
#: payload of a protocol, a row of a hook). Wall time would blame a plugin for the load of the machine.
LIMIT = 0.001  # seconds
WINDOW = 100
#: A call that has not returned after this is named in the log; Python code cannot be interrupted.
HANGING = 5.0  # seconds


@dataclass
class PluginStats:
    """What a plugin did in a run. `units` are payloads for a protocol, rows for a hook."""

    name: str
    calls: int = 0
    units: int = 0
    errors: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    #: Why it is no longer called.
    set_aside: str | None = None
    _in_a_row: int = field(default=0, repr=False)
    _window_calls: int = field(default=0, repr=False)
    _window_units: int = field(default=0, repr=False)
    _window_seconds: float = field(default=0.0, repr=False)


class Interrupted(KeyboardInterrupt):
    """Cuts a call of a plugin short, and is that plugin's failure."""


class Guard:
    """The accounts of a run's plugins. All methods but `hanging` are for the thread of run()."""

    def __init__(self, *, strict: bool, limit: float = LIMIT) -> None:
        #: Errors of plugins end the run (AICORE_STRICT=1).
        self.strict = strict
        self._limit = limit  # in place of LIMIT; 0 = none
        self.stats: dict[str, PluginStats] = {}
        self._current: tuple[str, float] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def calling(self) -> bool:
        """A plugin is at work."""
        return self._current is not None

    def account(self, name: str) -> PluginStats:
        found = self.stats.get(name)
        if found is None:
            found = self.stats[name] = PluginStats(name)
        return found

    def call(
        self, stats: PluginStats, where: str, units: int, function: Callable[..., object], *arguments: Any
    ) -> None:
        """One call of a plugin: what it raises is counted and logged here and goes no further."""
        begin, cpu = time.monotonic(), time.thread_time()
        self._current = (f"{stats.name} in {where}", begin)
        try:
            function(*arguments)
        except (Exception, SystemExit, Interrupted) as error:  # exit() in a plugin must not end the process
            self._current = None  # no plugin's any more: the log is not cut short
            self.failed(stats, where, error)
        else:
            stats._in_a_row = 0
        finally:
            self._current = None
            self._spent(stats, units, time.monotonic() - begin, time.thread_time() - cpu)

    def failed(self, stats: PluginStats, where: str, error: BaseException) -> None:
        stats.errors += 1
        stats._in_a_row += 1
        if self.strict:
            raise error
        reason = one_line(error)
        if stats._in_a_row >= FAILURES:
            self.set_aside(stats, f"{FAILURES} errors in a row in {where}, the last one {reason}")
        elif stats.errors & (stats.errors - 1) == 0:  # 1, 2, 4, 8 ...: packets must not be able to fill the log
            logger.error("%s: error %d, in %s: %s", stats.name, stats.errors, where, reason)

    def set_aside(self, stats: PluginStats, reason: str) -> None:
        stats.set_aside = reason
        logger.error("%s is set aside for the rest of the run: %s", stats.name, reason)

    def _spent(self, stats: PluginStats, units: int, seconds: float, cpu: float) -> None:
        stats.calls += 1
        stats.units += units
        stats.seconds += seconds
        stats.cpu_seconds += cpu
        stats._window_calls += 1
        stats._window_units += units
        stats._window_seconds += cpu
        if stats._window_calls < WINDOW:
            return
        mean = stats._window_seconds / max(stats._window_units, 1)
        if 0 < self._limit < mean and stats.set_aside is None:
            self.set_aside(
                stats,
                f"too slow, {mean * 1000:.1f} ms of CPU time for each of the last {stats._window_units}, the limit"
                f" (plugin_limit) is {self._limit * 1000:g} ms",
            )
        stats._window_calls = stats._window_units = 0
        stats._window_seconds = 0.0

    def start(self) -> None:
        """Starts the thread that names what hangs."""
        self._thread = threading.Thread(target=self._watch, name="aicore-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        named: tuple[str, float] | None = None
        while not self._stop.wait(HANGING / 5):
            current = self._current
            if current is not None and current is not named and time.monotonic() - current[1] > HANGING:
                named = current
                logger.error("%s has not returned for %.0f s; a second interrupt ends the run", current[0], HANGING)
