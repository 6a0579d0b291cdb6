# SPDX-License-Identifier: Apache-2.0
"""Flow events as Python sees them: a batch with columns, and rows that look into it.

A `FlowBatch` owns its memory, may be kept and read on any thread. Only `add` changes it, until `seal`; what it hands
out can never be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, SupportsIndex, get_args, overload

from aicore import _core
from aicore.errors import UsageError
from aicore.plugins.options import nearest
from aicore.record.schema import CORE, META, Field, FieldType, Schema, as_native, of_native

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Kind = Literal["insert", "update", "remove"]


class Place(NamedTuple):
    """Where something stands in a row of `FlowBatch.packed`.

    A type of a field: int, bool and time as little-endian int64, float as double, `width` 8. str: UTF-8, padded with
    NUL; one that is too long ends at a whole character. Lists: a JSON array, likewise; one that is too long loses items
    at its end. Of several `fields` the first that the flow has; 0 if it has none, or of another type. present: a bit
    for each of the fields, which have places of their own, the first the most significant. cut: in one byte, how many
    were too long.
    """

    kind: FieldType | Literal["present", "cut"]
    fields: Sequence[str]
    offset: int
    width: int


class Flow:
    """One row of a batch. Every field of the record is an attribute: None where absent, times in ns since the epoch."""

    __slots__ = ("_batch", "_row")

    def __init__(self, batch: FlowBatch, row: int) -> None:
        self._batch = batch
        self._row = row

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy and pickle probe for such names before __init__ has run
            raise AttributeError(name)
        return self._batch._value(name, self._row)

    @property
    def first_seen_at(self) -> datetime:
        """first_seen in UTC; a datetime holds microseconds only."""
        return _datetime(self.first_seen)

    @property
    def last_seen_at(self) -> datetime:
        """last_seen in UTC; a datetime holds microseconds only."""
        return _datetime(self.last_seen)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are present."""
        return self._batch.row(self._row)

    def to_json(self) -> str:
        """The record as JSON, the `data` that an adaptor's update() gets."""
        return self._batch.json()[self._row].decode()

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._batch.names(), *(field.name for field in META)})

    def __repr__(self) -> str:
        return f"<Flow {self.key} {self.event} layer7={self.layer7} bytes={self.bytes}>"


def pandas_frame(table: pyarrow.Table) -> pandas.DataFrame:
    """With pandas' Arrow types: an integer that may be absent stays one."""
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


class _Reader:
    """Reads the batches of one schema, which is made into fields once."""

    def __init__(self, schema: bytes) -> None:
        self._core = _core.BinaryReader(schema)
        self._schema: Schema | None = None

    def read(self, rows: bytes) -> FlowBatch:
        batch = FlowBatch(self._core.read(rows), self._schema)
        self._schema = batch.schema
        batch.seal()
        return batch


_reader = lru_cache(maxsize=8)(_Reader)


def _datetime(ns: int) -> datetime:
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest // 1000)


class FlowBatch:
    """Events in order of `seq`."""

    # Nothing else can be set: every adaptor and hook of a run has the same object.
    __slots__ = ("__weakref__", "_columns", "_core", "_schema")

    def __init__(self, core: _core.Batch, schema: Schema | None = None) -> None:
        """`schema` is that of `core`, if the caller has it as fields already."""
        self._core = core
        self._schema = schema
        self._columns: dict[str, Any] = {}

    @classmethod
    def from_rows(cls, records: Iterable[Mapping[str, Any]], fields: Iterable[Field] = ()) -> FlowBatch:
        """From records with the names of the schema; also `event`, `new`, `sampled` and `version`. Other names become
        columns of the type that `fields` says, or else that of their values. What a record does not have is absent.
        UsageError names the row and the field that is wrong."""
        try:
            return cls(_core.Batch.from_rows(list(records), [as_native(field) for field in fields]))
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None

    @classmethod
    def concat(cls, batches: Iterable[FlowBatch]) -> FlowBatch:
        """Batches of one run, or of several: fields are matched by name. UsageError (a ValueError) names a field that
        has two types, or what is no batch."""
        batches = list(batches)
        for number, batch in enumerate(batches):
            if not isinstance(batch, FlowBatch):
                raise UsageError(f"batches cannot be joined: number {number} is no FlowBatch, but {batch!r:.100}")
        try:
            core = _core.Batch.concat([batch._core for batch in batches])
        except ValueError as error:
            raise UsageError(f"batches cannot be joined: {error}") from None
        first = batches[0]._schema
        return cls(core, first if all(batch._schema is first for batch in batches) else None)

    def __len__(self) -> int:
        return len(self._core)

    def __iter__(self) -> Iterator[Flow]:
        for row in range(len(self._core)):
            yield Flow(self, row)

    @overload
    def __getitem__(self, row: SupportsIndex) -> Flow: ...
    @overload
    def __getitem__(self, row: slice) -> FlowBatch: ...
    def __getitem__(self, row: SupportsIndex | slice) -> Flow | FlowBatch:
        """A row; negative numbers count from the end. Of a slice the batch of its rows."""
        if isinstance(row, slice):
            return self.take(range(*row.indices(len(self))))
        # Not isinstance(row, SupportsIndex): it was a quarter of the time of a loop over flows.
        try:
            number = index(row)
        except TypeError:
            hint = f": column({row!r}) has a field's values" if isinstance(row, str) else ""
            raise TypeError(f"rows are numbers or slices, not {row!r:.100}{hint}") from None
        size = len(self._core)
        if not -size <= number < size:
            raise IndexError(f"row {number} of a batch of {size}")
        return Flow(self, number % size)

    def __repr__(self) -> str:
        return f"<FlowBatch of {len(self)} events>"

    @property
    def schema(self) -> Schema:
        """The record's fields, in the order of columns. Batches of a run have those of the run: all that protocols and
        hooks declare, whether or not a row has them."""
        if self._schema is None:
            self._schema = Schema((*CORE, *of_native(self._core.fields())))
        return self._schema

    @property
    def nbytes(self) -> int:
        """Memory that the batch holds: rows, texts (those shared with other batches, too), and every column, JSON and
        other form that was made of them. It grows when one is made."""
        return self._core.nbytes

    def forget(self) -> None:
        """Lets go of the forms that were made: they are made again when asked for. Any thread."""
        self._columns = {}
        self._core.forget()

    def names(self) -> list[str]:
        """The names of the schema. `event`, `new`, `sampled` and `version` can be asked for beside them."""
        return self._core.names()

    def type(self, name: str) -> FieldType:
        """KeyError for an unknown name."""
        try:
            return self._core.type(name)
        except KeyError:
            raise self._unknown(name) from None

    def column(self, name: str) -> Any:
        """Integers and times: a memoryview of int64. float: of double. bool: of bool. All are 0 where absent, and
        numpy.asarray takes them. str: a tuple, None where absent. Lists: a tuple of tuples, likewise. Made once, but
        for the memoryview, which is the caller's: release() or `with` leaves those of others. KeyError for an unknown
        name."""
        found = self._column(name)
        return memoryview(found) if isinstance(found, memoryview) else found

    def _column(self, name: str) -> Any:
        found = self._columns.get(name)
        if found is None:
            try:
                found = self._columns[name] = self._core.column(name)
            except KeyError:
                raise self._unknown(name) from None
        return found

    def valid(self, name: str) -> memoryview:
        """1 where the row has a value, else 0. Made once. KeyError for an unknown name."""
        try:
            return memoryview(self._core.valid(name))
        except KeyError:
            raise self._unknown(name) from None

    def _unknown(self, name: str) -> KeyError:
        return KeyError(f"no column {name!r}; {nearest(name, self.names())}")

    def keys(self) -> tuple[str, ...]:
        return self.column("key")  # type: ignore[no-any-return]

    def json(self, meta: bool = False) -> tuple[bytes, ...]:
        """A JSON object for each row, made once. With meta also `event`, `new`, `sampled` and `version` stand in it. A
        float that is not finite is null."""
        return self._core.json(meta)

    def nested_json(self, places: dict[str, str]) -> tuple[bytes, ...]:
        """A JSON object for each row, its fields at dotted places: with `{"ipsrc": "source.ip", ...}` the address is in
        `{"source": {"ip": ...}}`. UsageError names a field that has no place, or one within another's."""
        try:
            return self._core.nested_json(places)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def packed(self, places: Sequence[Place], size: int) -> bytearray:
        """Rows of `size` bytes each, as C structs and NumPy's structured arrays are: numpy.frombuffer takes it. See
        `Place`; bytes that no place covers are 0. UsageError for places that do not fit."""
        try:
            return self._core.packed(places, size)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def json_lines(self, meta: bool = False) -> bytes:
        """The same as one buffer of lines."""
        return self._core.json_lines(meta)

    def schema_bytes(self) -> bytes:
        """What from_bytes() needs beside to_bytes(): the columns with all their properties, about 3 KB. The same bytes
        for all batches of a run, and for what take(), net() and kind() make of them: store them once for many batches,
        and again when they differ."""
        return self._core.schema_bytes()

    def to_bytes(self) -> bytes:
        """The rows in a form of their own, about an eighth of their JSON: everything that a batch holds, `event`, `new`
        and `version` too. Names its schema by a fingerprint; has no checksum."""
        return self._core.to_bytes()

    @classmethod
    def from_bytes(cls, schema: bytes, rows: bytes) -> FlowBatch:
        """The batch of which schema_bytes() and to_bytes() gave these, sealed: the same columns, types, order and
        values. Any bytes are safe to read; ValueError says what is wrong with them, or that the schema is another's.
        Batches of one schema can be joined by concat()."""
        return _reader(schema).read(rows)

    def kind(self, event: Kind) -> FlowBatch | None:
        """The rows of that event; None if there are none. UsageError for what is no kind of event."""
        if event not in get_args(Kind):
            raise UsageError(f"an event is one of {', '.join(get_args(Kind))}, not {event!r:.100}")
        core = self._core.kind(event)
        return None if core is None else FlowBatch(core, self._schema)

    def view(self) -> FlowBatch:
        """The same rows: of a sealed batch without copying them, of another one a copy, as either may change. What is
        made of a view (JSON, columns) goes with it, and not with the batch, which others may keep for long."""
        return FlowBatch(self._core.view(), self._schema)

    def take(self, rows: Sequence[int]) -> FlowBatch:
        """These rows in this order; negative numbers count from the end, strings are shared. IndexError for a row that
        the batch does not have."""
        try:
            return FlowBatch(self._core.take(rows), self._schema)
        except TypeError:
            raise UsageError(f"rows are a sequence of numbers, not {rows!r:.100}") from None

    def row(self, index: int) -> dict[str, Any]:
        """The fields that one row has; lists are tuples. A negative number counts from the end."""
        try:
            return self._core.row(index)
        except TypeError:
            raise UsageError(f"a row is a number, not {index!r:.100}") from None

    def net(self) -> FlowBatch:
        """One row for each flow, its latest. `new` is true where the flow's insert was merged in, `sampled` where
        nothing but samples was."""
        return FlowBatch(self._core.net(), self._schema)

    def distinct(self, name: str) -> tuple[list[str | None], Sequence[int]]:
        """A column of strings as its values, each once (None for absent), and for each row the index of its value: what
        is looked up for a value is looked up once, and `add` takes the indexes. KeyError for an unknown name."""
        return self._core.distinct(name)

    def add(self, name: str, values: Sequence[Any], codes: Sequence[int] | None = None) -> None:
        """Adds a field to every row; None for absent. For flow_enrich hooks, which declare in `fields` what they add:
        the values are of the type that is declared, a `time` in nanoseconds since the epoch. NumPy's arrays and the
        columns of pandas and Polars are values, too. In a batch of no run the type is that of the values. With `codes`
        a row's value is values[code], as `distinct` gives them.
        UsageError for a name that exists or that no hook of the run declares, a wrong length, code or type, and after
        the batch was sealed."""
        if hasattr(values, "tolist"):  # NumPy's numbers are none of Python's
            values = values.tolist()
        try:
            if not hasattr(values, "__len__") or not hasattr(values, "__getitem__"):
                raise TypeError(f"values are a list with one for each row, not {values!r:.100}")
            self._core.add(name, values, codes)
        except (TypeError, ValueError) as error:
            raise UsageError(f"field {name!r} cannot be added: {error}") from None
        self._columns = {}
        if name not in [field.name for field in self.schema]:
            self._schema = None

    def seal(self) -> None:
        """From now on the batch cannot change."""
        self._core.seal()

    def __array__(self, dtype: object = None, copy: bool | None = None) -> object:
        """For pandas.DataFrame(batch), which would make one column of objects. TypeError."""
        raise TypeError("a batch is no array: batch.to_pandas() makes a data frame, batch.column(NAME) has one field")

    def __arrow_c_schema__(self) -> object:
        """The columns as an Arrow schema: the record's, then `event`, `new` and `version`."""
        return self._core.arrow_schema()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The rows as one Arrow struct array. Columns that hooks added as numbers are shared, everything else is
        copied. ValueError where a column has more than 2 GiB of text; the stream splits the rows. There is one schema,
        whatever is requested."""
        return self._core.arrow_array()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The same as a stream of as few arrays as possible."""
        return self._core.arrow_stream()

    def to_arrow(self) -> pyarrow.Table:
        """The record's columns, then `event`, `new` and `version`; times are timestamp[ns, UTC]. Needs pyarrow. So does
        whatever reads Arrow's PyCapsule interface: polars.DataFrame(batch), duckdb.sql("... FROM batch")."""
        import pyarrow as pa

        return pa.table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """Needs pandas and pyarrow. Numbers that may be absent keep their integer type (pandas' Arrow types)."""
        return pandas_frame(self.to_arrow())

    def to_polars(self) -> polars.DataFrame:
        """Needs polars."""
        import polars as pl

        return pl.DataFrame(self)

    def _value(self, name: str, row: int) -> Any:
        """One value as a Flow shows it."""
        try:
            column = self._column(name)
        except KeyError:
            raise AttributeError(f"a flow has no field {name!r}; {nearest(name, self.names())}") from None
        value = column[row]
        if value == 0 and isinstance(column, memoryview):
            return value if self.valid(name)[row] else None
        return value
