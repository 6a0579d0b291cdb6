# SPDX-License-Identifier: Apache-2.0
"""Time in a delivery: pauses between attempts, the deadline of its end, lines that may be said once in a while."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

log = logging.getLogger("aicore.delivery")

Clock = Callable[[], float]

#: How often a wait looks whether there is still a reason for it.
TICK = 0.1
_LOG_SECONDS = 10.0

# One of our own: the program's seed is the program's.
_random = random.Random()


class Backoff:
    """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): 0 to `first` * 2^n, at most `most` s."""

    def __init__(self, first: float, most: float) -> None:
        self.first = first
        self.most = most

    def seconds(self, failures: int) -> float:
        return _random.uniform(0, min(self.most, self.first * 2.0 ** min(failures - 1, 60)))


class Deadline:
    """When a delivery must have ended. No lock: a signal handler may set it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at: float | None = None

    def hurry(self, seconds: float) -> None:
        """From now on nothing waits longer than that."""
        at = self._clock() + seconds
        self._at = at if self._at is None else min(self._at, at)

    @property
    def passed(self) -> bool:
        return self._at is not None and self._clock() >= self._at


class RareLog:
    """One line by topic in ten seconds, with how many were left out: a store in trouble must not fill the log."""

    def __init__(self, name: str, clock: Clock = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}  # topic -> when, lines left out since

    def say(self, topic: str, text: str, *args: object, level: int = logging.WARNING) -> None:
        now = self._clock()
        last, skipped = self._said.get(topic, (-_LOG_SECONDS, 0))
        if now - last < _LOG_SECONDS:
            self._said[topic] = (last, skipped + 1)
            return
        self._said[topic] = (now, 0)
        more = f" ({skipped} such lines left out)" if skipped else ""
        log.log(level, "%s: " + text + "%s", self._name, *args, more)
