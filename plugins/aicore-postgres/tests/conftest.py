# SPDX-License-Identifier: Apache-2.0
"""One real cluster for all tests; every test has a schema of its own."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from servers.postgres.server import PostgresServer
from servers.starting import or_skip

sys.path.insert(0, str(Path(__file__).parent))

_numbers = itertools.count(1)


@dataclass
class Place:
    """A schema that no other test has, and a look into it by the driver's own way."""

    server: PostgresServer
    schema: str

    @property
    def url(self) -> str:
        return self.login("postgres", self.server.password, "flows") + "&create=yes"

    def login(self, user: str, password: str, table: str = "flows") -> str:
        """The URL of somebody, with the table as its only option."""
        return f"postgres://{user}:{password}@{self.server.address}/postgres?table={self.schema}.{table}"

    def connection(self) -> psycopg.Connection[dict[str, Any]]:
        """Of the superuser. Waits for a server that recovers."""
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(*([psycopg.OperationalError] if time.monotonic() < deadline else [])):
                return psycopg.connect(
                    host=self.server.host, port=self.server.port, dbname="postgres", user="postgres",
                    password=self.server.password, autocommit=True, row_factory=dict_row,
                    options=f"-c TimeZone=UTC -c search_path={self.schema}",
                )  # fmt: skip
            time.sleep(0.05)

    def ask(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        with self.connection() as connection:
            cursor = connection.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def records(self, table: str = "flows") -> list[dict[str, Any]]:
        """The records, oldest first, without what is absent and without the table's own column."""
        rows = self.ask(f"SELECT * FROM {table} ORDER BY version")
        return [{name: v for name, v in row.items() if v is not None and name != "version"} for row in rows]

    def versions(self) -> dict[str, int]:
        return {row["flow_id"]: row["version"] for row in self.ask("SELECT flow_id, version FROM flows")}


def begun(settings: tuple[str, ...] = ()) -> PostgresServer:
    with or_skip():
        server = PostgresServer(settings)
    server.start()
    return server


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    server = begun(("fsync=off", "max_connections=50"))
    yield server
    server.remove()


def made(server: PostgresServer) -> Place:
    place = Place(server, f"t{next(_numbers)}")
    place.ask(f"CREATE SCHEMA {place.schema}")
    return place


@pytest.fixture
def place(server: PostgresServer) -> Place:
    return made(server)
