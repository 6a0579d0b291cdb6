# SPDX-License-Identifier: Apache-2.0
"""Which rows of the run one store gets."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from aicore.record.batch import FlowBatch


class Selection:
    """transports: IP protocol numbers that it gets, of those that are `tracked`. `ended`: final records alone.
    `detected`: flows in which a rule matched."""

    def __init__(
        self,
        transports: Collection[int],
        *,
        tracked: Collection[int] = (6, 17),
        ended: bool = False,
        detected: bool = False,
    ) -> None:
        self.ended = ended
        self._transports = None if frozenset(tracked) <= frozenset(transports) else frozenset(transports)
        self._detected = detected

    def of(self, batch: FlowBatch) -> FlowBatch | None:
        """Its rows of a batch; None if there are none."""
        if self.ended:
            found = batch.kind("remove")
            if found is None:
                return None
            batch = found
        if self._transports is None and not self._detected:
            return batch
        rows = list(self._rows(batch))
        if len(rows) == len(batch):
            return batch
        return batch.take(rows) if rows else None

    def _rows(self, batch: FlowBatch) -> Iterator[int]:
        rows: Iterator[int] = iter(range(len(batch)))
        if (transports := self._transports) is not None:
            protos = batch.column("proto")
            rows = (row for row in rows if protos[row] in transports)
        if self._detected:
            found = batch.column("detections") if "detections" in batch.names() else [None] * len(batch)
            rows = (row for row in rows if found[row])
        return rows
