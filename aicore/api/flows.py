# SPDX-License-Identifier: Apache-2.0
"""aicore.flows: the finished flows of a source, one at a time or as a table."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from aicore import _core
from aicore.errors import SourceError, UsageError
from aicore.record.batch import Flow, FlowBatch, pandas_frame
from aicore.run.loop import Run
from aicore.run.source import Source, SourceLike
from aicore.run.stack import StackLan

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

T = TypeVar("T")


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
    """Iterator of finished flows. Closed at its end, by close(), as a context manager, or when it is dropped.

    Also a table of them for whatever reads Arrow's PyCapsule interface: `pyarrow.table(flows)`,
    `polars.DataFrame(flows)`, `duckdb.sql("SELECT layer7, sum(bytes) FROM flows GROUP BY 1")`. Its columns are the
    fields of the record; batches are made as the reader asks for them, and a source that fails is the reader's error.

    Flows can be read once, in one way or first in one and then in another: a table holds what was not yet taken.
    UsageError for flows that are read to their end, are closed, or have another reader."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._batches = _ended(run)
        self._batch: FlowBatch | None = None
        self._next = 0
        self._claimed = False  # by a stream
        self._over = ""

    def __next__(self) -> Flow:
        if self._claimed:
            self._check()
        while self._batch is None or self._next == len(self._batch):
            self._batch, self._next = self._take(), 0
            if self._batch is None:
                raise StopIteration
        self._next += 1
        return self._batch[self._next - 1]

    def batches(self) -> Iterator[FlowBatch]:
        """The flows that were not yet taken as batches, for columns."""
        self._check()
        return self._rest()

    def close(self) -> None:
        """Ends the run; flows that are still open are not reported."""
        self._over = self._over or "are closed"
        self._batches.close()
        self._batch = None
        self._run.close()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Flows:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __arrow_c_schema__(self) -> object:
        """The record's fields as an Arrow schema, known before the first packet is read."""
        return _core.arrow_schema(self._fields())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What was not yet taken as a stream, which the first read claims: a reader may make a stream for its schema
        alone. The plugins of the run are called on one thread, whichever threads the reader has. Releasing the stream
        closes the flows. There is one schema, whatever is requested."""
        self._check()
        return _core.arrow_stream(_Reader(self), self._fields())

    def to_arrow(self) -> pyarrow.Table:
        """What was not yet taken, as one table. Needs pyarrow."""
        import pyarrow as pa

        return self._table(pa.table)

    def to_pandas(self) -> pandas.DataFrame:
        """What was not yet taken, as a data frame of pandas' Arrow types. Needs pandas and pyarrow."""
        return pandas_frame(self.to_arrow())

    def to_polars(self) -> polars.DataFrame:
        """What was not yet taken, as a data frame. Needs polars."""
        import polars as pl

        return self._table(pl.DataFrame)

    def _table(self, make: Callable[[Any], T]) -> T:
        """With the error of the source itself, where the reader would raise one of its own."""
        self._check()
        reader = _Reader(self)
        try:
            return make(_Stream(_core.arrow_stream(reader, self._fields())))
        except Exception:
            if reader.error is not None:
                raise reader.error from None
            raise

    def _fields(self) -> list[tuple[str, str]]:
        return [(field.name, field.type) for field in self._run.context.fields]

    def _check(self) -> None:
        if self._over or self._claimed:
            raise UsageError(
                f"these flows {self._over or 'have another reader'}; aicore.flows() reads the source again"
            )

    def _rest(self) -> Iterator[FlowBatch]:
        if self._batch is not None and self._next < len(self._batch):
            batch, start = self._batch, self._next
            self._batch = None
            yield batch.take(range(start, len(batch)))
        while (next_batch := self._take()) is not None:
            yield next_batch

    def _take(self) -> FlowBatch | None:
        batch = next(self._batches, None)
        if batch is None:
            self._over = self._over or "were read to their end"
        return batch


class _Reader:
    """What a stream reads its batches from. next() and close() are called by one thread at a time, of the consumer.

    The run goes on on a thread of its own: consumers read on any of theirs, and plugins are called on one."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._rest: Iterator[FlowBatch] | None = None
        self._thread = ThreadPoolExecutor(1, "aicore-flows")  # starts none before there is work
        self.error: BaseException | None = None

    def next(self) -> _core.Batch | None:
        try:
            if self._rest is None:
                self._flows._check()
                self._flows._claimed = True
                self._rest = self._flows._rest()
            batch = self._thread.submit(next, self._rest, None).result()
            if batch is None and self._flows._over == "are closed":
                raise UsageError("these flows were closed before their end")
        except BaseException as error:
            self.error = error
            raise
        return None if batch is None else batch._core

    def close(self) -> None:
        """The consumer wants no more. A stream that was never read leaves the flows as they are."""
        if self._rest is None:
            return
        self._flows._run.stop()  # a call of next() may still wait there, if a signal cut its caller short
        try:
            self._thread.submit(self._flows.close).result()
        except RuntimeError:  # the interpreter ends and takes no more work for threads
            self._flows.close()
        self._thread.shutdown(wait=False)


class _Stream:
    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._capsule


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
