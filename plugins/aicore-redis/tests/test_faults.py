# SPDX-License-Identifier: Apache-2.0
"""Servers that die, stop, refuse, fill up, and networks that spoil: nothing is lost, nothing goes back.

Each test has a long form under the marker `fault`; `SEED` repeats a failing one.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from proxy import Proxy, Toxics
from server import Server
from stores import flow_records, hash_records, stream_entries
from traffic import ALIVE, Traffic

import aicore
from aicore.delivery import Delivery, Spool, balance

SEED = int(os.environ.get("AICORE_TEST_SEED", random.randrange(1 << 32)))


class Watcher:
    """Looks at the records all the time: the version of a key must never go back."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: dict[str, int] = {}
        self.backwards: list[str] = []
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            with contextlib.suppress(redis.RedisError), self._server.client(socket_timeout=0.5) as client:
                while not self._stop.wait(0.01):
                    for name in ("tcpflows", "udpflows"):
                        self._compare(client.hgetall(name))

    def _compare(self, found: dict[str, str]) -> None:
        for key, text in found.items():
            seq = int(text.partition('"seq":')[2].partition(",")[0])
            if seq < self.seen.get(key, 0):
                self.backwards.append(f"{key}: {self.seen[key]}, then {seq}")
            self.seen[key] = seq


@contextlib.contextmanager
def delivering(server: Server, query: str, rng: random.Random, port: int = 0, rate: int = 4000) -> Iterator[Delivery]:
    """Delivers traffic while the body of `with` does harm; at its end everything must be there. With a spool, as a run
    has one: minutes of harm make more rows than memory may hold."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    spool = Spool(Path(folder.name) / "redis", min_free=0.0)
    adaptor = aicore.open_adaptor(f"redis://127.0.0.1:{port or server.port}/0{query}")
    delivery = Delivery(
        "redis",
        adaptor,
        live=True,
        events=adaptor.events,
        transports={6, 17},
        url=adaptor.url,
        backoff=(0.01, 0.3),
        spool=spool,
    )
    traffic, done = Traffic(rng), threading.Event()

    def feed() -> None:
        while not done.wait(0.02):
            delivery.put(traffic.batch(rate // 50))

    watcher = Watcher(server)
    feeder = threading.Thread(target=feed)
    delivery.start()
    feeder.start()
    try:
        yield delivery
        time.sleep(0.2)
    finally:
        done.set()
        feeder.join()
        delivery.put(traffic.end())
        delivery.finish(None)
        watcher.stop()
        folder.cleanup()
    counters = delivery.counters()
    say = f"seed {SEED}: {counters}, {delivery.error}"
    assert balance(counters) == 0, say
    assert counters["delivered"] + counters["merged"] == counters["accepted"] == traffic.version, say
    assert watcher.backwards == [], say
    assert 0 < len(traffic.live) <= ALIVE
    CHECKS[query.partition("&timeout")[0]](server, traffic, counters["merged"])


def check_deleting(server: Server, traffic: Traffic, merged: int) -> None:  # noqa: ARG001
    expected = {key: version for key, (version, kind) in traffic.last.items() if kind != "remove"}
    assert len(expected) == len(traffic.live)
    assert {record["key"]: record["seq"] for record in hash_records(server)} == expected


def check_keeping(server: Server, traffic: Traffic, merged: int) -> None:  # noqa: ARG001
    expected = {key: version for key, (version, _) in traffic.last.items()}
    assert {record["key"]: record["seq"] for record in hash_records(server)} == expected


def check_flows(server: Server, traffic: Traffic, merged: int) -> None:  # noqa: ARG001
    records = {int(record["flow_id"], 16): record for record in flow_records(server)}
    assert records.keys() == set(range(traffic.flows))
    assert {flow for flow, record in records.items() if "end_reason" not in record} == set(traffic.live)


def check_stream(server: Server, traffic: Traffic, merged: int) -> None:
    """Every event at least once, but for those that were merged where memory had no room; each flow's in order but for
    repeats."""
    first: dict[str, list[int]] = {}
    seen: set[int] = set()
    for entry in stream_entries(server):
        if entry["version"] not in seen:
            seen.add(entry["version"])
            first.setdefault(entry["flow_id"], []).append(entry["version"])
    assert seen <= set(range(1, traffic.version + 1))
    assert len(seen) == traffic.version - merged
    assert {version for version, _ in traffic.last.values()} <= seen
    assert all(versions == sorted(versions) for versions in first.values())


CHECKS: dict[str, Callable[[Server, Traffic, int], None]] = {
    "?ended=delete": check_deleting,
    "?ended=keep": check_keeping,
    "?ended=keep&layout=flow": check_flows,
    "?layout=stream": check_stream,
}
ALL = [pytest.param(f"{query}&timeout=0.5", id=query[1:]) for query in CHECKS]
HASHES = ALL[:2]


LONG = [pytest.mark.fault, pytest.mark.timeout(1800)]


@pytest.fixture
def rng() -> random.Random:
    return random.Random(SEED)


@pytest.mark.parametrize("query", ALL)
@pytest.mark.parametrize(("times", "down"), [(2, 0.3), pytest.param(20, 5, marks=LONG)])
def test_killed_and_started_again(server: Server, query: str, times: int, down: float, rng: random.Random) -> None:
    with delivering(server, query, rng):
        for _ in range(times):
            time.sleep(rng.uniform(0.05, 0.6))
            server.kill()
            time.sleep(rng.uniform(0.05, down))
            server.start()


@pytest.mark.parametrize("query", ALL)
@pytest.mark.parametrize("seconds", [(0.8, 0.1, 0.6), pytest.param((1, 5, 30) * 3 + (5,), marks=LONG)], ids=len)
def test_stopped_and_continued(server: Server, query: str, seconds: tuple[float, ...], rng: random.Random) -> None:
    with delivering(server, query, rng) as delivery:
        for stopped in seconds:
            time.sleep(rng.uniform(0.05, 0.3))
            server.pause()
            time.sleep(stopped)
            server.go_on()
        assert delivery.counters()["retried"]


@pytest.mark.parametrize("query", HASHES)
@pytest.mark.parametrize("seconds", [1, pytest.param(20, marks=LONG)])
def test_refused_at_the_start(server: Server, query: str, seconds: float, rng: random.Random) -> None:
    server.end()
    with delivering(server, query, rng) as delivery:
        time.sleep(seconds)
        assert delivery.state == "connecting"
        server.start()


@pytest.mark.parametrize("query", ALL)
def test_memory_full_for_a_while(server: Server, query: str, rng: random.Random) -> None:
    with delivering(server, query, rng) as delivery:
        time.sleep(0.3)
        server.ask("CONFIG", "SET", "maxmemory", "1")
        time.sleep(1)
        assert "OOM" in str(delivery.error)
        server.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=LONG)])
def test_memory_at_its_limit_makes_no_dead_letters(server: Server, seconds: float, rng: random.Random) -> None:
    """Deletions make room, the next writes take it, others find none: nobody's rows are to blame."""
    with delivering(server, "?ended=delete&timeout=0.5", rng) as delivery:
        time.sleep(0.5)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            used = server.ask("INFO", "memory")["used_memory"]
            server.ask("CONFIG", "SET", "maxmemory", used + rng.randrange(-10_000, 30_000))
            time.sleep(0.01)
        assert "OOM" in str(delivery.error)
        server.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("query", ALL)
def test_a_replica_for_a_while(server: Server, query: str, rng: random.Random) -> None:
    with delivering(server, query, rng) as delivery:
        time.sleep(0.3)
        server.ask("REPLICAOF", "127.0.0.1", "1")
        time.sleep(0.7)
        assert "READONLY" in str(delivery.error)
        server.ask("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("query", ALL)
@pytest.mark.parametrize("number", [0, 1, *(pytest.param(n, marks=pytest.mark.fault) for n in range(2, 50))])
def test_a_network_that_spoils(server: Server, query: str, number: int) -> None:
    rng = random.Random(SEED + number)
    proxy = Proxy(server.port)
    stop = threading.Event()

    def change() -> None:
        """No connection lives long, and each is bad in its own way."""
        while not stop.is_set():
            slow = rng.choice([Toxics(), Toxics(delay=rng.uniform(0, 0.2)), Toxics(rate=64_000)])
            end = rng.choice(["reset_after", "cut_after", "mute_after"])
            proxy.toxics = replace(slow, **{end: rng.randrange(1, 100 if end == "cut_after" else 100_000)})
            stop.wait(0.05)

    changer = threading.Thread(target=change)
    try:
        changer.start()
        with delivering(server, query, random.Random(SEED + number), proxy.port):
            time.sleep(3)
            stop.set()
            changer.join()
            proxy.toxics = Toxics()
        assert proxy.connections > 3
    finally:
        stop.set()
        proxy.close()


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=LONG)])
def test_an_outage_at_ten_thousand_events_a_second(server: Server, seconds: float, tmp_path: Path) -> None:
    """Nothing is lost, memory stays bounded, another store does not notice."""
    script = Path(__file__).parent / "outage.py"
    command = [sys.executable, script, f"{server.url}?ended=keep", server.process.pid, seconds, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, timeout=seconds + 200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    last = found.pop("last")
    print(found)
    assert found["balance"] == [0, 0]
    for name in ("redis", "sqlite"):
        counters = found[name]
        assert counters["delivered"] + counters["merged"] == counters["accepted"] == found["events"], found
    assert {record["key"]: record["seq"] for record in hash_records(server)} == last
    with contextlib.closing(sqlite3.connect(tmp_path / "flows.db")) as db:
        assert db.execute("SELECT count(*) FROM flows").fetchone() == (found["flows"],)
    assert found["redis_lag"] >= seconds * 0.9
    behind = found["sqlite_lag"] > 1  # on a busy machine, and then its queue takes as much again
    assert found["growth_mib"] <= (2 if behind else 1) * 64 * 1.25
    if found["rate"] > 9_000:  # a machine that cannot make the events in time says nothing about delays
        assert found["sqlite_lag"] < seconds * 0.75  # which a busy machine has without any outage


def test_a_wrong_password_ends_the_adaptor_and_the_spool_keeps_all(
    server: Server, tmp_path: Path, rng: random.Random
) -> None:
    server.ask("CONFIG", "SET", "requirepass", "right")
    traffic = Traffic(rng)
    for password, state in (("wrong", "fatal"), ("right", "closed")):
        adaptor = aicore.open_adaptor(f"redis://:{password}@127.0.0.1:{server.port}/0?ended=keep")
        spool = Spool(tmp_path / "spool" / "redis", min_free=0.0)
        delivery = Delivery("redis", adaptor, live=True, events="net", transports={6, 17}, url=adaptor.url, spool=spool)
        delivery.start()
        if password == "wrong":
            for _ in range(10):
                delivery.put(traffic.batch(100))
        delivery.finish(10)
        counters = delivery.counters()
        assert balance(counters) == 0
        assert delivery.state == state
        assert "wrong" not in str(delivery.error).replace("WRONGPASS", "")
    assert (counters["spooled"], counters["lost"]) == (0, 0)
    expected = {key: version for key, (version, _) in traffic.last.items()}
    with server.client(password="right") as client:
        found = [json.loads(text) for name in ("tcpflows", "udpflows") for text in client.hvals(name)]
    assert {record["key"]: record["seq"] for record in found} == expected
