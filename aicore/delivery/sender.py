# SPDX-License-Identifier: Apache-2.0
"""The sender of one delivery: connects, and gives the store what waits, round after round.

A round tries rows that were set aside and are due, then the next rows of the backlog; what fails is set aside, or kept.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from collections.abc import Sequence

from aicore.delivery.backlog import Backlog, Gone
from aicore.delivery.connection import Connection, describe
from aicore.delivery.health import Health
from aicore.delivery.inflight import InFlight, Outcome
from aicore.delivery.suspects import STRIKES
from aicore.delivery.timing import TICK, Backoff, Clock, Deadline
from aicore.delivery.writer import Halt, Writer
from aicore.errors import AicoreError, RowError
from aicore.record.batch import FlowBatch

#: Batches that are set aside after a write that raised, before something has to be delivered.
UNPROVEN = 3
#: Pause before the next batch, where one was set aside, in seconds at most.
ASIDE_SECONDS = 1.0
#: Seconds that a program waits at its end for a call that was given up.
GOODBYE = 2.0
_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def unfinished() -> bool:
    """A sender that was given up is still in a call of its adaptor.

    If that is in a native library, and comes back while the interpreter ends, the process dies of SIGABRT: Python then
    ends the thread by unwinding its stack, which C++ does not survive (seen with DuckDB, in 20 of 20 tries)."""
    return any(thread.is_alive() for thread in list(_threads))


@atexit.register
def _settle() -> None:
    end = time.monotonic() + GOODBYE
    for thread in list(_threads):
        if thread.is_alive():
            thread.join(max(0, end - time.monotonic()))


class Sender:
    """A thread."""

    def __init__(
        self,
        name: str,
        backlog: Backlog,
        connection: Connection,
        health: Health,
        *,
        backoff: Backoff,
        deadline: Deadline,
        clock: Clock,
    ) -> None:
        self.thread = threading.Thread(target=self._main, name=f"aicore-delivery-{name}", daemon=True)
        _threads.add(self.thread)
        self._backlog = backlog
        self._connection = connection
        self._health = health
        self._backoff = backoff
        self._deadline = deadline
        self._clock = clock
        self._writer = Writer(self._write, self, backoff)
        self._ending = False
        self._unproven = 0  # times that a whole batch made the write raise since something was delivered

    def no_more(self) -> None:
        """Nothing more comes: ends as soon as everything is delivered."""
        with self._backlog.changed:
            self._ending = True
            self._backlog.changed.notify_all()

    def _main(self) -> None:
        with contextlib.suppress(Gone):
            if self._connect():
                self._deliver()
        self._connection.close()

    def _connect(self) -> bool:
        """Until the store answers; False if it does not, or there is no time left."""
        failures = 0
        while self._connection.needs_connect:
            try:
                self._connection.connect()
                break
            except Gone:
                raise
            except BaseException as error:  # as with write()
                # What aicore itself finds wrong, such as an option, does not heal.
                if isinstance(error, AicoreError):
                    self._health.give_up(f"connect: {describe(error)}")
                    return False
                failures += 1
                self._health.failed(describe(error))
                if self._connection.broken:
                    self._health.give_up(f"its connect() fails by an error of its code: {describe(error)}")
                    return False
            if self._health.given_up() or not self.pause(self._backoff.seconds(failures)):
                return False
        self._health.connected()
        return not self._health.over

    def _deliver(self) -> None:
        """Until everything is delivered and no more comes, or time is up, or the adaptor has failed for good."""
        try:
            while not self._health.over and not self._deadline.passed:
                if not self._round() and not self._idle():
                    return
        except Halt as error:
            self._health.give_up(str(error))

    def _round(self) -> bool:
        """False if there was nothing to do now."""
        backlog, worked = self._backlog, False
        self._connection.reload()
        if group := backlog.due():
            worked = True
            if self._writer.deliver(group.first, fresh=False):
                self._unproven = 0
            backlog.tried(group)
        if (fresh := backlog.take()) and not self._deadline.passed:
            worked = True
            self._try_fresh(fresh)
        if self._ending and backlog.only_aside and (aside := backlog.aside()):
            self._writer.judge_last(aside, self._health.failing_for)
            backlog.forget_closed()
        self._backlog.free()
        with self._backlog.changed:
            self._backlog.changed.notify_all()
        return worked

    def _try_fresh(self, fresh: InFlight) -> None:
        if self._writer.deliver(fresh, fresh=True):
            self._unproven = 0
            self._backlog.set_aside(fresh)
            return
        seconds = self._backoff.seconds(max(1, self._writer.fails))
        if self._may_wait_aside():
            self._backlog.set_aside(fresh)
            self.pause(min(seconds, ASIDE_SECONDS))
        else:
            self._backlog.keep(fresh)
            self.pause(seconds)

    def _may_wait_aside(self) -> bool:
        """Of a batch nothing was taken: whether the next one is tried before it is tried again.

        Always if the store answered, and named the rows. If the write raised, the next rows show who is to blame: a few
        times at once, and then, as that is what an outage looks like too, each batch after five attempts. Never while
        the store cannot be reached.
        """
        if self._writer.away:
            return False
        if not self._writer.raised:
            return True
        self._unproven += 1
        return self._unproven <= UNPROVEN or (self._unproven - UNPROVEN) % STRIKES == 0

    def _idle(self) -> bool:
        """Waits: there is nothing to do now. False: nothing will ever be."""
        backlog = self._backlog
        with backlog.changed:
            if self._ending and backlog.empty:
                return False
            backlog.changed.wait(max(0.001, backlog.until_due))
        return True

    def _write(self, batch: FlowBatch, merged: bool) -> Sequence[RowError] | None:
        try:
            return self._connection.write(batch, merged=merged)
        finally:
            with self._backlog.changed:
                self._backlog.counters.add(writes=1)
                self._backlog.check_owner()

    # -- what the writer asks -----------------------------------------------------------------------------------

    def resolve(
        self, rows_of: InFlight, rows: Sequence[int], outcome: Outcome, reasons: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._backlog.resolve(rows_of, rows, outcome, reasons)
        if outcome == "delivered":
            self._health.delivered()

    def failed(self, reason: str, rows: int) -> None:
        self._backlog.counters.add(retried=rows)
        self._health.failed(reason)
        if self._health.given_up():
            raise Halt(self._health.error or reason)

    def pause(self, seconds: float) -> bool:
        end = self._clock() + seconds
        changed = self._backlog.changed
        with changed:
            while not self._backlog.retired and not self._deadline.passed and not self._health.over:
                left = end - self._clock()
                if left <= 0:
                    return True
                changed.wait(min(left, TICK))
                self._health.given_up()
        return False
