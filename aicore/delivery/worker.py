# SPDX-License-Identifier: Apache-2.0
"""One adaptor's delivery: a queue, a thread, a spool. No store holds up a live capture or another store.

Three kinds of thread: the one that calls put() (run()'s), the delivery's own, and whoever asks for state or finishes.
`_lock` covers the queue, the counters and who owns the open rows; the spool has a lock of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from aicore.adaptor import threads_of, write_batch
from aicore.batch import FlowBatch
from aicore.delivery.deadletter import DeadLetters
from aicore.delivery.metrics import new_counters
from aicore.delivery.queue import Group, MemoryQueue, lasting
from aicore.delivery.segment import Frame
from aicore.delivery.sender import Backoff, Halt, Outcome, Sender, describe
from aicore.delivery.spool import Spool
from aicore.errors import AicoreError, RowError

log = logging.getLogger("aicore.delivery")

State = Literal["connecting", "ok", "retrying", "spooling", "fatal", "stuck", "closed"]

#: A store of a file run that takes nothing for so long at the start has refused.
START_SECONDS = 5.0
#: A call that has not returned for so long is named.
STUCK_SECONDS = 5.0
_TICK = 0.1
_LOG_SECONDS = 10.0
_SOFT = 0.9  # of the queue; the rest is for rows that may not be shed
_PAYLOAD = 8 << 20  # bytes of one spool frame, about


class _Gone(Exception):
    """The rows were taken from this thread: the run is over."""


class Delivery:
    """Takes the batches of a run to one adaptor, at least once each row, in order by flow.

    `live`: put() never waits, and what does not fit is merged, spooled or shed, in that order, and counted. Otherwise
    put() waits while the queue is over its bound. `on_full(True)` asks for no new flows, on put()'s thread, and
    `on_full(False)` takes it back, on the delivery's.
    """

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
        self._caller = threads_of(adaptor) == "caller"
        self._backoff = Backoff(*backoff)
        self._sender = Sender(self._write, self, self._backoff)

        self._lock = threading.Condition()
        self._queue = MemoryQueue()
        self._held: Group | None = None  # rows that failed, and later ones of their keys
        self._held_rounds = 0
        self._held_due = 0.0
        self._fresh: Group | None = None  # taken, not tried to an end
        self._counters = new_counters()
        self._phase: State = "connecting" if url else "ok"
        self._started = clock()
        self._failing_since: float | None = None
        self._call: tuple[str, float] | None = None  # what the adaptor is in, since when
        self._stuck_said = False
        self._full = False
        self._ending = False
        self._deadline: float | None = None
        self._connected = False
        self._closed = False
        self._said: dict[str, tuple[float, int]] = {}
        self._thread = threading.Thread(target=self._main, name=f"aicore-delivery-{name}", daemon=True)
        if spool is not None:
            self._counters["accepted"] = self._counters["spooled"] = self._counters["recovered"] = spool.rows

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
        """Takes a batch over. An exception while waiting for room (an interrupt) comes after that."""
        accepted = wanted = len(batch)
        if len(self._transports) == 1:
            rows = [row for row, proto in enumerate(batch.column("proto")) if proto in self._transports]
            wanted = len(rows)
            batch = batch.take(rows) if wanted < accepted else batch
        if self._net and wanted:
            batch = batch.net()
        with self._lock:
            self._counters["batches"] += 1
            self._counters["accepted"] += accepted
            self._counters["filtered"] += accepted - wanted
            self._counters["merged"] += wanted - len(batch)
        if not len(batch):
            return
        if self._phase in ("fatal", "closed") or self._out_of_time():
            self._store_or_lose(batch)
        elif self._live:
            self._put_live(batch)
        elif self._always:
            self._put_always(batch)
        else:
            self._push(batch)
        if self._caller:
            self._run(until_idle=True)
        elif not self._live:
            self._wait_for_room()
        self._watch()

    def hurry(self, seconds: float) -> None:
        """From now on nothing waits longer than that. Safe in a signal handler."""
        deadline = self._clock() + seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

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
            if not self._closed:
                self._run(until_idle=False)
                self._call_close()
        else:
            while self._thread.is_alive() and not self._out_of_time() and not self._hopeless():
                self._thread.join(_TICK)
                self._watch()
            if not self._out_of_time():
                self._thread.join(_TICK)  # after a fatal error: it has only to close the adaptor
        self._conclude()

    def abort(self) -> None:
        """finish() without waiting for the store: everything to the spool at once."""
        self.finish(0)

    # -- state --------------------------------------------------------------------------------------------------

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
            found["queued_bytes"] = self._queue.nbytes + sum(g.batch.nbytes for g in (self._held, self._fresh) if g)
        if self.spool is not None:
            found["spooled_bytes"] = self.spool.used_bytes
            found["spool_age_seconds"] = int(self.spool.age)
            found["spool_damaged_bytes"] = self.spool.damaged_bytes
            found["spool_damaged_rows"] = self.spool.lost_rows
        return found

    # -- taking batches -----------------------------------------------------------------------------------------

    def _push(self, batch: FlowBatch) -> None:
        with self._lock:
            self._queue.push(batch, self._clock())
            self._counters["queued"] += len(batch)
            self._lock.notify_all()

    def _put_live(self, batch: FlowBatch) -> None:
        """The ladder: memory, net, spool, no plain updates, no new flows."""
        spool = self.spool
        # As long as the spool has rows everything joins its tail, else later rows would overtake them.
        if spool is not None and (self._always or spool.rows):
            if rest := self._to_spool(batch):
                self._overflow(rest)
            return
        soft = self._queue_bytes * _SOFT
        with self._lock:
            if self._queue.nbytes + batch.nbytes > soft and self._queue.grown * 8 >= self._queue_bytes:
                merged = self._queue.merge()
                self._counters["merged"] += merged
                self._counters["queued"] -= merged
                self._say("merge", "the queue is full: %d events merged into later ones of their flows", merged)
            fits = self._queue.nbytes + batch.nbytes <= soft
        if fits:
            self._push(batch)
        elif rest := self._to_spool(batch):
            self._overflow(rest)

    def _put_always(self, batch: FlowBatch) -> None:
        """Files with `spool_always`: through the spool, waiting for room in it."""
        rest = self._to_spool(batch)
        while rest is not None:
            if self._phase in ("fatal", "closed") or self._out_of_time():
                return self._store_or_lose(rest)
            self._wait_once()
            rest = self._to_spool(rest)
        self.waiting_since = None
        return None

    def _overflow(self, batch: FlowBatch) -> None:
        """Neither memory nor spool has room for more than ends and beginnings of flows."""
        spool = self.spool
        rows = lasting(batch)
        with self._lock:
            self._counters["shed"] += len(batch) - len(rows)
            if not (spool and spool.rows) and self._queue.sheddable * 8 >= self._queue_bytes:
                shed = self._queue.shed()
                self._counters["shed"] += shed
                self._counters["queued"] -= shed
            reason = f" and so is the spool ({spool.error})" if spool and spool.error else ""
            self._say("shed", "the queue is full%s: updates are shed, new flows are not admitted", reason)
            tell = not self._full
            self._full = True
        if tell and self._on_full:
            self._on_full(True)
        if not rows:
            return
        batch = batch.take(rows) if len(rows) < len(batch) else batch
        with self._lock:
            fits = self._queue.nbytes < self._queue_bytes
        if fits and not (spool and spool.rows):
            self._push(batch)
        else:
            self._store_or_lose(batch)

    def _wait_for_room(self) -> None:
        """Files: the reader waits for the store, and for what an earlier run left in its spool."""
        while not self._out_of_time() and self._phase not in ("fatal", "closed"):
            recovering = self._counters["spooled"] > 0 and not self._always
            if not recovering and self._queue.nbytes < self._queue_bytes:
                break
            self._wait_once()
        self.waiting_since = None

    def _wait_once(self) -> None:
        with self._lock:
            if self.waiting_since is None:
                self.waiting_since = self._clock()
            self._lock.wait(_TICK)
        self._watch()

    def _to_spool(self, batch: FlowBatch, *, final: bool = False) -> FlowBatch | None:
        """Appends to the spool; returns the rows for which there was no room."""
        if self.spool is None:
            return batch
        done = 0
        for payload, rows in _payloads(batch):
            if not self.spool.append(payload, rows, final=final):
                break
            done += rows
            with self._lock:
                self._counters["spooled"] += rows
                self._counters["spooled_total"] += rows
                self._lock.notify_all()
        if done:
            self._say("spool", "events go to the spool %s", self.spool.path)
        if done == 0:
            return batch
        return batch.take(range(done, len(batch))) if done < len(batch) else None

    def _store_or_lose(self, batch: FlowBatch) -> None:
        rest = self._to_spool(batch, final=True)
        if rest is not None:
            with self._lock:
                self._counters["lost"] += len(rest)
            self._say("lost", "no room anywhere: %d events are lost", len(rest), level=logging.ERROR)

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
                failures += 1
                self._note_failure(describe(error))
                # What aicore itself finds wrong, such as an option, does not heal.
                if isinstance(error, AicoreError):
                    self._fail(f"connect: {describe(error)}")
                    return False
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
        """The next rows: first from memory, which is older, then from the spool."""
        held = self._held
        if held is not None and held.batch.nbytes * 2 > self._queue_bytes:
            return None
        with self._lock:
            if taken := self._queue.take(net=self._net):
                self._fresh, merged = taken
                self._counters["merged"] += merged
                self._counters["queued"] -= merged
                self._lock.notify_all()
                return self._fresh
        while self.spool is not None and (frame := self.spool.read()):
            batch = self._decode(frame)
            if batch is not None:
                with self._lock:
                    self._fresh = Group(batch, True, self._clock())
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
        if self._ending and self._held is not None and self._fresh is None and not self._waiting():
            self._sender.judge_last(self._held, self._clock() - (self._failing_since or self._clock()))
            with self._lock:
                self._held = self._held.rest()
        spool = self.spool
        if spool is not None:
            with self._lock:
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
        lines = frame.payload.split(b"\n")[:-1]
        try:
            return FlowBatch.from_rows([json.loads(line) for line in lines])
        except (ValueError, AicoreError):
            good, bad = [], []
            for line in lines:
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

    def _write(self, batch: FlowBatch) -> Sequence[RowError] | None:
        begin = self._clock()
        self._calling("write")
        try:
            return write_batch(self.adaptor, batch)
        finally:
            self._call = None
            with self._lock:
                self._counters["writes"] += 1
                self._counters["write_ms"] += int((self._clock() - begin) * 1000)
                if self._closed:
                    raise _Gone

    def resolve(self, group: Group, rows: Sequence[int], outcome: Outcome, reason: str = "", attempts: int = 0) -> None:
        with self._lock:
            if self._closed:
                raise _Gone
            spooled = group.close(rows)
            self._counters["spooled"] -= spooled
            self._counters["queued"] -= len(rows) - spooled
            self._counters["replayed"] += spooled if outcome == "delivered" else 0
            self._counters[outcome] += len(rows)
            if outcome == "delivered" and self._phase == "retrying":
                log.info("%s: delivers again", self.name)
            if outcome == "delivered" and self._phase in ("retrying", "connecting"):
                self._phase = "ok"
                self._failing_since = None
        if outcome == "dead_lettered":
            self._bury([(group.batch.take([row]).json(True)[0], reason, attempts) for row in rows])

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
            while not self._closed and not self._out_of_time() and self._phase != "fatal":
                left = end - self._clock()
                if left <= 0:
                    return True
                self._lock.wait(min(left, _TICK))
                self._refused()
        return False

    # -- failure ------------------------------------------------------------------------------------------------

    def _note_failure(self, reason: str) -> None:
        with self._lock:
            self.error = reason
            if self._failing_since is None:
                self._failing_since = self._clock()
        self._say("retry", "retrying: %s", reason)

    def _refused(self) -> bool:
        """A store of a file run that has taken nothing since the start is an error of the command, not of now."""
        if self._live or self._wait or self._sender.delivered or self._phase == "fatal":
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

    # -- the end ------------------------------------------------------------------------------------------------

    def _out_of_time(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def _hopeless(self) -> bool:
        """Waiting for the thread will not get another row delivered."""
        call = self._call
        hangs = call is not None and call[0] == "close" and self._clock() - call[1] > STUCK_SECONDS
        return self._phase == "fatal" or hangs

    def _conclude(self) -> None:
        """Takes what is open from the delivery thread, which may hang in the adaptor, and stores it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            groups = [group.rest() for group in (self._held, self._fresh) if group]
            batches = [g.batch.take([r for r, kept in enumerate(g.spooled) if not kept]) for g in groups if g]
            batches = [batch for batch in batches if len(batch)] + self._queue.clear()
            self._held = self._fresh = None
            self._lock.notify_all()
        rows = sum(map(len, batches))
        safe = 0
        if self.spool is not None:
            if rows:
                safe = self.spool.prepend(part for batch in batches for part in _payloads(batch))
            self.spool.close()
        with self._lock:
            self._counters["queued"] -= rows
            self._counters["spooled"] += safe
            self._counters["spooled_total"] += safe
            self._counters["lost"] += rows - safe
            if self._phase != "fatal":
                self._phase = "closed"
        if self._counters["spooled"] and self.spool is not None:
            log.warning("%s: %d events wait in the spool %s", self.name, self._counters["spooled"], self.spool.path)
        if rows > safe:
            log.error("%s: %d events are lost", self.name, rows - safe)

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

    # -- watching -----------------------------------------------------------------------------------------------

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


def _payloads(batch: FlowBatch) -> Iterable[tuple[bytes, int]]:
    """A batch as frames of a bearable size."""
    if not len(batch):
        return
    payload = batch.json_lines(True)
    if len(payload) <= _PAYLOAD or len(batch) == 1:
        yield payload, len(batch)
        return
    middle = len(batch) // 2
    yield from _payloads(batch.take(range(middle)))
    yield from _payloads(batch.take(range(middle, len(batch))))
