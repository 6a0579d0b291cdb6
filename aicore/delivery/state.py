# SPDX-License-Identifier: Apache-2.0
"""What one delivery knows: its queue, its counters, how its store fares, and how it tells.

`_lock` covers the queue, the counters and who owns the open rows; the spool has a lock of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from aicore.delivery.deadletter import DeadLetters
from aicore.delivery.metrics import new_counters
from aicore.delivery.queue import Group, MemoryQueue
from aicore.delivery.sender import Backoff
from aicore.delivery.spool import Spool
from aicore.plugins.adaptor import threads_of

log = logging.getLogger("aicore.delivery")

State = Literal["connecting", "ok", "retrying", "spooling", "fatal", "stuck", "closed"]

#: A store of a file run that takes nothing for so long at the start has refused.
START_SECONDS = 5.0
#: A call that has not returned for so long is named.
STUCK_SECONDS = 5.0
#: How often a wait looks whether there is still a reason for it.
TICK = 0.1
_LOG_SECONDS = 10.0


class DeliveryState:
    """Fields, state and account of a `Delivery`."""

    def __init__(
        self,
        name: str,
        adaptor: Any,
        *,
        live: bool,
        events: Literal["all", "net"],
        transports: frozenset[int] | set[int],
        url: str | None = None,
        queue_bytes: int = 64 << 20,
        spool: Spool | None = None,
        spool_always: bool = False,
        deadletters: DeadLetters | None = None,
        wait: bool = False,
        on_full: Callable[[bool], None] | None = None,
        backoff: tuple[float, float] = (0.1, 30.0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.adaptor = adaptor
        self.spool = spool
        self.error: str | None = None  # the last one, without secrets
        self.waiting_since: float | None = None  # put() waits for the store since then, by the clock
        self._live = live
        self._net = events == "net"
        self._transports = frozenset(transports)
        self._url = url
        self._queue_bytes = queue_bytes
        self._always = spool_always and spool is not None
        self._deadletters = deadletters
        if deadletters is None and spool is not None:
            self._deadletters = DeadLetters(spool.path.parent / "deadletter", name)
        self._wait = wait
        self._on_full = on_full
        self._clock = clock
        self._backoff = Backoff(*backoff)
        self._delivered = False  # anything, ever
        self._caller = threads_of(adaptor) == "caller"

        self._lock = threading.Condition()
        self._queue = MemoryQueue()
        self._held: Group | None = None  # rows that failed, and later ones of their keys
        self._held_rounds = 0
        self._held_due = 0.0
        self._fresh: Group | None = None  # taken, not tried to an end
        self._counters = new_counters()
        self._write_seconds = 0.0
        self._phase: State = "connecting" if url else "ok"
        self._started = clock()
        self._failing_since: float | None = None
        self._call: tuple[str, float] | None = None  # what the adaptor is in, since when
        self._stuck_said = False
        self._full = False
        self._ending = False
        self._deadline: float | None = None
        self._connected = False
        self._retiring = threading.RLock()  # taken before the lock: who comes second waits until all is stored
        self._retired = False  # the delivery thread has no rows any more
        self._concluded = False
        self._said: dict[str, tuple[float, int]] = {}
        if spool is not None:
            self._counters["accepted"] = self._counters["spooled"] = self._counters["recovered"] = spool.rows

    @property
    def state(self) -> State:
        self._watch()
        call = self._call
        if self._phase not in ("fatal", "closed") and call and self._clock() - call[1] > STUCK_SECONDS:
            return "stuck"
        if self._phase in ("ok", "retrying") and self.spool is not None and self._counters["spooled"] and self._live:
            return "spooling"
        return self._phase

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest row that is not in the store, spool of earlier runs included."""
        with self._lock:
            begun = [group.since for group in (self._held, self._fresh) if group]
            if self._queue.since is not None:
                begun.append(self._queue.since)
            age = self._clock() - min(begun) if begun else 0.0
        return max(age, self.spool.age if self.spool is not None else 0.0)

    def counters(self) -> dict[str, int]:
        """See `metrics.ADAPTOR`. In events: accepted = delivered + merged + filtered + dead_lettered + shed + lost +
        queued + spooled."""
        with self._lock:
            found = dict(self._counters)
            found["write_ms"] = int(self._write_seconds * 1000)
            found["queued_bytes"] = self._queue.nbytes + sum(g.batch.nbytes for g in (self._held, self._fresh) if g)
        if self.spool is not None:
            found["spooled_bytes"] = self.spool.used_bytes
            found["spool_age_seconds"] = int(self.spool.age)
            found["spool_damaged_bytes"] = self.spool.damaged_bytes
            found["spool_damaged_rows"] = self.spool.lost_rows
        return found

    # -- time ---------------------------------------------------------------------------------------------------

    def _out_of_time(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def hurry(self, seconds: float) -> None:
        """From now on nothing waits longer than that. Safe in a signal handler."""
        deadline = self._clock() + seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    # -- failure ------------------------------------------------------------------------------------------------

    def _note_failure(self, reason: str) -> None:
        with self._lock:
            self.error = reason
            if self._failing_since is None:
                self._failing_since = self._clock()
        self._say("retry", "retrying: %s", reason)

    def _refused(self) -> bool:
        """A store of a file run that has taken nothing since the start is an error of the command, not of now."""
        if self._live or self._wait or self._delivered or self._phase == "fatal":
            return self._phase == "fatal"
        since = self._started if self._phase == "connecting" else self._failing_since
        if since is None or self._clock() - since < START_SECONDS:
            return False
        self._fail(
            f"the store has taken nothing for {START_SECONDS:.0f} s since the start: {self.error or 'no answer'}"
        )
        return True

    def _fail(self, reason: str) -> None:
        with self._lock:
            if self._phase in ("fatal", "closed"):
                return
            self._phase = "fatal"
            self.error = reason
            self._lock.notify_all()
        log.error("%s: stopped: %s", self.name, reason)

    def _bury(self, letters: list[tuple[bytes, str, int]]) -> None:
        if not letters:
            return
        unwritten = self._deadletters.write(letters) if self._deadletters else len(letters)
        with self._lock:
            self._counters["dead_letters_unwritten"] += unwritten
        self._say("dead", "%d rows refused for good: %s", len(letters), letters[0][1], level=logging.ERROR)

    # -- watching and telling -----------------------------------------------------------------------------------

    def _calling(self, what: str) -> None:
        self._stuck_said = False
        self._call = (what, self._clock())

    def _watch(self) -> None:
        """Names an adaptor that does not return; looked at by every caller, so that no thread is needed for it."""
        call = self._call
        if call is None or self._clock() - call[1] <= STUCK_SECONDS:
            return
        if not self._stuck_said:
            self._stuck_said = True
            log.error("%s: %s() has not returned for %.0f s", self.name, call[0], STUCK_SECONDS)
        if call[0] == "connect":
            self._refused()

    def _say(self, topic: str, text: str, *args: object, level: int = logging.WARNING) -> None:
        """One line by topic in ten seconds, with how many were left out."""
        now = self._clock()
        last, skipped = self._said.get(topic, (-_LOG_SECONDS, 0))
        if now - last < _LOG_SECONDS:
            self._said[topic] = (last, skipped + 1)
            return
        self._said[topic] = (now, 0)
        more = f" ({skipped} such lines left out)" if skipped else ""
        log.log(level, "%s: " + text + "%s", self.name, *args, more)
