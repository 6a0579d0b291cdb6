# SPDX-License-Identifier: Apache-2.0
"""`sqlite:PATH`: one row a flow in an SQLite table, the default of `aicore run`.

A flow's row is replaced by its later records (by version), so the table holds live flows as last reported and ended
ones (`end_reason` is set) for good; reading the same packets again changes nothing but seq and version.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import sqlite3
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from aicore.errors import Fatal
from aicore.plugins.file_store import FileStore
from aicore.plugins.files import check_file
from aicore.plugins.options import Option
from aicore.record import schema

if TYPE_CHECKING:
    from aicore.plugins.url import AdaptorURL
    from aicore.record.batch import FlowBatch

# Flows are updated at random places of the table: with SQLite's 1,000 pages the same pages went from the log to the
# file again and again; 10,000 gave up to 1.4 times the rows. The log then takes some 40 MiB.
_CHECKPOINT_PAGES = 10_000
_BUSY_SECONDS = 5.0

# What no later attempt cures; anything else (locked, disk full, I/O error) is worth one.
_FATAL = re.compile(
    "not a database|malformed|readonly|unable to open|not authorized|unsupported file format"
    "|no column named|no such column|does not match any PRIMARY KEY"
)

_PLACE = {"disk is full": errno.ENOSPC, "locked": errno.EBUSY}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def plain_name(text: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,62}", text):
        raise ValueError("a name is letters, digits and _")
    return text


_SQL_TYPES = {field.name: field.sql_type for field in schema.CORE}


class SqliteAdaptor(FileStore):
    """SQLite through the standard library: WAL mode, one transaction a batch, one connection for all threads."""

    options = {
        **FileStore.options,
        "table": Option(plain_name, default="flows", help="table of the flows, made where it is absent"),
    }
    scheme = "sqlite"
    companion = "-wal"
    events = "net"
    aicore_api = 1

    _db: sqlite3.Connection | None = None

    def check(self, url: AdaptorURL) -> None:
        check_file(url, beside=True, magic=b"SQLite format 3\0")

    def open_file(self) -> None:
        """Opens or makes the file and the table. Fatal where it is not an SQLite file or cannot be written."""
        self._table = self.config["table"]
        self.need_directory()
        self._names: Sequence[str] = ()  # columns of the last batch, which `_upsert` writes
        self._upsert = ""
        self.keep_orphan(self.companion)
        try:
            # isolation_level None: the transactions are ours, the module must not open any.
            db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db = db
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            self._create(db)
        except sqlite3.Error as error:
            raise self._judged(error) from error

    def write_file(self, batch: FlowBatch) -> None:
        """One transaction: all rows of the batch or none. OSError where a retry makes sense."""
        assert self._db is not None
        names = batch.names()
        rows = zip(batch.column("version"), *(_values(batch, name) for name in names), strict=True)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if names != self._names:
                self._grow(self._db, batch.schema)
            self._db.executemany(self._upsert, rows)
            self._db.execute("COMMIT")
        except BaseException as error:
            self._names = ()  # a column that was added is rolled back with the rows
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:  # on some errors SQLite has rolled back by itself
                    self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._judged(error) from error
            raise
        self._names = names

    def close_file(self, *, gone: bool) -> None:
        db, self._db = self._db, None
        if db is None:
            return
        if gone:
            # SQLite leaves the log of a file that has moved as it is, at the old place: its rows go into the file now.
            with contextlib.suppress(sqlite3.Error):
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def _create(self, db: sqlite3.Connection) -> None:
        table, view = _quoted(self._table), _quoted(self._table + "_view")
        columns = ", ".join(_definition(field) for field in schema.CORE)
        # Not WITHOUT ROWID: ids are random and rows wide, and a small index beat the wide tree (1.6 times the rows).
        db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}, version INTEGER NOT NULL)")
        self._adopt(db)
        db.execute(f"CREATE INDEX IF NOT EXISTS {_quoted(self._table + '_first_seen')} ON {table} (first_seen)")
        db.execute(
            f"CREATE VIEW IF NOT EXISTS {view} AS SELECT"
            " strftime('%Y-%m-%d %H:%M:%f', first_seen / 1e9, 'unixepoch') AS first_time,"
            " strftime('%Y-%m-%d %H:%M:%f', last_seen / 1e9, 'unixepoch') AS last_time,"
            f" duration / 1e9 AS seconds, * FROM {table}"
        )

    def _adopt(self, db: sqlite3.Connection) -> None:
        """Refuses a table that somebody else has made, or adds to it what aicore needs of it."""
        table = _quoted(self._table)
        kinds = [kind for (kind,) in db.execute("SELECT type FROM sqlite_master WHERE name = ?", (self._table,))]
        if "table" not in kinds:
            raise Fatal(f"sqlite: {self._table} of {self.path} is a {kinds[0]}, not a table")
        existing = self._columns(db)
        missing = [name for name in ("flow_id", "version") if name not in existing]
        unique = self._is_unique(db)
        if (missing or not unique) and not self.config["adopt"]:
            what = f"no column {', '.join(missing)}" if missing else "flow_id is no key of it"
            raise Fatal(
                f"sqlite: table {self._table} of {self.path} is not aicore's: {what}; adopt=yes adds aicore's columns"
            )
        for name in (field.name for field in schema.CORE if field.name not in existing):
            db.execute(f"ALTER TABLE {table} ADD COLUMN {_quoted(name)} {_SQL_TYPES[name]}")
        if "version" not in existing:
            db.execute(f"ALTER TABLE {table} ADD COLUMN version INTEGER")
        if not unique:
            db.execute(f"CREATE UNIQUE INDEX {_quoted(self._table + '_flow_id')} ON {table} (flow_id)")

    def _is_unique(self, db: sqlite3.Connection) -> bool:
        """The table has one row for each flow_id at most."""
        keys = db.execute(
            "SELECT group_concat(column.name) FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS column"
            ' WHERE list."unique" AND NOT list.partial GROUP BY list.name',
            (self._table,),
        )
        return ("flow_id",) in keys.fetchall()

    def _columns(self, db: sqlite3.Connection) -> dict[str, bool]:
        """Name -> whether it may be set to NULL; without those that are computed."""
        info = db.execute(f"PRAGMA table_info({_quoted(self._table)})")
        return {name: not (required or default is not None or key) for _, name, _, required, default, key in info}

    def _grow(self, db: sqlite3.Connection, fields: Sequence[schema.Field]) -> None:
        """Adds the columns that the table lacks and makes the statement for these fields.

        A record replaces the row: columns that it lacks, as those of a plugin that this run does not have, become NULL.
        """
        existing = self._columns(db)
        for field in fields:
            if field.name not in existing:
                db.execute(f"ALTER TABLE {_quoted(self._table)} ADD COLUMN {_definition(field)}")
        names = ("version", *(field.name for field in fields))
        columns = [_quoted(name) for name in names]
        values = [f"{name} = excluded.{name}" for name in columns]
        values += [f"{_quoted(name)} = NULL" for name, may in existing.items() if may and name not in names]
        self._upsert = (
            f"INSERT INTO {_quoted(self._table)} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            f" ON CONFLICT (flow_id) DO UPDATE SET {', '.join(values)}"
            f" WHERE excluded.version >= {_quoted(self._table)}.version"
        )

    def _judged(self, error: sqlite3.Error) -> Exception:
        if _FATAL.search(str(error)):
            return Fatal(f"sqlite: {self.path}: {error}")
        if isinstance(error, sqlite3.OperationalError):
            # Of the file, never of one row.
            number = next((number for words, number in _PLACE.items() if words in str(error)), errno.EIO)
            return OSError(number, f"sqlite: {self.path}: {error}")
        return error


def _definition(field: schema.Field) -> str:
    return f"{_quoted(field.name)} {field.sql_type}{' NOT NULL PRIMARY KEY' if field.name == 'flow_id' else ''}"


def _values(batch: FlowBatch, name: str) -> Any:
    """A column as SQLite takes it: None where absent, lists as JSON."""
    column = batch.column(name)
    kind = batch.type(name)
    if kind == "str":
        return column
    if kind == "list[str]":
        # JSON of strings alone: json.dumps() with an option set takes five times as long (3.2 µs).
        return [None if value is None else f"[{', '.join(map(encode_basestring, value))}]" for value in column]
    if kind.startswith("list"):
        return [None if value is None else json.dumps(value) for value in column]
    values = column.tolist()
    valid = batch.valid(name).tobytes()
    return [value if present else None for value, present in zip(values, valid, strict=True)] if 0 in valid else values
