# SPDX-License-Identifier: Apache-2.0
"""One adaptor's delivery: a queue, a thread, a spool. No store holds up a live capture or another store.

Three kinds of thread: the one that calls put() (run()'s), the delivery's own, and whoever asks for state or finishes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
from collections.abc import Sequence

from aicore.delivery.intake import Intake
from aicore.delivery.queue import Group
from aicore.delivery.segment import Frame
from aicore.delivery.sender import Halt, Outcome, Sender, describe
from aicore.delivery.state import STUCK_SECONDS, TICK, log
from aicore.errors import AicoreError, RowError
from aicore.plugins.adaptor import DatabaseAdaptor, write_batch, write_rows
from aicore.record.batch import FlowBatch


class _Gone(BaseException):
    """The rows were taken from this thread: the run is over. No Exception, so that it is no failed write."""


class Delivery(Intake):
    """Takes the batches of a run to one adaptor, at least once each row, in order by flow.

    `live`: put() never waits, and what does not fit is merged, spooled or shed, in that order, and counted. Otherwise
    put() waits while the queue is over its bound. `on_full(True)` asks for no new flows, on put()'s thread, and
    `on_full(False)` takes it back, on the delivery's.
    """

    @functools.cached_property
    def _sender(self) -> Sender:
        return Sender(self._write, self, self._backoff)

    @functools.cached_property
    def _thread(self) -> threading.Thread:
        return threading.Thread(target=self._main, name=f"aicore-delivery-{self.name}", daemon=True)

    @property
    def calling(self) -> bool:
        """The adaptor is at work on put()'s thread."""
        return self._caller and self._call is not None

    # -- for run() ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread, which connects first. With `threads = "caller"` connects here."""
        self._started = self._clock()
        if self._counters["recovered"]:
            log.info("%s: %d rows of an earlier run wait in the spool", self.name, self._counters["recovered"])
        if not self._caller:
            self._thread.start()
        elif self._connect():
            self._run(until_idle=True)

    def put(self, batch: FlowBatch) -> None:
        """Takes a batch over, and then waits for room."""
        self._take_over(batch)
        if self._caller:
            self._run(until_idle=True)
        elif not self._live:
            self._wait_for_room()
        self._watch()

    def finish(self, seconds: float | None) -> None:
        """No more batches come: delivers what waits, for at most that long, spools or loses the rest, closes.

        May be called again, with less time, while it runs on another thread.
        """
        if seconds is not None:
            self.hurry(seconds)
        with self._lock:
            self._ending = True
            self._lock.notify_all()
        if self._caller:
            if not self._retired:
                self._run(until_idle=False)
                self._call_close()
        else:
            while self._thread.is_alive() and not self._out_of_time() and not self._hopeless():
                self._thread.join(TICK)
                self._watch()
            if self._thread.is_alive() and not self._out_of_time():
                self._thread.join(TICK)  # after a fatal error: it has only to close the adaptor
        self._conclude()

    def abort(self) -> None:
        """finish() without waiting for the store: everything to the spool at once."""
        self.finish(0)

    # -- the delivery thread ------------------------------------------------------------------------------------

    def _main(self) -> None:
        with contextlib.suppress(_Gone):
            if self._connect():
                self._run(until_idle=False)
        self._call_close()

    def _connect(self) -> bool:
        failures = 0
        while self._url is not None:
            try:
                self._calling("connect")
                try:
                    self.adaptor.connect(self._url)
                finally:
                    self._call = None
                self._connected = True
                break
            except (Exception, SystemExit) as error:
                # What aicore itself finds wrong, such as an option, does not heal.
                if isinstance(error, AicoreError):
                    self._fail(f"connect: {describe(error)}")
                    return False
                failures += 1
                self._note_failure(describe(error))
            if self._refused() or not self.pause(self._backoff.seconds(failures)):
                return False
        with self._lock:
            if self._phase == "connecting":
                self._phase = "ok"
                self._failing_since = None
        return self._phase == "ok"

    def _run(self, *, until_idle: bool) -> None:
        """Delivers until everything is delivered and no more comes, or time is up, or the adaptor has failed for good.

        until_idle: returns as soon as only failed rows are left.
        """
        try:
            while self._phase != "fatal" and not self._out_of_time():
                worked = self._step()
                if until_idle and self._fresh is None and not self._waiting():
                    return
                if not worked and not self._idle():
                    return
        except Halt as error:
            self._fail(str(error))

    def _step(self) -> bool:
        """One round. False if there was nothing to do now."""
        worked = False
        held = self._held
        if held is not None and self._clock() >= self._held_due:
            worked = True
            self._sender.deliver(held, fresh=False)
            self._settle(held)
        fresh = self._fresh or self._take()
        if fresh is not None and not self._out_of_time():
            worked = True
            fresh = self._behind_held(fresh)
            if fresh is not None and self._sender.deliver(fresh, fresh=True):
                self._settle(fresh)
            elif fresh is not None:
                with self._lock:
                    self._fresh = fresh.rest()  # all of it failed: kept apart, so that memory stays bounded
                self.pause(self._backoff.seconds(max(1, self._sender.fails)))
        self._after_round()
        return worked

    def _take(self) -> Group | None:
        """The next rows, oldest first. A live run spools what memory has no room for; what a run on files finds in the
        spool an earlier run has left."""
        held = self._held
        if held is not None and held.batch.nbytes * 2 > self._queue_bytes:
            return None
        with self._lock:
            if self._retired:
                raise _Gone
        if self._live or self._always:
            return self._take_memory() or self._take_spool()
        return self._take_spool() or self._take_memory()

    def _take_memory(self) -> Group | None:
        with self._lock:
            taken = self._queue.take(net=self._net)
            if taken is None:
                return None
            self._fresh, merged = taken
            self._counters["merged"] += merged
            self._counters["queued"] -= merged
            self._lock.notify_all()
            return self._fresh

    def _take_spool(self) -> Group | None:
        while self.spool is not None and (frame := self.spool.read()):
            batch = self._decode(frame)
            if batch is not None:
                with self._lock:
                    self._fresh = Group(batch, True, self._clock(), True)
                return self._fresh
        return None

    def _behind_held(self, fresh: Group) -> Group | None:
        """Puts rows behind held ones of their key; returns the others."""
        held = self._held
        if held is None:
            return fresh
        waiting = set(held.batch.keys())
        keys = fresh.batch.keys()
        behind = [row for row in fresh.rows() if keys[row] in waiting]
        if not behind:
            return fresh
        free = [row for row in fresh.rows() if keys[row] not in waiting]
        with self._lock:
            self._held = Group.join([held, fresh.part(behind)])
            self._fresh = fresh.part(free) if free else None
            return self._fresh

    def _settle(self, group: Group) -> None:
        """After a round: what is still open in the group is held."""
        with self._lock:
            if group is self._held:
                self._held = group.rest()
                self._held_rounds = self._held_rounds + 1 if self._held else 0
            else:
                self._fresh = None
                rest = group.rest()
                if rest is not None and self._held is None:
                    self._held_rounds = 1
                self._held = Group.join([self._held, rest])
            if self._held:
                self._held_due = self._clock() + self._backoff.seconds(self._held_rounds)

    def _after_round(self) -> None:
        """Judges what only is left; frees what the store has; opens the door again."""
        held = self._held
        if self._ending and held is not None and self._fresh is None and not self._waiting():
            self._sender.judge_last(held, self._clock() - (self._failing_since or self._clock()))
            with self._lock:
                if self._retired:
                    raise _Gone
                self._held = held.rest()
        spool = self.spool
        if spool is not None:
            with self._lock:
                if self._retired:
                    raise _Gone  # nothing is held any more, and that does not mean that all is delivered
                pending = any(group is not None and any(group.spooled) for group in (self._held, self._fresh))
            if not pending:
                spool.ack()
            spool.sync_if_due()
            with self._lock:
                # Rows that the disk lost while we ran.
                gone = spool.vanished - self._counters["spool_vanished"]
                self._counters["spool_vanished"] += gone
                self._counters["spooled"] -= gone
                self._counters["lost"] += gone
        with self._lock:
            room = self._queue.nbytes * 2 < self._queue_bytes and (spool is None or spool.full_share < 0.5)
            tell = self._full and room
            if tell:
                self._full = False
            self._lock.notify_all()
        if tell and self._on_full:
            self._say("admit", "there is room again: new flows are admitted", level=logging.INFO)
            self._on_full(False)

    def _idle(self) -> bool:
        """Nothing to do now. False: nothing will ever be."""
        with self._lock:
            if self._ending and self._held is None and self._fresh is None and not self._waiting():
                return False
            due = self._held_due - self._clock() if self._held else 1.0
            self._lock.wait(max(0.001, min(due, 1.0)))
        return True

    def _waiting(self) -> bool:
        return self._queue.rows > 0 or (self.spool is not None and self.spool.unread)

    def _decode(self, frame: Frame) -> FlowBatch | None:
        """A spool frame as a batch. Rows that this version cannot read become dead letters."""
        try:
            # As one array: half the time of a call for each line (measured).
            return FlowBatch.from_rows(json.loads(b"[%b]" % frame.payload.rstrip(b"\n").replace(b"\n", b",")))
        except (ValueError, AicoreError):
            good, bad = [], []
            for line in frame.payload.split(b"\n")[:-1]:
                try:
                    FlowBatch.from_rows([json.loads(line)])
                    good.append(json.loads(line))
                except (ValueError, AicoreError) as error:  # noqa: PERF203  # the price of one bad row
                    bad.append((line, f"unreadable row of the spool: {describe(error)}", 0))
            with self._lock:
                self._counters["spooled"] -= len(bad)
                self._counters["dead_lettered"] += len(bad)
            self._bury(bad)
            return FlowBatch.from_rows(good) if good else None

    # -- what the sender asks -----------------------------------------------------------------------------------

    def _write(self, batch: FlowBatch, merged: bool) -> Sequence[RowError] | None:
        begin = self._clock()
        self._calling("write")
        try:
            if merged and getattr(type(self.adaptor), "write", None) in (None, DatabaseAdaptor.write):
                # Of an adaptor that gets every event row by row: no flow's insert may be missing, nor its last update.
                write_rows(self.adaptor, batch, events="net")
                return None
            return write_batch(self.adaptor, batch)
        finally:
            self._call = None
            with self._lock:
                self._counters["writes"] += 1
                self._write_seconds += self._clock() - begin
                if self._retired:
                    raise _Gone

    def resolve(
        self, group: Group, rows: Sequence[int], outcome: Outcome, reasons: Sequence[tuple[str, int]] = ()
    ) -> None:
        with self._lock:
            if self._retired:
                raise _Gone
            spooled = group.close(rows)
            self._counters["spooled"] -= spooled
            self._counters["queued"] -= len(rows) - spooled
            self._counters["replayed"] += spooled if outcome == "delivered" else 0
            self._counters[outcome] += len(rows)
            if outcome == "delivered" and self._phase == "retrying":
                log.info("%s: delivers again", self.name)
            if outcome == "delivered":
                self._delivered = True
                self._failing_since = None
                if self._phase == "retrying":
                    self._phase = "ok"
        if outcome == "dead_lettered":
            records = group.batch.take(rows).json(True)
            self._bury([(record, *why) for record, why in zip(records, reasons, strict=True)])

    def failed(self, reason: str, rows: int) -> None:
        with self._lock:
            self._counters["retried"] += rows
            if self._phase == "ok":
                self._phase = "retrying"
        self._note_failure(reason)
        self._refused()
        if self._phase == "fatal":
            raise Halt(self.error or reason)

    def pause(self, seconds: float) -> bool:
        end = self._clock() + seconds
        with self._lock:
            while not self._retired and not self._out_of_time() and self._phase != "fatal":
                left = end - self._clock()
                if left <= 0:
                    return True
                self._lock.wait(min(left, TICK))
                self._refused()
        return False

    # -- the end ------------------------------------------------------------------------------------------------

    def _hopeless(self) -> bool:
        """Waiting for the thread will not get another row delivered."""
        call = self._call
        hangs = call is not None and call[0] == "close" and self._clock() - call[1] > STUCK_SECONDS
        return self._phase == "fatal" or hangs

    def _conclude(self) -> None:
        """Nothing more is delivered: what is open goes to the spool, and that is closed."""
        self._retire()
        with self._lock:
            if self._phase == "closed" or self._concluded:
                return
            self._concluded = True
            if self._phase != "fatal":
                self._phase = "closed"
        if self.spool is not None:
            self.spool.close()
            if waiting := self._counters["spooled"]:
                log.warning("%s: %d events wait in the spool %s", self.name, waiting, self.spool.path)

    def _call_close(self) -> None:
        if not self._connected:
            return
        try:
            self._calling("close")
            self.adaptor.close()
        except (Exception, SystemExit) as error:
            log.warning("%s: close: %s", self.name, describe(error))
        finally:
            self._call = None
