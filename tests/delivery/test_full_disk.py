# SPDX-License-Identifier: Apache-2.0
"""A store without room is away, as one that does not answer is: it costs no row, whatever the adaptor."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import commandline
import pytest
from full_disk import capture, fill_and_complete, mounted

from aicore.delivery import Delivery, Spool, balance, spool_check
from aicore.delivery.suspects import WEAK_STRIKES
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.record.batch import FlowBatch
from aicore.testing import FaultyAdaptor, flow_id, make_batch

LARGE = flow_id(0)


class LittleRoom(FaultyAdaptor):
    """A disk with room for small rows, and for none of the flow `LARGE`."""

    def __init__(self, number: int) -> None:
        super().__init__("all")
        self.number = number
        self.full = True
        self.tried = 0

    def write(self, batch: FlowBatch) -> Any:
        if self.full and LARGE in batch.column("flow_id"):
            self.tried += 1
            raise OSError(self.number, os.strerror(self.number))
        return super().write(batch)


class LittleRoomRowByRow(DatabaseAdaptor):
    """The same by insert, update and remove."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.full = True
        self.tried = 0
        self.keys: list[str] = []
        self.large = make_batch(1).keys()[0]

    def connect(self, connection_str: str) -> None: ...

    def insert(self, key: str) -> None: ...

    def update(self, key: str, data: str) -> None:  # noqa: ARG002
        if self.full and key == self.large:
            self.tried += 1
            raise OSError(self.number, os.strerror(self.number))
        self.keys.append(key)

    def remove(self, key: str) -> None: ...

    def close(self) -> None: ...

    @property
    def rows(self) -> set[str]:
        return set(self.keys)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        threading.Event().wait(0.002)


@pytest.mark.parametrize("kind", [LittleRoom, LittleRoomRowByRow])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE])
def test_no_row_is_refused_for_the_want_of_room(tmp_path: Path, number: int, kind: Any) -> None:
    """Others go through in between: any other error would be held against the row."""
    store = kind(number)
    one = Delivery(
        "x",
        store,
        live=True,
        events="all",
        transports={6},
        spool=Spool(tmp_path / "x", min_free=0.0),
        backoff=(0.0005, 0.0005),
    )
    one.start()
    one.put(make_batch(1))
    flows = 1
    while store.tried < 3 * WEAK_STRIKES:
        one.put(make_batch(1, first=flows, version=2 * flows))
        flows += 1
        threading.Event().wait(0.001)
    counters = one.counters()
    assert counters["dead_lettered"] == 0
    assert counters["queued"] > 0, "it waits for room, and so does what comes behind it"
    store.full = False
    one.finish(20)
    counters = one.counters()
    assert (balance(counters), counters["lost"], counters["dead_lettered"], counters["spooled"]) == (0, 0, 0, 0)
    assert len(store.rows) == flows


def test_an_error_of_the_row_is_one_in_spite_of_it(tmp_path: Path) -> None:
    """Errors that are about what is written keep their way to the dead letters."""
    store = LittleRoom(errno.EINVAL)
    one = Delivery(
        "x", store, live=True, events="all", transports={6}, spool=Spool(tmp_path / "x"), backoff=(0.0005, 0.0005)
    )
    one.start()
    first = 1
    one.put(make_batch(1))
    while one.counters()["dead_lettered"] == 0:
        one.put(make_batch(1, first=first, version=2 * first))
        first += 1
        assert first < 20_000
        until(lambda first=first: len(store.rows) == first - 1)  # type: ignore[misc]
    one.finish(20)
    assert one.counters()["dead_lettered"] == 1


def test_it_is_waited_for_as_long_as_wait_says_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aicore.delivery.health._SAY_SECONDS", 0.1)
    store = LittleRoom(errno.ENOSPC)
    spool = Spool(tmp_path / "x", min_free=0.0)
    one = Delivery("x", store, live=False, events="all", transports={6}, spool=spool, wait=0.5, backoff=(0.001, 0.02))
    one.start()
    one.put(make_batch(1, first=1))
    until(lambda: len(store.rows) == 1)
    one.put(make_batch(1, version=10))
    one.finish(20)
    assert one.state == "closed"
    assert str(one.error).startswith("given up after ")
    assert "No space left on device" in str(one.error)
    assert "has been waiting for the store for" in caplog.text
    counters = one.counters()
    assert (counters["delivered"], counters["spooled"], counters["dead_lettered"]) == (1, 1, 0)


@pytest.mark.parametrize("scheme", ["jsonl", "file"])
def test_a_device_that_is_always_full(tmp_path: Path, scheme: str) -> None:
    capture(tmp_path / "few.pcap", 300)
    run = ("run", "few.pcap", "--batch-rows", 16, "--json", "--to", f"{scheme}:/dev/full?wait=1")
    code, out, err = commandline.call(tmp_path, *run)
    counters = json.loads(out)["adaptors"][0]["counters"]
    assert code == 1, err
    assert "has taken nothing for 1 s since the start: OSError: [Errno 28] No space left on device" in err
    assert (counters["delivered"], counters["dead_lettered"], counters["lost"]) == (0, 0, 0)
    assert counters["spooled"] == counters["accepted"] - counters["merged"] > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 4) as path:
        yield path


def records_in(path: Path, scheme: str) -> int:
    """Every line of it is whole."""
    if scheme == "sqlite":
        with contextlib.closing(sqlite3.connect(path)) as store:
            return int(store.execute("SELECT count(*) FROM flows").fetchone()[0])
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    if scheme == "file":
        assert all(line.startswith("Remove:[") and line.endswith("]") for line in lines)
    return len({line if scheme == "file" else json.loads(line)["flow_id"] for line in lines})


@pytest.mark.timing
@pytest.mark.parametrize("scheme", ["sqlite", "jsonl", "file"])
def test_a_store_on_a_full_disk_is_given_up_and_completed_by_the_next_run(
    tmp_path: Path, small_disk: Path, scheme: str
) -> None:
    if scheme == "file":  # its lines are short
        (small_disk / "ballast").write_bytes(bytes(3_600_000))
    fill_and_complete(tmp_path, small_disk, f"{scheme}:disk/flows", lambda: records_in(small_disk / "flows", scheme))


def test_a_spool_on_the_full_disk_too_is_a_loss_that_is_counted(tmp_path: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes((4 << 20) - (256 << 10)))  # what is left has room for a part of it
    flows = 20_000
    capture(tmp_path / "many.pcap", flows)
    run = ("--batch-rows", 256, "--json", "--spool", small_disk / "state", "--to", "jsonl:disk/flows?wait=2")
    code, out, err = commandline.call(tmp_path, "run", "many.pcap", *run)
    counters = json.loads(out)["adaptors"][0]["counters"]
    assert code == 4, err
    assert counters["delivered"] + counters["spooled"] + counters["lost"] == flows
    assert counters["lost"] > 0
    assert re.search(r"events are lost: the spool has no room \((No space left|less than 5%)", err)
    assert spool_check(small_disk / "state") == []


def test_everything_through_a_spool_on_a_full_disk_goes_through_memory(tmp_path: Path, small_disk: Path) -> None:
    capture(tmp_path / "many.pcap", 5_000)
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb") as ballast:
        while True:
            ballast.write(bytes(4096))
    run = ("--spool-always", "--json", "--spool", small_disk / "state", "--to", "jsonl:flows")
    code, out, err = commandline.call(tmp_path, "run", "many.pcap", *run)
    assert (code, json.loads(out)["adaptors"][0]["counters"]["delivered"]) == (0, 5_000), err
