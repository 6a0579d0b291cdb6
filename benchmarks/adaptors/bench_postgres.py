#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aicore-postgres beside psycopg with ready-made values: bench_postgres.py [--events N] [--rounds N].

Starts a cluster of its own (Debian's package postgresql, see tests/servers/postgres), with its settings as they come.
The raw client sends the same statements. Its rows are ready tuples for `write_row`, in the text format and in the
binary one; COPY of ready bytes, which a program would have to make first, is what the server can take at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any

import psycopg
from aicore_postgres import tables
from aicore_postgres.cells import ADDRESSES, encoded
from harness import HERE, Batches, Way, batches, compare

import aicore

sys.path.insert(0, str(HERE.parents[1] / "tests"))

from servers.postgres.server import PostgresServer  # of the tests

Load = Callable[[psycopg.Connection[Any], str, Any, Sequence[str]], None]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def ready_bytes(batch: aicore.FlowBatch) -> tuple[list[str], bytes]:
    columns = encoded(batch, batch.names())
    return list(columns.names), b"".join(columns.data)


def ready_tuples(batch: aicore.FlowBatch) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The same columns as Python values that psycopg knows."""
    names = list(encoded(batch, batch.names()).names)
    columns: list[Any] = []
    for name in names:
        values = batch.column(name)
        if name in ADDRESSES:
            values = [ip_address(value) for value in values]
        elif name != "version" and batch.type(name) == "time":
            values = [_EPOCH + timedelta(microseconds=value // 1000) for value in values]
        columns.append(list(values))
    return names, list(zip(*columns, strict=True))


def whole(connection: psycopg.Connection[Any], sql: str, data: bytes, _: Sequence[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"{sql} (FORMAT binary)".encode()) as copy:
        copy.write(data)


def by_row(connection: psycopg.Connection[Any], sql: str, rows: list[tuple[Any, ...]], _: Sequence[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
        for row in rows:
            copy.write_row(row)


def by_binary_row(
    connection: psycopg.Connection[Any], sql: str, rows: list[tuple[Any, ...]], types: Sequence[str]
) -> None:
    with connection.cursor() as cursor, cursor.copy(f"{sql} (FORMAT binary)".encode()) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def bench(server: PostgresServer, title: str, options: str, made: Callable[[], Batches], arguments: Any) -> None:
    connection = psycopg.connect(
        host=server.host, port=server.port, user="postgres", password=server.password, autocommit=True
    )
    url = f"postgres://postgres:{server.password}@{server.address}/postgres?create=yes&{options}"
    adaptor = aicore.open_adaptor(url)
    adaptor.connect(adaptor.url)
    append = "mode=append" in options
    store = adaptor._store
    table = store._table
    sample = made()[0]
    types = {**{name: tables.type_of(name, sample.type(name)) for name in sample.names()}, "version": "bigint"}
    target, statement = table.quoted, ""
    if "partition" in options:
        adaptor.write(sample)  # which makes the day's partition
    if not append:
        connection.execute(tables.create_staging(types).encode())
        target, statement = tables.STAGING, tables.upsert(table, types, table.key)

    def raw(load: Load) -> Callable[[Any], None]:
        def write(given: Any) -> None:
            for names, rows in given:
                with connection.transaction():
                    sql = tables.copy(target, names).removesuffix(" (FORMAT binary)")
                    load(connection, sql, rows, [types[name] for name in names])
                    if statement:
                        connection.execute(statement.encode(), prepare=True)

        return write

    def write(given: Batches) -> None:
        for batch in given:
            if adaptor.write(batch):
                raise SystemExit("bench_postgres: the server refuses rows")

    def emptied(prepare: Callable[[], Any]) -> Callable[[], Any]:
        """Every way begins with the same table."""

        def prepared() -> Any:
            connection.execute(f"TRUNCATE {table.quoted}".encode())
            return prepare()

        return prepared

    tuples = emptied(lambda: list(map(ready_tuples, made())))
    ways = [
        Way("psycopg, write_row", tuples, raw(by_row), raw=True),
        Way("psycopg, write_row, binary", tuples, raw(by_binary_row), raw=True),
        Way("psycopg, ready bytes", emptied(lambda: list(map(ready_bytes, made()))), raw(whole)),
        Way("aicore-postgres", emptied(made), write),
    ]
    compare(title, ways, sum(map(len, made())), arguments.rounds)
    adaptor.close()
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    events = arguments.events

    def net(kind: str) -> Batches:
        return [batch.net() for batch in batches(events, kind=kind)]

    def twice() -> Batches:
        """Every flow twice: half of the rows replace one."""
        later = batches(2 * events, kind="remove")[len(batches(events)) :]
        rows = [
            [
                row | {"flow_id": old["flow_id"]}
                for row, old in zip(_rows(new, "remove"), _rows(old, "update"), strict=True)
            ]
            for new, old in zip(later, batches(events), strict=True)
        ]
        return [*net("update"), *(aicore.FlowBatch.from_rows(part).net() for part in rows)]

    server = PostgresServer()
    server.start()
    try:
        bench(server, "append", "mode=append&table=appended", lambda: net("remove"), arguments)
        bench(server, "upsert, new flows", "table=ended", lambda: net("remove"), arguments)
        bench(server, "upsert, each flow twice", "table=live", twice, arguments)
        bench(server, "upsert, partition=day", "table=days&partition=day", lambda: net("remove"), arguments)
    finally:
        server.remove()


def _rows(batch: aicore.FlowBatch, kind: str) -> list[dict[str, Any]]:
    versions = batch.column("version").tolist()
    return [batch.row(n) | {"event": kind, "version": versions[n]} for n in range(len(batch))]


if __name__ == "__main__":
    main()
