# SPDX-License-Identifier: Apache-2.0
"""Events of flows that come, change and go, as a run hands them over."""

from __future__ import annotations

import random
from typing import Any

from aicore import FlowBatch
from aicore.testing import event

#: Flows that are still alive after the last batch, so that something is there when ended ones are deleted.
ALIVE = 50


class Traffic:
    """Flows that come, change and go; every fourth takes the key of an earlier one that has ended."""

    def __init__(self, rng: random.Random) -> None:
        self.version = 0
        self.flows = 0
        self.live: list[int] = []
        #: key -> version and kind of its last event
        self.last: dict[str, tuple[int, str]] = {}
        self._rng = rng
        self._place: dict[int, int] = {}  # flow -> number of its key
        self._at: dict[int, int] = {}  # live flow -> index in `live`

    def batch(self, events: int) -> FlowBatch:
        return FlowBatch.from_rows(self._next() for _ in range(events))

    def end(self) -> FlowBatch:
        """The last events: flows end, but for a few."""
        return FlowBatch.from_rows(self._event("remove", flow) for flow in self.live[:-ALIVE])

    def _next(self) -> dict[str, Any]:
        choice = self._rng.random()
        if choice < 0.35 or not self.live:
            flow = self.flows
            self.flows += 1
            again = flow % 4 == 3 and flow - 3 not in self._at
            self._place[flow] = flow - 3 if again else flow
            self._at[flow] = len(self.live)
            self.live.append(flow)
            return self._event("insert", flow)
        return self._event("update" if choice < 0.75 else "remove", self._rng.choice(self.live))

    def _event(self, kind: str, flow: int) -> dict[str, Any]:
        self.version += 1
        if kind == "remove":
            at = self._at.pop(flow)
            moved = self.live.pop()
            if moved != flow:
                self.live[at] = moved
                self._at[moved] = at
        place = self._place[flow]
        source = f"10.{place >> 16}.{place >> 8 & 255}.{place & 255}"
        address = {"ipsrc": source, "portsrc": 1024, "proto": 17 if place % 2 else 6}
        self.last[f"{source}:1024:{address['proto']}:192.0.2.1:443"] = (self.version, kind)
        return event(kind, flow, self.version, **address)
