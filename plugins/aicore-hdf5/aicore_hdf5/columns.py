# SPDX-License-Identifier: Apache-2.0
"""A flow's record as a row of fixed width, there and back.

The columns are those of AIEngine's page (name, bytes, l7, layer7info), the other fields of the record under their own
names, and three of the table's: `version`, `cut` (strings of the row that were too long) and `present` (a bit for each
field, in the order of `Layout.fields`, as 0 and an empty text are values too).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

from aicore import Place, schema

if TYPE_CHECKING:
    from aicore import FlowBatch

#: Fields that AIEngine's page calls otherwise.
COLUMNS = {"key": "name", "layer7": "l7"}
#: The first of these that a flow has is its `layer7info`.
INFO = ("httphost", "sslhost", "dnsdomain")
_INFO_WIDTH = 255
_OWN = ("core", "http", "tls", "dns")


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
    def _places(self) -> list[Place]:
        at = {name: offset for name, (_, offset, *_) in self.dtype.fields.items()}
        places = [
            Place(
                field.type,
                [field.name],
                at[column := COLUMNS.get(field.name, field.name)],
                self.dtype[column].itemsize,
            )
            for field in self.fields
        ]
        return [
            *places,
            Place("str", INFO, at["layer7info"], _INFO_WIDTH),
            Place("int", ["version"], at["version"], 8),
            Place("cut", [], at["cut"], 1),
            Place("present", [field.name for field in self.fields], at["present"], self.dtype["present"].itemsize),
        ]

    def rows(self, batch: FlowBatch) -> Any:
        """A structured array of the batch."""
        import numpy as np

        return np.frombuffer(batch.packed(self._places, self.dtype.itemsize), self.dtype)

    def records(self, rows: Any) -> Iterator[dict[str, Any]]:
        """The records of such rows, with `version` and `cut`; absent fields are left out."""
        import numpy as np

        names = [field.name for field in self.fields]
        columns = []
        for field in self.fields:
            values = rows[COLUMNS.get(field.name, field.name)].tolist()
            if field.is_list:
                values = [json.loads(value or "[]") for value in values]
            elif field.type == "bool":
                values = list(map(bool, values))
            elif field.type == "str":
                values = [value.decode() for value in values]
            columns.append(values)
        present = np.unpackbits(rows["present"], axis=1).tolist()
        for flags, version, cut, *values in zip(
            present, rows["version"].tolist(), rows["cut"].tolist(), *columns, strict=True
        ):
            record = dict(compress(zip(names, values, strict=True), flags))
            yield {**record, "version": version, "cut": cut}


def layout(
    wanted: Iterable[str], fields: Iterable[schema.Field], seen: Sequence[schema.Field] = ()
) -> tuple[Layout, tuple[str, ...]]:
    """Of the run's fields the core's, those of its own protocols and the wanted ones; of those that the run does not
    have, what `seen` knows; and the names that nobody knows yet."""
    known = {field.name: field for field in (*seen, *fields)}
    found = {name: field for name, field in known.items() if field.protocol in _OWN}
    found.update((name, known[name]) for name in wanted if name in known)
    return Layout(tuple(found.values())), tuple(name for name in dict.fromkeys(wanted) if name not in found)


def _dtype_of(field: schema.Field) -> str:
    return {"int": "<i8", "bool": "<i8", "time": "<i8", "float": "<f8"}.get(field.type, f"S{field.width}")
