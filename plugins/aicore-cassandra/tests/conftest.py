# SPDX-License-Identifier: Apache-2.0
"""One real node for all tests, with passwords and rights; every test has a keyspace of its own."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.query import dict_factory
from servers.cassandra.server import CassandraServer
from servers.starting import or_skip

sys.path.insert(0, str(Path(__file__).parent))

# The first compiler only: in runs of a minute the second one takes more than it gives.
JVM = ("-XX:TieredStopAtLevel=1",)
PASSWORD = "cassandra"

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the node, and a machine without its jars for Maven."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


@dataclass
class Keyspace:
    """A name that no other test has, and a look into it by the driver's own way."""

    server: CassandraServer
    name: str
    session: Any

    @property
    def url(self) -> str:
        return f"cassandra://cassandra:{PASSWORD}@{self.server.address}/{self.name}?create=yes"

    def ask(self, cql: str, *values: Any) -> list[dict[str, Any]]:
        """`{}` stands for the keyspace."""
        return list(self.session.execute(cql.replace("{}", self.name), values or None))

    def wait(self) -> None:
        """Until this session, which reconnects at its pace, has an answer again."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with contextlib.suppress(NoHostAvailable):
                self.ask("SELECT key FROM system.local")
                return
            time.sleep(0.2)
        raise AssertionError("the server is back, the tests' session is not")

    def make(self) -> None:
        self.ask("CREATE KEYSPACE {} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")

    def records(self, table: str = "flows") -> list[dict[str, Any]]:
        """The records in the table of the flows, without what is absent and without the table's own columns."""
        rows = self.ask(f"SELECT * FROM {{}}.{table}")
        own = {"day", "bucket", "version"}
        return [{name: value for name, value in row.items() if value is not None and name not in own} for row in rows]

    def versions(self) -> dict[str, int]:
        return {row["flow_id"]: row["version"] for row in self.ask("SELECT flow_id, version FROM {}.flows")}


def connect(server: CassandraServer, user: str = "cassandra", password: str = PASSWORD) -> Cluster:
    return Cluster(
        [server.host],
        port=server.port,
        auth_provider=PlainTextAuthProvider(user, password),
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(request_timeout=60, row_factory=dict_factory)},
    )


def lets_in(server: CassandraServer, user: str, password: str) -> bool:
    cluster = connect(server, user, password)
    try:
        cluster.connect()
    except NoHostAvailable:
        return False
    finally:
        cluster.shutdown()
    return True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraServer]:
    server = CassandraServer(tmp_path_factory.mktemp("cassandra"), auth=True, jvm=JVM)
    with or_skip():
        server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def session(server: CassandraServer) -> Iterator[Any]:
    deadline = time.monotonic() + 60
    while True:
        cluster = connect(server)
        try:
            session = cluster.connect()
            break
        except NoHostAvailable:  # the first start makes the user a moment later
            cluster.shutdown()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield session
    cluster.shutdown()


@pytest.fixture
def keyspace(server: CassandraServer, session: Any) -> Keyspace:
    return Keyspace(server, f"t{next(_numbers)}", session)
