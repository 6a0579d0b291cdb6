# SPDX-License-Identifier: Apache-2.0
"""Statements, and what a table must be like. Nothing of a packet is part of them: names of fields are the plugins'."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from aicore_postgres.cells import ADDRESSES

#: Types as format_type() names them. A timestamptz holds microseconds.
TYPES: Mapping[str, str] = {
    "str": "text",
    "int": "bigint",
    "float": "double precision",
    "bool": "boolean",
    "time": "timestamp with time zone",
    "list[str]": "text[]",
    "list[int]": "bigint[]",
    "list[float]": "double precision[]",
}
#: What an upsert needs of a table.
OWN = ("flow_id", "version")

STAGING = "pg_temp.aicore_batch"

_EPOCH = date(1970, 1, 1)

# Hexadecimal digits are compared as bytes: by the rules of a language that takes a multiple of the time.
_BYTEWISE = ("flow_id",)


def type_of(name: str, kind: str) -> str:
    return "inet" if name in ADDRESSES else TYPES[kind]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names))


@dataclass
class Table:
    """A table as it is."""

    schema: str
    name: str
    #: pg_class.relkind: r and p are tables, the second with partitions.
    kind: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    #: Columns that a record may leave out and that are then set to null.
    nullable: set[str] = field(default_factory=set)
    #: Columns that need a value and have no default.
    required: set[str] = field(default_factory=set)
    #: Unique keys.
    keys: list[tuple[str, ...]] = field(default_factory=list)
    #: Columns of the partitions' ranges, where that is how it is partitioned.
    ranges: tuple[str, ...] = ()

    @property
    def quoted(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> tuple[str, ...] | None:
        """The unique key by which a flow has one row. `opened` never changes, and a partition's key must have it."""
        found = [key for key in self.keys if key == ("flow_id",) or sorted(key) == ["flow_id", "opened"]]
        return min(found, key=len, default=None)


def definition(name: str, kind: str) -> str:
    collation = ' COLLATE "C"' if name in _BYTEWISE else ""
    return f"{quoted(name)} {kind}{collation}"


def create_table(table: Table, columns: Mapping[str, str], key: Sequence[str], *, by_day: bool) -> Sequence[str]:
    """`key` is empty where rows are appended. The index is small, as rows lie in the order of time, and an update of a
    row does not touch it."""
    needed = {*key, *OWN} | ({"opened"} if by_day or "opened" in key else set())
    lines = [definition(name, kind) + (" NOT NULL" if name in needed else "") for name, kind in columns.items()]
    if key:
        lines.append(f"PRIMARY KEY ({_list(key)})")
    partitioned = f" PARTITION BY RANGE ({quoted('opened')})" if by_day else ""
    return (
        f"CREATE TABLE {table.quoted} ({', '.join(lines)}){partitioned}",
        f"CREATE INDEX ON {table.quoted} USING brin ({quoted('opened')}) WITH (autosummarize = on)",
    )


def create_staging(columns: Mapping[str, str]) -> str:
    return (
        f"CREATE TEMPORARY TABLE {STAGING} ({', '.join(definition(*one) for one in columns.items())})"
        " ON COMMIT DELETE ROWS"
    )


def add_columns(table: Table, columns: Mapping[str, str]) -> str:
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {definition(*one)}" for one in columns.items())
    return f"ALTER TABLE {table.quoted} {added}"


def copy(target: str, names: Iterable[str]) -> str:
    return f"COPY {target} ({_list(names)}) FROM STDIN (FORMAT binary)"


def upsert(table: Table, names: Collection[str], key: Sequence[str]) -> str:
    """The staged rows, unless the table has a higher version. A record replaces the row: columns that it lacks, as
    those of a plugin that this run does not have, become null."""
    values = [f"{quoted(name)} = excluded.{quoted(name)}" for name in names]
    values += [f"{quoted(name)} = NULL" for name in table.columns if name in table.nullable and name not in names]
    return (
        f"INSERT INTO {table.quoted} AS held ({_list(names)}) SELECT {_list(names)} FROM {STAGING}"
        f" ON CONFLICT ({_list(key)}) DO UPDATE SET {', '.join(values)}"
        " WHERE held.version IS NULL OR excluded.version >= held.version"
    )


def delete(table: Table) -> str:
    """Of arrays of flow_id and of version. A later record of the flow stays."""
    return (
        f"DELETE FROM {table.quoted} AS held USING unnest(%s::text[], %s::bigint[]) AS gone (flow_id, version)"
        " WHERE held.flow_id = gone.flow_id AND held.version <= gone.version"
    )


def day_name(day: int) -> str:
    return f"{_EPOCH + timedelta(days=day):%Y%m%d}"


def partition_day(table: Table, partition: str) -> int | None:
    """The day since the epoch of a partition that has aicore's name for it."""
    text = partition.removeprefix(f"{table.name}_")
    if text == partition or len(text) != 8 or not text.isdecimal():
        return None
    try:
        return (date(int(text[:4]), int(text[4:6]), int(text[6:])) - _EPOCH).days
    except ValueError:
        return None


def create_partition(table: Table, day: int) -> Sequence[str]:
    """Made aside and attached: CREATE TABLE ... PARTITION OF would wait for every reader of the table, and keep out
    those that come meanwhile."""
    begin, end = (f"{_EPOCH + timedelta(days=day + more):%Y-%m-%d} 00:00:00+00" for more in (0, 1))
    name = f"{quoted(table.schema)}.{quoted(f'{table.name}_{day_name(day)}')}"
    return (
        f"CREATE TABLE {name} (LIKE {table.quoted} INCLUDING ALL)",
        f"ALTER TABLE {table.quoted} ATTACH PARTITION {name} FOR VALUES FROM ('{begin}') TO ('{end}')",
    )


def differences(table: Table, columns: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Columns that the table lacks, and in words those that have another type."""
    missing = {name: kind for name, kind in columns.items() if name not in table.columns}
    wrong = [
        f"column {name} is {table.columns[name]}, not {kind}"
        for name, kind in columns.items()
        if name in table.columns and table.columns[name] != kind
    ]
    return missing, wrong
