# SPDX-License-Identifier: Apache-2.0
"""The record: what each field is.

JSON, SQL columns, mappings of stores, documentation and `aicore fields` come from here. The core's fields stand in one
native table; what protocols, meters and hook plugins declare is part of a run's schema, which its batches carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, SupportsIndex, overload

from aicore import _core
from aicore.errors import PluginError

#: Integers are signed 64 bits. `time` is one, in nanoseconds since the epoch, UTC; RFC 3339 with 9 decimals in JSON. A
#: float that is not finite is null in JSON.
FieldType = Literal["str", "int", "float", "bool", "time", "list[str]", "list[int]", "list[float]"]

#: Bytes of a field in fixed-width stores, unless its definition says otherwise.
WIDTH = 64

_SQL_TYPES: Mapping[FieldType, str] = {
    "int": "INTEGER",
    "float": "REAL",
    "str": "TEXT",
    "bool": "INTEGER",
    "time": "INTEGER",
    "list[str]": "TEXT",
    "list[int]": "TEXT",
    "list[float]": "TEXT",
}


@dataclass(frozen=True)
class Field:
    """One field of the record. `width` counts bytes and matters to strings only."""

    name: str
    type: FieldType
    meaning: str
    unit: str | None = None
    ecs: str | None = None
    protocol: str = "core"
    width: int = WIDTH

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list")

    @property
    def sql_type(self) -> str:
        """SQLite's storage class; lists are stored as JSON text."""
        return _SQL_TYPES[self.type]


class Schema(tuple[Field, ...]):
    """The fields of a record, in the order of columns."""

    __slots__ = ()

    def __contains__(self, field: object) -> bool:
        """A field, or the name of one."""
        return super().__contains__(field) or any(one.name == field for one in self)

    @overload
    def __getitem__(self, at: SupportsIndex | str, /) -> Field: ...
    @overload
    def __getitem__(self, at: slice, /) -> tuple[Field, ...]: ...
    def __getitem__(self, at: SupportsIndex | slice | str, /) -> Field | tuple[Field, ...]:
        """The field of a name, or at a position. KeyError for a name that is none."""
        if not isinstance(at, str):
            return super().__getitem__(at)
        for field in self:
            if field.name == at:
                return field
        raise KeyError(at)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of columns."""
        return tuple(field.name for field in self)

    def __repr__(self) -> str:
        """Names and types; a field's own repr has its meaning."""
        return f"<{len(self)} fields: {', '.join(f'{field.name} {field.type}' for field in self)}>"


def declared_fields(owner: str, fields: object) -> Sequence[Field]:
    """`fields` of a plugin. PluginError unless it is a list or tuple of fields."""
    if isinstance(fields, tuple | list) and all(isinstance(field, Field) for field in fields):
        return fields
    raise PluginError(f"{owner}: fields must be a list of aicore.Field, not {fields!r:.100}")


def of_native(fields: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """Fields as the core lists them, such as `Registry.fields()`."""
    return tuple(
        Field(
            name=field["name"],
            type=field["type"],
            meaning=field["help"],
            unit=field["unit"] or None,
            ecs=field["ecs"] or None,
            protocol=field["protocol"] or "plugin",
            width=field["width"] or WIDTH,
        )
        for field in fields
    )


def as_native(field: Field) -> dict[str, Any]:
    """The way back."""
    return {
        "name": field.name,
        "type": field.type,
        "help": field.meaning,
        "unit": field.unit,
        "ecs": field.ecs,
        "protocol": field.protocol,
        "width": field.width,
    }


#: The fields that every record has, in the order of columns: native/include/aicore/core_fields.h.
CORE = Schema(of_native(field for field in _core.core_fields() if not field["meta"]))
#: What a batch knows of an event beside its record.
META = Schema(of_native(field for field in _core.core_fields() if field["meta"]))

CORE_BY_NAME: Mapping[str, Field] = {field.name: field for field in CORE}


def as_dicts(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """For `aicore fields --json` and the documentation."""
    return [asdict(field) for field in fields]
