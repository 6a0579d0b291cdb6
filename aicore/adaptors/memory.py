# SPDX-License-Identifier: Apache-2.0
"""`memory:`: keeps flows and events in the process, for tests and programs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.plugins.options import Option

if TYPE_CHECKING:
    from aicore.record.batch import FlowBatch


class MemoryAdaptor(DatabaseAdaptor):
    """The latest record of each flow, and every event in the order of delivery.

    Records are dicts of the fields that are present, times as integers, with `event` and `version` added. Both
    collections hold at most `limit` of them: the oldest go, and `dropped` counts them. The delivery's thread writes
    here: read when the run is over."""

    options = {"limit": Option(int, default=100_000, minimum=1, help="flows, and events, kept at most", tuning=True)}
    events = "all"
    aicore_api = 1

    def __init__(self) -> None:
        #: flow_id -> record, in the order in which the flows came.
        self.flows: dict[str, dict[str, Any]] = {}
        #: The record of each event.
        self.log: deque[dict[str, Any]] = deque()
        #: Records that the limit cost.
        self.dropped = 0

    def write(self, batch: FlowBatch) -> None:
        """Adds the batch. Records that are older than what is there stand in the log alone."""
        limit = self.config["limit"]
        for index, (event, version) in enumerate(zip(batch.column("event"), batch.column("version"), strict=True)):
            record = {**batch.row(index), "event": event, "version": version}
            self.log.append(record)
            known = self.flows.get(record["flow_id"])
            if known is None or known["version"] <= version:
                self.flows[record["flow_id"]] = record
        while len(self.log) > limit:
            self.log.popleft()
            self.dropped += 1
        while len(self.flows) > limit:
            del self.flows[next(iter(self.flows))]
            self.dropped += 1
