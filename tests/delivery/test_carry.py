# SPDX-License-Identifier: Apache-2.0
"""Rows that a store refuses for long: what is delivered around them leaves the spool, and they stay in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aicore.delivery import Delivery, Spool, balance, spool_check, spool_list
from aicore.delivery import spool as spool_module
from aicore.delivery.cursor import read_cursor
from aicore.delivery.segment import HEADER_BYTES
from aicore.testing import FaultyAdaptor, flow_id, make_batch

SEGMENT = 200


def open_spool(path: Path) -> Spool:
    return Spool(path, min_free=0.0, segment_bytes=SEGMENT)


def payload(number: int) -> bytes:
    return b"%d:%s\n" % (number, b"x" * 60)


def read(spool: Spool, count: int = 1000) -> list[int]:
    numbers: list[int] = []
    while len(numbers) < count and (frame := spool.read()):
        numbers.append(int(frame.payload.split(b":")[0]))
    return numbers


def filled(path: Path, frames: int = 12, *, taken: int = 10) -> Spool:
    """With frames of one row, of which so many were read."""
    spool = open_spool(path)
    for number in range(frames):
        assert spool.append(payload(number), 1)
    assert read(spool, taken) == list(range(taken))
    return spool


def carry(spool: Spool, *numbers: int) -> bool:
    return spool.carry([(payload(number), 1) for number in numbers])


def test_what_is_carried_comes_first_at_the_next_start(tmp_path: Path) -> None:
    spool = filled(tmp_path / "s")
    used = spool.used_bytes
    assert carry(spool, 3, 7)
    assert spool.rows == 4
    assert spool.used_bytes < used / 2
    assert read(spool) == [10, 11], "reading goes on where it was"
    spool.append(payload(12), 1)
    spool.close()
    assert spool_list(tmp_path)[0]["rows"] == 5
    assert spool_check(tmp_path) == []
    spool = open_spool(tmp_path / "s")
    assert (spool.rows, spool.lost_rows, spool.damaged_bytes) == (5, 0, 0)
    assert read(spool) == [3, 7, 10, 11, 12]
    spool.ack()
    spool.close()
    assert not list(tmp_path.glob("s/*.seg"))


def test_a_later_copy_replaces_the_earlier_one(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    assert carry(spool, 3, 7)
    assert not carry(spool, 3), "nothing was read since: there is nothing to free"
    assert read(spool) == [10, 11]
    assert carry(spool, 7, 11)
    assert len(list(tmp_path.glob("carry-*.seg"))) == 1
    spool.append(payload(12), 1)
    spool.append(payload(13), 1)
    spool.close()
    spool = open_spool(tmp_path)
    assert read(spool, 2) == [7, 11]
    assert not carry(spool, 7), "a copy has no cursor: it is freed as a whole"
    spool.ack()
    assert read(spool) == [12, 13]
    assert not carry(spool, 12, 13), "nor is there where nothing was delivered"
    assert carry(spool, 12)
    spool.close()
    spool = open_spool(tmp_path)
    assert read(spool) == [12]
    spool.ack()
    assert (spool.rows, spool.lost_rows) == (0, 0)


def test_it_comes_behind_what_was_in_memory_at_the_end(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    carry(spool, 3)
    assert spool.prepend([(payload(99), 1)]) == 1
    spool.close()
    assert read(open_spool(tmp_path)) == [99, 3, 10, 11]


def test_the_age_of_what_waits_is_kept(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    for segment in spool._segments:
        segment.created = time.time() - 1000
    carry(spool, 3)
    assert spool.age > 999
    spool.close()
    spool = open_spool(tmp_path)
    assert spool.age > 999
    assert read(spool) == [3, 10, 11]
    spool.ack()
    assert spool.age == 0


def in_child(do: Callable[[], None]) -> int:
    """Runs it in a process of its own; its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_killed_at_every_call_of_the_system_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The process ends before the first call of the operating system, before the second, and so on to the last."""
    calls = ("open", "writev", "write", "fsync", "fdatasync", "utime", "close", "replace", "unlink", "ftruncate")
    results = []
    for last in range(100):
        path = tmp_path / str(last)

        def killed(path: Path = path, last: int = last) -> None:
            spool = filled(path)
            count = 0

            def counted(real: Any) -> Any:
                def call(*arguments: Any, **options: Any) -> Any:
                    nonlocal count
                    if count == last:
                        os._exit(9)
                    count += 1
                    return real(*arguments, **options)

                return call

            for name in calls:
                setattr(os, name, counted(getattr(os, name)))
            os._exit(0 if carry(spool, 3, 7) else 2)

        code = in_child(killed)
        assert code in (0, 9)
        spool = open_spool(path)
        found = read(spool)
        assert (spool.rows, spool.lost_rows, spool.damaged_bytes) == (len(found), 0, 0), last
        results.append(found)
        spool.ack()
        spool.close()
        assert not list(path.glob("*.seg")), last
        if code == 0:
            break
    before, after = list(range(12)), [3, 7, 10, 11]
    committed = results.index(after)
    assert committed >= 8, "open, write, sync of the copy, its directory and the cursor come before"
    assert results == [before] * committed + [after] * (len(results) - committed)


@pytest.mark.parametrize("name", ["write", "fsync", "write_cursor"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    spool = filled(tmp_path)
    owner = {"write_cursor": spool_module, "write": spool_module.spoolfiles, "fsync": os}[name]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, full)
        assert not carry(spool, 3)
    assert spool.error == "No space left on device"
    assert spool.rows == 12
    assert read(spool) == [10, 11]
    assert carry(spool, 3, 11), "and the next time it goes"
    spool.close()
    assert read(open_spool(tmp_path)) == [3, 11]


def damage(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        at = HEADER_BYTES + 3 if how == "first" else len(data) - 3
        data[at] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize(("how", "left", "lost"), [("gone", [], 2), ("first", [7], 1), ("last", [3], 1)])
def test_what_damage_to_a_copy_has_cost_is_told(tmp_path: Path, how: str, left: list[int], lost: int) -> None:
    spool = filled(tmp_path)
    carry(spool, 3, 7)
    spool.close()
    (copy,) = tmp_path.glob("carry-*.seg")
    damage(copy, how)
    spool = open_spool(tmp_path)
    assert spool.lost_rows == lost
    spool.told()
    assert read(spool) == [*left, 10, 11]
    spool.close()
    assert open_spool(tmp_path).lost_rows == 0, "told once"


@pytest.mark.parametrize("how", ["first", "gone"])
def test_without_a_cursor_it_waits_all_the_same(tmp_path: Path, how: str) -> None:
    spool = filled(tmp_path)
    carry(spool, 3, 7)
    spool.close()
    assert read_cursor(tmp_path).carried
    if how == "gone":
        (tmp_path / "cursor").unlink()
    else:
        (tmp_path / "cursor").write_bytes(b"damaged")
    for _ in range(2):  # the first one writes a cursor
        spool = open_spool(tmp_path)
        assert (read(spool)[:2], spool.lost_rows) == ([3, 7], 0)
        spool.close()


class Refusing(FaultyAdaptor):
    """Refuses the rows of one flow for now."""

    def __init__(self) -> None:
        super().__init__("all")
        self.fate = lambda row: "retry" if row["flow_id"] == flow_id(0) else "ok"


def delivery(store: FaultyAdaptor, spool: Spool, earlier: Sequence[Spool] = (), *, pause: float = 0.01) -> Delivery:
    return Delivery(
        "x",
        store,
        live=True,
        events="all",
        transports={6},
        spool=spool,
        earlier=earlier,
        spool_always=True,
        backoff=(pause, pause),
    )


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def test_a_row_that_is_refused_for_long_does_not_fill_the_spool(tmp_path: Path) -> None:
    store = Refusing()
    with_one = tmp_path / "x.2"
    spool = Spool(with_one, min_free=0.0)
    one = delivery(store, spool)
    store.down = ConnectionError("away")
    one.start()
    one.put(make_batch(10))
    one.abort()
    earlier = Spool(with_one, min_free=0.0)
    assert earlier.rows == 10

    store.down = None
    spool = Spool(tmp_path / "x", min_free=0.0, segment_bytes=50_000)
    one = delivery(store, spool, (earlier,), pause=10)  # 20 refusals would make it a dead letter
    one.start()
    most = flows = 0
    for first in range(10, 5_010, 50):
        one.put(make_batch(50, first=first, version=first + 1))
        flows += 50
        until(lambda flows=flows: len(store.rows) == flows + 9)  # type: ignore[misc]
        most = max(most, spool.used_bytes)
    total = one.counters()["spool_written"]
    assert total == 5_000
    assert earlier.rows == 0, "its row is in the run's own now"
    until(lambda: spool.used_bytes < 200_000)
    assert most < 400_000, "one segment, a copy and what was about to be written; without the copy 2 MB"
    assert one.counters()["spooled"] == 1
    one.finish(0.2)
    counters = one.counters()
    assert (balance(counters), counters["lost"], counters["spooled"]) == (0, 0, 1)
    assert [one["rows"] for one in spool_list(tmp_path)] == [1, 0], "what was delivered is not delivered again"

    store.fate = lambda _: "ok"
    spool = Spool(tmp_path / "x", min_free=0.0)
    assert (spool.rows, spool.lost_rows) == (1, 0)
    one = delivery(store, spool)
    one.start()
    one.finish(20)
    assert flow_id(0) in store.rows
    assert one.counters()["spooled"] == 0
    shutil.rmtree(tmp_path / "x")
