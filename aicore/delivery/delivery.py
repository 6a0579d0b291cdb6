# SPDX-License-Identifier: Apache-2.0
"""The delivery of one store: its parts, joined, and what the run asks of them.

Three kinds of thread: the one that calls put() (run()'s), the sender's, and whoever asks for state or finishes. All
parts share one lock, `changed`; the spool has its own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from aicore.delivery import health
from aicore.delivery.backlog import Backlog
from aicore.delivery.connection import Connection
from aicore.delivery.counters import Counters
from aicore.delivery.deadletter import DeadLetters
from aicore.delivery.health import Health, State
from aicore.delivery.overload import Overload
from aicore.delivery.selection import Selection
from aicore.delivery.sender import Sender
from aicore.delivery.spool import Spool
from aicore.delivery.timing import TICK, Backoff, Deadline, RareLog, log
from aicore.record.batch import FlowBatch


class Delivery:
    """Takes the batches of a run to one adaptor, at least once each row that `selection` (by default: all of
    `transports`) takes, in order by flow.

    `live`: put() never waits, and what does not fit is merged, spooled or shed, in that order, and counted. Otherwise
    put() waits while the queue is over its bound. A store that has taken nothing for `wait` seconds (None:
    START_SECONDS since the start, LATER_SECONDS afterwards, and in a live run for ever until its input has ended) is
    given up. `earlier` are further spools of the store, which runs have left; `spools_unusable` is how many there are
    beside them. `stays` says where all rows are in any case: what is counted as lost is there.
    """

    def __init__(
        self,
        name: str,
        adaptor: Any,
        *,
        live: bool,
        events: Literal["all", "net"],
        transports: frozenset[int] | set[int] = frozenset((6, 17)),
        selection: Selection | None = None,
        url: str | None = None,
        queue_bytes: int = 64 << 20,
        spool: Spool | None = None,
        earlier: Sequence[Spool] = (),
        spools_unusable: int = 0,
        spool_always: bool = False,
        deadletters: DeadLetters | None = None,
        stays: str = "",
        wait: float | None = None,
        backoff: tuple[float, float] = (0.1, 30.0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.adaptor = adaptor
        self.waiting_since: float | None = None  # put() waits for the store since then, by the clock
        self._live = live
        self._selection = selection or Selection(transports)
        self._merge = events == "net" and not self._selection.ended  # of ended flows there is one row anyway
        self._always = spool_always and spool is not None
        self._clock = clock
        self._changed = changed = threading.Condition()
        self._deadline = Deadline(clock)
        self._counters = Counters(changed)
        self._counters.add(spools_unusable=spools_unusable)
        rare, pauses = RareLog(name, clock), Backoff(*backoff)
        if deadletters is None and spool is not None:
            deadletters = DeadLetters(spool.path.parent / "deadletter", name)
        self.backlog = Backlog(
            name,
            queue_bytes=queue_bytes,
            net=events == "net" or self._selection.ended,
            memory_first=live or self._always,
            changed=changed,
            counters=self._counters,
            rare=rare,
            backoff=pauses,
            spool=spool,
            earlier=earlier,
            deadletters=deadletters,
            stays=stays,
            clock=clock,
        )
        self.connection = Connection(name, adaptor, url, clock)
        self._at_the_end = (health.START_SECONDS, health.LATER_SECONDS) if wait is None else (wait, wait)
        patience, later = (math.inf, math.inf) if live and wait is None else self._at_the_end
        self.health = Health(
            name,
            connects=url is not None,
            patience=patience,
            later=later,
            changed=changed,
            answered=lambda: bool(getattr(adaptor, "answered", False)),
            clock=clock,
            rare=rare,
        )
        self._overload = Overload(self.backlog, rare, always=self._always) if live else None
        self.sender = Sender(
            name,
            self.backlog,
            self.connection,
            self.health,
            backoff=pauses,
            deadline=self._deadline,
            clock=clock,
        )
        self._concluded = False

    # -- for run() ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the sender, which connects first."""
        self.health.started()
        if recovered := self._counters["recovered"]:
            log.info("%s: %d rows of an earlier run wait in the spool", self.name, recovered)
        for spool in self.backlog.spools:
            if spool.lost_rows or spool.damaged_bytes:
                text = "%s: the spool %s was damaged: %d events lost, %d bytes skipped"
                log.error(text, self.name, spool.path, spool.lost_rows, spool.damaged_bytes)
            spool.told()
        self.sender.thread.start()

    def put(self, batch: FlowBatch) -> None:
        """Takes a batch over: each row is accounted for. A run on files then waits for room."""
        self._take_over(batch)
        if not self._live:
            self._wait_for_room()
        self.watch()

    def finish(self, seconds: float | None) -> None:
        """No more batches come: delivers what waits, for at most that long, spools or loses the rest, closes.

        May be called again, with less time, while it runs on another thread.
        """
        if seconds is not None:
            self.hurry(seconds)
        self.health.ends(*self._at_the_end)
        self.sender.no_more()
        thread = self.sender.thread
        while thread.is_alive() and not self._deadline.passed and not self._hopeless():
            thread.join(TICK)
            self.watch()
        if thread.is_alive() and not self._deadline.passed:
            thread.join(TICK)  # after a fatal error: it has only to close the adaptor
        self._conclude()

    def abort(self) -> None:
        """finish() without waiting for the store: everything to the spool at once."""
        self.finish(0)

    def hurry(self, seconds: float) -> None:
        """From now on nothing waits longer than that. Safe in a signal handler."""
        self._deadline.hurry(seconds)

    def reload(self) -> None:
        """Has the adaptor look at its files again, between two batches."""
        self.connection.want_reload()
        with self._changed:
            self._changed.notify_all()

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        self.watch()
        phase = self.health.phase
        if not self.health.over and self.connection.stuck_in():
            return "stuck"
        if phase in ("ok", "retrying") and self._live and self._counters["spooled"]:
            return "spooling"
        return phase

    @property
    def error(self) -> str | None:
        """The last one, without secrets."""
        return self.health.error

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest row that is not in the store, spool of earlier runs included."""
        return self.backlog.age

    @property
    def spool(self) -> Spool | None:
        return self.backlog.spool

    def counters(self) -> dict[str, int]:
        """See `counters.ADAPTOR`. In events: accepted = delivered + merged + filtered + dead_lettered + shed + lost +
        queued + spooled."""
        found = self._counters.copy()
        found["write_ms"] = int(self.connection.write_seconds * 1000)
        found["queued_bytes"] = self.backlog.nbytes
        for spool in self.backlog.spools:
            found["spooled_bytes"] += spool.used_bytes
            found["spool_age_seconds"] = max(found["spool_age_seconds"], int(spool.age))
            found["spool_damaged_bytes"] += spool.damaged_bytes
            found["spool_damaged_rows"] += spool.lost_rows
            found["spool_set_aside"] += spool.set_aside
        return found

    def watch(self) -> None:
        """Names an adaptor that does not return; called by everybody who comes by, so that no thread is needed."""
        call = self.connection.stuck_in()
        if call == "connect":
            self.health.given_up()
        elif call == "write":
            self.health.hangs(self.connection.calling_for)

    # -- inside -------------------------------------------------------------------------------------------------

    def _take_over(self, batch: FlowBatch) -> None:
        selected = self._selection.of(batch)
        wanted = len(selected) if selected is not None else 0
        self._counters.add(batches=1, accepted=len(batch), filtered=len(batch) - wanted)
        if selected is None or not wanted:
            return
        # A view of its own: what other stores make of the batch, such as JSON, must not live as long as it waits here.
        mine = selected.net() if self._merge else selected.view() if selected is batch else selected
        self._counters.add(merged=wanted - len(mine))
        if self.health.over or self._deadline.passed:
            self.backlog.retire()
            self.backlog.store_or_lose(mine)
        elif self._overload is not None:
            self._overload.put(mine)
        elif self._always:
            self._spill_all(mine)
        else:
            self.backlog.push(mine)

    def _spill_all(self, batch: FlowBatch) -> None:
        """Files with `spool_always`: through the spool, waiting for room in it."""
        rest = self.backlog.spill(batch)
        while rest is not None:
            if self.health.over or self._deadline.passed:
                self.backlog.store_or_lose(rest)
                return
            if not self.backlog.behind_spool:  # nothing there will make room: its disk is full of other things
                self.backlog.push(rest)
                break
            self._wait_once()
            rest = self.backlog.spill(rest)
        self.waiting_since = None

    def _wait_for_room(self) -> None:
        """Files: the reader waits for the store, and for what an earlier run left in its spool."""
        backlog = self.backlog
        while not self._deadline.passed and not self.health.over:
            recovering = not self._always and backlog.recovering
            if not recovering and backlog.queue.nbytes < backlog.queue_bytes:
                break
            self._wait_once()
        self.waiting_since = None

    def _wait_once(self) -> None:
        with self._changed:
            if self.waiting_since is None:
                self.waiting_since = self._clock()
            self._changed.wait(TICK)
        self.watch()

    def _hopeless(self) -> bool:
        """Waiting for the sender will not get another row delivered."""
        return self.health.over or self.connection.stuck_in() == "close"

    def _conclude(self) -> None:
        """Nothing more is delivered: what is open goes to the spool, and that is closed."""
        self.backlog.retire()
        with self._changed:
            if self._concluded:
                return
            self._concluded = True
            self.health.close()
        self.backlog.close()
