# SPDX-License-Identifier: Apache-2.0
"""How a delivery takes batches over, and what becomes of those for which there is no room. On put()'s thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from aicore.delivery.queue import lasting
from aicore.delivery.state import TICK, DeliveryState
from aicore.record.batch import FlowBatch

_MERGE = 0.3  # of the queue, from where on waiting batches are merged
_WINDOW = 1 << 20  # bytes that are merged at once, at least
_SOFT = 0.9  # of the queue; the rest is for rows that may not be shed
_PAYLOAD = 8 << 20  # bytes of one spool frame, about


class Intake(DeliveryState):
    """put() without its delivery thread."""

    def _take_over(self, batch: FlowBatch) -> None:
        """Where a batch goes: memory, spool, or nowhere; all rows are accounted for."""
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
            self._retire()
            self._store_or_lose(batch)
        elif self._live:
            self._put_live(batch)
        elif self._always:
            self._put_always(batch)
        else:
            self._push(batch)

    def _push(self, batch: FlowBatch) -> None:
        with self._lock:
            self._queue.push(batch, self._clock(), merged=self._net)
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
        queue, bound = self._queue, self._queue_bytes
        with self._lock:
            if queue.nbytes + batch.nbytes > bound * _MERGE and queue.grown * 16 >= bound:
                # For a moment merging needs its window twice more: begun early, the whole stays within the bound.
                merged = queue.merge(queue.nbytes if queue.nbytes < bound * 0.35 else max(bound // 16, _WINDOW))
                self._counters["merged"] += merged
                self._counters["queued"] -= merged
                if merged:
                    self._say("merge", "events wait: %d merged into later ones of their flows", merged)
            fits = queue.nbytes + batch.nbytes <= bound * _SOFT
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
            self._lock.wait(TICK)
        self._watch()

    def _to_spool(self, batch: FlowBatch, *, final: bool = False) -> FlowBatch | None:
        """Appends to the spool; returns the rows for which there was no room."""
        if self.spool is None:
            return batch
        done = 0
        for payload, rows in payloads(batch):
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

    def _retire(self) -> None:
        """Takes what is open from the delivery thread, which may hang in the adaptor, and stores it in its order."""
        with self._retiring:
            if batches := self._take_open():
                self._store_open(batches)

    def _take_open(self) -> list[FlowBatch]:
        with self._lock:
            if self._retired:
                return []
            self._retired = True
            groups = [rest for group in (self._held, self._fresh) if group and (rest := group.rest())]
            batches = [
                group.batch.take([row for row, kept in enumerate(group.spooled) if not kept]) for group in groups
            ]
            batches = [batch for batch in batches if len(batch)] + self._queue.clear()
            self._held = self._fresh = None
            self._counters["queued"] -= sum(map(len, batches))
            self._lock.notify_all()
            return batches

    def _store_open(self, batches: Sequence[FlowBatch]) -> None:
        if self.spool is None or not self._live:
            for batch in batches:
                self._store_or_lose(batch)
            return
        # What a live run has in memory is older than all it has spooled.
        safe = self.spool.prepend(part for batch in batches for part in payloads(batch))
        with self._lock:
            self._counters["spooled"] += safe
            self._counters["spooled_total"] += safe
        self._lose(sum(map(len, batches)) - safe)

    def _store_or_lose(self, batch: FlowBatch) -> None:
        rest = self._to_spool(batch, final=True)
        self._lose(0 if rest is None else len(rest))

    def _lose(self, rows: int) -> None:
        if rows:
            with self._lock:
                self._counters["lost"] += rows
            why = "there is no spool" if self.spool is None else f"the spool has no room ({self.spool.error})"
            self._say("lost", "%d events are lost: %s", rows, why, level=logging.ERROR)


def payloads(batch: FlowBatch) -> Iterable[tuple[bytes, int]]:
    """A batch as frames of a bearable size."""
    if not len(batch):
        return
    payload = batch.json_lines(True)
    if len(payload) <= _PAYLOAD or len(batch) == 1:
        yield payload, len(batch)
        return
    middle = len(batch) // 2
    yield from payloads(batch.take(range(middle)))
    yield from payloads(batch.take(range(middle, len(batch))))
