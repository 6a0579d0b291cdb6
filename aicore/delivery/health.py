# SPDX-License-Identifier: Apache-2.0
"""How a store fares: its state, its last error, and when it is given up."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Literal

from aicore.delivery.timing import Clock, RareLog, log
from aicore.plugins.options import Option, Wait, wait

State = Literal["connecting", "ok", "retrying", "spooling", "fatal", "stuck", "closed"]

#: A store that takes nothing for so long at the start has refused, unless `wait` says something else. A live run waits
#: for ever, until its input has ended.
START_SECONDS = 5.0
#: The same for one that has taken something: a full disk, or a server that is started again.
LATER_SECONDS = 300.0
#: Between two lines that say for how long a store has been waited for.
_SAY_SECONDS = 60.0


def checked_wait(given: object) -> Wait:
    """What a program or an option says. UsageError for what is none: of True nobody knows whether 1 s or for ever is
    meant."""
    return Option(wait).check("wait", given)  # type: ignore[no-any-return]


class Health:
    """What the sender learns, and whoever waits for it looks at. `changed` is the delivery's lock.

    `patience`: seconds after which a store that has taken nothing since the start is given up, `later`: one that has
    taken something, or has `answered` at all. The first is an error, of the command rather than of now; after the
    second what is not delivered waits in the spool, or is lost.
    """

    def __init__(
        self,
        name: str,
        *,
        connects: bool,
        patience: float,
        later: float = math.inf,
        changed: threading.Condition,
        answered: Callable[[], bool] = lambda: False,
        clock: Clock = time.monotonic,
        rare: RareLog | None = None,
    ) -> None:
        self.phase: Literal["connecting", "ok", "retrying", "fatal", "closed"] = "connecting" if connects else "ok"
        self.error: str | None = None  # the last one, without secrets
        self._name = name
        self._patience = patience
        self._later = later
        self._said = 0.0  # seconds waited at the last line about it
        self._answered = answered
        self._changed = changed
        self._clock = clock
        self._rare = rare or RareLog(name, clock)
        self._delivered = False  # anything, ever
        self._started = clock()
        self._not_before = math.inf if patience == math.inf else 0.0  # it is not given up earlier, by the clock
        self._failing_since: float | None = None

    def started(self) -> None:
        self._started = self._clock()

    def ends(self, patience: float, later: float) -> None:
        """Nothing more comes: from now on these hold. A store that has been away for longer still gets `patience`."""
        self._patience, self._later = patience, later
        self._not_before = min(self._not_before, self._clock() + patience)

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
        if self._delivered or self._answered():
            self._wait_on(waited, why)
        elif waited >= self._patience and self._clock() >= self._not_before:
            self.give_up(f"the store has taken nothing for {waited:.0f} s since the start: {why}")
        else:
            self._say_waiting(waited, self._patience, why)
        return self.over

    def hangs(self, seconds: float) -> None:
        """A write has not returned for so long."""
        if not self.over:
            self._wait_on(seconds, "write() does not return")

    def _wait_on(self, waited: float, why: str) -> None:
        if waited < self._later or self._clock() < self._not_before:
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
        until = "" if patience == math.inf else f", for {max(patience - waited, 0):.0f} s more"
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - waited))
        text = "%s: has been waiting for the store for %.0f s, since %s%s: %s"
        log.warning(text, self._name, waited, since, until, why)

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
