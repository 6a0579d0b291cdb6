# SPDX-License-Identifier: Apache-2.0
"""An adaptor that fails on purpose, in memory, and shows what a store would hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from aicore.errors import RowError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.record.batch import FlowBatch

#: What happens to a row: delivered, refused for now, refused for good, or the whole write raises because of it.
Fate = Literal["ok", "retry", "poison", "fatal", "raise"]


class FaultyAdaptor(DatabaseAdaptor):
    """Keeps rows by flow_id, the newest version of each, like a store that compares versions.

    Set at any time, from any thread: `down` (an exception that every call raises before it does anything), `cut` (the
    connection is gone: writes raise ConnectionError until `connect` is called again, as many drivers do), `fate` (a
    function from a row's dict to its `Fate`), `hang` (an Event that calls wait for), `slow` (seconds per call).
    `log` is every row that was applied, in order, with its repeats.
    """

    def __init__(self, events: Literal["all", "net"] = "net") -> None:
        self.events = events
        self.rows: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[str, str, int]] = []  # flow_id, event, version
        self.calls = 0
        self.sizes: list[int] = []
        self.down: BaseException | None = None
        self.cut = False
        self.fate: Callable[[dict[str, Any]], Fate] | None = None
        self.hang: threading.Event | None = None
        self.slow = 0.0
        self.connected: list[str] = []
        self.closed = 0

    def connect(self, connection_str: str) -> None:
        self._obstacles()
        self.cut = False
        self.connected.append(connection_str)

    def write(self, batch: FlowBatch) -> Sequence[RowError] | None:
        self.calls += 1
        self.sizes.append(len(batch))
        self._obstacles()
        if self.cut:
            raise ConnectionError("the connection is cut")
        kinds, versions, ids = batch.column("event"), batch.column("version"), batch.column("flow_id")
        fates: list[Fate] = ["ok"] * len(batch)
        if self.fate is not None:
            fates = [self.fate({**flow.to_dict(), "event": kinds[n]}) for n, flow in enumerate(batch)]
        if "raise" in fates:
            raise ValueError("a row that this store cannot take")
        errors = []
        for row, fate in enumerate(fates):
            if fate == "ok":
                self._apply(ids[row], kinds[row], versions[row])
            else:
                errors.append(RowError(row, fate, f"{fate} as planned"))  # type: ignore[arg-type]  # "raise" was above
        return errors

    def close(self) -> None:
        self.closed += 1

    def _obstacles(self) -> None:
        if self.hang is not None:
            self.hang.wait()
        if self.slow:
            threading.Event().wait(self.slow)
        if self.down is not None:
            raise self.down

    def _apply(self, flow: str, kind: str, version: int) -> None:
        self.log.append((flow, kind, version))
        if flow not in self.rows or self.rows[flow]["version"] <= version:
            self.rows[flow] = {"event": kind, "version": version}
