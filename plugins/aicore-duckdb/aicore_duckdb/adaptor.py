# SPDX-License-Identifier: Apache-2.0
"""The adaptor: a batch is an Arrow table, and one MERGE by flow_id writes it.

Measured with batches of 1,024 rows: 50,000 rows a CPU second by MERGE, new rows and old ones. A primary key with
ON CONFLICT took two to three times as long, DELETE and INSERT up to twice as long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aicore import AdaptorURL, DatabaseAdaptor, Fatal, Option, check_file, path_of

if TYPE_CHECKING:
    import duckdb

    from aicore import FlowBatch

# What no later attempt cures. Anything else (another process has the file, no room on the disk) is worth one.
_FATAL = (
    "No such file or directory",
    "Permission denied",
    "not a valid DuckDB database",
    "Is a directory",
    "read-only",
    "Parser Error",
)


def amount(text: str) -> str:
    """What DuckDB takes as an amount of memory."""
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", text, re.ASCII | re.IGNORECASE):
        raise ValueError("an amount is a number and a unit such as MB or GiB")
    return text


class DuckdbAdaptor(DatabaseAdaptor):
    """Each record replaces its flow's row, unless that has a higher version: writing a batch again changes nothing."""

    options = {
        "memory": Option(
            amount, default="512MB", help="DuckDB's memory_limit: what it may take beside aicore", tuning=True
        ),
    }
    aicore_api = 1

    _db: duckdb.DuckDBPyConnection | None = None

    def check(self, url: AdaptorURL) -> None:
        check_file(url, beside=True, magic=b"DUCK", at=8)

    def connect(self, connection_str: str) -> None:
        """Opens or makes the file and the table. Fatal where the file cannot be DuckDB's."""
        import duckdb

        self._path = path_of(connection_str, "duckdb")
        self._columns: Sequence[str] = ()  # of the last batch, which `_merge` writes
        self._merge = ""
        try:
            self._db = duckdb.connect(self._path)
            self._db.execute("SET threads = 1")  # batches are small, and the capture needs the other cores
            self._db.execute(f"SET memory_limit = '{self.config['memory']}'")
            self._db.execute(
                'CREATE TABLE IF NOT EXISTS flows ("flow_id" VARCHAR NOT NULL, "version" UBIGINT NOT NULL)'
            )
        except duckdb.Error as error:
            self.close()
            raise self._judged(error) from error

    def write(self, batch: FlowBatch) -> None:
        """One transaction: when it returns, DuckDB has written and synced its log."""
        import duckdb

        from aicore_duckdb.tables import table_of

        if self._db is None:
            raise Fatal("duckdb: not connected")
        rows = table_of(batch)
        try:
            self._db.register("batch", rows)
            if self._columns != rows.column_names:
                self._grow(self._db)
                self._columns = rows.column_names
            self._db.execute(self._merge)
        except duckdb.FatalException as error:  # the database takes no more statements until it is opened again
            raise Fatal(f"duckdb: {self._path}: {error}") from error
        except duckdb.Error as error:
            raise self._judged(error) from error
        finally:
            self._db.unregister("batch")

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _grow(self, db: duckdb.DuckDBPyConnection) -> None:
        """Adds the columns that the table lacks, in DuckDB's own types for Arrow's, and makes the statement."""
        names = []
        for name, kind, *_ in db.execute("DESCRIBE batch").fetchall():
            names.append(_quoted(name))
            db.execute(f"ALTER TABLE flows ADD COLUMN IF NOT EXISTS {_quoted(name)} {kind}")
        self._merge = (
            "MERGE INTO flows USING batch ON flows.flow_id = batch.flow_id"
            " WHEN MATCHED AND batch.version >= flows.version THEN UPDATE SET "
            + ", ".join(f"{name} = batch.{name}" for name in names)
            + f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
            + f" VALUES ({', '.join(f'batch.{name}' for name in names)})"
        )

    def _judged(self, error: Any) -> Exception:
        text = " ".join(str(error).split())
        if any(words in text for words in _FATAL):
            return Fatal(f"duckdb: {self._path}: {text}")
        return error  # type: ignore[no-any-return]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
