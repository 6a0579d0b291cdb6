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
from itertools import chain, repeat
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


class Columns(NamedTuple):
    """The columns that any row of a batch has, and its rows in these."""

    names: Sequence[str]
    data: Iterator[bytes]


def encoded(batch: FlowBatch, names: Iterable[str]) -> Columns:
    """The rows with `version` and those of the fields `names` that any row has; the others are null in all of them. The
    data comes in pieces, so that the server is at work while the next one is made."""
    whole = ["version"]  # numbers of 64 bits that every row has
    others: list[str] = []
    for name in names:
        valid = batch.valid(name).tobytes()
        if 1 in valid:
            (whole if batch.type(name) in ("int", "float") and 0 not in valid else others).append(name)
    return Columns(whole + others, _pieces(batch, whole, others))


def _pieces(batch: FlowBatch, whole: Sequence[str], others: Sequence[str]) -> Iterator[bytes]:
    count = Struct(">h").pack(len(whole) + len(others))
    yield _HEADER
    for begin in range(0, len(batch), _PIECE_ROWS):
        piece = batch[begin : begin + _PIECE_ROWS]
        cells: list[Iterable[bytes]] = [repeat(count), _wholes(piece, whole)]
        for name in others:
            cells += _cells(piece, name)
        yield b"".join(chain.from_iterable(zip(*cells)))  # noqa: B905  # repeat() has no end
    yield _TRAILER


def _cells(batch: FlowBatch, name: str) -> Iterable[Iterable[bytes]]:
    kind = batch.type(name)
    if kind == "str":
        return _texts(batch.column(name), _address if name in ADDRESSES else _text)
    if kind in _NUMBERS:
        return (_numbers(batch.column(name).tolist(), kind, batch.valid(name).tobytes()),)
    return (_lists(batch.column(name), kind),)


def _wholes(batch: FlowBatch, names: Sequence[str]) -> Sequence[bytes]:
    """Of each row the cells of these, side by side. Three words of 32 bits each, which are turned as a whole: a struct
    for each row took forty times as long."""
    size = 12 * len(names)
    places = [
        Place("float" if name != "version" and batch.type(name) == "float" else "int", (name,), 12 * n + 4, 8)
        for n, name in enumerate(names)
    ]
    words = array("i", bytes(batch.packed(places, size)))
    words.byteswap()
    words[1::3], words[2::3] = words[2::3], words[1::3]
    words[0::3] = array("i", _length(8)) * (len(words) // 3)
    data = words.tobytes()
    return [data[at : at + size] for at in range(0, len(data), size)]


def _numbers(values: Sequence[Any], kind: str, valid: bytes) -> list[bytes]:
    form, size = _NUMBERS[kind]
    pack = Struct(form).pack
    if kind == "time":
        values = [value // 1000 - _TIME_ZERO for value in values]
    if 0 not in valid:
        return list(map(pack, repeat(size), values))
    return [pack(size, value) if has else _NULL for value, has in zip(values, valid, strict=True)]


def _texts(values: Sequence[str | None], cell: Callable[[str], bytes]) -> Iterator[Iterable[bytes]]:
    """Lengths and data in columns of their own where nearly every value is another one, else whole cells."""
    distinct = dict.fromkeys(values)
    if len(distinct) * 2 > len(values) and cell is _text and None not in distinct:
        data = [str.encode(value) for value in values if value is not None]
        if b"\0" not in b"".join(data):
            yield map(_length, map(len, data))
            yield data
            return
    cells = {value: _NULL if value is None else cell(value) for value in distinct}
    yield map(cells.__getitem__, values)


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


def _lists(values: Sequence[Sequence[Any] | None], kind: str) -> Iterator[bytes]:
    oid, form = _ITEMS[kind]
    item = _text if form is None else partial(Struct(form).pack, 8)
    array = Struct(
        ">iiiii"
    ).pack  # dimensions, whether any item is null, the items' type, their number, the first index
    empty = _length(12) + Struct(">iii").pack(0, 0, oid)
    for value in values:
        if value:
            data = array(1, 0, oid, len(value), 1) + b"".join(map(item, value))
            yield _length(len(data)) + data
        else:
            yield _NULL if value is None else empty
