# SPDX-License-Identifier: Apache-2.0
"""A flow's record as a row of fixed width, there and back.

The columns are those of AIEngine's page (name, bytes, l7, layer7info), the other fields of the record under their own
names, and three of the table's: `version`, `cut` (strings of the row that were too long) and `present` (a bit for each
field, in the order of `Layout.fields`, as 0 and an empty text are values too).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from aicore import schema
from aicore.errors import AicoreError
from aicore.plugins import Plugins
from aicore.protocol import ProtocolRegistry

if TYPE_CHECKING:
    from aicore.batch import FlowBatch

#: Fields that AIEngine's page calls otherwise.
COLUMNS = {"key": "name", "layer7": "l7"}
#: The first of these that a flow has is its `layer7info`.
INFO = ("httphost", "sslhost", "dnsdomain")
_INFO_WIDTH = 255
_OWN = ("http", "tls", "dns")
#: Strings that whole batches share. `FlowBatch.distinct` takes longer than `column` where most values differ.
_FEW = frozenset(
    (
        *("sensor", "tunnel", "layer7", "layer7_by", "tcp_state", "end_reason", "anomaly"),
        *("httpmethod", "alpn", "tlsversion", "dnsqtype", "dnsrcode"),
    )
)
_INTEGER_MAX = 2**63 - 1


@dataclass(frozen=True)
class Layout:
    """The fields that a file holds."""

    fields: tuple[schema.Field, ...]

    @cached_property
    def dtype(self) -> Any:
        import numpy as np

        columns = {COLUMNS.get(field.name, field.name): _dtype_of(field) for field in self.fields}
        first = {"name": columns["name"], "bytes": columns["bytes"], "l7": columns["l7"]}
        own = {"version": "<u8", "cut": "u1", "present": ("u1", ((len(self.fields) + 7) // 8,))}
        return np.dtype(list({**first, "layer7info": f"S{_INFO_WIDTH}", **columns, **own}.items()))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {field.name: at for at, field in enumerate(self.fields)}

    def rows(self, batch: FlowBatch) -> Any:
        """A structured array of the batch."""
        import numpy as np

        rows = np.zeros(len(batch), self.dtype)
        present = np.zeros((len(batch), len(self.fields)), bool)
        names = set(batch.names())
        rows["version"] = batch.column("version")
        for at, field in enumerate(self.fields):
            if field.name in names and batch.type(field.name) == field.column_type:
                column = rows[COLUMNS.get(field.name, field.name)]
                if field.column_type in ("int", "float"):
                    present[:, at] = _numbers(column, batch, field.name)
                elif field.name in _FEW:
                    present[:, at] = _few(column, batch, field, rows["cut"])
                else:
                    present[:, at] = _many(column, batch, field, rows["cut"])
        rows["present"] = np.packbits(present, axis=1)
        self._fill_info(rows, present)
        return rows

    def _fill_info(self, rows: Any, present: Any) -> None:
        """From the columns that are already bytes; none of them is wider."""
        import numpy as np

        free = np.ones(len(rows), bool)
        for name in INFO:
            chosen = present[:, self._places[name]] & free
            free &= ~chosen
            if chosen.all():
                rows["layer7info"] = rows[name]
            elif chosen.any():
                rows["layer7info"][chosen] = rows[name][chosen]

    def records(self, rows: Any) -> Iterator[dict[str, Any]]:
        """The records of such rows, with `version` and `cut`; absent fields are left out."""
        import numpy as np

        names = [field.name for field in self.fields]
        columns = []
        for field in self.fields:
            values = rows[COLUMNS.get(field.name, field.name)].tolist()
            if field.type == "list":
                values = [json.loads(value or "[]") for value in values]
            elif field.type == "str":
                values = [value.decode() for value in values]
            columns.append(values)
        present = np.unpackbits(rows["present"], axis=1).tolist()
        for flags, version, cut, *values in zip(
            present, rows["version"].tolist(), rows["cut"].tolist(), *columns, strict=True
        ):
            record = dict(compress(zip(names, values, strict=True), flags))
            yield {**record, "version": version, "cut": cut}


def layout(wanted: Iterable[str], seen: Sequence[schema.Field] = ()) -> tuple[Layout, tuple[str, ...]]:
    """The core's fields, those of its own protocols, and the wanted ones that an installed plugin declares or that
    `seen` has; and the names that nobody knows yet."""
    wanted = tuple(dict.fromkeys(wanted))
    fields = {field.name: field for field in (*schema.CORE, *_of_protocols(_OWN))}
    missing = [name for name in wanted if name not in fields]
    if missing:
        plugins = Plugins()
        known = {field.name: field for field in (*seen, *_of_hooks(plugins), *_of_protocols(plugins.names("protocol")))}
        fields.update((name, known[name]) for name in missing if name in known)
    return Layout(tuple(fields.values())), tuple(name for name in missing if name not in fields)


def _dtype_of(field: schema.Field) -> str:
    return {"int": "<i8", "float": "<f8"}.get(field.column_type, f"S{field.width}")


def _of_protocols(names: Iterable[str]) -> tuple[schema.Field, ...]:
    plugins, registry = Plugins(), ProtocolRegistry()
    for name in names:
        with suppress(AicoreError):  # the run says what cannot be loaded
            registry.add(plugins.load("protocol", name))
    return schema.declared(registry.core.fields())


def _of_hooks(plugins: Plugins) -> Iterator[schema.Field]:
    for name in plugins.names("hook"):
        with suppress(AicoreError):
            declared = getattr(plugins.load("hook", name), "fields", ())
            # Where they depend on the plugin's options only a batch tells them.
            yield from () if isinstance(declared, property) else declared


def _numbers(column: Any, batch: FlowBatch, name: str) -> Any:
    """Fills a column, and tells which rows have the field."""
    import numpy as np

    values = np.asarray(batch.column(name))
    column[:] = np.minimum(values, _INTEGER_MAX) if values.dtype == np.uint64 else values
    # Absent numbers are 0: asking the batch takes longer than to see that there is none.
    return True if values.all() else batch.valid(name)


def _few(column: Any, batch: FlowBatch, field: schema.Field, cut: Any) -> Any:
    """The same for a string of few values: each becomes bytes once."""
    import numpy as np

    values, codes = batch.distinct(field.name)
    texts, long = np.zeros(len(values), column.dtype), np.zeros(len(values), "u1")
    _fill(texts, [value or "" for value in values], field.width, long)
    column[:] = texts[codes]
    cut += long[codes]
    return np.array([value is not None for value in values], bool)[codes]


def _many(column: Any, batch: FlowBatch, field: schema.Field, cut: Any) -> Any:
    """The same for strings of many values, and lists."""
    values = batch.column(field.name)
    present: Any = True
    if None in values:
        present = [value is not None for value in values]
        if not any(present):
            return False
    if field.type == "list":
        values = [_joined(value, field.width, cut[at : at + 1]) for at, value in enumerate(values)]
    elif present is not True:
        values = [value or "" for value in values]
    _fill(column, values, field.width, cut)
    return present


def _fill(column: Any, texts: Sequence[str], width: int, cut: Any) -> None:
    """Sets a column of bytes to UTF-8 texts. `cut` counts those that do not fit; they end at a whole character."""
    if not texts:
        return
    if max(map(len, texts)) <= width:
        with suppress(UnicodeEncodeError):  # numpy takes ASCII text three times as fast as bytes made here
            column[:] = texts
            return
    packed = []
    for at, text in enumerate(texts):
        data = text.encode()
        if len(data) > width:
            data = data[:width].decode(errors="ignore").encode()
            cut[at] += 1
        packed.append(data)
    column[:] = packed


def _joined(items: Sequence[str] | None, width: int, cut: Any) -> str:
    """A list as JSON; one that is too long loses items at its end, so that it stays JSON."""
    kept = list(items or ())
    while len((text := f"[{','.join(map(encode_basestring, kept))}]").encode()) > width:
        kept.pop()
    cut += len(kept) < len(items or ())
    return text if kept else ""
