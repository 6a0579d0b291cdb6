# SPDX-License-Identifier: Apache-2.0
"""One delivery: order, retry, poison, ladder, deadlines. Counters always balance."""

from __future__ import annotations

import json
import logging
import math
import random
import re
import shutil
import stat
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aicore.delivery import Delivery, Spool, balance, spool_list
from aicore.delivery.counters import PLACES
from aicore.delivery.payload import encode
from aicore.delivery.suspects import WEAK_STRIKES
from aicore.errors import Fatal, PartialWrite, RowError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.record.batch import FlowBatch
from aicore.testing import FaultyAdaptor, batches, event, flow_id, life, lives, make_batch

FAST = (0.001, 0.02)


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def delivery(adaptor: Any, **options: Any) -> Delivery:
    settings: dict[str, Any] = {"live": False, "events": adaptor.events, "transports": {6, 17}, "backoff": FAST}
    one = Delivery("test", adaptor, **(settings | options))
    one.start()
    return one


def spool(path: Path, **options: Any) -> Spool:
    return Spool(path / "spool" / "test", min_free=0.0, **options)


@contextmanager
def balanced(one: Delivery, seconds: float | None = 10.0) -> Iterator[Delivery]:
    """Finishes the delivery and checks that every event is accounted for."""
    yield one
    one.finish(seconds)
    counters = one.counters()
    assert balance(counters) == 0, counters
    assert min(counters.values()) >= 0, counters
    assert counters["queued"] == 0


# -- the good case ------------------------------------------------------------------------------------------------


def test_everything_arrives_in_order() -> None:
    store = FaultyAdaptor("all")
    with balanced(delivery(store)) as one:
        for start in range(0, 300, 100):
            one.put(lives(range(start, start + 100), version=start * 10 + 1))
    assert one.counters()["delivered"] == 900 == len(store.log)
    for flow in range(300):
        mine = [(kind, version) for id_, kind, version in store.log if id_ == flow_id(flow)]
        assert [kind for kind, _ in mine] == ["insert", "update", "remove"]
        assert sorted(version for _, version in mine) == [version for _, version in mine]
    assert one.state == "closed"
    assert store.closed == 0, "a user's object stays the user's"


def test_a_net_adaptor_gets_each_flow_once_a_batch() -> None:
    store = FaultyAdaptor("net")
    with balanced(delivery(store)) as one:
        one.put(lives(range(50)))
    assert [kind for _, kind, _ in store.log] == ["remove"] * 50
    assert one.counters()["merged"] == 100


def test_only_the_transports_that_were_asked_for() -> None:
    store = FaultyAdaptor()
    with balanced(delivery(store, transports={17})) as one:
        one.put(FlowBatch.from_rows([event("insert", n, n + 1, proto=17 if n % 3 == 0 else 6) for n in range(9)]))
    assert sorted(store.rows) == [flow_id(n) for n in (0, 3, 6)]
    assert one.counters()["filtered"] == 6


def test_what_was_opened_by_url_is_connected_and_closed_on_the_delivery_thread() -> None:
    threads = []

    class Store(FaultyAdaptor):
        def connect(self, connection_str: str) -> None:
            threads.append(threading.current_thread())
            super().connect(connection_str)

        def close(self) -> None:
            threads.append(threading.current_thread())
            super().close()

    store = Store()
    with balanced(delivery(store, url="test://x?y=z")) as one:
        one.put(make_batch(3))
    assert store.connected == ["test://x?y=z"]
    assert store.closed == 1
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


# -- failures that pass --------------------------------------------------------------------------------------------


def test_an_outage_costs_nothing() -> None:
    store = FaultyAdaptor("all")
    with balanced(delivery(store)) as one:
        one.put(lives(range(20)))
        until(lambda: len(store.log) == 60)
        store.down = ConnectionError("gone")
        one.put(lives(range(20, 40), version=100))
        until(lambda: one.state == "retrying")
        assert one.error == "ConnectionError: gone"
        time.sleep(0.1)
        store.down = None
        until(lambda: one.counters()["delivered"] == 120)
        assert one.state == "ok"
    assert [kind for id_, kind, _ in store.log if id_ == flow_id(30)] == ["insert", "update", "remove"]
    assert one.counters()["dead_lettered"] == 0
    assert one.counters()["retried"] > 0


@pytest.mark.parametrize("seed", range(5))
def test_outage_after_outage_costs_nothing(seed: int) -> None:
    """Whatever the search was doing when the store went away or came back."""
    rng = random.Random(seed)
    store = FaultyAdaptor("all")
    store.slow = 0.001
    over = threading.Event()

    def flap() -> None:
        while not over.wait(rng.uniform(0.05, 0.3)):
            store.down = None if store.down else TimeoutError("away")
        store.down = None

    flapping = threading.Thread(target=flap)
    with balanced(delivery(store, wait=math.inf), seconds=30) as one:
        flapping.start()
        for start in range(0, 500, 50):
            one.put(lives(range(start, start + 50), version=start * 10 + 1))
            time.sleep(0.15)
        over.set()
        flapping.join()
    assert one.counters()["delivered"] == 1500
    for flow in range(500):
        assert [kind for id_, kind, _ in store.log if id_ == flow_id(flow)] == ["insert", "update", "remove"]


def test_rows_that_are_named_are_retried_alone_and_hold_back_their_flow() -> None:
    refuse = {flow_id(3), flow_id(7)}
    store = FaultyAdaptor("all")
    store.fate = lambda row: "retry" if row["flow_id"] in refuse else "ok"
    with balanced(delivery(store)) as one:
        one.put(FlowBatch.from_rows([event("insert", n, n + 1) for n in range(10)]))
        until(lambda: len(store.log) == 8)
        one.put(FlowBatch.from_rows([event("remove", n, 100 + n) for n in range(10)]))
        until(lambda: len(store.log) == 16)
        refuse.clear()
    for flow in range(10):
        assert [kind for id_, kind, _ in store.log if id_ == flow_id(flow)] == ["insert", "remove"], flow
    assert one.counters()["delivered"] == 20


def test_rows_that_were_tried_together_are_tried_together_again() -> None:
    """A store that is full takes one of them now and then: what it shows must not go back."""

    class Full(DatabaseAdaptor):
        events = "net"

        def __init__(self) -> None:
            self.full = True
            self.together = 0
            self.shown: list[int] = []

        def write(self, batch: FlowBatch) -> list[RowError]:
            rows = [row for row, flow in enumerate(batch.column("flow_id")) if flow == flow_id(1)]
            errors = [RowError(row, "retry", "full") for row in rows]
            if self.full or not rows:
                return errors
            self.shown.append(batch.column("version")[rows[-1]])
            if len(rows) > 1:
                self.together += 1
            return errors if 0 < self.together < 3 else []

    store = Full()
    with balanced(delivery(store)) as one:
        for version in (1, 2, 3):
            one.put(FlowBatch.from_rows([event("update", 1, version), event("insert", 10 + version, 10 + version)]))
            until(lambda version=version: one.counters()["delivered"] == version)  # type: ignore[misc]
        store.full = False
    assert store.together == 3
    assert store.shown == sorted(store.shown), "no reader sees it go back"
    assert store.shown[-1] == 3


def test_a_later_flow_of_the_same_key_waits_too() -> None:
    """Stores that address by key must not see the end of an old flow after the beginning of a new one."""
    same = {"ipsrc": "10.9.9.9", "portsrc": 9999}
    store = FaultyAdaptor("net")
    stuck = True
    store.fate = lambda row: "retry" if stuck and row["flow_id"] == flow_id(1) else "ok"
    with balanced(delivery(store)) as one:
        one.put(FlowBatch.from_rows([event("remove", 1, 1, **same), event("insert", 5, 2)]))
        until(lambda: len(store.log) == 1)
        one.put(FlowBatch.from_rows([event("insert", 2, 3, **same), event("insert", 6, 4)]))
        until(lambda: len(store.log) == 2)
        time.sleep(0.05)
        assert flow_id(2) not in store.rows
        stuck = False
    assert [id_ for id_, _, _ in store.log if id_ in (flow_id(1), flow_id(2))] == [flow_id(1), flow_id(2)]


def test_a_three_method_adaptor_goes_on_where_it_stopped() -> None:
    class Three(DatabaseAdaptor):
        def __init__(self) -> None:
            self.calls: list[tuple[str, str]] = []
            self.failures = 3

        def _call(self, what: str, key: str) -> None:
            if what == "update" and ":1005:" in key and self.failures:
                self.failures -= 1
                raise RuntimeError("not now")
            self.calls.append((what, key))

        def insert(self, key: str) -> None:
            self._call("insert", key)

        def update(self, key: str, data: str) -> None:
            assert json.loads(data)["key"] == key
            self._call("update", key)

        def remove(self, key: str) -> None:
            self._call("remove", key)

    store = Three()
    batch = FlowBatch.from_rows(row for n in range(10) for row in life(n, n * 10 + 1, portsrc=1000 + n))
    with balanced(delivery(store)) as one:
        one.put(batch)
    assert len(store.calls) == 30, "nothing twice"
    for key in set(batch.keys()):
        assert [what for what, k in store.calls if k == key] == ["insert", "update", "remove"]


# -- a store that was lost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError, ConnectionResetError])
def test_a_store_that_was_lost_is_closed_and_connected_again(error: type[Exception]) -> None:
    class Driver(FaultyAdaptor):
        def write(self, batch: FlowBatch) -> Any:
            try:
                return super().write(batch)
            except ConnectionError as lost:
                raise error("lost") from lost

    store = Driver("all")
    with balanced(delivery(store, url="test://x")) as one:
        one.put(lives(range(20)))
        until(lambda: len(store.log) == 60)
        store.cut = True
        one.put(lives(range(20, 40), version=100))
        until(lambda: len(store.log) == 120)
    assert store.connected == ["test://x"] * 2
    assert store.closed == 2
    assert one.counters()["delivered"] == 120
    assert one.counters()["dead_lettered"] == 0


def test_what_a_program_opened_is_not_connected_again() -> None:
    store = FaultyAdaptor("all")
    with balanced(delivery(store, wait=math.inf), seconds=0.3) as one:
        store.cut = True
        one.put(make_batch(5))
        until(lambda: one.counters()["retried"] > 20)
    assert (store.connected, store.closed) == ([], 0)
    assert one.counters()["lost"] == 5


def test_other_errors_are_no_reason_to_connect_again() -> None:
    store = FaultyAdaptor("all")
    with balanced(delivery(store, url="test://x", wait=math.inf)) as one:
        until(lambda: bool(store.connected))
        store.down = OSError(28, "no space left")
        one.put(make_batch(5))
        until(lambda: one.counters()["retried"] > 20)
        store.down = None
    assert len(store.connected) == 1


class Cancelled(BaseException):
    """As asyncio.CancelledError is none of Exception."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("its text cannot be had")


@pytest.mark.parametrize("call", ["write", "connect", "reload"])
@pytest.mark.parametrize("raised", [Cancelled, GeneratorExit, SystemExit, Unprintable, lambda: PartialWrite("x")])  # type: ignore[arg-type]
def test_nothing_that_an_adaptor_raises_ends_its_delivery(call: str, raised: Callable[[], BaseException]) -> None:
    class Store(FaultyAdaptor):
        left = 1

        def once(self, name: str) -> None:
            if call == name and self.left:
                self.left -= 1
                raise raised()

        def connect(self, connection_str: str) -> None:
            self.once("connect")
            super().connect(connection_str)

        def reload(self) -> None:
            self.once("reload")
            super().reload()

        def write(self, batch: FlowBatch) -> Any:
            self.once("write")
            return super().write(batch)

    store = Store("all")
    with balanced(delivery(store, url="test://x")) as one:
        one.reload()
        one.put(lives(range(5)))
        until(lambda: store.left == 0 and len(store.log) == 15)
    assert one.counters()["delivered"] == 15


@pytest.mark.parametrize("given", [-1, True, None, "x", [3], 1.0])
def test_a_partial_write_says_how_many_rows(given: Any) -> None:
    with pytest.raises(TypeError, match="delivered is a number of rows"):
        PartialWrite(given)


def test_as_long_as_there_is_no_way_to_the_store_no_row_is_tried_or_suspected() -> None:
    store = FaultyAdaptor("all")
    with balanced(delivery(store, url="test://x", live=True)) as one:
        until(lambda: bool(store.connected))
        store.down = ConnectionRefusedError(111, "refused")
        one.put(lives(range(50)))
        until(lambda: store.calls > 0)
        time.sleep(0.1)
        assert store.calls == 1, "the search for a bad row makes no sense now"
        assert one.state == "retrying"
        assert "refused" in (one.error or "")
        store.down = None
        until(lambda: one.counters()["delivered"] == 150)
    assert store.sizes[-1] == 150


def test_a_store_that_does_not_let_us_in_again_is_fatal(tmp_path: Path) -> None:
    store = FaultyAdaptor("all")
    with balanced(delivery(store, url="test://x", live=True, spool=spool(tmp_path))) as one:
        until(lambda: bool(store.connected))
        store.cut, connect = True, store.connect

        def refuse(_: str) -> None:
            raise Fatal("wrong password")

        store.connect = refuse  # type: ignore[method-assign]
        one.put(make_batch(5))
        until(lambda: one.state == "fatal")
        store.connect = connect  # type: ignore[method-assign]
    assert "wrong password" in (one.error or "")
    assert one.counters()["spooled"] == 5


def test_a_row_that_cuts_the_connection_becomes_a_dead_letter(tmp_path: Path) -> None:
    """A value that the server hangs up on, each time."""

    class Store(FaultyAdaptor):
        def write(self, batch: FlowBatch) -> Any:
            if flow_id(7) in batch.column("flow_id"):
                self.cut = True
            return super().write(batch)

    store = Store("all")
    with balanced(delivery(store, url="test://x", spool=spool(tmp_path), backoff=(1e-6, 1e-6))) as one:
        one.put(make_batch(20))
        for step in range(1, 200):
            one.put(make_batch(1, first=100 + step, version=100 + step))
            time.sleep(0.001)
    assert [entry["record"]["flow_id"] for entry in letters(tmp_path)] == [flow_id(7)]
    assert one.counters()["delivered"] == 19 + 199


# -- failures that stay --------------------------------------------------------------------------------------------


def letters(path: Path) -> list[dict[str, Any]]:
    (file,) = (path / "spool" / "deadletter").glob("test-*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("how", ["poison", "raise"])
@pytest.mark.parametrize("bad", [1, 10, 499])
def test_exactly_the_bad_rows_are_dead_letters(tmp_path: Path, how: Any, bad: int) -> None:
    marked = {flow_id(n * (1000 // bad) + 1) for n in range(bad)}
    store = FaultyAdaptor()
    store.fate = lambda row: how if row["flow_id"] in marked else "ok"
    with balanced(delivery(store, spool=spool(tmp_path), backoff=(1e-6, 1e-6)), seconds=60) as one:
        one.put(make_batch(1000, version=5))
    found = letters(tmp_path)
    assert {entry["record"]["flow_id"] for entry in found} == marked
    assert len(found) == bad == one.counters()["dead_lettered"]
    assert one.counters()["delivered"] == 1000 - bad == len(store.rows)
    assert all(entry["version"] == entry["record"]["version"] for entry in found)
    assert all(entry["attempts"] >= (1 if how == "poison" else 5) for entry in found)
    assert all(entry["reason"] and entry["adaptor"] == "test" for entry in found)
    if how == "poison":
        assert store.calls == 1
    elif bad == 1:
        assert store.calls <= 21


@pytest.mark.parametrize("position", [0, 1, 499, 500, 511, 998, 999])
def test_one_bad_row_costs_21_writes_wherever_it_is(tmp_path: Path, position: int) -> None:
    store = FaultyAdaptor()
    store.fate = lambda row: "raise" if row["flow_id"] == flow_id(position) else "ok"
    with balanced(delivery(store, spool=spool(tmp_path))) as one:
        one.put(make_batch(1000))
    assert store.calls <= 21
    assert one.counters()["dead_lettered"] == 1
    assert len(store.log) == 999, "nothing twice"


def test_a_bad_row_holds_back_its_flow_until_it_is_a_dead_letter(tmp_path: Path) -> None:
    store = FaultyAdaptor("all")
    store.fate = lambda row: "raise" if row["flow_id"] == flow_id(17) and row["event"] == "update" else "ok"
    with balanced(delivery(store, spool=spool(tmp_path))) as one:
        one.put(lives(range(100)))
    assert [entry["record"]["event"] for entry in letters(tmp_path)] == ["update"]
    assert [kind for id_, kind, _ in store.log if id_ == flow_id(17)] == ["insert", "remove"]
    assert len(store.log) == 299


def test_a_store_that_refuses_everything_stops_before_it_fills_the_dead_letters(tmp_path: Path) -> None:
    store = FaultyAdaptor()
    store.fate = lambda _: "poison"
    with balanced(delivery(store, spool=spool(tmp_path))) as one:
        for start in range(0, 10_000, 1000):
            one.put(make_batch(1000, first=start, version=start + 1))
            time.sleep(0.005)
        until(lambda: one.state == "fatal")
    counters = one.counters()
    assert counters["dead_lettered"] <= 2 * 4096
    assert counters["spooled"] == 10_000 - counters["dead_lettered"] > 0
    assert "refuses" in (one.error or "")
    assert one.state == "fatal"
    assert len(letters(tmp_path)) == counters["dead_lettered"]


def test_few_hostile_rows_on_a_quiet_link_do_not_stop_it(tmp_path: Path) -> None:
    store = FaultyAdaptor()
    store.fate = lambda _: "poison"
    with balanced(delivery(store, spool=spool(tmp_path), live=True)) as one:
        for flow in range(10):
            one.put(make_batch(1, first=flow))
            until(lambda flow=flow: one.counters()["dead_lettered"] == flow + 1)  # type: ignore[misc]
        store.fate = None
        one.put(make_batch(5, first=50))
    assert one.counters()["delivered"] == 5


def test_a_full_store_that_still_takes_removes_makes_no_poison() -> None:
    """Redis at maxmemory refuses HSET and takes HDEL: the rows are not the reason."""
    full = True
    store = FaultyAdaptor()
    store.fate = lambda row: "retry" if full and row["event"] != "remove" else "ok"
    with balanced(delivery(store, live=True)) as one:
        for step in range(20):
            rows = [event("insert", 1000 + step, step * 10 + 1), event("remove", step, step * 10 + 2)]
            one.put(FlowBatch.from_rows(rows))
            until(lambda step=step: flow_id(step) in store.rows)  # type: ignore[misc]
        time.sleep(0.1)
        assert one.counters()["dead_lettered"] == 0
        full = False
    assert one.counters()["delivered"] == 40


def test_bad_last_rows_do_not_keep_a_run_on_files_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicore.delivery.writer.LAST_ROW_PATIENCE", 0.5)

    class Three(DatabaseAdaptor):
        def insert(self, key: str) -> None:
            if ":1003:" in key:
                raise ValueError("cannot take that")

    with balanced(delivery(Three(), spool=spool(tmp_path)), seconds=None) as one:
        one.put(FlowBatch.from_rows(event("insert", n, n + 1, portsrc=1000 + n) for n in range(6)))
    assert one.counters()["dead_lettered"] == 1


@pytest.mark.parametrize("how", ["exception", "row"])
def test_fatal_stops_one_adaptor_and_keeps_its_rows(tmp_path: Path, how: str) -> None:
    store = FaultyAdaptor()
    if how == "exception":
        store.down = Fatal("wrong password")
    else:
        store.fate = lambda _: "fatal"
    with balanced(delivery(store, spool=spool(tmp_path))) as one:
        one.put(make_batch(10))
        until(lambda: one.state == "fatal")
        one.put(make_batch(10, first=10))
    assert one.counters()["spooled"] == 20

    store = FaultyAdaptor()
    with balanced(delivery(store, spool=spool(tmp_path))) as one:
        pass
    assert len(store.rows) == 20
    assert one.counters()["replayed"] == 20


@pytest.mark.parametrize(
    "junk",
    [42, "text", [None], [RowError(99, "retry", "x")], [RowError(-1, "poison", "x")], [RowError(0, "odd", "x")]],  # type: ignore[arg-type]
    ids=["number", "text", "none", "beyond", "negative", "kind"],
)
def test_junk_from_write_is_a_failed_write(junk: Any) -> None:
    class Junk(FaultyAdaptor):
        junk: Any = None

        def write(self, batch: FlowBatch) -> Any:
            return self.junk if self.junk is not None else super().write(batch)

    store = Junk()
    store.junk = junk
    with balanced(delivery(store, wait=math.inf)) as one:
        one.put(make_batch(5))
        until(lambda: one.state == "retrying")
        store.junk = None
    assert len(store.rows) == 5


# -- start ---------------------------------------------------------------------------------------------------------


@pytest.mark.timing
def test_a_run_on_files_fails_within_five_seconds_if_the_store_refuses() -> None:
    store = FaultyAdaptor()
    store.down = ConnectionRefusedError(111, "refused")
    begin = time.monotonic()
    with balanced(delivery(store, url="test://x", backoff=(0.1, 30.0)), seconds=None) as one:
        one.put(make_batch(5))
    assert 4.9 < time.monotonic() - begin < 6
    assert one.state == "fatal"
    assert "refused" in (one.error or "")
    assert one.counters()["lost"] == 5
    assert store.closed == 0


def test_with_wait_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicore.delivery.health.START_SECONDS", 0.05)
    store = FaultyAdaptor()
    store.down = ConnectionRefusedError(111, "refused")
    with balanced(delivery(store, url="test://x", wait=math.inf)) as one:
        one.put(make_batch(5))
        time.sleep(0.2)
        assert one.state == "connecting"
        store.down = None
    assert one.counters()["delivered"] == 5


def test_a_live_run_starts_without_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicore.delivery.health.START_SECONDS", 0.05)
    store = FaultyAdaptor()
    store.down = ConnectionRefusedError(111, "refused")
    with balanced(delivery(store, url="test://x", live=True)) as one:
        one.put(make_batch(5))
        time.sleep(0.2)
        assert one.state == "connecting"
        assert "refused" in (one.error or "")
        store.down = None
    assert one.counters()["delivered"] == 5


# -- memory, ladder ------------------------------------------------------------------------------------------------


def test_a_run_on_files_waits_and_says_so() -> None:
    store = FaultyAdaptor("all")
    gate = store.hang = threading.Event()
    one = delivery(store, queue_bytes=100_000)
    done = threading.Event()

    def reader() -> None:
        for start in range(0, 4000, 100):
            one.put(make_batch(100, first=start, version=start + 1))
        done.set()

    threading.Thread(target=reader, daemon=True).start()
    until(lambda: one.waiting_since is not None)
    time.sleep(0.2)
    assert not done.is_set()
    assert one.counters()["queued_bytes"] < 100_000 + 2 * make_batch(100).nbytes + 200_000
    gate.set()
    until(done.is_set)
    with balanced(one):
        pass
    assert one.counters()["delivered"] == 4000
    assert one.counters()["shed"] == 0
    assert one.waiting_since is None


def test_what_one_store_makes_of_a_batch_does_not_wait_in_the_queue_of_another() -> None:
    class Json(DatabaseAdaptor):
        events = "all"

        def write(self, batch: FlowBatch) -> None:
            assert batch.json()

    fast, stuck = Json(), FaultyAdaptor("all")
    gate = stuck.hang = threading.Event()
    given = [make_batch(1000, first=start, version=start + 1) for start in range(0, 20_000, 1000)]
    size = sum(len(batch.json_lines()) for batch in given)
    tracemalloc.start()
    try:
        with balanced(delivery(stuck, live=True)) as one:
            with balanced(delivery(fast, live=True)) as other:
                for batch in given:
                    one.put(batch)
                    other.put(batch)
            assert other.counters()["delivered"] == 20_000
            assert one.counters()["queued"] == 20_000
            kept, _ = tracemalloc.get_traced_memory()
            gate.set()
    finally:
        tracemalloc.stop()
    assert kept < size / 4, "the JSON of the fast store lies in the queue of the other"


def test_an_interrupt_while_waiting_loses_nothing() -> None:
    store = FaultyAdaptor("all")
    gate = store.hang = threading.Event()
    with balanced(delivery(store, queue_bytes=1000)) as one:

        def interrupt() -> None:
            raise KeyboardInterrupt

        one.watch = interrupt  # type: ignore[method-assign]  # called by put() each tick
        for start in (0, 100):
            with pytest.raises(KeyboardInterrupt):
                one.put(make_batch(100, first=start, version=start + 1))
        del one.watch  # type: ignore[attr-defined]
        gate.set()
    assert len(store.rows) == 200


@pytest.mark.timing
def test_live_merges_then_sheds_updates_and_keeps_room_for_ends() -> None:
    store = FaultyAdaptor("all")
    gate = store.hang = threading.Event()
    one = delivery(store, live=True, queue_bytes=400_000)
    flows = 300
    first, *again = batches(
        [[event("insert", n, 1 + n) for n in range(flows)]]
        + [[event("update", n, 1000 * step + n) for n in range(flows)] for step in range(1, 50)]
    )
    one.put(first)
    for batch in again:  # the same flows, over and over: merging is enough
        begin = time.monotonic()
        one.put(batch)
        assert time.monotonic() - begin < 0.5
    assert one.counters()["merged"] > 30 * flows
    assert one.counters()["shed"] == 0
    version = 100_000
    for start in range(flows, 20 * flows, flows):  # ever new flows: nothing can be merged
        version += 1000
        one.put(make_batch(flows, first=start, version=version))
    counters = one.counters()
    assert counters["shed"] > 10 * flows
    assert counters["queued_bytes"] < 400_000 + 4096 * 400
    version += 1000
    one.put(FlowBatch.from_rows(event("remove", n, version + n) for n in range(flows)))
    assert one.counters()["lost"] == 0
    gate.set()
    with balanced(one):
        pass
    assert {store.rows[flow_id(n)]["event"] for n in range(flows)} == {"remove"}


def test_row_by_row_adaptors_miss_no_call_for_what_was_merged() -> None:
    class Three(DatabaseAdaptor):
        away = True

        def __init__(self) -> None:
            self.calls: list[tuple[str, str, int]] = []

        def insert(self, key: str) -> None:
            if self.away:
                raise ConnectionError("away")
            self.calls.append(("insert", key, 0))

        def update(self, key: str, data: str) -> None:
            if self.away:
                raise ConnectionError("away")
            self.calls.append(("update", key, json.loads(data)["packets"]))

        def remove(self, key: str) -> None:
            self.calls.append(("remove", key, 0))

    store = Three()
    with balanced(delivery(store, live=True, queue_bytes=100_000)) as one:
        inserts = [event("insert", n, 1 + n) for n in range(100)]
        updates = [[event("update", n, 1000 * step + n) for n in range(100)] for step in range(1, 30)]
        ends = [event(kind, n, 30_000 + n) for kind in ("update", "remove") for n in range(100)]
        for batch in batches([inserts, *updates, ends]):
            one.put(batch)
        assert one.counters()["merged"] > 1000
        store.away = False
    for number, key in enumerate(make_batch(100).keys()):
        mine = [(what, packets) for what, k, packets in store.calls if k == key]
        assert mine[0] == ("insert", 0)
        assert mine[-2:] == [("update", 30_000 + number), ("remove", 0)]


def test_live_spools_what_does_not_fit_and_delivers_it_in_order(tmp_path: Path) -> None:
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    with balanced(delivery(store, live=True, queue_bytes=100_000, spool=spool(tmp_path))) as one:
        for start in range(0, 3000, 100):
            one.put(lives(range(start, start + 100), version=start * 10 + 1))
        assert one.state == "spooling"
        assert one.counters()["spooled"] > 3000
        store.down = None
        until(lambda: one.counters()["spooled"] == 0, 20)
        one.put(lives(range(5000, 5100), version=100_000))
        assert one.state == "ok"
    assert one.counters()["shed"] == one.counters()["lost"] == 0
    assert one.counters()["delivered"] + one.counters()["merged"] == 9300
    assert len(store.rows) == 3100
    last: dict[str, int] = {}
    for id_, _, version in store.log:
        assert last.get(id_, 0) < version
        last[id_] = version
    assert not list((tmp_path / "spool" / "test").glob("*.seg"))


def test_a_full_spool_keeps_its_last_tenth_for_ends(tmp_path: Path) -> None:
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    with balanced(delivery(store, live=True, queue_bytes=50_000, spool=spool(tmp_path, max_bytes=150_000))) as one:
        for start in range(0, 5000, 50):
            one.put(make_batch(50, first=start, version=start + 1))
        assert one.counters()["shed"] > 1000
        one.put(FlowBatch.from_rows(event("remove", n, 100_000 + n) for n in range(40)))
        assert one.counters()["lost"] == 0
        store.down = None
    assert {store.rows[flow_id(n)]["event"] for n in range(40)} == {"remove"}


def test_beyond_every_bound_ends_are_lost_and_counted(tmp_path: Path) -> None:
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    one = delivery(store, live=True, queue_bytes=50_000, spool=spool(tmp_path, max_bytes=30_000))
    for start in range(0, 2000, 50):
        one.put(FlowBatch.from_rows(event("remove", start + n, start + n + 1) for n in range(50)))
    with balanced(one, seconds=0):
        pass
    counters = one.counters()
    assert counters["lost"] > 1000
    assert counters["shed"] == counters["delivered"] == 0
    assert counters["spooled"] + counters["lost"] == 2000


@pytest.mark.parametrize("then", ["more comes", "the end"])
def test_what_waited_in_a_spool_that_somebody_deleted_is_lost_and_counted(tmp_path: Path, then: str) -> None:
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    with balanced(delivery(store, live=True, queue_bytes=100_000, spool=spool(tmp_path)), seconds=0) as one:
        for start in range(0, 3000, 100):
            one.put(lives(range(start, start + 100), version=start * 10 + 1))
        waited = one.counters()["spooled"]
        assert waited > 3000
        shutil.rmtree(tmp_path / "spool")
        if then == "more comes":
            one.put(lives(range(5000, 5100), version=100_000))
    counters = one.counters()
    assert waited - 1000 <= counters["lost"] <= waited  # of one segment some may have been in memory
    on_disk = sum(found["rows"] for found in spool_list(tmp_path / "spool"))
    assert on_disk == counters["spooled"] == 9000 + 300 * (then == "more comes") - counters["lost"] - counters["merged"]


@pytest.mark.parametrize("live", [True, False])
def test_a_spool_whose_disk_is_full_of_other_things_costs_a_healthy_store_nothing(tmp_path: Path, live: bool) -> None:
    store = FaultyAdaptor("all")
    full = Spool(tmp_path / "s", min_free=1.0)
    with balanced(delivery(store, live=live, spool=full, spool_always=True)) as one:
        for start in range(0, 1000, 100):
            one.put(make_batch(100, first=start, version=start + 1))
    assert (one.counters()["delivered"], one.counters()["shed"]) == (1000, 0)


@pytest.mark.timing
@pytest.mark.parametrize("how", ["fails", "hangs"])
@pytest.mark.parametrize("spooled", [True, False])
def test_a_run_on_files_gives_up_a_store_that_stopped_taking(tmp_path: Path, how: str, spooled: bool) -> None:
    store = FaultyAdaptor("all")
    one = delivery(store, wait=0.3, spool=spool(tmp_path) if spooled else None, queue_bytes=10_000)
    one.connection._clock = lambda: time.monotonic() * (20 if how == "hangs" else 1)  # hanging is noticed after 5 s
    one.put(make_batch(10))
    until(lambda: one.counters()["delivered"] == 10)
    gate = threading.Event()
    if how == "fails":
        store.down = OSError(28, "No space left on device")
    else:
        store.hang = gate
    begin = time.monotonic()
    with balanced(one, seconds=None):
        for start in range(10, 2010, 100):
            one.put(make_batch(100, first=start, version=start + 1))
    assert time.monotonic() - begin < 10
    gate.set()
    counters = one.counters()
    assert counters["delivered"] == 10
    assert counters["spooled" if spooled else "lost"] == 2000
    assert one.state == "closed"
    assert "given up after" in str(one.error)


# -- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.timing
@pytest.mark.parametrize("fault", ["down", "hang"])
def test_at_the_deadline_the_rest_goes_to_the_spool_in_order(tmp_path: Path, fault: str) -> None:
    store = FaultyAdaptor("all")
    gate = threading.Event()
    if fault == "down":
        store.down = ConnectionError("away")
    else:
        store.hang = gate
    one = delivery(store, live=True, queue_bytes=100_000, spool=spool(tmp_path))
    for start in range(0, 1000, 100):
        one.put(lives(range(start, start + 100), version=start * 10 + 1))
    begin = time.monotonic()
    with balanced(one, seconds=0.3):
        pass
    assert time.monotonic() - begin < 1.3
    counters = one.counters()
    assert counters["spooled"] + counters["merged"] == 3000
    assert counters["lost"] == 0
    gate.set()

    store = FaultyAdaptor("all")
    with balanced(delivery(store, spool=spool(tmp_path))) as one:
        until(lambda: one.counters()["spooled"] == 0)
    assert len(store.rows) == 1000
    assert {row["event"] for row in store.rows.values()} == {"remove"}
    last: dict[str, int] = {}
    for id_, _, version in store.log:
        assert last.get(id_, 0) < version
        last[id_] = version


def test_without_a_spool_the_rest_is_lost_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    store = FaultyAdaptor()
    store.down = ConnectionError("away")
    with balanced(delivery(store, wait=math.inf), seconds=0.2) as one:
        one.put(make_batch(100))
    assert one.counters()["lost"] == 100
    assert "100 events are lost" in caplog.text


@pytest.mark.timing
def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    store = FaultyAdaptor()
    store.down = ConnectionError("away")
    one = delivery(store, wait=math.inf, spool=spool(tmp_path))
    one.put(make_batch(100))
    first = threading.Thread(target=one.finish, args=(60,))
    first.start()
    time.sleep(0.1)
    begin = time.monotonic()
    one.finish(0)
    first.join(2)
    assert time.monotonic() - begin < 0.5
    assert one.counters()["spooled"] == 100
    assert balance(one.counters()) == 0


@pytest.mark.timing
def test_put_does_not_wait_beyond_the_deadline(tmp_path: Path) -> None:
    store = FaultyAdaptor()
    gate = store.hang = threading.Event()
    one = delivery(store, queue_bytes=1000, spool=spool(tmp_path))
    threading.Timer(0.2, one.hurry, (0.2,)).start()
    begin = time.monotonic()
    for start in range(0, 500, 100):
        one.put(make_batch(100, first=start, version=start + 1))
    assert time.monotonic() - begin < 1
    with balanced(one, seconds=0.2):
        pass
    assert one.counters()["spooled"] == 500
    gate.set()


def test_what_an_earlier_run_left_comes_first(tmp_path: Path) -> None:
    for live in (True, False):
        store = FaultyAdaptor("all")
        store.down = ConnectionError("away")
        with balanced(delivery(store, live=live, wait=math.inf, spool=spool(tmp_path)), seconds=0.1) as one:
            one.put(FlowBatch.from_rows(event("insert", n, n + 1) for n in range(50)))
        assert one.counters()["spooled"] == 50

        store = FaultyAdaptor("all")
        with balanced(delivery(store, live=live, spool=spool(tmp_path))) as one:
            one.put(FlowBatch.from_rows(event("remove", n, 1000 + n) for n in range(50)))
        assert [kind for _, kind, _ in store.log] == ["insert"] * 50 + ["remove"] * 50
        assert one.counters()["recovered"] == one.counters()["accepted"] - 50 == 50


@pytest.mark.parametrize("live", [True, False])
def test_spool_always_survives_without_an_end(tmp_path: Path, live: bool) -> None:
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    first = spool(tmp_path)
    one = delivery(store, live=live, wait=math.inf, spool=first, spool_always=True)
    one.put(lives(range(100)))
    assert one.counters()["spooled"] == 300
    # As after SIGKILL: the descriptors are gone, nobody tidied up.
    one.hurry(0)
    one.sender.thread.join(5)
    first.close(sync=False)

    store = FaultyAdaptor("all")
    with balanced(delivery(store, live=live, spool=spool(tmp_path), spool_always=True)) as one:
        one.put(lives(range(100, 200), version=1000))
    assert len(store.rows) == 200


def test_rows_held_from_the_spool_are_not_forgotten(tmp_path: Path) -> None:
    store = FaultyAdaptor("all")
    store.fate = lambda row: "retry" if row["flow_id"] == flow_id(3) else "ok"
    one = delivery(store, live=True, spool=spool(tmp_path), spool_always=True)
    with balanced(one, seconds=0.3):
        one.put(make_batch(20))
        until(lambda: len(store.rows) == 19)
    assert one.counters()["spooled"] == 1
    store = FaultyAdaptor("all")
    with balanced(delivery(store, spool=spool(tmp_path))):
        pass
    assert flow_id(3) in store.rows


# -- rows that are refused alone -----------------------------------------------------------------------------------


def refusing(flows: set[int], how: str) -> FaultyAdaptor:
    """A store that refuses these flows for as long as they are in the set."""
    store = FaultyAdaptor("all")
    store.fate = lambda row: how if row["flow_id"] in map(flow_id, flows) else "ok"  # type: ignore[arg-type,return-value]
    return store


def test_a_row_that_the_adaptor_wants_later_never_becomes_a_dead_letter(tmp_path: Path) -> None:
    """However often others go through in between: it waits in the spool at the end."""
    store = FaultyAdaptor("all")
    refused = 0

    def fate(row: dict[str, Any]) -> Any:
        nonlocal refused
        refused += row["flow_id"] == flow_id(0)
        return "retry" if row["flow_id"] == flow_id(0) else "ok"

    store.fate = fate
    spool = Spool(tmp_path / "x", min_free=0.0)
    one = Delivery("x", store, live=True, events="all", transports={6}, spool=spool, wait=0.2, backoff=(0.0005, 0.0005))
    one.start()
    one.put(make_batch(1))
    first = 1
    while refused < 5 * WEAK_STRIKES:
        one.put(make_batch(1, first=first, version=2 * first))
        first += 1
        until(lambda first=first: len(store.rows) == first - 1)  # type: ignore[misc]
    one.finish(20)
    counters = one.counters()
    assert (counters["dead_lettered"], counters["spooled"], counters["delivered"]) == (0, 1, first - 1)


@pytest.mark.parametrize("how", ["retry", "raise"])
@pytest.mark.parametrize("live", [True, False])
def test_a_row_refused_alone_in_its_batch_holds_up_no_other_flow(how: str, live: bool) -> None:
    flows = {0}
    store = refusing(flows, how)
    with balanced(delivery(store, live=live)) as one:
        one.put(FlowBatch.from_rows([event("insert", 0, 1)]))
        until(lambda: store.calls > 3)
        for flow in range(1, 5):  # a quiet link: a row at a time
            one.put(FlowBatch.from_rows([event("insert", flow, 10 * flow)]))
            until(lambda flow=flow: flow_id(flow) in store.rows, 5)  # type: ignore[misc]
        one.put(FlowBatch.from_rows([event("remove", 0, 100)]))
        flows.clear()
    assert [version for id_, _, version in store.log if id_ == flow_id(0)] in ([1, 100], [100]), "in order"
    assert one.counters()["dead_lettered"] == one.counters()["lost"] == 0 or how == "raise"


@pytest.mark.parametrize("how", ["retry", "raise"])
def test_several_rows_refused_alone_hold_up_no_other_flow(how: str) -> None:
    """More of those that raise than are set aside at once."""
    flows = set(range(8))
    store = refusing(flows, how)
    with balanced(delivery(store, live=True)) as one:
        for flow in range(9):
            calls = store.calls
            one.put(FlowBatch.from_rows([event("insert", flow, flow + 1)]))
            until(lambda calls=calls: store.calls > calls)  # type: ignore[misc]
        until(lambda: flow_id(8) in store.rows, 10)
        flows.clear()
    assert one.counters()["delivered"] + one.counters()["dead_lettered"] == 9


@pytest.mark.parametrize("live", [True, False])
def test_a_row_of_the_spool_that_is_refused_holds_up_neither_it_nor_the_new_run(tmp_path: Path, live: bool) -> None:
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    with balanced(delivery(store, live=True, spool=spool(tmp_path), spool_always=True), seconds=0) as one:
        for flow in range(5):
            one.put(FlowBatch.from_rows([event("insert", flow, flow + 1)]))
    assert one.counters()["spooled"] == 5
    flows = {0}
    store = refusing(flows, "retry")
    with balanced(delivery(store, live=live, spool=spool(tmp_path), wait=1.0)) as one:
        begin = time.monotonic()
        one.put(FlowBatch.from_rows([event("insert", 7, 100), event("update", 0, 101)]))
        assert time.monotonic() - begin < 1.0, "the reader does not wait for it"
        until(lambda: len(store.rows) == 5, 5)
        flows.clear()
    assert [version for id_, _, version in store.log if id_ == flow_id(0)] == [1, 101]
    assert one.counters()["spooled"] == 0


def test_rows_that_stay_refused_at_the_end_are_waited_for_as_long_as_wait_says(tmp_path: Path) -> None:
    store = refusing({0, 1}, "retry")
    one = delivery(store, wait=0.3, spool=spool(tmp_path))
    for flow in range(5):
        one.put(FlowBatch.from_rows([event("insert", flow, flow + 1)]))
    begin = time.monotonic()
    with balanced(one, seconds=None):
        pass
    assert 0.2 < time.monotonic() - begin < 5
    assert (one.counters()["delivered"], one.counters()["spooled"]) == (3, 2)
    assert one.state == "closed"
    with balanced(delivery(store := FaultyAdaptor("all"), spool=spool(tmp_path))):
        pass
    assert {flow_id(0), flow_id(1)} == store.rows.keys()


# -- adaptors whose code is wrong ----------------------------------------------------------------------------------


class Broken(FaultyAdaptor):
    """Its code fails in the call of that name; in `write` from the batch on that has that flow."""

    def __init__(self, call: str, first: int = 0) -> None:
        super().__init__("all")
        self.call, self.first, self.failing = call, first, False

    def connect(self, connection_str: str) -> None:
        self.calls += 1
        if self.call == "connect":
            self.connection = connection_str.host  # type: ignore[attr-defined]
        super().connect(connection_str)

    def write(self, batch: FlowBatch) -> Any:
        self.failing = self.failing or flow_id(self.first) in batch.column("flow_id")
        if self.call == "write" and self.failing:
            self.calls += 1
            return len(None)  # type: ignore[arg-type]
        return super().write(batch)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(("call", "first"), [("connect", 0), ("write", 0), ("write", 10)])
def test_an_adaptor_whose_code_is_wrong_is_ended_with_its_traceback(
    tmp_path: Path, call: str, first: int, live: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store = Broken(call, first)
    one = delivery(store, url="test://x", live=live, wait=math.inf, spool=spool(tmp_path))
    with balanced(one):
        one.put(make_batch(10))
        if first:
            until(lambda: len(store.rows) == 10)
        one.put(make_batch(10, first=10, version=100))
        until(lambda: one.state == "fatal")
    assert re.match(f"its {call}[(][)] fails by an error of its code: (Type|Attribute)Error", one.error or "")
    assert one.counters()["lost"] == one.counters()["dead_lettered"] == 0
    assert one.counters()["spooled"] == 20 - len(store.rows)
    assert store.calls < 100
    assert caplog.text.count("Traceback (most recent call last)") == 1
    assert ("return len(None)" if call == "write" else "connection_str.host") in caplog.text


@pytest.mark.parametrize("live", [True, False])
def test_an_adaptor_whose_code_is_wrong_when_it_connects_again_is_ended(tmp_path: Path, live: bool) -> None:
    store = Broken("")
    one = delivery(store, url="test://x", live=live, wait=math.inf, spool=spool(tmp_path))
    with balanced(one):
        one.put(make_batch(10))
        until(lambda: len(store.rows) == 10)
        store.call, store.cut = "connect", True
        one.put(make_batch(10, first=10, version=100))
        until(lambda: one.state == "fatal")
    assert "its connect() fails by an error of its code: AttributeError" in (one.error or "")
    assert (one.counters()["lost"], one.counters()["spooled"]) == (0, 10)
    assert store.calls < 20


def test_an_outage_is_no_error_of_code_though_one_attempt_raises_what_looks_like_it() -> None:
    store = FaultyAdaptor("all")
    errors: list[Exception] = [ConnectionRefusedError() for _ in range(20)]
    errors[7] = errors[15] = KeyError("the driver's own")
    connect = store.connect

    def try_again(url: str) -> None:
        if errors:
            raise errors.pop()
        connect(url)

    store.connect = try_again  # type: ignore[method-assign]
    with balanced(delivery(store, url="test://x", live=True)) as one:
        one.put(make_batch(5))
        until(lambda: len(store.rows) == 5)


def test_an_error_of_code_for_one_row_is_that_rows(caplog: pytest.LogCaptureFixture) -> None:
    class Careless(FaultyAdaptor):
        def write(self, batch: FlowBatch) -> Any:
            if flow_id(3) in batch.column("flow_id"):
                raise KeyError("no such column")
            return super().write(batch)

    store = Careless("all")
    with balanced(delivery(store, live=True)) as one:
        for flow in range(3, 10):
            one.put(FlowBatch.from_rows([event("insert", flow, flow)]))
        until(lambda: len(store.rows) == 6)
        assert one.state != "fatal"
    assert caplog.text.count("no such column") >= 1
    assert caplog.text.count("Traceback (most recent call last)") == 1


# -- plugins that misbehave ----------------------------------------------------------------------------------------


def test_a_hanging_store_is_named_once_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aicore.delivery.connection.STUCK_SECONDS", 0.1)
    hanging, good = FaultyAdaptor(), FaultyAdaptor()
    gate = hanging.hang = threading.Event()
    one = delivery(hanging, live=True, spool=spool(tmp_path), queue_bytes=10_000)
    other = delivery(good, live=True)
    for start in range(0, 2000, 100):
        batch = make_batch(100, first=start, version=start + 1)
        one.put(batch)
        other.put(batch)
        time.sleep(0.02)
        assert other.lag_seconds < 2
    assert one.state == "stuck"
    assert one.lag_seconds > 0.2
    until(lambda: len(good.rows) == 2000)
    assert caplog.text.count("write() has not returned") == 1
    with balanced(other):
        pass
    with balanced(one, seconds=0.2):
        pass
    assert one.counters()["spooled"] == 2000
    gate.set()
    one.sender.thread.join(5)
    assert not one.sender.thread.is_alive()
    assert balance(one.counters()) == 0, "the late answer changes nothing"


def test_secrets_stay_out_of_state_log_and_dead_letters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "canary-4711"
    store = FaultyAdaptor()
    store.fate = lambda row: "poison" if row["flow_id"] == flow_id(1) else "ok"
    errors = [
        RuntimeError(f"cannot reach redis://user:{canary}@host:1/0"),
        RuntimeError(f"login failed: password={canary}"),
    ]

    class Leaky(FaultyAdaptor):
        def write(self, batch: FlowBatch) -> Any:
            if errors:
                raise errors.pop()
            return [RowError(1, "poison", f"refused by redis://u:{canary}@h/0")] if len(batch) > 1 else None

    with balanced(delivery(Leaky(), spool=spool(tmp_path))) as one:
        one.put(make_batch(3))
        until(lambda: not errors)
        assert canary not in str(one.error)
    assert "***" in str(one.error)
    assert letters(tmp_path)
    everything = caplog.text + "".join(p.read_text() for p in (tmp_path / "spool").rglob("*") if p.is_file())
    assert canary not in everything


def test_places_name_counters() -> None:
    assert set(PLACES) < set(Delivery("x", FaultyAdaptor(), live=True, events="net", transports={6}).counters())


def test_a_frame_that_cannot_be_read_is_kept_counted_and_costs_no_other(tmp_path: Path) -> None:
    store = spool(tmp_path)
    good = encode(make_batch(3))
    assert store.append(good, 3)
    for unreadable in (b"", b"no batch", good[:-1], good[:3], good + b"x"):
        assert store.append(unreadable, 2)
    assert store.append(good, 4), "of another number of rows than it says"
    assert store.append(encode(make_batch(3, first=3)), 3)
    adaptor = FaultyAdaptor()
    with balanced(delivery(adaptor, spool=store)) as one:
        pass
    assert sorted(adaptor.rows) == [flow_id(n) for n in range(6)]
    assert one.counters()["lost"] == 5 * 2 + 4
    assert sorted(path.stat().st_size for path in (tmp_path / "spool" / "test").glob("*.bad")) == sorted(
        [0, 8, len(good) - 1, 3, len(good) + 1, len(good)]
    )


def test_a_store_gets_the_same_columns_by_way_of_the_spool(tmp_path: Path) -> None:
    batch = FlowBatch.from_rows(
        event("update", n, n + 1, score=n / 3, tags=["a", "\u2028"], count=n << 40, word="x" * n) for n in range(50)
    )

    class Keeps(FaultyAdaptor):
        batches: list[FlowBatch] = []

        def write(self, batch: FlowBatch) -> Any:
            self.batches.append(batch)

    store = Keeps("all")
    with balanced(delivery(store, live=True, spool=spool(tmp_path), spool_always=True)) as one:
        one.put(batch)
    (found,) = store.batches
    assert found.names() == batch.names()
    for name in (*batch.names(), "event", "new", "version"):
        assert found.type(name) == batch.type(name)
        assert list(found.column(name)) == list(batch.column(name))
        assert list(found.valid(name)) == list(batch.valid(name))


def test_held_rows_of_another_schema_keep_their_order(tmp_path: Path) -> None:
    """What an earlier version left may have a field of another type: such rows are not joined, but wait in a row."""
    with balanced(delivery(FaultyAdaptor("all"), spool=spool(tmp_path), wait=math.inf), seconds=0.1) as one:
        one.adaptor.down = ConnectionError("away")
        one.put(make_batch(5, version=1, score="high"))
    store, stuck = FaultyAdaptor("all"), True
    store.fate = lambda row: "retry" if stuck and row["flow_id"] in (flow_id(1), flow_id(3)) else "ok"
    with balanced(delivery(store, live=True, spool=spool(tmp_path))) as one:
        until(lambda: len(store.log) == 3)
        for version in (100, 200):
            one.put(make_batch(5, version=version, score=version))
        until(lambda: len(store.log) == 9)
        stuck = False
    for flow in range(5):
        assert [version for id_, _, version in store.log if id_ == flow_id(flow)] == [flow + 1, flow + 100, flow + 200]
