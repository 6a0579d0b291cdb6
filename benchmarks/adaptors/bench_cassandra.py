#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aicore-cassandra beside cassandra-driver with ready-made values: bench_cassandra.py [--events N] [--rounds N].

Starts a node of its own (Java 17 and Maven, see tests/servers/cassandra). The raw client sends the same prepared
statements, but for the deletions by which a row is one record, grouped in the same batches, several in flight, over
sockets with TCP_NODELAY and a large buffer; its rows are ready tuples that it binds (`bind`), or statements that are
bound before the clock runs (`bound`).
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aicore_cassandra.store import Store
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, DefaultConnection, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType
from harness import HERE, Batches, Way, batches, compare

import aicore
from aicore.record.batch import FlowBatch

sys.path.insert(0, str(HERE.parents[1] / "tests"))

from servers.cassandra.server import CassandraServer  # of the tests

Group = list[tuple[Any, tuple[Any, ...]]]  # prepared statement, Python values


class Connection(DefaultConnection):  # type: ignore[misc]  # the driver has no types
    out_buffer_size = 65_536


def session_of(server: CassandraServer) -> Any:
    profile = ExecutionProfile(load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()))
    cluster = Cluster(
        [server.host],
        port=server.port,
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connection_class=Connection,
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    return cluster.connect()


def plain(store: Store, batch: FlowBatch) -> list[Group]:
    """The adaptor's own requests for a batch, with Python values instead of cells."""
    link = store._link
    assert link is not None
    plan = store._plan(link, batch)
    groups = []
    for request in store._requests(link, plan, batch, lambda *_: None):
        group: Group = []
        for statement in request.statements:
            prepared = statement.prepared_statement
            values = tuple(
                value if value is UNSET_VALUE else column.type.deserialize(value, 5)
                for value, column in zip(statement.values, prepared.column_metadata, strict=True)
            )
            group.append((prepared, values))
        groups.append(group)
    return groups


def send(session: Any, statements: Iterable[Any], in_flight: int) -> None:
    waiting: deque[Any] = deque()
    for statement in statements:
        if len(waiting) >= in_flight:
            waiting.popleft().result()
        waiting.append(session.execute_async(statement))
    for future in waiting:
        future.result()


def unlogged(bound: Iterable[Any]) -> Any:
    batch = BatchStatement(BatchType.UNLOGGED)
    for statement in bound:
        batch.add(statement)
    return batch


def bench(server: CassandraServer, title: str, by_host: str, made: Any, events: int, rounds: int) -> None:
    options = f"create=yes&by_host={by_host}&consistency=local_one"
    adaptor = aicore.open_adaptor(f"cassandra://{server.address}/bench?{options}")
    adaptor.connect(adaptor.url)
    store = adaptor._store
    session = session_of(server)

    def write(given: Batches) -> None:
        for batch in given:
            if adaptor.write(batch):
                raise SystemExit("bench_cassandra: the server refuses rows")

    def ready() -> list[Group]:
        return [group for batch in made() for group in plain(store, batch)]

    def bound() -> list[Any]:
        return [unlogged(prepared.bind(values) for prepared, values in group) for group in ready()]

    def binding(groups: list[Group]) -> Iterable[Any]:
        return (unlogged(prepared.bind(values) for prepared, values in group) for group in groups)

    def batched(in_flight: int) -> Any:
        return lambda groups: send(session, binding(groups), in_flight)

    ways = [
        Way("driver, unlogged, bind, 4 in flight", ready, batched(4), raw=True),
        Way("driver, unlogged, bind, 8 in flight", ready, batched(8), raw=True),
        Way("driver, unlogged, bound, 8 in flight", bound, lambda given: send(session, given, 8)),
        Way("aicore-cassandra", made, write),
    ]
    compare(title, ways, events, rounds)
    adaptor.close()
    session.cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    events, rounds = arguments.events, arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        server = CassandraServer(Path(folder), heap="1500m")
        server.start()
        try:
            bench(server, "flows alone, updates", "no", lambda: scattered(events), events, rounds)
            bench(server, "flows and flows_by_host, ends", "yes", lambda: scattered(events, "remove"), events, rounds)
        finally:
            server.stop()


def scattered(events: int, kind: str = "update") -> Batches:
    """With ids as real ones are: over all buckets."""
    made = []
    for batch in batches(events, kind=kind):
        rows = [batch.row(n) for n in range(len(batch))]
        versions = batch.column("version").tolist()
        for n, row in enumerate(rows):
            row |= {"flow_id": row["flow_id"][::-1], "event": kind, "version": versions[n]}
        made.append(FlowBatch.from_rows(rows).net())
    return made


if __name__ == "__main__":
    main()
