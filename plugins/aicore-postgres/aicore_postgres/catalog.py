# SPDX-License-Identifier: Apache-2.0
"""The table as it stands in the database: read, made, and given what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from aicore.errors import Fatal
from aicore_postgres import tables
from aicore_postgres.link import Link
from aicore_postgres.tables import OWN, Table, quoted

_TABLE = "SELECT oid, relkind FROM pg_class WHERE relnamespace = %s AND relname = %s"
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull, atthasdef OR attidentity <> ''
FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEYS = """
SELECT array_agg(attname::text ORDER BY attnum) FROM pg_index
JOIN pg_attribute ON attrelid = pg_index.indrelid AND attnum = ANY (indkey[:indnkeyatts - 1])
WHERE indrelid = %s AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL GROUP BY indexrelid
"""
_RANGES = """
SELECT attname FROM pg_partitioned_table
JOIN pg_attribute ON attrelid = partrelid AND attnum = ANY (partattrs) WHERE partrelid = %s AND partstrat = 'r'
"""
_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = %s::regclass AND relnamespace = %s::regnamespace
"""
_HYPERTABLE = """
SELECT 1 FROM timescaledb_information.hypertables WHERE hypertable_schema = %s AND hypertable_name = %s
"""
_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence", "i": "index", "c": "type"}


class Catalog:
    """What `create`, `adopt`, `mode` and `partition` allow and demand. Exceptions are those of `Link` and Fatal."""

    def __init__(self, name: str, *, create: bool, adopt: bool, append: bool, partition: str) -> None:
        self._name = name
        self._create = create
        self._adopt = adopt
        self._append = append
        self._partition = partition

    def checked(self, link: Link, columns: Mapping[str, str]) -> Table:
        """The table, which has these columns. Fatal, naming all that is wrong with it."""
        table = self._read(link)
        if not table.kind:
            if not self._create:
                raise Fatal(f"postgres: there is no table {table}; ?create=yes makes it")
            with _alone(link, table):
                table = self._read(link)
                if not table.kind:
                    self._make(link, table, columns)
            table = self._read(link)
        self._see(table)
        self._see_partitions(link, table)
        missing, wrong = tables.differences(table, columns)
        if wrong:
            raise Fatal(f"postgres: table {table}: {'; '.join(wrong)}")
        if missing or not (table.key or self._append):
            table = self.grown(link, table, missing)
        return table

    def grown(self, link: Link, table: Table, missing: Mapping[str, str]) -> Table:
        """With these columns and the key that it needs."""
        if not self._create:
            what = f"column {', '.join(missing)}" if missing else "key flow_id"
            raise Fatal(f"postgres: table {table} has no {what}; ?create=yes adds it")
        with _alone(link, table):
            if missing:
                link.execute(tables.add_columns(table, missing))
            if not (table.key or self._append):
                key = ", ".join(map(quoted, ("flow_id", *(() if table.kind == "r" else ("opened",)))))
                link.execute(f"CREATE UNIQUE INDEX ON {table.quoted} ({key})")
        return self._read(link)

    def days(self, link: Link, table: Table) -> dict[int, str]:
        """Partitions by their day since the epoch, of those that have aicore's names."""
        names = [name for (name,) in link.rows(_PARTITIONS, table.quoted, quoted(table.schema))]
        found = ((tables.partition_day(table, name), name) for name in names)
        return {day: name for day, name in found if day is not None}

    def add_day(self, link: Link, table: Table, day: int) -> None:
        if not self._create:
            raise Fatal(
                f"postgres: table {table} has no partition {table.name}_{tables.day_name(day)}; create=yes makes it"
            )
        with _alone(link, table):
            if day not in self.days(link, table):
                for statement in tables.create_partition(table, day):
                    link.execute(statement)

    def _read(self, link: Link) -> Table:
        schema, _, name = self._name.rpartition(".")
        rows = link.rows(
            "SELECT oid, nspname FROM pg_namespace WHERE nspname = coalesce(%s, current_schema())", schema or None
        )
        if not rows:
            raise Fatal(f"postgres: there is no schema {schema or 'in the search_path'}")
        ((space, schema),) = rows
        table = Table(schema, name)
        for oid, kind in link.rows(_TABLE, space, name):
            if kind not in ("r", "p"):
                raise Fatal(f"postgres: {table} is a {_KINDS.get(kind, 'relation')}, not a table")
            table.kind = kind
            for column, type_, needed, has_default in link.rows(_COLUMNS, oid):
                table.columns[column] = type_
                if needed and not has_default:
                    table.required.add(column)
                elif not needed and not has_default:
                    table.nullable.add(column)
            table.keys = [tuple(key) for (key,) in link.rows(_KEYS, oid)]
            table.ranges = tuple(column for (column,) in link.rows(_RANGES, oid))
        return table

    def _make(self, link: Link, table: Table, columns: Mapping[str, str]) -> None:
        parted = self._partition != "none"
        key: Sequence[str] = () if self._append else ("flow_id", "opened") if parted else ("flow_id",)
        for statement in tables.create_table(table, columns, key, by_day=self._partition == "day"):
            link.execute(statement)
        if self._partition == "hypertable":
            need_timescale(link)
            link.execute(
                "SELECT create_hypertable(%s::regclass, 'opened', chunk_time_interval => INTERVAL '1 day')",
                [table.quoted],
            )

    def _see(self, table: Table) -> None:
        """What no column that is added would mend."""
        if self._append and table.key:
            raise Fatal(
                f"postgres: table {table} has one row per flow ({', '.join(table.key)} is a key of it), and mode=append"
                " writes several; take another table"
            )
        lacking = [name for name in OWN if name not in table.columns]
        if (lacking or not (table.key or self._append)) and not self._adopt:
            what = f"no column {', '.join(lacking)}" if lacking else "flow_id is no key of it (mode=append makes none)"
            raise Fatal(
                f"postgres: table {table} is not aicore's: {what}; adopt=yes&create=yes adds what aicore needs of it"
            )
        if others := table.required - {"flow_id", "version", "opened"}:
            raise Fatal(f"postgres: table {table} needs values in columns that aicore may not have: {_names(others)}")

    def _see_partitions(self, link: Link, table: Table) -> None:
        if self._partition == "day" and table.ranges != ("opened",):
            raise Fatal(
                f"postgres: table {table} is not partitioned by range of opened; take another, or partition=none"
            )
        if self._partition == "hypertable":
            need_timescale(link)
            found = link.rows(_HYPERTABLE, table.schema, table.name)
            if not found:
                raise Fatal(f"postgres: table {table} is no hypertable; take another, or partition=none")


@contextmanager
def _alone(link: Link, table: Table) -> Iterator[None]:
    """A transaction in which no other aicore changes the table."""
    with link.transaction():
        link.rows("SELECT pg_advisory_xact_lock(hashtext(%s))", f"aicore {table}")
        yield


def need_timescale(link: Link) -> None:
    if not link.rows("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
        raise Fatal("postgres: partition=hypertable needs TimescaleDB: CREATE EXTENSION timescaledb in this database")


def _names(columns: set[str]) -> str:
    return ", ".join(sorted(columns))
