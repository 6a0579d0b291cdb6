# SPDX-License-Identifier: Apache-2.0
"""Fields added to a batch: by objects that come back to it, and while others read it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import aicore
from aicore import _core
from aicore.testing import event


def batch(*changes: dict[str, Any]) -> aicore.FlowBatch:
    return aicore.FlowBatch.from_rows([event("update", n, n + 1, **change) for n, change in enumerate(changes)])


class Values(list[Any]):
    """Values that do something when they are asked for."""

    def __init__(self, values: list[Any], then: Callable[[list[Any]], object]) -> None:
        super().__init__(values)
        self._then = then

    def __getitem__(self, item: Any) -> Any:
        value = super().__getitem__(item)
        self._then(self)
        return value


class Number(int):
    """Does something when it becomes a float."""

    then: Callable[[], object]

    def __float__(self) -> float:
        self.then()
        return 1.0


@pytest.mark.parametrize("codes", [None, [3, 2, 1, 0]])
def test_values_that_get_fewer_while_they_are_added(codes: list[int] | None) -> None:
    rows = batch({}, {}, {}, {})
    number = Number(1)
    values = [0.5, number, 0.5, 0.5]
    number.then = lambda: values.__delitem__(slice(2, None))
    with pytest.raises(aicore.UsageError, match="'late' cannot be added"):
        rows.add("late", values, codes)
    assert "late" not in rows.names()
    assert len(rows.json()) == 4


def test_values_that_come_back_to_the_batch_they_are_added_to() -> None:
    rows = batch({}, {})
    inner = itertools.count()
    rows.add("outer", Values([1, 2], lambda _: [rows.add(f"inner{next(inner)}", [3, 4]) for _ in range(20)]))
    assert rows.column("outer").tolist() == [1, 2]
    assert all(rows.column(f"inner{n}").tolist() == [3, 4] for n in range(next(inner)))
    same: list[str] = []
    with pytest.raises(aicore.UsageError, match="there is a column 'same' already"):
        rows.add("same", Values([1, 2], lambda _: same or (same.append("now"), rows.add("same", [3, 4]))))
    assert rows.column("same").tolist() == [3, 4]
    with pytest.raises(aicore.UsageError, match="sealed"):
        rows.add("late", Values([1, 2], lambda _: rows.seal()))


def test_a_lookup_that_adds_to_a_batch_which_others_read() -> None:
    rows = batch({"ipsrc": "10.0.0.1"}, {"ipsrc": "10.0.0.2"})
    rows.json()
    added = itertools.count()
    found, codes = _core.Lookup(10).find(rows._core, "ipsrc", lambda text: rows.add(f"a{next(added)}", [1, 2]) or text)
    assert [found[code] for code in codes] == ["10.0.0.1", "10.0.0.2"]
    assert rows.column("a1").tolist() == [1, 2]


def test_fields_added_while_other_threads_read_the_batch() -> None:
    rows = batch(*({"sport": n} for n in range(500)))
    done = threading.Event()

    def read(form: str) -> None:
        while not done.is_set():
            assert len(getattr(rows, form)()) > 0

    with ThreadPoolExecutor() as pool:
        reading = [pool.submit(read, form) for form in ("json_lines", "to_bytes", "__arrow_c_array__")]
        for n in range(100):
            rows.add(f"added{n}", list(range(500)))
        done.set()
        for read_all in reading:
            read_all.result()
    assert rows[499].added99 == 499


def test_a_table_keeps_its_values_when_a_hook_fills_a_declared_field(capture_file: Path) -> None:
    """Arrow shares the numbers of a column that hooks add, also of one that is absent in all rows so far."""

    class Fills:
        fields = (aicore.Field("score", "int", "what it scores"),)
        tables: list[pyarrow.Table] = []
        streams: list[pyarrow.RecordBatchReader] = []

        @aicore.hookimpl
        def flow_enrich(self, flows: aicore.FlowBatch) -> None:
            self.tables.append(pyarrow.table(flows))
            self.streams.append(pyarrow.RecordBatchReader.from_stream(flows))
            before = flows.column("bytes")
            flows.add("score", list(range(len(flows))))
            assert flows.column("score").tolist() == list(range(len(flows)))
            assert flows.column("bytes") == before

    hook = Fills()
    batches = list(aicore.flows(capture_file, plugins=[hook]).batches())
    assert [flow.score for flow in batches[0]] == list(range(len(batches[0])))
    for table in (*hook.tables, *(stream.read_all() for stream in hook.streams)):
        assert table.column("score").null_count == len(table)
        buffers = table.column("score").chunk(0).buffers()
        assert buffers[1].to_pybytes() == bytes(8 * len(table))
