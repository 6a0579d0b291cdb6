# SPDX-License-Identifier: Apache-2.0
"""How a store fares: its state, its last error, and when it is given up."""

from __future__ import annotations

import math
import threading
import time
from typing import Literal

from aicore.delivery.timing import Clock, RareLog, log
from aicore.plugins.options import Option, seconds_or_forever

State = Literal["connecting", "ok", "retrying", "spooling", "fatal", "stuck", "closed"]

#: A store of a file run that takes nothing for so long at the start has refused, unless something else is said.
START_SECONDS = 5.0
#: The same for one that has taken something: a full disk, or a server that is started again.
LATER_SECONDS = 300.0
#: Between two lines that say for how long a store has been waited for.
_SAY_SECONDS = 60.0


def checked_wait(seconds: object) -> float:
    """How long a run on files waits for a store that takes nothing from the start on; "forever" and math.inf: for ever.
    UsageError for anything else: of True nobody knows whether 1 s or for ever is meant."""
    return Option(seconds_or_forever).check("wait", seconds)  # type: ignore[no-any-return]


class Health:
    """What the sender learns, and whoever waits for it looks at. `changed` is the delivery's lock.

    `patience`: seconds after which a store that has taken nothing since the start is given up, `later`: one that has
    taken something; math.inf for a live run. The first is an error, of the command rather than of now; after the second
    what is not delivered waits in the spool, or is lost.
    """

    def __init__(
        self,
        name: str,
        *,
        connects: bool,
        patience: float,
        later: float = math.inf,
        changed: threading.Condition,
        clock: Clock = time.monotonic,
        rare: RareLog | None = None,
    ) -> None:
        self.phase: Literal["connecting", "ok", "retrying", "fatal", "closed"] = "connecting" if connects else "ok"
        self.error: str | None = None  # the last one, without secrets
        self._name = name
        self._patience = patience
        self._later = later
        self._said = 0.0  # seconds waited at the last line about it
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
            self._said = 0.0
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
        """Nothing is delivered any more; looks whether it has come to that, and says every minute how long it has been
        waiting. Called by everybody who waits."""
        since = self._started if self.phase == "connecting" else self._failing_since
        if self.over or since is None:
            return self.over
        waited = self._clock() - since
        why = self.error or "no answer"
        if self._delivered:
            self._wait_on(waited, why)
        elif waited >= self._patience:
            self.give_up(f"the store has taken nothing for {self._patience:.0f} s since the start: {why}")
        else:
            self._say_waiting(waited, self._patience, why)
        return self.over

    def hangs(self, seconds: float) -> None:
        """A write has not returned for so long."""
        if not self.over:
            self._wait_on(seconds, "write() does not return")

    def _wait_on(self, waited: float, why: str) -> None:
        if waited < self._later:
            self._say_waiting(waited, self._later, why)
            return
        with self._changed:
            if self.over:
                return
            self.phase = "closed"
            self.error = f"given up after {waited:.0f} s: {why}"
            self._changed.notify_all()
        log.error("%s: %s", self._name, self.error)

    def _say_waiting(self, waited: float, patience: float, why: str) -> None:
        if waited - self._said < _SAY_SECONDS:
            return
        self._said = waited
        until = "" if patience == math.inf else f", for {patience - waited:.0f} s more"
        log.warning("%s: has been waiting for the store for %.0f s%s: %s", self._name, waited, until, why)

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
