# SPDX-License-Identifier: Apache-2.0
"""A batch as PostgreSQL's binary COPY takes it.

The format is that of the page "COPY", section "Binary Format"; values are as the types' receive functions read them.
Numbers that every row has are packed by the core, texts that are the same in many rows are encoded once. Text that
PostgreSQL does not store, a NUL, is written as the core writes bytes that are no UTF-8: `\\x00`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, repeat, starmap
from operator import add
from socket import AF_INET, AF_INET6, inet_pton
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from aicore import Place

if TYPE_CHECKING:
    from aicore import FlowBatch

#: Text fields of the record that are addresses, whatever a packet says: the core makes them.
ADDRESSES = frozenset({"ipsrc", "ipdst"})

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"

_length = Struct(">i").pack
# Of numbers: the length and the value, as in a row.
_NUMBERS: Mapping[str, tuple[str, int]] = {
    "int": (">iq", 8),
    "time": (">iq", 8),
    "float": (">id", 8),
    "bool": (">i?", 1),
}
# Of lists: the type (pg_type.oid) and the form of one item, None for text.
_ITEMS: Mapping[str, tuple[int, str | None]] = {
    "list[str]": (25, None),
    "list[int]": (20, ">iq"),
    "list[float]": (701, ">id"),
}

_PIECE_ROWS = 256
_TIME_ZERO = 946_684_800_000_000  # 2000-01-01 in µs since 1970


#: The cells of a column, of rows from `begin` to `end`.
Maker = Callable[[int, int], Iterable[bytes]]


class Columns(NamedTuple):
    """The columns that any row of a batch has, and its rows in these."""

    names: Sequence[str]
    data: Iterator[bytes]


def encoded(batch: FlowBatch, names: Iterable[str]) -> Columns:
    """The rows with `version` and those of the fields `names` that any row has; the others are null in all of them. The
    data comes in pieces, so that the server is at work while the next one is made."""
    whole = ["version"]  # numbers of 64 bits that every row has
    times: list[str] = []  # that every row has
    others: list[str] = []
    for name in names:
        valid = batch.valid(name).tobytes()
        if 1 not in valid:
            continue
        kind = batch.type(name) if 0 not in valid else ""
        (whole if kind in ("int", "float") else times if kind == "time" else others).append(name)
    return Columns(whole + times + others, _pieces(batch, whole, times, others))


def _pieces(batch: FlowBatch, whole: Sequence[str], times: Sequence[str], others: Sequence[str]) -> Iterator[bytes]:
    """Columns are of the batch, as what the core makes of it is made once; cells are made by the piece."""
    count = Struct(">h").pack(len(whole) + len(times) + len(others))
    makers = [_wholes(batch, whole), _times(batch, times), *(_maker(batch, name) for name in others)]
    yield _HEADER
    for begin in range(0, len(batch), _PIECE_ROWS):
        end = min(begin + _PIECE_ROWS, len(batch))
        rows = zip(repeat(count, end - begin), *(make(begin, end) for make in makers), strict=True)
        yield b"".join(chain.from_iterable(rows))
    yield _TRAILER


def _maker(batch: FlowBatch, name: str) -> Maker:
    kind = batch.type(name)
    if kind == "str":
        return _texts(batch.column(name), _address if name in ADDRESSES else _text)
    if kind in _NUMBERS:
        return _numbers(batch.column(name).tolist(), kind, batch.valid(name).tobytes())
    return _lists(batch.column(name), kind)


def _wholes(batch: FlowBatch, names: Sequence[str]) -> Maker:
    """Of each row the cells of these, side by side. Three words of 32 bits each, which are turned as a whole: a struct
    for each row took several times as long."""
    size = 12 * len(names)
    places = [
        Place("float" if name != "version" and batch.type(name) == "float" else "int", (name,), 12 * n + 4, 8)
        for n, name in enumerate(names)
    ]
    packed = memoryview(batch.packed(places, size))
    eight = array("i", _length(8))

    def make(begin: int, end: int) -> Iterable[bytes]:
        words = array("i", packed[begin * size : end * size].tobytes())
        words.byteswap()
        words[1::3], words[2::3] = words[2::3], words[1::3]
        words[0::3] = eight * (len(words) // 3)
        data = words.tobytes()
        return [data[at : at + size] for at in range(0, len(data), size)]

    return make


def _times(batch: FlowBatch, names: Sequence[str]) -> Maker:
    """Of each row the cells of these, side by side."""
    columns = [batch.column(name) for name in names]
    pack = Struct(">" + "iq" * len(names)).pack

    def make(begin: int, end: int) -> Iterable[bytes]:
        args: list[Iterable[int]] = []
        for column in columns:
            args += (repeat(8), [ns // 1000 - _TIME_ZERO for ns in column[begin:end].tolist()])
        return starmap(pack, zip(*args)) if args else repeat(b"", end - begin)  # noqa: B905  # repeat(8) has no end

    return make


def _numbers(values: Sequence[Any], kind: str, valid: bytes) -> Maker:
    """Of which some rows have none."""
    form, size = _NUMBERS[kind]
    pack = Struct(form).pack
    if kind == "time":
        values = [value // 1000 - _TIME_ZERO for value in values]
    return lambda begin, end: [
        pack(size, value) if has else _NULL for value, has in zip(values[begin:end], valid[begin:end], strict=True)
    ]


def _texts(values: Sequence[str | None], cell: Callable[[str], bytes]) -> Maker:
    """Each value is encoded once, unless nearly every row has another one."""
    distinct = dict.fromkeys(values)
    if len(distinct) * 2 > len(values) and cell is _text and None not in distinct:
        return lambda begin, end: _many(values[begin:end])  # type: ignore[arg-type]  # none is None
    cells = {value: _NULL if value is None else cell(value) for value in distinct}
    return lambda begin, end: map(cells.__getitem__, values[begin:end])


def _many(values: Sequence[str]) -> Iterable[bytes]:
    """As `_text` of each, without a call for each."""
    data = [value.encode() for value in values]
    if b"\0" in b"".join(data):
        return map(_text, values)
    return map(add, map(_length, map(len, data)), data)


def _text(value: str) -> bytes:
    data = value.encode()
    if b"\0" in data:
        data = data.replace(b"\0", b"\\x00")
    return _length(len(data)) + data


def _address(value: str) -> bytes:
    # Family (2, or 3 for IPv6), bits of the network, 0 for inet, and the length of what follows.
    if ":" in value:
        return b"\0\0\0\x14\x03\x80\0\x10" + inet_pton(AF_INET6, value)
    return b"\0\0\0\x08\x02\x20\0\x04" + inet_pton(AF_INET, value)


def _lists(values: Sequence[Sequence[Any] | None], kind: str) -> Maker:
    oid, form = _ITEMS[kind]
    item = _text if form is None else partial(Struct(form).pack, 8)
    array_of = Struct(
        ">iiiii"
    ).pack  # dimensions, whether any item is null, the items' type, their number, the first index
    empty = _length(12) + Struct(">iii").pack(0, 0, oid)

    def cell(value: Sequence[Any] | None) -> bytes:
        if not value:
            return _NULL if value is None else empty
        data = array_of(1, 0, oid, len(value), 1) + b"".join(map(item, value))
        return _length(len(data)) + data

    return lambda begin, end: map(cell, values[begin:end])
