# SPDX-License-Identifier: Apache-2.0
"""The sender of one delivery: connects, and gives the store what waits, round after round.

A round tries the held rows if they are due, then the next rows of the backlog; what fails is held, or kept.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from aicore.delivery.backlog import Backlog, Gone
from aicore.delivery.connection import Connection, describe
from aicore.delivery.health import Health
from aicore.delivery.inflight import InFlight, Outcome
from aicore.delivery.timing import TICK, Backoff, Clock, Deadline
from aicore.delivery.writer import Halt, Writer
from aicore.errors import AicoreError, RowError
from aicore.record.batch import FlowBatch


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
        self._backlog = backlog
        self._connection = connection
        self._health = health
        self._backoff = backoff
        self._deadline = deadline
        self._clock = clock
        self._writer = Writer(self._write, self, backoff)
        self._ending = False

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
            except (Exception, SystemExit) as error:
                # What aicore itself finds wrong, such as an option, does not heal.
                if isinstance(error, AicoreError):
                    self._health.give_up(f"connect: {describe(error)}")
                    return False
                failures += 1
                self._health.failed(describe(error))
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
        worked = False
        self._connection.reload()
        if held := self._backlog.due():
            worked = True
            self._writer.deliver(held, fresh=False)
            self._backlog.hold(held)
        if (fresh := self._backlog.take()) and not self._deadline.passed:
            worked = True
            if self._writer.deliver(fresh, fresh=True):
                self._backlog.hold(fresh)
            else:
                self._backlog.keep(fresh)
                self.pause(self._backoff.seconds(max(1, self._writer.fails)))
        if self._ending and self._backlog.only_held and (held := self._backlog.held):
            self._writer.judge_last(held, self._health.failing_for)
            self._backlog.forget_closed()
        self._backlog.free()
        with self._backlog.changed:
            self._backlog.changed.notify_all()
        return worked

    def _idle(self) -> bool:
        """Waits: there is nothing to do now. False: nothing will ever be."""
        backlog = self._backlog
        with backlog.changed:
            if self._ending and backlog.held is None and backlog.only_held:
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
