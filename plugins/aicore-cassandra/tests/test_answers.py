# SPDX-License-Identifier: Apache-2.0
"""What the server answers, or does not, and what becomes of the rows: later again, set aside, or the end."""

from __future__ import annotations

import time
from collections.abc import Collection

import pytest
from aicore_cassandra.link import TIMEOUT, judge
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    InvalidRequest,
    OperationTimedOut,
    Unauthorized,
    Unavailable,
    WriteFailure,
    WriteTimeout,
    WriteType,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError, SyntaxException
from conftest import Keyspace
from support import connected, kinds

from aicore import FlowBatch, open_adaptor
from aicore.delivery import Delivery, balance
from aicore.testing import event, flow_id, make_batch


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("", ConsistencyLevel.QUORUM, 2, 1), "retry"),
        (WriteTimeout("", write_type=WriteType.UNLOGGED_BATCH), "retry"),
        (WriteFailure("", write_type=WriteType.UNLOGGED_BATCH), "retry"),
        (OverloadedErrorMessage(0x1001, "", None), "retry"),
        (IsBootstrappingErrorMessage(0x1002, "", None), "retry"),
        (ServerError(0, "", None), "retry"),
        (OperationTimedOut(), "retry"),
        (ConnectionShutdown(""), "retry"),
        (NoHostAvailable("", {}), "retry"),
        (InvalidRequest(""), "poison"),
        (Unauthorized(""), "fatal"),
        (AuthenticationFailed(""), "retry"),
        (SyntaxException(0x2000, "", None), "fatal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_kinds_of_exceptions(error: Exception, kind: str) -> None:
    assert judge(error) == kind


def test_replicas_that_are_missing_are_waited_for(keyspace: Keyspace) -> None:
    adaptor = connected(f"{keyspace.url}&consistency=three")
    errors = adaptor.write(make_batch(5))
    assert kinds(errors) == dict.fromkeys(range(5), "retry")
    assert "Cannot achieve consistency level THREE" in errors[0].reason
    adaptor.close()


def rows_with_large_ones(count: int, large: Collection[int], first: int = 0) -> FlowBatch:
    """Each large one is more than the server takes in a mutation or a message (half a segment of its commit log)."""
    more = {"httpuri": "x" * 9_000_000}
    return FlowBatch.from_rows(event("insert", first + n, n + 1, **(more if n in large else {})) for n in range(count))


def test_only_the_rows_that_the_server_refuses_are_set_aside(keyspace: Keyspace) -> None:
    """The others of their batches go through; so do rows behind them, for which the socket had no room."""
    adaptor = connected(keyspace.url)
    for _ in range(2):
        errors = adaptor.write(rows_with_large_ones(60, (7, 40)))
        assert kinds(errors) == {7: "poison", 40: "poison"}
        assert all("exceeds allowed maximum" in error.reason for error in errors)
    assert keyspace.versions().keys() == {flow_id(n) for n in range(60)} - {flow_id(7), flow_id(40)}
    assert adaptor.write(make_batch(60, version=100)) == []
    adaptor.close()


def test_a_long_text_is_a_text(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    assert adaptor.write(make_batch(20, httpuri="x" * 100_000)) == []
    assert {len(record["httpuri"]) for record in keyspace.records()} == {100_000}
    adaptor.close()


def test_the_delivery_sets_poison_aside_and_delivers_the_rest(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    delivery = Delivery("cassandra", adaptor, live=False, events="net", transports={6, 17})
    delivery.start()
    for first in range(0, 500, 100):
        delivery.put(rows_with_large_ones(100, (13,), first))
    delivery.finish(60)
    counters = delivery.counters()
    assert (counters["delivered"], counters["dead_lettered"], balance(counters)) == (495, 5, 0)
    assert len(keyspace.versions()) == 495
    adaptor.close()


# -- faults: a server that is killed, or stands still -----------------------------------------------------------------


def test_a_killed_server_costs_time_and_no_rows(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    assert adaptor.write(make_batch(500)) == []
    keyspace.server.kill()
    begun = time.monotonic()
    errors = adaptor.write(make_batch(500, version=1000))
    assert kinds(errors) == dict.fromkeys(range(500), "retry")
    assert kinds(adaptor.write(make_batch(500, version=1000))) == dict.fromkeys(range(500), "retry")
    assert time.monotonic() - begun < 2 * TIMEOUT
    keyspace.server.start()
    deadline = time.monotonic() + 60
    while adaptor.write(make_batch(500, version=1000)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    adaptor.close()
    keyspace.wait()
    assert keyspace.versions() == {flow_id(n): 1000 + n for n in range(500)}


def test_a_server_that_stands_still_costs_one_timeout_a_call(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    assert adaptor.write(make_batch(2000)) == []
    keyspace.server.freeze()
    try:
        begun = time.monotonic()
        errors = adaptor.write(make_batch(2000, version=10_000))
        took = time.monotonic() - begun
    finally:
        keyspace.server.thaw()
    assert kinds(errors) == dict.fromkeys(range(2000), "retry")
    assert took < TIMEOUT + 1
    deadline = time.monotonic() + 60
    while adaptor.write(make_batch(2000, version=20_000)):
        assert time.monotonic() < deadline
    # What the server had in its sockets came through late, and changed nothing.
    assert keyspace.versions() == {flow_id(n): 20_000 + n for n in range(2000)}
    begun = time.monotonic()
    adaptor.close()
    assert time.monotonic() - begun < 5


def test_a_server_that_stands_still_at_connect(keyspace: Keyspace) -> None:
    keyspace.server.freeze()
    try:
        begun = time.monotonic()
        adaptor = open_adaptor(keyspace.url)
        with pytest.raises(NoHostAvailable):
            adaptor.connect(adaptor.url)
        assert time.monotonic() - begun < TIMEOUT + 2
        assert adaptor.answered, "it took the connection: a run on files waits for it"
    finally:
        keyspace.server.thaw()
