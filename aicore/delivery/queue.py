# SPDX-License-Identifier: Apache-2.0
"""What waits in memory for one delivery, bounded in bytes. Not locked: the delivery's lock covers it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence

from aicore.batch import FlowBatch

#: Rows of one write at most. Larger ones win nothing (measured with pipelines of 100, 1,000 and 5,000).
WRITE_ROWS = 4096


class Group:
    """Rows on their way to the store: which are still open, and which of them the spool still has."""

    __slots__ = ("batch", "open", "since", "spooled")

    def __init__(self, batch: FlowBatch, spooled: bool | Iterable[bool], since: float) -> None:
        self.batch = batch
        self.open = bytearray(b"\1" * len(batch))
        self.spooled = bytearray([spooled]) * len(batch) if isinstance(spooled, bool) else bytearray(spooled)
        self.since = since

    def rows(self) -> list[int]:
        """Indices of the open rows."""
        if 0 not in self.open:  # the rule: nothing of it was tried yet
            return list(range(len(self.open)))
        return [row for row, is_open in enumerate(self.open) if is_open]

    def close(self, rows: Sequence[int]) -> int:
        """Rows that need nothing more; returns how many of them the spool still has."""
        if len(rows) == len(self.open):
            self.open = bytearray(len(rows))
            return sum(self.spooled)
        for row in rows:
            self.open[row] = 0
        return sum(self.spooled[row] for row in rows)

    def part(self, rows: Sequence[int]) -> Group:
        return Group(self.batch.take(rows), (bool(self.spooled[row]) for row in rows), self.since)

    def rest(self) -> Group | None:
        """The open rows alone."""
        rows = self.rows()
        if len(rows) == len(self.open):
            return self if rows else None
        return self.part(rows) if rows else None

    @staticmethod
    def join(groups: Iterable[Group | None]) -> Group | None:
        """The open rows of several, in that order."""
        parts = [rest for group in groups if group and (rest := group.rest())]
        if len(parts) < 2:
            return parts[0] if parts else None
        spooled = (bool(flag) for part in parts for flag in part.spooled)
        return Group(join([part.batch for part in parts]), spooled, min(part.since for part in parts))


class MemoryQueue:
    """Batches in order."""

    def __init__(self) -> None:
        self._batches: deque[tuple[FlowBatch, float]] = deque()
        self._begin = 0  # rows of the first batch that were taken already
        self.rows = 0
        self.nbytes = 0
        # Bytes added since the last merge and the last shed: doing it again before there are more would win nothing.
        self.grown = 0
        self.sheddable = 0

    def push(self, batch: FlowBatch, now: float) -> None:
        self._batches.append((batch, now))
        self.rows += len(batch)
        self.nbytes += batch.nbytes
        self.grown += batch.nbytes
        self.sheddable += batch.nbytes

    @property
    def since(self) -> float | None:
        """When the oldest batch came."""
        return self._batches[0][1] if self._batches else None

    def take(self, *, net: bool) -> tuple[Group, int] | None:
        """The next rows for one write, and how many were merged into them. With `net`, of several batches."""
        if not self._batches:
            return None
        batch, since = self._batches[0]
        if len(batch) - self._begin > WRITE_ROWS:
            rows = range(self._begin, self._begin + WRITE_ROWS)
            self._begin += WRITE_ROWS
            self.rows -= WRITE_ROWS
            return Group(batch.take(rows), False, since), 0
        parts = [self._pop()]
        size = len(parts[0])
        while net and self._batches and size + len(self._batches[0][0]) <= WRITE_ROWS:
            parts.append(self._pop())
            size += len(parts[-1])
        self.rows -= size
        if len(parts) == 1:
            return Group(parts[0], False, since), 0
        merged = join(parts).net()
        return Group(merged, False, since), size - len(merged)

    def merge(self) -> int:
        """Leaves each flow's latest row; returns how many rows were merged away."""
        if self.grown == 0 or not self._batches:
            return 0
        since = self._batches[0][1]
        before = self.rows
        batches = [self._pop() for _ in range(len(self._batches))]
        self._set(join(batches).net(), since)
        return before - self.rows

    def shed(self) -> int:
        """Drops updates that a later event of their flow makes up for; returns how many."""
        before = self.rows
        since = self.since
        if since is None:
            return 0
        batches = [self._pop() for _ in range(len(self._batches))]
        batch = join(batches)
        self._set(batch.take(lasting(batch)), since)
        self.sheddable = 0
        return before - self.rows

    def clear(self) -> list[FlowBatch]:
        """Takes everything out."""
        batches = [self._pop() for _ in range(len(self._batches))]
        self.rows = 0
        return batches

    def _pop(self) -> FlowBatch:
        batch, _ = self._batches.popleft()
        self.nbytes -= batch.nbytes
        if self._begin:
            batch = batch.take(range(self._begin, len(batch)))
            self._begin = 0
        return batch

    def _set(self, batch: FlowBatch, since: float) -> None:
        self._batches.append((batch, since))
        self.rows = len(batch)
        self.nbytes = batch.nbytes
        self.grown = 0


def join(batches: Sequence[FlowBatch]) -> FlowBatch:
    """One batch of several. The core joins those of one run; others, such as those of the spool, go through rows."""
    if len(batches) == 1:
        return batches[0]
    try:
        return FlowBatch.concat(batches)
    except ValueError:
        rows = [json.loads(line) for batch in batches for line in batch.json(True)]
        kinds: dict[str, set[type]] = {}
        for row in rows:
            for name, value in row.items():
                kinds.setdefault(name, set()).add(type(value))
        # A plugin may give a field another type from batch to batch; as text it fits any column.
        for name in [
            name for name, found in kinds.items() if len(found - {int, float, bool}) + 1 > 1 and len(found) > 1
        ]:
            for row in rows:
                if name in row:
                    row[name] = str(row[name])
        return FlowBatch.from_rows(rows)


def lasting(batch: FlowBatch) -> list[int]:
    """The rows that may not be shed: all but plain updates, which the flow's next event makes up for."""
    kinds = batch.column("event")
    new = batch.column("new")
    return [row for row, kind in enumerate(kinds) if kind != "update" or new[row]]
