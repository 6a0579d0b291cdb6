# SPDX-License-Identifier: Apache-2.0
"""What becomes of a live run's rows when a store takes less than comes: the capture never waits for it.

memory ─> net (merge what waits) ─> spool ─> no plain updates ─> nothing more

All of it concerns this store alone: others get everything.
"""

from __future__ import annotations

from aicore.delivery.backlog import Backlog
from aicore.delivery.queue import lasting
from aicore.delivery.timing import RareLog
from aicore.record.batch import FlowBatch

_MERGE = 0.3  # of the queue, from where on waiting batches are merged
_WINDOW = 1 << 20  # bytes that are merged at once, at least
_SOFT = 0.9  # of the queue; the rest is for rows that may not be shed


class Overload:
    """The ladder. `always`: everything goes through the spool."""

    def __init__(self, backlog: Backlog, rare: RareLog, *, always: bool = False) -> None:
        self._backlog = backlog
        self._rare = rare
        self._always = always

    def put(self, batch: FlowBatch) -> None:
        """Finds a place for each row, or counts it; never waits."""
        backlog = self._backlog
        # As long as the spool has rows everything joins its tail, else later rows would overtake them.
        if backlog.spool is not None and (self._always or backlog.behind_spool):
            rest = backlog.spill(batch)
            if rest is None:
                return
            if backlog.behind_spool:
                self._overflow(rest)
                return
            batch = rest  # its disk is full of other things
        if self._fits(batch):
            backlog.push(batch)
        elif rest := backlog.spill(batch):
            self._overflow(rest)

    def _fits(self, batch: FlowBatch) -> bool:
        """Memory has room, if need be after merging."""
        backlog, queue, bound = self._backlog, self._backlog.queue, self._backlog.queue_bytes
        with backlog.changed:
            if queue.nbytes + batch.nbytes > bound * _MERGE and queue.grown * 16 >= bound:
                # For a moment merging needs its window twice more: begun early, the whole stays within the bound.
                merged = queue.merge(queue.nbytes if queue.nbytes < bound * 0.35 else max(bound // 16, _WINDOW))
                backlog.counters.add(merged=merged, queued=-merged)
                if merged:
                    self._rare.say("merge", "events wait: %d merged into later ones of their flows", merged)
            return queue.nbytes + batch.nbytes <= bound * _SOFT

    def _overflow(self, batch: FlowBatch) -> None:
        """Neither memory nor spool has room for more than ends and beginnings of flows."""
        backlog, queue, spool = self._backlog, self._backlog.queue, self._backlog.spool
        rows = lasting(batch)
        with backlog.changed:
            backlog.counters.add(shed=len(batch) - len(rows))
            if not backlog.behind_spool and queue.sheddable * 8 >= backlog.queue_bytes:
                shed = queue.shed()
                backlog.counters.add(shed=shed, queued=-shed)
            reason = f" and so is the spool ({spool.error})" if spool and spool.error else ""
            self._rare.say("shed", "the queue is full%s: updates are shed", reason)
        if not rows:
            return
        batch = batch.take(rows) if len(rows) < len(batch) else batch
        with backlog.changed:
            fits = queue.nbytes < backlog.queue_bytes
        if fits and not backlog.behind_spool:
            backlog.push(batch)
        else:
            backlog.store_or_lose(batch)
