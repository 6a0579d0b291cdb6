# SPDX-License-Identifier: Apache-2.0
"""aicore.flows: the finished flows of a source, one at a time or as a table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from aicore import _core
from aicore.api.damage import OnDamage, checked_on_damage, raise_for
from aicore.errors import UsageError
from aicore.record.batch import Flow, FlowBatch, pandas_frame
from aicore.record.schema import Schema
from aicore.run.loop import Run
from aicore.run.source import Source, SourceLike
from aicore.run.stack import StackLan
from aicore.run.workers import Workers, checked_workers

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

T = TypeVar("T")

# What became of flows, in messages.
_AT_END = "were read to their end"
_CLOSED = "were closed before their end"


def flows(
    *sources: SourceLike,
    filter: str = "",
    live: bool | None = None,
    merge: bool = False,
    plugins: Iterable[Any] = (),
    on_damage: OnDamage = "raise",
    workers: Workers = 1,
    **settings: Any,
) -> Flows:
    """Each finished flow of a source once. Several sources are one input, in the given order; with `merge` capture
    files of one time are read together, in order of time stamps. `plugins` are names
    ("geoip?db=/x.mmdb") or objects, `settings` those of StackLan. SourceError at once if the source cannot be opened,
    at the end if captures are damaged or input ended early; on_damage="warn" logs damage and raises nothing. `workers`:
    threads that track flows, or "auto"; with several, flows that end at about the same time come in any order."""
    checked_on_damage(on_damage)
    stack = StackLan(**settings)
    if isinstance(plugins, str):
        raise UsageError(f"plugins are a list of names or objects, not one name: plugins=[{plugins!r}]")
    for plugin in plugins:
        stack.use(plugin)
    source = Source.of(*sources, filter=filter, live=live, merge=merge)
    run = Run(stack, source, events=("remove",), top=False, workers=checked_workers(workers))
    return Flows(run, on_damage)


class Flows(Iterator[Flow]):
    """Iterator of finished flows. Closed at its end, by close(), as a context manager, or when it is dropped.

    Also a table of them for whatever reads Arrow's PyCapsule interface: `pyarrow.table(flows)`,
    `polars.DataFrame(flows)`, `duckdb.sql("SELECT layer7, sum(bytes) FROM flows GROUP BY 1")`. Its columns are the
    fields of the record; batches are made as the reader asks for them, and a source that fails is the reader's error.
    pandas.DataFrame(flows) does not ask for it and is an error: use to_pandas(), or DataFrame.from_arrow of pandas 3.

    Flows can be read once, in one way or first in one and then in another: a table holds what was not yet taken.
    UsageError for flows that are closed, have another reader, or, but for the iterator itself, were read to their end.

    One thread at a time: the plugins of the run are called on the thread that reads. UsageError in a thread that reads
    while another does. Only close() is safe from any: it ends the run under a reader, whose next read is the error."""

    def __init__(self, run: Run, on_damage: OnDamage = "raise") -> None:
        self._run = run
        self._batches = _ended(run, on_damage)
        self._batch: FlowBatch | None = None
        self._next = self._size = 0  # rows of the batch: the one that comes next, and how many there are
        self._taken = 0
        self._reader: object | None = None  # a stream, or a batches() that has begun: nobody else reads meanwhile
        self._over = ""
        self._reading = threading.Lock()  # held by whoever reads, never waited for

    def __next__(self) -> Flow:
        self._begin()
        try:
            self._check(None, end=False)
            while self._batch is None or self._next == self._size:
                self._batch, self._next = self._take(), 0
                if self._batch is None:
                    raise StopIteration
                self._size = len(self._batch)
            self._next += 1
            self._taken += 1
            return Flow(self._batch, self._next - 1)
        finally:
            self._reading.release()

    def batches(self) -> Iterator[FlowBatch]:
        """The flows that were not yet taken as batches, for columns. From its first batch until its end, or until it is
        dropped, nobody else can read."""
        self._check(None)
        return _Batches(self)

    @property
    def schema(self) -> Schema:
        """The fields of the record, in the order of columns; known before the first packet is read."""
        return self._run.context.fields

    def close(self) -> None:
        """Ends the run; flows that are still open are not reported. Safe from any thread."""
        self._over = self._over or _CLOSED
        if not self._reading.acquire(blocking=False):
            self._run.stop()  # whoever reads closes it
            return
        try:
            self._close()
        finally:
            self._reading.release()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Flows:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self._over or (
            "have a reader" if self._reader is not None else "are being read" if self._taken else "are not yet read"
        )
        return f"<Flows of {self._run.source.shown}: {self._taken} taken; they {state}>"

    def __array__(self, dtype: object = None, copy: bool | None = None) -> object:
        """For pandas.DataFrame(flows), which would make one column of objects. TypeError."""
        raise TypeError("flows are no array: flows.to_pandas() makes a data frame with a column for each field")

    def __arrow_c_schema__(self) -> object:
        """The record's fields as an Arrow schema, known before the first packet is read."""
        return _core.arrow_schema(self._fields())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What was not yet taken as a stream, which the first read claims: a reader may make a stream for its schema
        alone. The plugins of the run are called on one thread, whichever threads the reader has. Releasing the stream
        closes the flows. There is one schema, whatever is requested."""
        self._check(None)
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
        self._check(None)
        reader = _Reader(self)
        try:
            return make(_Stream(_core.arrow_stream(reader, self._fields())))
        except Exception:
            if reader.error is not None:
                raise reader.error from None
            raise

    def _fields(self) -> list[tuple[str, str]]:
        return [(field.name, field.type) for field in self.schema]

    def _begin(self) -> None:
        if not self._reading.acquire(blocking=False):
            raise UsageError("flows are read by one thread at a time, and another one, or a plugin, reads these")

    def _check(self, reader: object, *, end: bool = True) -> None:
        """UsageError for who is not the reader; with `end` also at the end, which an iterator tells otherwise."""
        why = self._over
        if why == _AT_END and not end and self._reader is None:
            return
        if not why and self._reader is not reader:
            why = "have another reader"
        if why:
            raise UsageError(f"these flows {why}; aicore.flows() reads the source again")

    def _rest(self, reader: object) -> FlowBatch | None:
        """The next batch of what was not yet taken, for a reader that claims it."""
        self._begin()
        try:
            if self._reader is None:
                self._check(None)
                self._reader = reader
            if self._over != _AT_END:
                self._check(reader)
            batch, start, self._batch = self._batch, self._next, None
            if batch is None or start == len(batch):
                batch = self._take()
            elif start:
                batch = batch.take(range(start, len(batch)))
            self._taken += 0 if batch is None else len(batch)
            return batch
        finally:
            self._reading.release()

    def _take(self) -> FlowBatch | None:
        batch = None if self._over else next(self._batches, None)
        if self._over == _CLOSED:  # meanwhile, by another thread or a plugin
            self._close()
            self._check(None)
        if batch is None:
            self._over = _AT_END
        return batch

    def _close(self) -> None:
        self._batches.close()
        self._batch = None
        self._run.close()


class _Batches(Iterator[FlowBatch]):
    """What Flows.batches() gives. A class: a generator would raise errors of its own where two threads read."""

    def __init__(self, flows: Flows) -> None:
        self._flows: Flows | None = flows
        self._token = object()

    def __next__(self) -> FlowBatch:
        if self._flows is None:
            raise StopIteration
        batch = self._flows._rest(self._token)
        if batch is None:
            self.close()
            raise StopIteration
        return batch

    def close(self) -> None:
        """Lets others read what is left."""
        flows, self._flows = self._flows, None
        if flows is not None and flows._reader is self._token:
            flows._reader = None

    def __del__(self) -> None:
        self.close()


class _Reader:
    """What a stream reads its batches from. next() and close() are called by one thread at a time, of the consumer.

    The run goes on on a thread of its own: consumers read on any of theirs, and plugins are called on one."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._token = object()
        self._thread = ThreadPoolExecutor(1, "aicore-flows")  # starts none before there is work
        self.error: BaseException | None = None

    def next(self) -> _core.Batch | None:
        try:
            batch = self._thread.submit(self._flows._rest, self._token).result()
        except BaseException as error:
            self.error = error
            raise
        return None if batch is None else batch._core

    def close(self) -> None:
        """The consumer wants no more. A stream that was never read leaves the flows as they are."""
        if self._flows._reader is not self._token:
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


def _ended(run: Run, on_damage: OnDamage) -> Generator[FlowBatch, None, None]:
    """No method of Flows: a generator that knows its owner would keep an abandoned one alive until a collection."""
    run.start()
    while (batch := run.next_batch()) is not None:
        ended = batch.kind("remove")
        if ended is not None:
            yield ended
    summary = run.close()
    if summary is not None:
        raise_for(summary, on_damage)
