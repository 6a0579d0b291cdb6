# SPDX-License-Identifier: Apache-2.0
"""Which rows of the run one store gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from aicore.record.batch import FlowBatch


class Selection:
    """transports: IP protocol numbers that it gets, of those that are `tracked`. `every`: by transport, at which
    multiples of a flow's packets it gets sampled updates, 0 for none, of a run that samples at a divisor of them; None:
    it gets all of the run's. `ended`: final records alone. `detected`: flows in which a rule matched."""

    def __init__(
        self,
        transports: Collection[int],
        *,
        tracked: Collection[int] = (6, 17),
        every: Mapping[int, int] | None = None,
        ended: bool = False,
        detected: bool = False,
    ) -> None:
        self.ended = ended
        self._transports = None if frozenset(tracked) <= frozenset(transports) else frozenset(transports)
        self._detected = detected
        self._every = None if ended else every

    def of(self, batch: FlowBatch) -> FlowBatch | None:
        """Its rows of a batch; None if there are none."""
        if self.ended:
            found = batch.kind("remove")
            if found is None:
                return None
            batch = found
        rows: Sequence[int] = range(len(batch))
        if self._every is not None:
            rows = batch._core.rows_at_multiples(self._every)
        if (transports := self._transports) is not None:
            protos = batch.column("proto")
            rows = [row for row in rows if protos[row] in transports]
        if self._detected:
            detections = batch.column("detections") if "detections" in batch.names() else [None] * len(batch)
            rows = [row for row in rows if detections[row]]
        if len(rows) == len(batch):
            return batch
        return batch.take(rows) if rows else None
