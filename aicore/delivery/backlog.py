# SPDX-License-Identifier: Apache-2.0
"""What a run has handed over and the store does not have yet: in memory, in the spool, in flight.

Of these places each row is in one, and its owner is the backlog until `retire`, which takes what the sender has open:
a store may hang for ever, and the end of a run does not wait for it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence

from aicore.delivery.aside import Aside, Group
from aicore.delivery.counters import Counters
from aicore.delivery.deadletter import DeadLetters
from aicore.delivery.inflight import InFlight, Outcome
from aicore.delivery.payload import decode, payloads
from aicore.delivery.queue import BatchQueue
from aicore.delivery.segment import Frame
from aicore.delivery.spool import Spool
from aicore.delivery.timing import Backoff, Clock, RareLog, log
from aicore.record.batch import FlowBatch

_PAYLOAD = 8 << 20  # bytes of one spool frame, about


class Gone(BaseException):
    """The rows were taken from the sender: the run is over. No Exception, so that it is no failed write."""


class Backlog:
    """Queue, spool, and the rows in flight of one store.

    `changed` is held for the counters, the queue and the question whose the open rows are, and notified when rows came
    or went; the spool has a lock of its own. put(), spill(), retire() are for the run's threads, take() to free() for
    the sender's. `memory_first`: what is in memory is older than what is in the spool, as in a live run, which spools
    what memory has no room for; what a run on files finds in the spool an earlier run has left.
    `spool` gets what does not fit; `earlier` are further ones of the store, which are emptied first. `stays`: where all
    rows are in any case, so that they are not lost.
    """

    def __init__(
        self,
        name: str,
        *,
        queue_bytes: int,
        net: bool,
        memory_first: bool,
        changed: threading.Condition,
        counters: Counters,
        rare: RareLog,
        backoff: Backoff,
        spool: Spool | None = None,
        earlier: Sequence[Spool] = (),
        deadletters: DeadLetters | None = None,
        stays: str = "",
        clock: Clock = time.monotonic,
    ) -> None:
        self._name = name
        self.queue = BatchQueue()
        self.queue_bytes = queue_bytes
        self.spool = spool
        self.spools = [*earlier, spool] if spool is not None else []
        self.net = net
        self.changed = changed
        self.counters = counters
        self._memory_first = memory_first
        self._deadletters = deadletters
        self._stays = stays
        self._rare = rare
        self._clock = clock
        self._aside = Aside(backoff, clock)
        self._fresh: InFlight | None = None  # taken, not tried to an end
        # Taken before `changed`. Who retires second waits until all is stored; who retires while the sender reads the
        # spool, or frees segments of it, waits for that: prepending changes which segments there are.
        self._retiring = threading.RLock()
        self._retired = False
        found = sum(one.rows for one in self.spools)
        counters.add(accepted=found, spooled=found, recovered=found)

    # -- in -----------------------------------------------------------------------------------------------------

    def push(self, batch: FlowBatch) -> None:
        """Into memory."""
        with self.changed:
            self.queue.push(batch, self._clock(), merged=self.net)
            self.counters.add(queued=len(batch))
            self.changed.notify_all()

    def spill(self, batch: FlowBatch, *, final: bool = False) -> FlowBatch | None:
        """Into the spool; returns the rows for which there was no room. `final` may use its last tenth."""
        if self.spool is None:
            return batch
        done = 0
        for payload, rows in payloads(batch):
            if not self.spool.append(payload, rows, final=final):
                break
            done += rows
            with self.changed:
                self.counters.add(spooled=rows, spool_written=rows)
                self.changed.notify_all()
        if done == 0:
            return batch
        self._rare.say("spool", "events go to the spool %s", self.spool.path)
        return batch.take(range(done, len(batch))) if done < len(batch) else None

    def store_or_lose(self, batch: FlowBatch) -> None:
        """Into the spool, or nowhere; both are counted."""
        rest = self.spill(batch, final=True)
        self._lose(0 if rest is None else len(rest))

    # -- out: the sender's side ---------------------------------------------------------------------------------

    def due(self) -> Group | None:
        """Rows that were set aside and are to be tried again now."""
        with self.changed:
            return self._aside.due()

    def take(self) -> InFlight | None:
        """The next rows, oldest first; those of a key that has rows aside join them instead."""
        while fresh := self._fresh or self._next():
            with self.changed:
                if not self._aside:
                    return fresh
                self._fresh = free = self._aside.follow(fresh)
            if free is not None:
                return free
        return None

    def resolve(
        self, rows_of: InFlight, rows: Sequence[int], outcome: Outcome, reasons: Sequence[tuple[str, int]] = ()
    ) -> None:
        """Accounts for rows that are done. For dead letters: the reason and how often it was tried, of each."""
        with self.changed:
            self.check_owner()
            spooled = rows_of.close(rows)
            self.counters.add(
                spooled=-spooled,
                queued=spooled - len(rows),
                replayed=spooled if outcome == "delivered" else 0,
                **{outcome: len(rows)},
            )
        if outcome == "dead_lettered":
            records = rows_of.batch.take(rows).json(True)
            self._bury([(record, *why) for record, why in zip(records, reasons, strict=True)])

    def tried(self, group: Group) -> None:
        """After a round with rows that were set aside: those still open are tried again later."""
        with self.changed:
            self.check_owner()
            self._aside.tried(group)

    def set_aside(self, tried: InFlight) -> None:
        """After a round with rows that take() gave: those still open wait aside, and the next ones are taken."""
        with self.changed:
            self.check_owner()
            self._fresh = None
            if rest := tried.rest():
                self._aside.add(rest)

    def keep(self, tried: InFlight) -> None:
        """After a round in which all failed: take() gives them again, so that memory stays bounded."""
        with self.changed:
            self.check_owner()
            self._fresh = tried.rest()

    def aside(self) -> list[InFlight]:
        """All rows that were set aside."""
        return list(self._aside)

    def forget_closed(self) -> None:
        """Of the rows that were set aside, those that were closed outside a round."""
        with self.changed:
            self.check_owner()
            self._aside.forget_closed()

    def free(self) -> None:
        """After a round: frees what the store has."""
        spool = self.spool
        if spool is None:
            return
        with self._retiring:
            with self.changed:
                self.check_owner()  # nothing would be open any more, and that would not mean that all is delivered
                flights = self._in_flight()
                # Rows that were set aside are copied once what is only there because of them is worth it.
                enough = max(spool.segment_bytes, 2 * self._aside.nbytes) if self._fresh is None else math.inf
            self._free(spool, flights, enough)
        spool.sync_if_due()
        self._count_vanished()

    def _free(self, spool: Spool, flights: Sequence[InFlight], enough: float) -> None:
        """Of what was read, leaves the open rows; these are then in `spool`, wherever they were read."""
        if not any(any(one.spooled) for one in flights):
            for one in self.spools:
                one.ack()
        elif spool.read_bytes >= enough:
            batches = [one.batch.take([row for row in one.rows() if one.spooled[row]]) for one in flights]
            if spool.carry([frame for batch in batches for frame in payloads(batch)]):
                for earlier in self.spools[:-1]:
                    earlier.ack()

    def check_owner(self) -> None:
        """Gone, once the rows were taken from the sender. With `changed` held."""
        if self._retired:
            raise Gone

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def retired(self) -> bool:
        """The sender has no rows any more."""
        return self._retired

    @property
    def waiting(self) -> bool:
        """There is something to take."""
        return self.queue.rows > 0 or self._unread

    @property
    def behind_spool(self) -> bool:
        """Rows wait on disk, which must not be overtaken."""
        return any(spool.rows for spool in self.spools)

    @property
    def recovering(self) -> bool:
        """Rows of the spool were not tried yet."""
        with self.changed:
            trying = self._fresh is not None and any(self._fresh.spooled)
        return trying or self._unread

    @property
    def only_aside(self) -> bool:
        """All that is left are rows that were set aside, if any."""
        return self._fresh is None and not self.waiting

    @property
    def empty(self) -> bool:
        """Nothing is left."""
        return self.only_aside and not self._aside

    @property
    def until_due(self) -> float:
        """Seconds until rows that were set aside are due, at most one."""
        return min(self._aside.next_due - self._clock(), 1.0) if self._aside else 1.0

    @property
    def nbytes(self) -> int:
        """Memory of queue and flight."""
        with self.changed:
            return self.queue.nbytes + sum(one.batch.nbytes for one in self._in_flight())

    @property
    def age(self) -> float:
        """Seconds since the oldest row came, spool of earlier runs included."""
        with self.changed:
            begun = [one.since for one in self._in_flight()]
            if self.queue.since is not None:
                begun.append(self.queue.since)
            age = self._clock() - min(begun) if begun else 0.0
        return max(age, *(spool.age for spool in self.spools), 0.0)

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """After retire(): closes the spools, and says what waits in each."""
        for spool in self.spools:
            spool.close()
        self._count_vanished()
        if waiting := self.counters["spooled"]:
            where = " and ".join(str(spool.path) for spool in self.spools if spool.rows)
            log.warning("%s: %d events wait in the spool %s", self._name, waiting, where)

    def retire(self) -> None:
        """Takes what is open from the sender and stores it, in its order."""
        with self._retiring:
            with self.changed:
                if self._retired:
                    return
                self._retired = True
                open_ones = [rest for one in self._in_flight() if (rest := one.rest())]
                batches = self._in_memory(open_ones) + self.queue.clear()
                self._aside.clear()
                self._fresh = None
                self.counters.add(queued=-sum(map(len, batches)))
                self.changed.notify_all()
            if self.spool is not None:
                self._free(self.spool, open_ones, 0)
            if batches:
                self._store_open(batches)

    @staticmethod
    def _in_memory(open_ones: Sequence[InFlight]) -> list[FlowBatch]:
        """The rows that no spool has."""
        batches = [one.batch.take([row for row, kept in enumerate(one.spooled) if not kept]) for one in open_ones]
        return [batch for batch in batches if len(batch)]

    def _store_open(self, batches: Sequence[FlowBatch]) -> None:
        if self.spool is None or not self._memory_first:
            for batch in batches:
                self.store_or_lose(batch)
            return
        # What is in memory is older than all that was spooled.
        safe = self.spool.prepend(part for batch in batches for part in payloads(batch))
        self.counters.add(spooled=safe, spool_written=safe)
        self._lose(sum(map(len, batches)) - safe)

    def _lose(self, rows: int) -> None:
        if rows:
            self.counters.add(lost=rows)
            if self._stays:
                text = "%d events are not delivered; they stay in %s"
                self._rare.say("lost", text, rows, self._stays, level=logging.ERROR)
                return
            why = "there is no spool" if self.spool is None else f"the spool has no room ({self.spool.error})"
            self._rare.say("lost", "%d events are lost: %s", rows, why, level=logging.ERROR)

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _unread(self) -> bool:
        return any(spool.unread for spool in self.spools)

    def _count_vanished(self) -> None:
        """Rows that the disk lost while we ran."""
        with self.changed:
            gone = sum(spool.vanished for spool in self.spools) - self.counters["spool_vanished"]
            self.counters.add(spool_vanished=gone, spooled=-gone, lost=gone)

    def _in_flight(self) -> list[InFlight]:
        return [*self._aside, self._fresh] if self._fresh else [*self._aside]

    def _next(self) -> InFlight | None:
        if self._aside.nbytes * 2 > self.queue_bytes:
            return None
        with self._retiring:
            with self.changed:
                self.check_owner()
            if not self._memory_first:
                return self._next_in_spool() or self._next_in_memory()
            # What came to the spool after we looked there may be newer than what came to memory after we looked there.
            while True:
                unread = self._unread
                if found := self._next_in_memory():
                    return found
                if unread:
                    return self._next_in_spool()
                if not self._unread:
                    return None

    def _next_in_memory(self) -> InFlight | None:
        with self.changed:
            taken = self.queue.take(net=self.net)
            if taken is None:
                return None
            self._fresh = InFlight(taken.batch, False, taken.since, taken.merged)
            self.counters.add(merged=taken.gone, queued=-taken.gone)
            self.changed.notify_all()
            return self._fresh

    def _next_in_spool(self) -> InFlight | None:
        for spool in self.spools:
            while frame := spool.read():
                batch = self._decode(spool, frame)
                if batch is not None:
                    with self.changed:
                        self._fresh = InFlight(batch, True, self._clock(), True)
                    return self._fresh
        return None

    def _decode(self, spool: Spool, frame: Frame) -> FlowBatch | None:
        """A spool frame as a batch. What this version cannot read is kept beside, and lost."""
        try:
            batch = decode(frame.payload)
            if len(batch) == frame.rows:
                return batch
            reason = f"it has {len(batch)} rows instead of {frame.rows}"
        except ValueError as error:
            reason = str(error)
        spool.keep_unread(frame)
        self.counters.add(spooled=-frame.rows, lost=frame.rows)
        self._rare.say("unread", "%d events of the spool are lost: %s", frame.rows, reason, level=logging.ERROR)
        return None

    def _bury(self, letters: list[tuple[bytes, str, int]]) -> None:
        if not letters:
            return
        unwritten = self._deadletters.write(letters) if self._deadletters else len(letters)
        self.counters.add(dead_letters_unwritten=unwritten)
        self._rare.say("dead", "%d rows refused for good: %s", len(letters), letters[0][1], level=logging.ERROR)
