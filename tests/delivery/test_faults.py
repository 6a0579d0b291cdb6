# SPDX-License-Identifier: Apache-2.0
"""Faults as they happen to real processes and disks: SIGKILL, SIGTERM, no space, plugins that misbehave.

The figures of each are N of N; the long forms run under the marker `fault`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commandline
import pytest
from full_disk import mounted, packets

from aicore.delivery import Delivery, Spool, balance, spool_check, spool_list
from aicore.delivery.payload import decode, encode
from aicore.record.batch import FlowBatch
from aicore.testing import FaultyAdaptor, event, flow_id, lives, make_batch

pytestmark = pytest.mark.timing

HERE = Path(__file__).resolve().parent


def until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# -- SIGKILL -------------------------------------------------------------------------------------------------------


def kill_and_restart(directory: Path, times: int, seed: int) -> None:
    """Kills a spooling process at random moments; nothing that it had taken over may be missing at the end."""
    rng = random.Random(seed)
    acks = directory / "acks"
    command = [sys.executable, str(HERE / "spooling.py"), str(directory)]
    for number in range(times):
        before = acks.stat().st_size if acks.exists() else 0
        process = subprocess.Popen([*command, str(rng.random())[2:]])
        try:
            until(lambda before=before: acks.exists() and acks.stat().st_size > before)
            time.sleep(rng.uniform(0, 0.2))
            assert process.poll() is None, f"kill {number}: it had ended by itself"
        finally:
            process.kill()
            process.wait()
    subprocess.run([*command, "0", "drain"], check=True, timeout=30 + 3 * times)

    taken = {line for line in acks.read_text().splitlines() if line.count(" ") == 1}
    delivered: set[str] = set()
    session: dict[str, int] = {}
    last: dict[str, int] = {}
    for line in (directory / "store").read_text().splitlines():
        flow, version = line.split()
        if flow == "start":
            session = {}
            continue
        assert session.get(flow, 0) <= int(version), "a flow's rows came out of order"
        session[flow] = last[flow] = int(version)
        delivered.add(line)
    assert len(taken) > 20 * times
    assert taken <= delivered, f"{len(taken - delivered)} rows that were taken over are missing"
    newest: dict[str, int] = {}
    for line in delivered:
        flow, version = line.split()
        newest[flow] = max(newest.get(flow, 0), int(version))
    assert not (directory / "spool" / "deadletter").exists()
    assert last == newest, "the last row of a flow is not its newest"
    assert spool_list(directory / "spool")[0]["rows"] == 0


def test_10_times_killed_and_nothing_missing(tmp_path: Path) -> None:
    kill_and_restart(tmp_path, 10, seed=1)


@pytest.mark.fault
def test_200_times_killed_and_nothing_missing(tmp_path: Path) -> None:
    kill_and_restart(tmp_path, 200, seed=2)


# -- no space ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 4) as path:
        yield path


def fill_and_drain(directory: Path) -> dict[str, int]:
    """Fills the spool to the last byte while the store is away, then lets it drain. Returns the counters."""
    store = FaultyAdaptor("all")
    store.down = ConnectionError("away")
    one = Delivery(
        "x",
        store,
        live=True,
        events="all",
        transports={6},
        queue_bytes=100_000,
        spool=Spool(directory / "x", min_free=0.0),
        backoff=(0.001, 0.05),
    )
    one.start()
    flows = 0
    while one.counters()["shed"] < 2_000:
        one.put(make_batch(50, first=flows, version=flows + 1))
        flows += 50
        assert flows < 100_000, "it never filled up"
    before = one.counters()
    one.put(make_batch(50, first=flows, version=flows + 1))
    after = one.counters()
    assert (
        after["shed"] + after["spooled"] + after["queued"] - (before["shed"] + before["spooled"] + before["queued"])
        == 50
    )
    assert spool_check(directory) == [], "a torn or damaged frame"
    store.down = None
    until(lambda: one.counters()["spooled"] == 0)
    one.put(lives(range(200_000, 200_010), version=1_000_000))
    one.finish(30)
    counters = one.counters()
    assert balance(counters) == 0, counters
    assert counters["lost"] == counters["dead_lettered"] == counters["queued"] == 0
    assert {store.rows[flow_id(n)]["event"] for n in range(200_000, 200_010)} == {"remove"}
    assert len(store.rows) == counters["delivered"] - 20
    assert not list((directory / "x").glob("*.seg"))
    return counters


def test_a_full_disk_sheds_exactly_what_it_counts_and_drains(small_disk: Path) -> None:
    counters = fill_and_drain(small_disk)
    assert counters["spool_written"] > 3_000


def test_a_limit_on_file_size_is_a_full_spool(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
            fill_and_drain(tmp_path)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def damage_and_deliver(directory: Path, seed: int) -> None:
    """Harms one byte or block of a spool with rows; what the store gets and what is told as damage are all of them."""
    rng = random.Random(seed)
    spool = Spool(directory / "x", min_free=0.0, segment_bytes=20_000)
    for start in range(0, 400, 10):
        batch = make_batch(10, first=start, version=start + 1)
        assert spool.append(encode(batch), 10)
    spool.close()
    victim = rng.choice(sorted((directory / "x").glob("*.seg")))
    data = bytearray(victim.read_bytes())
    begin = rng.randrange(len(data))
    length = rng.choice([1, 50, 5_000, len(data)])
    how = rng.choice(["flip", "zero", "cut", "unlink"])
    if how == "unlink":
        victim.unlink()
    elif how == "flip":
        data[begin] ^= 1 << rng.randrange(8)
    elif how == "zero":
        data[begin : begin + length] = bytes(len(data[begin : begin + length]))
    else:
        del data[begin : begin + length]
    if how != "unlink":
        victim.write_bytes(data)
    store = FaultyAdaptor("all")
    spool = Spool(directory / "x", min_free=0.0)
    one = Delivery("x", store, live=False, events="all", transports={6}, spool=spool)
    one.start()
    one.finish(10)
    counters = one.counters()
    where = f"seed {seed}: {how}, {length} bytes at {begin} of {victim.name}"
    assert balance(counters) == 0, where
    assert len(store.rows) == counters["delivered"], where
    assert counters["delivered"] + counters["spool_damaged_rows"] == 400, where
    assert counters["lost"] == counters["spooled"] == counters["spool_set_aside"] == 0, where
    shutil.rmtree(directory / "x")


def test_what_damage_has_cost_at_20_random_places_is_told(tmp_path: Path) -> None:
    for seed in range(20):
        damage_and_deliver(tmp_path, seed)


@pytest.mark.fault
def test_what_damage_has_cost_at_1000_random_places_is_told(tmp_path: Path) -> None:
    for seed in range(1_000):
        damage_and_deliver(tmp_path, seed)


# -- SIGTERM -------------------------------------------------------------------------------------------------------

STORE = """
import json, os, sys, time
mode, log = sys.argv[1], open(sys.argv[2], "a")
parent = os.getppid()
if mode == "down":
    sys.exit(1)
for line in sys.stdin:
    if line != "\\n":
        log.write(line)
        continue
    while mode == "paused" and os.path.getsize(sys.argv[2]) > 0 and os.getppid() == parent:
        time.sleep(0.1)
    log.flush()
    print("{}", flush=True)
"""


def terminate(directory: Path, mode: str, rng: random.Random) -> None:
    """SIGTERM in the middle of a run: rows delivered and rows spooled are all rows, and it ends in time."""
    directory.mkdir()
    (directory / "store.py").write_text(STORE)
    log = directory / "log"
    log.touch()
    state = directory / "state"
    process = commandline.start(
        directory,
        *("run", "-", "--udp", "--every", "1", "--json", "--wait", "forever", "--spool", state),
        *("--to", f"exec:{sys.executable} store.py {mode} log"),
        stdin=subprocess.PIPE,
    )
    stop = threading.Event()

    def feed() -> None:
        assert process.stdin is not None
        pipe = process.stdin.buffer
        try:
            pipe.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
            for start in range(0, 1_000_000, 100):
                if stop.wait(0.002):
                    return
                pipe.write(packets(100, start))
                pipe.flush()
        except OSError:
            pass

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        if mode == "up":
            until(lambda: log.stat().st_size > 100_000)
        else:
            until(lambda: any(state.glob("*/*")))
            time.sleep(1)
        time.sleep(rng.uniform(0, 0.5))
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
        took = time.monotonic() - begin
    finally:
        stop.set()
        process.kill()
        feeding.join()
    out, err = process.stdout.read(), process.stderr.read()  # type: ignore[union-attr]
    with contextlib.suppress(OSError), process:
        pass  # closes the pipes, one of which may have lost its reader
    summary = json.loads(out)
    counters = summary["adaptors"][0]["counters"]
    assert took < 12, (took, err)
    assert balance(counters) == 0, counters
    assert counters["lost"] == counters["dead_lettered"] == 0, (counters, err)
    assert code == (130 if counters["spooled"] == 0 else 3), (code, err)  # the input was not read to its end
    assert mode == "up" or counters["spooled"] > 0
    waiting = sum(one["rows"] for one in spool_list(state))
    assert waiting == counters["spooled"]
    ended = {row["flow_id"] for row in map(json.loads, log.read_text().splitlines()) if row["event"] == "remove"}
    spooled = {
        row["flow_id"]
        for path in state.iterdir()
        if path.name != "deadletter"
        for row in read_all(path)
        if row["event"] == "remove"
    }
    assert len(ended | spooled) == summary["counters"]["flows_udp"] > 0


def read_all(path: Path) -> Iterator[dict[str, Any]]:
    spool = Spool(path, min_free=0.0)
    while frame := spool.read():
        yield from map(json.loads, decode(frame.payload).json(True))
    spool.close()


@pytest.mark.parametrize("mode", ["up", "paused"])
def test_sigterm_leaves_nothing_behind(tmp_path: Path, mode: str) -> None:
    terminate(tmp_path / mode, mode, random.Random(1))


@pytest.mark.fault
def test_sigterm_50_times(tmp_path: Path) -> None:
    rng = random.Random(3)
    for number in range(50):
        terminate(tmp_path / str(number), ("up", "down", "paused")[number % 3], rng)


# -- plugins that misbehave -------------------------------------------------------------------------------------------


class Bad(FaultyAdaptor):
    """Does one bad thing in one place."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__("all")
        self.where, self.what = where, what
        self.forever = threading.Event()
        self.hoard: list[bytearray] = []

    def misbehave(self, where: str) -> Any:
        if where != self.where:
            return None
        if self.what == "hang":
            self.forever.wait()
        elif self.what == "exit":
            sys.exit("goodbye")
        elif self.what == "junk":
            return object()
        elif self.what == "slow":
            time.sleep(0.3)
        elif self.what == "leak":
            self.hoard.append(bytearray(20 << 20))
        else:
            raise RuntimeError("on purpose")
        return None

    def connect(self, connection_str: str) -> None:  # noqa: ARG002
        self.misbehave("connect")

    def write(self, batch: FlowBatch) -> Any:
        return self.misbehave("write") or super().write(batch)

    def close(self) -> None:
        self.misbehave("close")


BAD = [
    ("connect", "raise"),
    ("connect", "hang"),
    ("connect", "exit"),
    ("write", "raise"),
    ("write", "hang"),
    ("write", "exit"),
    ("write", "junk"),
    ("write", "slow"),
    ("write", "leak"),
    ("close", "hang"),
]


@pytest.mark.parametrize(("where", "what"), BAD, ids=[f"{where}-{what}" for where, what in BAD])
def test_a_bad_plugin_harms_no_other(
    tmp_path: Path, where: str, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aicore.delivery.connection.STUCK_SECONDS", 0.2)
    bad, good = Bad(where, what), FaultyAdaptor("all")
    common: dict[str, Any] = {"live": True, "events": "all", "transports": {6}, "backoff": (0.001, 0.1)}
    spool = Spool(tmp_path / "bad", min_free=0.0)
    one = Delivery("bad", bad, url="bad://x", spool=spool, queue_bytes=20_000, **common)
    other = Delivery("good", good, **common)
    one.start()
    other.start()
    for start in range(0, 1000, 50):
        batch = FlowBatch.from_rows(event("insert", start + n, start + n + 1) for n in range(50))
        one.put(batch)
        other.put(batch)
        time.sleep(0.02)
        assert other.lag_seconds < 2
    other.finish(10)
    assert other.counters()["delivered"] == 1000
    begin = time.monotonic()
    one.finish(0.5)
    assert time.monotonic() - begin < 1.5
    counters = one.counters()
    assert balance(counters) == 0
    assert counters["delivered"] + counters["spooled"] == 1000
    assert counters["lost"] == counters["dead_lettered"] == 0
    if what not in ("slow", "leak") and where != "close":
        assert counters["spooled"] == 1000
        assert "bad: " in caplog.text
    bad.forever.set()
