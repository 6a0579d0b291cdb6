# SPDX-License-Identifier: Apache-2.0
"""Rows on their way from the queue or the spool to the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from aicore.errors import UsageError
from aicore.record.batch import FlowBatch

#: What ends a row's way.
Outcome = Literal["delivered", "dead_lettered"]


class InFlight:
    """A batch that was taken: which rows are still open, and which of them the spool still has."""

    __slots__ = ("batch", "merged", "open", "since", "spooled")

    def __init__(self, batch: FlowBatch, spooled: bool | Iterable[bool], since: float, merged: bool) -> None:
        self.batch = batch
        self.merged = merged  # a row may stand for several events of its flow
        self.open = bytearray(b"\1" * len(batch))
        self.spooled = bytearray([spooled]) * len(batch) if isinstance(spooled, bool) else bytearray(spooled)
        self.since = since

    def rows(self) -> list[int]:
        """Indices of the open rows."""
        if 0 not in self.open:  # the rule: nothing of it was tried yet
            return list(range(len(self.open)))
        if 1 not in self.open:  # the rule: all of it was taken
            return []
        return [row for row, is_open in enumerate(self.open) if is_open]

    def close(self, rows: Sequence[int]) -> int:
        """Rows that need nothing more; returns how many of them the spool still has."""
        if len(rows) == len(self.open):
            self.open = bytearray(len(rows))
            return self.spooled.count(1)
        for row in rows:
            self.open[row] = 0
        return sum(self.spooled[row] for row in rows)

    def part(self, rows: Sequence[int]) -> InFlight:
        return InFlight(self.batch.take(rows), (bool(self.spooled[row]) for row in rows), self.since, self.merged)

    def rest(self) -> InFlight | None:
        """The open rows alone."""
        rows = self.rows()
        if len(rows) == len(self.open):
            return self if rows else None
        return self.part(rows) if rows else None

    def joined(self, other: InFlight) -> InFlight | None:
        """The open rows of both, in that order; None where a field has two types, as of a run with other plugins that
        left its rows in the spool."""
        first, second = self.rest(), other.rest()
        if first is None or second is None:
            return first or second
        try:
            batch = FlowBatch.concat([first.batch, second.batch])
        except UsageError:
            return None
        since, merged = min(first.since, second.since), first.merged or second.merged
        return InFlight(batch, map(bool, first.spooled + second.spooled), since, merged)
