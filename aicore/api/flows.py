# SPDX-License-Identifier: Apache-2.0
"""aicore.flows: the finished flows of a source, one at a time or as a table."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from aicore.errors import SourceError
from aicore.record.batch import Flow, FlowBatch
from aicore.run.loop import Run
from aicore.run.source import Source, SourceLike
from aicore.run.stack import StackLan

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


def flows(
    source: SourceLike, *, filter: str = "", live: bool | None = None, plugins: Iterable[Any] = (), **settings: Any
) -> Flows:
    """Each finished flow of a source once. `plugins` are names ("geoip?db=/x.mmdb") or objects, `settings` those of
    StackLan. SourceError at once if the source cannot be opened, at the end if it ended early."""
    stack = StackLan(**settings)
    for plugin in plugins:
        stack.use(plugin)
    return Flows(Run(stack, Source.of(source, filter=filter, live=live), events=("remove",), top=False))


class Flows(Iterator[Flow]):
    """Iterator of finished flows. Closed at its end, by close(), as a context manager, or when it is dropped."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._batches = _ended(run)
        self._batch: FlowBatch | None = None
        self._next = 0

    def __next__(self) -> Flow:
        while self._batch is None or self._next == len(self._batch):
            self._batch, self._next = next(self._batches), 0
        self._next += 1
        return self._batch[self._next - 1]

    def batches(self) -> Iterator[FlowBatch]:
        """The flows that were not yet taken as batches, for columns."""
        if self._batch is not None and self._next < len(self._batch):
            batch, start = self._batch, self._next
            self._batch = None
            yield batch.take(range(start, len(batch)))
        yield from self._batches

    def close(self) -> None:
        """Ends the run; flows that are still open are not reported."""
        self._batches.close()
        self._batch = None
        self._run.close()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Flows:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def to_arrow(self) -> pyarrow.Table:
        """What was not yet taken, as one table. Needs pyarrow."""
        return self._table().to_arrow()

    def to_pandas(self) -> pandas.DataFrame:
        """What was not yet taken, as a data frame. Needs pandas and pyarrow."""
        return self._table().to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """What was not yet taken, as a data frame. Needs polars and pyarrow."""
        return self._table().to_polars()

    def _table(self) -> FlowBatch:
        batches = list(self.batches())
        return FlowBatch.concat(batches) if batches else FlowBatch.from_rows([])


def _ended(run: Run) -> Generator[FlowBatch, None, None]:
    """No method of Flows: a generator that knows its owner would keep an abandoned one alive until a collection."""
    run.start()
    while (batch := run.next_batch()) is not None:
        ended = batch.kind("remove")
        if ended is not None:
            yield ended
    summary = run.close()
    if summary is not None and summary.error is not None:
        raise SourceError(summary.error)
