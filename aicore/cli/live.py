# SPDX-License-Identifier: Apache-2.0
"""`--live`: a table of the flows, protocols and stores of a run, renewed each second."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aicore.cli.progress import Progress
from aicore.cli.terminal import count, safe, size
from aicore.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from aicore.record.batch import FlowBatch
    from aicore.run.loop import Run

_FLOWS = 12
_PROTOCOLS = 8
#: Flows that are remembered. Beyond twice as many the smaller half goes: they are not shown anyway.
_REMEMBERED = 10_000


class LiveTable(Progress):
    """A progress display that is a hook as well, because it shows the flows that are alive."""

    def __init__(self) -> None:
        super().__init__(terminal=False)
        self._flows: dict[str, tuple[int, str, str | None]] = {}  # flow_id -> bytes, key, layer7
        self._renewed = 0.0

    def __enter__(self) -> LiveTable:
        self._live = Live(console=Console(stderr=True), screen=True, auto_refresh=False)
        self._live.start()
        return self

    @hookimpl
    def flow_batch(self, flows: FlowBatch) -> None:
        columns = ("event", "flow_id", "bytes", "key", "layer7")
        for event, flow, octets, key, layer7 in zip(*map(flows.column, columns), strict=True):
            if event == "remove":
                self._flows.pop(flow, None)
            else:
                self._flows[flow] = (octets, key, layer7)
        if len(self._flows) > 2 * _REMEMBERED:
            self._flows = dict(heapq.nlargest(_REMEMBERED, self._flows.items(), key=lambda item: item[1][0]))

    def __call__(self, run: Run) -> None:
        now = time.monotonic()
        if self._live is None or now - self._renewed < 1.0:
            return
        self._renewed = now
        line = Text(safe(self.line(run, run.progress_info(), now)))
        self._live.update(Group(line, self._flow_table(), self._protocol_table(), _store_table(run)), refresh=True)

    def _flow_table(self) -> Table:
        table = _table("FLOW", "LAYER 7", "BYTES")
        for octets, key, layer7 in heapq.nlargest(_FLOWS, self._flows.values(), key=lambda flow: flow[0]):
            table.add_row(Text(safe(key)), Text(safe(layer7 or "")), size(octets))
        return table

    def _protocol_table(self) -> Table:
        octets: Counter[str] = Counter()
        flows: Counter[str] = Counter()
        for number, _, layer7 in self._flows.values():
            octets[layer7 or "(unknown)"] += number
            flows[layer7 or "(unknown)"] += 1
        table = _table("LAYER 7", "FLOWS ALIVE", "BYTES")
        for name, number in octets.most_common(_PROTOCOLS):
            table.add_row(Text(safe(name)), count(flows[name]), size(number))
        return table


def _store_table(run: Run) -> Table:
    table = _table("STORE", "STATE", "DELIVERED", "QUEUED", "IN THE SPOOL", "BEHIND")
    for adaptor in run.adaptors():
        counters = adaptor.counters
        table.add_row(
            Text(safe(adaptor.target)),
            adaptor.state,
            count(counters["delivered"]),
            count(counters["queued"]),
            count(counters["spooled"]),
            f"{adaptor.lag_seconds:.1f} s",
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title="")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 and column != "FLOWS ALIVE" else "right", no_wrap=True)
    return table
