# SPDX-License-Identifier: Apache-2.0
"""How a store fares: its state, its last error, and when it is given up."""

from __future__ import annotations

import threading
import time
from typing import Literal

from aicore.delivery.timing import Clock, RareLog, log

State = Literal["connecting", "ok", "retrying", "spooling", "fatal", "stuck", "closed"]

#: A store of a file run that takes nothing for so long at the start has refused, unless something else is said.
START_SECONDS = 5.0


class Health:
    """What the sender learns, and whoever waits for it looks at. `changed` is the delivery's lock.

    `patience`: seconds after which a store that has taken nothing since the start is given up; math.inf for a live run.
    """

    def __init__(
        self,
        name: str,
        *,
        connects: bool,
        patience: float,
        changed: threading.Condition,
        clock: Clock = time.monotonic,
        rare: RareLog | None = None,
    ) -> None:
        self.phase: Literal["connecting", "ok", "retrying", "fatal", "closed"] = "connecting" if connects else "ok"
        self.error: str | None = None  # the last one, without secrets
        self._name = name
        self._patience = patience
        self._changed = changed
        self._clock = clock
        self._rare = rare or RareLog(name, clock)
        self._delivered = False  # anything, ever
        self._started = clock()
        self._failing_since: float | None = None

    def started(self) -> None:
        self._started = self._clock()

    @property
    def over(self) -> bool:
        """Nothing is delivered any more."""
        return self.phase in ("fatal", "closed")

    @property
    def failing_for(self) -> float:
        """Seconds."""
        return self._clock() - (self._failing_since or self._clock())

    def connected(self) -> None:
        with self._changed:
            if self.phase == "connecting":
                self.phase = "ok"
                self._failing_since = None

    def delivered(self) -> None:
        with self._changed:
            self._delivered = True
            self._failing_since = None
            if self.phase == "retrying":
                self.phase = "ok"
                log.info("%s: delivers again", self._name)

    def failed(self, reason: str) -> None:
        """An attempt failed, and there will be another."""
        with self._changed:
            if self.phase == "ok":
                self.phase = "retrying"
            self.error = reason
            if self._failing_since is None:
                self._failing_since = self._clock()
        self._rare.say("retry", "retrying: %s", reason)

    def given_up(self) -> bool:
        """Failed for good. A store of a file run that has taken nothing since the start is an error of the command,
        not of now."""
        if self._delivered or self.phase == "fatal":
            return self.phase == "fatal"
        since = self._started if self.phase == "connecting" else self._failing_since
        if since is None or self._clock() - since < self._patience:
            return False
        self.give_up(
            f"the store has taken nothing for {self._patience:.0f} s since the start: {self.error or 'no answer'}"
        )
        return True

    def give_up(self, reason: str) -> None:
        with self._changed:
            if self.over:
                return
            self.phase = "fatal"
            self.error = reason
            self._changed.notify_all()
        log.error("%s: stopped: %s", self._name, reason)

    def close(self) -> None:
        with self._changed:
            if self.phase != "fatal":
                self.phase = "closed"
