# SPDX-License-Identifier: Apache-2.0
"""Finished flows as tables: rows per CPU second (all threads, best of ROUNDS), in one run.

python benchmarks/dataframes.py CAPTURE

Once as the batches that a run gives, once as one batch of all. Each round takes batches that nothing was asked of yet.
`pyarrow from_pylist` is what a program does without columns: dicts to an Arrow table by pyarrow itself. JSON and the
binary form stand beside each other as the forms that a spool may keep. Ways that the installed aicore has not are left
out, so that an older one can be measured by the same program.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import polars
import pyarrow

import aicore

ROUNDS = 5

Batches = Sequence[aicore.FlowBatch]


def sql(batches: Batches) -> None:
    for batch in batches:  # noqa: B007  # DuckDB looks for it
        found = duckdb.sql("SELECT layer7, sum(bytes) FROM batch GROUP BY 1")
        assert found is not None
        found.fetchall()


def read_json(batches: Batches) -> Callable[[], Any]:
    texts = [batch.json_lines() for batch in batches]
    return lambda: [aicore.FlowBatch.from_rows(map(json.loads, text.splitlines())) for text in texts]


def read_bytes(batches: Batches) -> Callable[[], Any]:
    schema, texts = batches[0].schema_bytes(), [batch.to_bytes() for batch in batches]
    return lambda: [aicore.FlowBatch.from_bytes(schema, text) for text in texts]


def from_pylist(batches: Batches) -> Callable[[], Any]:
    dicts = [[flow.to_dict() for flow in batch] for batch in batches]
    return lambda: [pyarrow.Table.from_pylist(rows) for rows in dicts]


def each(make: Callable[[aicore.FlowBatch], Any]) -> Callable[[Batches], Callable[[], Any]]:
    return lambda batches: lambda: [make(batch) for batch in batches]


#: What prepares, and gives what is measured.
WAYS: dict[str, Callable[[Batches], Callable[[], Any]]] = {
    "to_arrow": each(lambda batch: batch.to_arrow()),
    "to_polars": each(lambda batch: batch.to_polars()),
    "to_pandas": each(lambda batch: batch.to_pandas()),
    "pyarrow from_pylist": from_pylist,
    "json_lines": each(lambda batch: batch.json_lines()),
    "json_lines, read": read_json,
}
if hasattr(aicore.FlowBatch, "__arrow_c_stream__"):
    WAYS |= {
        "capsule, pyarrow": each(pyarrow.table),
        "capsule, polars": each(polars.DataFrame),
        "capsule, duckdb sum(bytes)": lambda batches: lambda: sql(batches),
        "to_bytes": each(lambda batch: batch.to_bytes()),
        "from_bytes": read_bytes,
    }


def rate(batches: Batches, prepare: Callable[[Batches], Callable[[], Any]]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        work = prepare([batch.take(range(len(batch))) for batch in batches])
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return sum(map(len, batches)) / best


def main(capture: str) -> None:
    batches = list(aicore.flows(capture).batches())
    whole = [aicore.FlowBatch.concat(batches)]
    print(f"{len(whole[0])} rows in {len(batches)} batches; aicore of {aicore.__file__}")
    print(f"{'':28} {'batches':>12} {'one batch':>12}")
    for name, prepare in WAYS.items():
        print(f"{name:28} {rate(batches, prepare):12,.0f} {rate(whole, prepare):12,.0f}", flush=True)
    sizes = {"JSON": len(whole[0].json_lines())}
    if hasattr(aicore.FlowBatch, "to_bytes"):
        sizes["binary form"] = sum(len(batch.to_bytes()) for batch in batches)
    for name, size in sizes.items():
        print(f"{size / len(whole[0]):.0f} bytes a row as {name}")


if __name__ == "__main__":
    main(sys.argv[1])
