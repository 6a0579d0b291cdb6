# SPDX-License-Identifier: Apache-2.0
"""What waits in memory for one store. Not locked: the backlog's lock covers it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aicore.record.batch import FlowBatch

#: Rows of one write at most. Larger ones win nothing (measured with pipelines of 100, 1,000 and 5,000).
WRITE_ROWS = 4096


class _Waiting(NamedTuple):
    batch: FlowBatch
    since: float
    nbytes: int  # as it came: columns and JSON that others ask the same batch for add to it
    merged: bool


class Taken(NamedTuple):
    """Rows for one write."""

    batch: FlowBatch
    since: float
    merged: bool  # a row may stand for several events of its flow
    gone: int  # rows that were merged into these just now


class BatchQueue:
    """Batches in order. `nbytes` is for its owner to bound."""

    def __init__(self) -> None:
        self._batches: deque[_Waiting] = deque()
        self._begin = 0  # rows of the first batch that were taken already
        self.rows = 0
        self.nbytes = 0
        # Bytes added since the last merge and the last shed: doing it again before there are more would win nothing.
        self.grown = 0
        self.sheddable = 0

    def push(self, batch: FlowBatch, now: float, *, merged: bool) -> None:
        self._add(batch, now, merged)
        self.grown += self._batches[-1].nbytes
        self.sheddable += self._batches[-1].nbytes

    @property
    def since(self) -> float | None:
        """When the oldest batch came."""
        return self._batches[0].since if self._batches else None

    def take(self, *, net: bool) -> Taken | None:
        """The next rows for one write. With `net`, of several batches."""
        if not self._batches:
            return None
        first = self._batches[0]
        if len(first.batch) - self._begin > WRITE_ROWS:
            rows = range(self._begin, self._begin + WRITE_ROWS)
            self._begin += WRITE_ROWS
            self.rows -= WRITE_ROWS
            return Taken(first.batch.take(rows), first.since, first.merged, 0)
        count, size = 1, len(first.batch) - self._begin
        while net and count < len(self._batches) and size + len(self._batches[count].batch) <= WRITE_ROWS:
            size += len(self._batches[count].batch)
            count += 1
        parts = [self._pop() for _ in range(count)]
        if count > 1 and (merged := _net(parts)):
            return Taken(merged, first.since, True, size - len(merged))
        for part in reversed(parts[1:]):
            self._batches.appendleft(_Waiting(part, first.since, part.nbytes, True))
            self.rows += len(part)
            self.nbytes += part.nbytes
        return Taken(parts[0], first.since, first.merged, 0)

    def merge(self, window: int) -> int:
        """Leaves each flow's latest row among neighbours that are `window` bytes together, which it needs twice for a
        moment; returns how many rows were merged away."""
        before = self.rows
        waiting = deque(self._batches)
        if self._begin:
            first = waiting.popleft()
            rest = first.batch.take(range(self._begin, len(first.batch)))
            waiting.appendleft(_Waiting(rest, first.since, rest.nbytes, first.merged))
        self._batches.clear()
        self._begin = self.rows = self.nbytes = self.grown = 0
        while waiting:
            parts = [waiting.popleft()]
            size = parts[0].nbytes
            while waiting and size + waiting[0].nbytes <= window:
                size += waiting[0].nbytes
                parts.append(waiting.popleft())
            if len(parts) > 1 and (merged := _net([one.batch for one in parts])):
                self._add(merged, parts[0].since, True)
            else:
                for one in parts:
                    self._add(one.batch, one.since, one.merged)
        return before - self.rows

    def shed(self) -> int:
        """Drops updates that a later event of their flow makes up for; returns how many."""
        before = self.rows
        for _ in range(len(self._batches)):
            since, merged = self._batches[0].since, self._batches[0].merged
            batch = self._pop()
            if rows := lasting(batch):
                self._add(batch.take(rows), since, merged)
        self.sheddable = 0
        return before - self.rows

    def clear(self) -> list[FlowBatch]:
        """Takes everything out."""
        return [self._pop() for _ in range(len(self._batches))]

    def _add(self, batch: FlowBatch, since: float, merged: bool) -> None:
        self._batches.append(_Waiting(batch, since, batch.nbytes, merged))
        self.rows += len(batch)
        self.nbytes += self._batches[-1].nbytes

    def _pop(self) -> FlowBatch:
        one = self._batches.popleft()
        self.nbytes -= one.nbytes
        batch = one.batch.take(range(self._begin, len(one.batch))) if self._begin else one.batch
        self._begin = 0
        self.rows -= len(batch)
        return batch


def _net(batches: Sequence[FlowBatch]) -> FlowBatch | None:
    """Several batches merged; None where they cannot be joined."""
    try:
        return FlowBatch.concat(batches).net()
    except ValueError:
        return None


def lasting(batch: FlowBatch) -> list[int]:
    """The rows that may not be shed: all but plain updates, which the flow's next event makes up for."""
    kinds = batch.column("event")
    new = batch.column("new")
    return [row for row, kind in enumerate(kinds) if kind != "update" or new[row]]
