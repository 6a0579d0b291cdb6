# SPDX-License-Identifier: Apache-2.0
"""The parts of a delivery, each alone: no thread, a clock that the test moves."""

from __future__ import annotations

import math
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aicore.delivery import Spool
from aicore.delivery.aside import GROUPS
from aicore.delivery.backlog import Backlog, Gone
from aicore.delivery.connection import STUCK_SECONDS, Connection
from aicore.delivery.counters import Counters, balance
from aicore.delivery.health import Health
from aicore.delivery.inflight import InFlight
from aicore.delivery.overload import Overload
from aicore.delivery.suspects import STRIKES, WEAK_STRIKES, WINDOW_ROWS, RefusedShare, Suspects
from aicore.delivery.timing import Backoff, Deadline, RareLog
from aicore.errors import RowError
from aicore.record.batch import FlowBatch
from aicore.testing import FaultyAdaptor, batches, event, flow_id, make_batch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def backlog(clock: Clock, spool: Spool | None = None, **options: Any) -> Backlog:
    changed = threading.Condition()
    settings: dict[str, Any] = {"queue_bytes": 1 << 20, "net": False, "memory_first": True} | options
    return Backlog(
        "test",
        changed=changed,
        counters=Counters(changed),
        rare=RareLog("test", clock),
        backoff=Backoff(0, 0),
        spool=spool,
        clock=clock,
        **settings,
    )


def flows(batch: FlowBatch) -> list[int]:
    return [int(name, 16) for name in batch.column("flow_id")]


# -- backlog ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_first", [True, False])
def test_a_live_run_sends_memory_first_and_a_run_on_files_the_spool(
    tmp_path: Path, clock: Clock, memory_first: bool
) -> None:
    one = backlog(clock, Spool(tmp_path / "s", min_free=0.0), memory_first=memory_first)
    one.push(make_batch(2, first=0))
    assert one.spill(make_batch(2, first=10)) is None
    taken = []
    while flight := one.take():
        taken += flows(flight.batch)
        one.resolve(flight, flight.rows(), "delivered")
        one.set_aside(flight)
    assert taken == ([0, 1, 10, 11] if memory_first else [10, 11, 0, 1])
    one.free()
    assert one.spool is not None
    assert one.spool.rows == 0
    assert balance({**one.counters.copy(), "accepted": 4}) == 0


def test_rows_of_a_key_that_was_set_aside_wait_behind_it(clock: Clock) -> None:
    one = backlog(clock)
    one.push(make_batch(3))
    first = one.take()
    assert first is not None
    one.resolve(first, [0, 2], "delivered")
    one.set_aside(first)
    one.push(make_batch(3, version=10))
    fresh = one.take()
    assert fresh is not None
    assert flows(fresh.batch) == [0, 2]
    (aside,) = one.aside()
    assert list(zip(flows(aside.batch), aside.batch.column("version"), strict=True)) == [(1, 2), (1, 11)]
    one.resolve(fresh, fresh.rows(), "delivered")
    one.set_aside(fresh)
    one.push(make_batch(1, first=1, version=20))
    assert one.take() is None, "all of it waits behind the first row"
    (aside,) = one.aside()
    assert len(aside.batch) == 3


def test_what_comes_to_memory_and_then_to_the_spool_while_the_sender_looks_keeps_its_order(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = backlog(clock, Spool(tmp_path / "s", min_free=0.0))
    look = one._next_in_memory
    came = False

    def at_that_moment() -> InFlight | None:
        nonlocal came
        found = look()
        if not came:
            came = True
            one.push(make_batch(1, version=1))
            assert one.spill(make_batch(1, version=2)) is None
        return found

    monkeypatch.setattr(one, "_next_in_memory", at_that_moment)
    versions = []
    for _ in range(2):
        flight = one.take()
        assert flight is not None
        versions += flight.batch.column("version")
        one.resolve(flight, flight.rows(), "delivered")
        one.set_aside(flight)
    assert versions == [1, 2]
    assert one.take() is None


@pytest.mark.parametrize("step", ["ack", "read"])
def test_the_end_of_a_run_waits_while_the_sender_is_in_the_spool(tmp_path: Path, clock: Clock, step: str) -> None:
    """What was in memory goes before all that waits there, and was taken for a segment that the store has."""
    spool = Spool(tmp_path / "s", min_free=0.0)
    one = backlog(clock, spool)
    assert one.spill(make_batch(2, first=10)) is None
    if step == "ack":
        flight = one.take()
        assert flight is not None
        one.resolve(flight, flight.rows(), "delivered")
        one.set_aside(flight)
    end = threading.Thread(target=one.retire)
    original = getattr(spool, step)

    def at_the_end() -> Any:
        if not end.ident:
            one.push(make_batch(3, first=20, version=20))
            end.start()
            end.join(0.2)
        return original()

    setattr(spool, step, at_the_end)
    if step == "ack":
        one.free()
    else:
        one.take()
    end.join(10)
    with suppress(Gone):
        one.free()
    waits = 3 if step == "ack" else 5
    assert (one.counters["spooled"], one.counters["lost"]) == (waits, 0)
    one.close()
    again = Spool(tmp_path / "s", min_free=0.0)
    assert (again.rows, again.lost_rows) == (waits, 0)
    again.close()


def test_each_group_that_was_set_aside_has_a_time_of_its_own(clock: Clock) -> None:
    one = backlog(clock)
    for first in range(0, 2 * GROUPS, 2):
        one.push(make_batch(1, first=first))
        flight = one.take()
        assert flight is not None
        one.set_aside(flight)
        clock.now += 0.1
    assert len(one.aside()) == GROUPS
    tries = []
    for _ in range(20):  # the first group again and again: it is due less and less often, and delays no other
        clock.now += 100.0
        group = one.due()
        assert group is not None
        tries += flows(group.first.batch)
        if tries[-1] != 0:
            one.resolve(group.first, group.first.rows(), "delivered")
        one.tried(group)
    assert set(tries) == set(range(0, 2 * GROUPS, 2))
    assert flows(one.aside()[0].batch) == [0]


def test_groups_that_were_set_aside_are_bounded(clock: Clock) -> None:
    one = backlog(clock)
    for first in range(3 * GROUPS):
        one.push(make_batch(1, first=first))
        flight = one.take()
        assert flight is not None
        one.set_aside(flight)
    assert [len(group.batch) for group in one.aside()] == [1] * (GROUPS - 1) + [2 * GROUPS + 1]


def test_what_failed_as_a_whole_is_taken_again(clock: Clock) -> None:
    one = backlog(clock)
    one.push(make_batch(3))
    first = one.take()
    assert first is not None
    one.keep(first)
    assert one.take() is first
    assert one.aside() == []


def test_after_retire_the_sender_has_nothing_and_the_spool_all_in_order(tmp_path: Path, clock: Clock) -> None:
    one = backlog(clock, Spool(tmp_path / "s", min_free=0.0))
    for first in (0, 10, 20):
        one.push(make_batch(2, first=first, version=first + 1))
    assert one.spill(make_batch(2, first=30, version=31)) is None
    flight = one.take()
    assert flight is not None
    one.resolve(flight, [0], "delivered")
    one.retire()
    with pytest.raises(Gone):
        one.resolve(flight, [1], "delivered")
    with pytest.raises(Gone):
        one.take()
    assert one.counters["queued"] == 0
    assert one.counters["spooled"] == 7
    assert one.spool is not None
    one.spool.close()
    again = backlog(clock, Spool(tmp_path / "s", min_free=0.0))
    taken = []
    while flight := again.take():
        taken += flows(flight.batch)
        again.resolve(flight, flight.rows(), "delivered")
        again.set_aside(flight)
    assert taken == [1, 10, 11, 20, 21, 30, 31]


def test_without_a_spool_retire_loses_and_counts(clock: Clock) -> None:
    one = backlog(clock)
    one.push(make_batch(5))
    one.retire()
    one.retire()
    assert one.counters["lost"] == 5


# -- overload --------------------------------------------------------------------------------------------------------


def test_each_step_of_the_ladder_in_its_order(tmp_path: Path, clock: Clock) -> None:
    one = backlog(clock, Spool(tmp_path / "s", min_free=0.0, max_bytes=100_000), queue_bytes=100_000)
    ladder = Overload(one, RareLog("test", clock))

    def seen() -> dict[str, int]:
        return {name: one.counters[name] for name in ("merged", "spooled", "shed", "lost") if one.counters[name]}

    steps = batches([event("update", n, step * 100 + n + 1) for n in range(50)] for step in range(60))
    for batch in steps[:20]:
        ladder.put(batch)
    assert set(seen()) == {"merged"}, "the same flows: merging is enough"
    number = 1000
    while not one.counters["spooled"]:
        ladder.put(make_batch(50, first=number, version=number))
        number += 50
    assert "shed" not in seen()
    while not one.counters["shed"]:
        ladder.put(make_batch(50, first=number, version=number))
        number += 50
    assert "lost" not in seen()
    ladder.put(FlowBatch.from_rows(event("remove", n, 900_000 + n) for n in range(10)))
    assert "lost" not in seen(), "the last tenth of the spool is for ends"
    while not one.counters["lost"]:
        ladder.put(FlowBatch.from_rows(event("remove", n, 900_000 + n) for n in range(50)))


# -- connection and health -------------------------------------------------------------------------------------------


def test_rows_of_runs_with_other_plugins_are_joined_but_not_fields_of_two_types() -> None:
    def waiting(flow: int, **fields: Any) -> InFlight:
        return InFlight(make_batch(2, first=flow, **fields), spooled=flow > 2, since=float(flow), merged=flow > 2)

    one, other = waiting(1, score=7), waiting(3, country="SE")
    other.close([0])
    joined = one.joined(other)
    assert joined is not None
    assert [(row.flow_id, row.score, row.country) for row in joined.batch] == [
        (flow_id(1), 7, None),
        (flow_id(2), 7, None),
        (flow_id(4), None, "SE"),
    ]
    assert (bytes(joined.spooled), joined.since, joined.merged) == (b"\0\0\1", 1.0, True)
    assert one.joined(waiting(3, score="high")) is None


def test_a_call_that_hangs_is_named_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str | None] = []

    class Slow(FaultyAdaptor):
        def write(self, batch: FlowBatch) -> list[RowError] | None:
            seen.append(one.stuck_in())
            clock.now += STUCK_SECONDS + 1
            seen.extend((one.stuck_in(), one.stuck_in()))
            return super().write(batch)  # type: ignore[return-value]

    one = Connection("test", Slow(), None, clock)
    assert one.write(make_batch(1), merged=False) == []
    assert seen == [None, "write", "write"]
    assert one.stuck_in() is None
    assert caplog.text.count("write() has not returned") == 1
    assert one.write_seconds == STUCK_SECONDS + 1


def test_only_what_was_opened_by_url_is_connected_and_closed() -> None:
    store = FaultyAdaptor()
    own = Connection("test", store, None)
    assert not own.needs_connect
    own.close()
    by_url = Connection("test", store, "test://x")
    assert by_url.needs_connect
    by_url.close()
    assert store.closed == 0, "was never open"
    by_url.connect()
    by_url.close()
    assert (store.connected, store.closed) == (["test://x"], 1)


@pytest.mark.parametrize("patience", [2.0, 60.0, math.inf])
def test_a_store_that_takes_nothing_from_the_start_is_given_up_unless_we_wait(clock: Clock, patience: float) -> None:
    one = Health("test", connects=True, patience=patience, changed=threading.Condition(), clock=clock)
    one.failed("refused")
    clock.now += min(patience, 1e6) - 0.1
    assert not one.given_up()
    clock.now += 0.2
    assert one.given_up() is (patience < math.inf)
    assert one.phase == ("connecting" if patience == math.inf else "fatal")
    assert "refused" in str(one.error)


def test_a_server_that_is_not_ready_is_waited_for_longer_than_one_that_is_not_there(clock: Clock) -> None:
    answered = False
    one = Health(
        "test",
        connects=True,
        patience=5.0,
        later=200.0,
        changed=threading.Condition(),
        answered=lambda: answered,
        clock=clock,
    )
    one.failed("no answer yet")
    clock.now += 4.9
    assert not one.given_up()
    answered = True  # it loads its data
    clock.now += 195.0
    assert not one.given_up()
    clock.now += 0.1
    assert one.given_up()
    assert (one.phase, one.error) == ("closed", "given up after 200 s: no answer yet")


def test_a_store_that_took_something_is_not_given_up(clock: Clock) -> None:
    one = Health("test", connects=False, patience=5.0, changed=threading.Condition(), clock=clock)
    one.delivered()
    one.failed("away")
    assert one.phase == "retrying"
    clock.now += 500.0
    assert not one.given_up()
    assert one.failing_for == 500.0
    one.delivered()
    assert (one.phase, one.failing_for) == ("ok", 0.0)


def test_one_that_goes_away_later_is_given_up_later_and_the_wait_is_said_every_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    one = Health("test", connects=False, patience=5.0, later=200.0, changed=threading.Condition(), clock=clock)
    for _ in range(2):
        one.delivered()
        one.failed("No space left on device")
        caplog.clear()
        for _ in range(199):
            clock.now += 1.0
            assert not one.given_up()
        said = [text for text in caplog.messages if "has been waiting" in text]
        assert [re.sub("since [0-9: -]+ UTC", "since then", text) for text in said] == [
            f"test: has been waiting for the store for {waited} s, since then, for {200 - waited} s more:"
            " No space left on device"
            for waited in (60, 120, 180)
        ]
    clock.now += 1.0
    assert one.given_up()
    assert (one.phase, one.error) == ("closed", "given up after 200 s: No space left on device")
    assert caplog.messages[-1] == "test: given up after 200 s: No space left on device"


def test_a_live_store_is_waited_for_without_end_but_not_without_a_word(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    one = Health("test", connects=False, patience=math.inf, changed=threading.Condition(), clock=clock)
    one.failed("away")
    for _ in range(1000):
        clock.now += 100.0
        assert not one.given_up()
    assert sum("has been waiting for the store" in text for text in caplog.messages) == 1000
    one.delivered()
    for seconds in (10.0, 70.0, 80.0):
        one.hangs(seconds)
    assert re.fullmatch(
        "test: has been waiting for the store for 70 s, since [0-9]{4}-[0-9 :-]+ UTC: write[(][)] does not return",
        caplog.messages[-1],
    )
    assert one.phase == "ok"


@pytest.mark.parametrize("delivered", [True, False])
def test_a_store_that_was_away_in_a_live_run_has_a_last_chance_when_that_ends(clock: Clock, delivered: bool) -> None:
    one = Health("test", connects=False, patience=math.inf, changed=threading.Condition(), clock=clock)
    if delivered:
        one.delivered()
    one.failed("away")
    clock.now += 1000.0
    assert not one.given_up()
    one.ends(5.0, 300.0)
    clock.now += 4.9
    assert not one.given_up()
    clock.now += 0.1
    assert one.given_up()
    assert one.phase == ("closed" if delivered else "fatal")


# -- evidence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weak", "strikes"), [(False, STRIKES), (True, WEAK_STRIKES)])
def test_a_row_is_poison_only_by_what_others_show(weak: bool, strikes: int) -> None:
    one = Suspects()
    for _ in range(100):
        one.failed("bad", "no", remove=False, alone=True, weak=weak)
    assert not list(one.poison()), "alone it may be the store's fault"
    for number in range(strikes):
        assert not list(one.poison()), number
        one.failed("bad", "no", remove=False, alone=True, weak=weak)
        one.went_through({"good"}, whole={"good"}, wrote=True)
        one.went_through({"good"}, whole={"good"}, wrote=True)  # one failure, one strike
    assert list(one.poison()) == ["bad"]


def test_removes_say_nothing_about_writes() -> None:
    one = Suspects()
    for _ in range(100):
        one.failed("bad", "full", remove=False, alone=True)
        one.went_through({"good"}, whole={"good"}, wrote=False)
    assert not list(one.poison())


def test_the_store_is_to_blame_above_half() -> None:
    for bad, blamed in ((WINDOW_ROWS // 2, False), (WINDOW_ROWS // 2 + 1, True)):
        one = RefusedShare()
        for rows, refused in ((WINDOW_ROWS - 2, bad - 1), (1, 1), (1, 0)):
            one.next_group()
            one.note(rows, refused)
        assert (one.verdict() is not None) is blamed


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_deadline_only_comes_nearer(clock: Clock) -> None:
    one = Deadline(clock)
    assert not one.passed
    one.hurry(10)
    one.hurry(60)
    clock.now += 9.9
    assert not one.passed
    clock.now += 0.1
    assert one.passed


def test_pauses_grow_to_their_bound() -> None:
    one = Backoff(0.1, 30.0)
    for failures, most in ((1, 0.1), (2, 0.2), (9, 25.6), (10, 30.0), (10_000, 30.0)):
        found = [one.seconds(failures) for _ in range(200)]
        assert 0 <= min(found) < 0.2 * most
        assert 0.8 * most < max(found) <= most


def test_a_topic_speaks_every_ten_seconds(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    one = RareLog("test", clock)
    for _ in range(5):
        one.say("a", "first %d", 1)
        one.say("b", "second")
    clock.now += 10
    one.say("a", "first %d", 2)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["test: first 1", "test: second", "test: first 2 (4 such lines left out)"]
