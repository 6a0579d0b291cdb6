# SPDX-License-Identifier: Apache-2.0
"""The adaptor: a batch is an Arrow table, and one MERGE by flow_id writes it.

Measured with batches of 1,024 rows: 50,000 rows a CPU second by MERGE, new rows and old ones. A primary key with
ON CONFLICT took two to three times as long, DELETE and INSERT up to twice as long.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aicore import AdaptorURL, Fatal, FileStore, Option, check_file
from aicore_duckdb.making import HEADERS, is_unfinished, make_whole, sweep

if TYPE_CHECKING:
    import duckdb

    from aicore import FlowBatch

# What no later attempt cures. Anything else (another process has the file, no room on the disk) is worth one.
_FATAL = (
    "No such file or directory",
    "Permission denied",
    "not a valid DuckDB database",
    "Could not read enough bytes",
    "Is a directory",
    "read-only",
    "Parser Error",
)

_PLACE = {"No space left": errno.ENOSPC, "File too large": errno.EFBIG, "Disk quota": errno.EDQUOT, "lock": errno.EBUSY}

_TABLE = 'CREATE TABLE flows ("flow_id" VARCHAR NOT NULL, "version" UBIGINT NOT NULL)'


def amount(text: str) -> str:
    """What DuckDB takes as an amount of memory."""
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", text, re.ASCII | re.IGNORECASE):
        raise ValueError("an amount is a number and a unit such as MB or GiB")
    return text


class DuckdbAdaptor(FileStore):
    """Each record replaces its flow's row, unless that has a higher version: writing a batch again changes nothing."""

    options = {
        **FileStore.options,
        "memory": Option(
            amount, default="512MB", help="DuckDB's memory_limit: what it may take beside aicore", tuning=True
        ),
    }
    scheme = "duckdb"
    aicore_api = 1

    _db: duckdb.DuckDBPyConnection | None = None

    def check(self, url: AdaptorURL) -> None:
        check_file(url, beside=True, magic=b"DUCK", at=8)

    def open_file(self) -> None:
        """Opens or makes the file and the table. Fatal where the file cannot be DuckDB's, or the table not aicore's."""
        import duckdb

        self.need_directory()
        self._columns: Sequence[str] = ()  # of the last batch, which `_merge` writes
        self._merge = ""
        sweep(self.path)
        try:
            if is_unfinished(self.path):
                self.keep_orphan(".wal", HEADERS)
                make_whole(self.path, self._make)
            self._db = duckdb.connect(self.path)
            self._db.execute("SET threads = 1")  # batches are small, and the capture needs the other cores
            self._db.execute(f"SET memory_limit = '{self.config['memory']}'")
            self._check_table(self._db)
        except duckdb.Error as error:
            raise self._judged(error) from error

    def write_file(self, batch: FlowBatch) -> None:
        """One transaction: when it returns, DuckDB has written and synced its log."""
        import duckdb

        from aicore_duckdb.tables import table_of

        assert self._db is not None
        rows = table_of(batch)
        try:
            self._db.register("batch", rows)
            if self._columns != rows.column_names:
                self._grow(self._db)
                self._columns = rows.column_names
            self._db.execute(self._merge)
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException):  # it takes no more statements until it is opened again
                self.close()
            raise self._judged(error) from error
        finally:
            if self._db is not None:
                self._db.unregister("batch")

    def close_file(self, *, gone: bool) -> None:  # noqa: ARG002  # DuckDB brings its log home by itself, as it closes
        import duckdb

        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(duckdb.Error):
                db.close()

    def _make(self, path: str) -> None:
        import duckdb

        with duckdb.connect(path) as db:
            db.execute(_TABLE)

    def _check_table(self, db: duckdb.DuckDBPyConnection) -> None:
        """Makes the table, and refuses one that somebody else has made."""
        kind = db.execute(
            "SELECT table_type FROM information_schema.tables WHERE table_name = 'flows'"
            " AND table_catalog = current_database() AND table_schema = current_schema()"
        ).fetchone()
        if kind is None:
            db.execute(_TABLE)
        elif kind[0] != "BASE TABLE":
            raise Fatal(f"duckdb: flows of {self.path} is a {kind[0].lower()}, not a table")
        missing = {"flow_id", "version"} - {name for name, _ in self._existing(db)}
        if missing and not self.config["adopt"]:
            raise Fatal(
                f"duckdb: table flows of {self.path} is not aicore's: no column {', '.join(sorted(missing))}; "
                "adopt=yes adds aicore's columns"
            )

    @staticmethod
    def _existing(db: duckdb.DuckDBPyConnection) -> list[tuple[str, bool]]:
        """Columns of the table, and whether they may be set to NULL; those that are computed have a default."""
        return db.execute(
            "SELECT column_name, is_nullable AND column_default IS NULL FROM duckdb_columns()"
            " WHERE table_name = 'flows' AND database_name = current_database() AND schema_name = current_schema()"
        ).fetchall()

    def _grow(self, db: duckdb.DuckDBPyConnection) -> None:
        """Adds the columns that the table lacks, in DuckDB's own types for Arrow's, and makes the statement.

        A record replaces the row: columns that it lacks, as those of a plugin that this run does not have, become NULL.
        """
        existing = self._existing(db)
        columns = {name: kind for name, kind, *_ in db.execute("DESCRIBE batch").fetchall()}
        for name, kind in columns.items():
            db.execute(f"ALTER TABLE flows ADD COLUMN IF NOT EXISTS {_quoted(name)} {kind}")
        names = [_quoted(name) for name in columns]
        values = [f"{name} = batch.{name}" for name in names]
        values += [f"{_quoted(name)} = NULL" for name, may in existing if may and name not in columns]
        self._merge = (
            "MERGE INTO flows USING batch ON flows.flow_id = batch.flow_id"
            f" WHEN MATCHED AND batch.version >= flows.version THEN UPDATE SET {', '.join(values)}"
            f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
            f" VALUES ({', '.join(f'batch.{name}' for name in names)})"
        )

    def _judged(self, error: Any) -> Exception:
        import duckdb

        text = " ".join(str(error).split())
        if any(words in text for words in _FATAL):
            return Fatal(f"duckdb: {self.path}: {text}")
        if isinstance(error, duckdb.IOException | duckdb.TransactionException | duckdb.FatalException):
            # Of the file, never of one row.
            number = next((number for words, number in _PLACE.items() if words in text), errno.EIO)
            return OSError(number, f"duckdb: {self.path}: {text}")
        return error  # type: ignore[no-any-return]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
