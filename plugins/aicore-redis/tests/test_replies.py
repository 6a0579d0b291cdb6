# SPDX-License-Identifier: Apache-2.0
"""What the server refuses, and what becomes of the rows: later again, set aside, or the end of the adaptor."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import exceptions
from server import Server
from test_layouts import connected

import aicore
from aicore import FlowBatch
from aicore.delivery import Delivery, balance
from aicore.errors import Fatal, RowError
from aicore.testing import event, flow_id, make_batch


def both_transports(kind: str = "update", first: int = 0) -> FlowBatch:
    """Even rows are TCP, odd ones UDP."""
    return FlowBatch.from_rows(event(kind, first + n, first + n + 1, proto=17 if n % 2 else 6) for n in range(10))


def kinds(errors: list[RowError]) -> dict[int, str]:
    return {error.row: error.kind for error in errors}


def test_the_hash_is_something_else(empty: Server) -> None:
    empty.ask("SET", "udpflows", "mine")
    errors = connected(empty.url).write(both_transports())
    assert kinds(errors) == dict.fromkeys(range(1, 10, 2), "fatal")
    assert errors[0].reason.startswith("udpflows is there and is something else: WRONGTYPE")
    assert empty.ask("HLEN", "tcpflows") == 5
    assert empty.ask("GET", "udpflows") == "mine"


def test_the_stream_is_something_else(empty: Server) -> None:
    empty.ask("SET", "flows", "mine")
    errors = connected(f"{empty.url}?layout=stream").write(make_batch(3))
    assert kinds(errors) == dict.fromkeys(range(3), "fatal")


def test_the_hash_of_one_flow_is_something_else(empty: Server) -> None:
    empty.ask("SET", f"flow:{flow_id(2)}", "mine")
    errors = connected(f"{empty.url}?layout=flow&ttl=60").write(make_batch(5))
    assert kinds(errors) == {2: "poison"}
    assert errors[0].reason.startswith(f"flow:{flow_id(2)} is there and is something else: WRONGTYPE")
    assert len(empty.ask("KEYS", "flow:*")) == 5
    assert kinds(connected(f"{empty.url}?layout=flow").write(make_batch(5, kind="remove", version=9))) == {2: "poison"}
    assert empty.ask("KEYS", "flow:*") == [f"flow:{flow_id(2)}"]


@pytest.mark.parametrize("query", ["", "?layout=flow", "?layout=stream"])
def test_memory_is_full(server: Server, query: str) -> None:
    adaptor = connected(server.url + query)
    assert adaptor.write(make_batch(4, kind="insert")) == []
    server.ask("CONFIG", "SET", "maxmemory", "1")
    batch = FlowBatch.from_rows([event("remove", 0, 10), event("update", 1, 11), event("update", 2, 12, proto=17)])
    errors = adaptor.write(batch)
    deleting = "stream" not in query
    assert kinds(errors) == dict.fromkeys((1, 2) if deleting else (0, 1, 2), "retry")
    assert all(error.reason.startswith("OOM ") for error in errors)
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert adaptor.write(batch) == []


def test_what_a_full_server_took_counts_as_not_taken(server: Server) -> None:
    """Else rows of TCP that pass were witnesses against rows of UDP that do not: after five times they are poison."""
    adaptor = connected(server.url)
    server.ask("CONFIG", "SET", "maxmemory", server.ask("INFO", "memory")["used_memory"] + 30_000)
    for first in range(0, 2000, 10):
        errors = adaptor.write(both_transports(first=first))
        if errors:
            break
    assert kinds(errors) == dict.fromkeys(range(10), "retry")


def test_a_replica_refuses_everything(server: Server) -> None:
    adaptor = connected(server.url)
    assert adaptor.write(make_batch(4, kind="insert")) == []
    server.ask("REPLICAOF", "127.0.0.1", "1")
    batch = FlowBatch.from_rows([event("remove", 0, 10), event("update", 1, 11)])
    errors = adaptor.write(batch)
    assert kinds(errors) == {0: "retry", 1: "retry"}
    assert errors[0].reason.startswith("READONLY ")
    server.ask("REPLICAOF", "NO", "ONE")
    assert adaptor.write(batch) == []


def test_replicas_are_missing(server: Server) -> None:
    adaptor = connected(server.url)
    server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    errors = adaptor.write(make_batch(2))
    assert kinds(errors) == {0: "retry", 1: "retry"}
    assert errors[0].reason.startswith("NOREPLICAS ")


def test_loading(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.client() as client:
        client.mset({f"key:{n}": "value" for n in range(4000)})
    server.ask("BGREWRITEAOF")
    while server.ask("INFO", "persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.02)
    server.kill()
    server.start(wait=False, key_load_delay=500, loading_process_events_interval_bytes=1024)
    adaptor = aicore.open_adaptor(server.url)
    while True:
        with pytest.raises(ConnectionError) as error:  # it listens only now
            adaptor.connect(adaptor.url)
        loads = isinstance(error.value.__cause__, exceptions.BusyLoadingError)
        assert adaptor.answered is loads
        if loads:
            break
        time.sleep(0.02)
    # A run on files waits for it, though it waits for nobody who is not there.
    monkeypatch.setattr("aicore.delivery.health.START_SECONDS", 0.1)
    other = aicore.open_adaptor(server.url)
    delivery = Delivery("redis", other, live=False, events="net", transports={6}, url=other.url, backoff=(0.01, 0.05))
    delivery.start()
    delivery.put(make_batch(1))
    delivery.finish(20)
    assert (delivery.counters()["delivered"], delivery.error) == (
        1,
        "ConnectionError: Redis is loading the dataset in memory",
    )


def test_a_user_without_the_right(server: Server) -> None:
    server.ask("ACL", "SETUSER", "flows", "on", ">x", "~tcpflows", "+hset", "+hdel", "+ping", "+client")
    adaptor = connected(server.url.replace("//", "//flows:x@"))
    errors = adaptor.write(both_transports())
    assert kinds(errors) == dict.fromkeys(range(1, 10, 2), "fatal")
    assert errors[0].reason.startswith("NOPERM ")
    assert server.ask("HLEN", "tcpflows") == 5


def test_a_password_that_is_changed_while_connected(server: Server) -> None:
    adaptor = connected(server.url)
    server.ask("CONFIG", "SET", "requirepass", "other")
    with server.client(password="other") as client:
        client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(ConnectionError, match="NOAUTH"):  # it let us in before
        adaptor.write(make_batch(1))
    with pytest.raises(ConnectionError, match="NOAUTH"):
        adaptor.connect(adaptor.url)
    with pytest.raises(Fatal, match="NOAUTH"):
        connected(server.url)


def test_a_rotated_password_is_read_again(server: Server, tmp_path: Path) -> None:
    """The store is away for as long as the file has the old one, and then goes on."""
    file = tmp_path / "password"
    file.write_text("canary-old\n")
    server.ask("ACL", "SETUSER", "flows", "on", ">canary-old", "~*", "+@all")
    adaptor = aicore.open_adaptor(server.url.replace("//", f"//flows:${{file:{file}}}@") + "?ended=keep")
    delivery = Delivery(
        "redis", adaptor, live=True, events="net", transports={6}, url=adaptor.url, backoff=(0.01, 0.05)
    )
    delivery.start()
    try:
        delivery.put(make_batch(10))
        until(lambda: delivery.counters()["delivered"] == 10)
        server.ask("ACL", "SETUSER", "flows", "resetpass", ">canary-new")
        server.ask("CLIENT", "KILL", "USER", "flows")
        delivery.put(make_batch(10, first=10))
        until(lambda: "WRONGPASS" in str(delivery.error))
        assert delivery.state == "retrying"
        file.write_text("canary-new\n")
        until(lambda: delivery.counters()["delivered"] == 20)
    finally:
        delivery.finish(5)
    assert (delivery.counters()["lost"], server.ask("HLEN", "tcpflows")) == (0, 20)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_cluster_is_not_followed(redis_program: str, tmp_path: Path) -> None:
    server = Server(redis_program, tmp_path, cluster_enabled="yes")
    server.start()
    try:
        adaptor = connected(server.url)
        errors = adaptor.write(make_batch(2))
        assert kinds(errors) == {0: "retry", 1: "retry"}, "no slot is served: CLUSTERDOWN passes"
        assert "CLUSTERDOWN" in errors[0].reason
    finally:
        server.end()


def test_a_reply_that_names_no_row_lets_the_delivery_find_it(empty: Server) -> None:
    """A record beyond proto-max-bulk-len ends the connection; the rest of the batch must not be lost for it."""
    batch = FlowBatch.from_rows(
        event("update", n, n + 1, sslhost="x" * 1_200_000 if n == 77 else "host.example") for n in range(100)
    )
    empty.ask("CONFIG", "SET", "proto-max-bulk-len", "1mb")
    try:
        with pytest.raises((ConnectionError, exceptions.ResponseError)):
            connected(empty.url).write(batch)
        delivery = Delivery("x", connected(empty.url), live=True, events="net", transports={6}, backoff=(0.001, 0.01))
        delivery.start()
        delivery.put(batch)
        for n in range(1000):  # witnesses that the store takes others
            delivery.put(make_batch(1, first=1000 + n, version=1000 + n))
            if delivery.counters()["dead_lettered"]:
                break
            time.sleep(0.01)
        delivery.finish(10)
    finally:
        empty.ask("CONFIG", "SET", "proto-max-bulk-len", "512mb")
    counters = delivery.counters()
    assert balance(counters) == 0
    assert (counters["dead_lettered"], counters["queued"], counters["lost"]) == (1, 0, 0)
    assert empty.ask("HLEN", "tcpflows") == counters["delivered"]
