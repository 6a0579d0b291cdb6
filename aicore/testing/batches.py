# SPDX-License-Identifier: Apache-2.0
"""Batches for tests: real FlowBatches, made of rows that look like a capture's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from aicore.record.batch import FlowBatch

_T0 = 1_700_000_000_000_000_000


def flow_id(flow: int) -> str:
    """The identity that `event` gives to flow number `flow`."""
    return f"{flow:032x}"


def event(kind: str, flow: int, version: int, **fields: Any) -> dict[str, Any]:
    """One row: event `kind` of flow number `flow`. Each flow has its own key; `fields` replace or add."""
    record: dict[str, Any] = {
        "event": kind,
        "version": version,
        "seq": version,
        "flow_id": flow_id(flow),
        "ipsrc": f"10.{flow >> 16 & 255}.{flow >> 8 & 255}.{flow & 255}",
        "portsrc": 1024 + flow % 60_000,
        "proto": 6,
        "ipdst": "192.0.2.1",
        "portdst": 443,
        "first_seen": _T0 + flow,
        "last_seen": _T0 + flow + version,
        "packets": version,
        "bytes": 100 * version,
        "layer7": "tls",
        "sslhost": f"host-{flow}.example",
    }
    if kind == "remove":
        record["end_reason"] = "fin"
    return record | fields


def make_batch(flows: int, *, kind: str = "update", first: int = 0, version: int = 1, **fields: Any) -> FlowBatch:
    """One row for each of `flows` flows, numbered from `first`, with rising versions from `version` on."""
    return FlowBatch.from_rows(event(kind, first + n, version + n, **fields) for n in range(flows))


def batches(parts: Iterable[Iterable[dict[str, Any]]]) -> list[FlowBatch]:
    """A batch for each part. As those of one run they can be joined without a way through rows."""
    sizes: list[int] = []
    rows: list[dict[str, Any]] = []
    for part in parts:
        before = len(rows)
        rows += part
        sizes.append(len(rows) - before)
    whole = FlowBatch.from_rows(rows)
    ends = list(accumulate(sizes))
    return [whole.take(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


def life(flow: int, version: int, updates: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """A flow from insert to remove: its rows, with rising versions from `version` on."""
    kinds = ["insert", *["update"] * updates, "remove"]
    return [event(kind, flow, version + step, **fields) for step, kind in enumerate(kinds)]


def lives(flows: Iterable[int], version: int = 1, updates: int = 1) -> FlowBatch:
    """Whole lives of several flows, interleaved: all inserts, then the updates, then all removes."""
    flows = list(flows)
    kinds = ["insert", *["update"] * updates, "remove"]
    rows = [event(kind, flow, 0) for kind in kinds for flow in flows]
    return FlowBatch.from_rows(
        row | event(row["event"], int(row["flow_id"], 16), version + n) for n, row in enumerate(rows)
    )
