# SPDX-License-Identifier: Apache-2.0
"""The versions of runs: a later run wins, whatever the clock does."""

from __future__ import annotations

import itertools
import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from captures.build import http
from captures.files import Capture, talks
from commandline import invoke

import aicore
from aicore import StackLan
from aicore.delivery import DeadLetters
from aicore.run import versions as module
from aicore.run.state import state_folder
from aicore.run.versions import BLOCK, FIRST, Versions
from aicore.testing import make_batch

DAY = 86_400_000_000
NOW = 1_800_000_000_000_000


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def set_clock(monkeypatch: pytest.MonkeyPatch, days: float = 0) -> None:
    monkeypatch.setattr(module, "_now", lambda: NOW + round(days * DAY))


def taken(count: int = 0) -> int:
    """The start of a run with so many events."""
    versions = Versions()
    versions.reach(versions.start + count)
    versions.close(versions.start + count)
    return versions.start


@pytest.mark.parametrize("given", ["", "state", "./state", "~/state"])
def test_the_state_folder_does_not_depend_on_where_one_is(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", given)
    assert state_folder() == tmp_path / ".local" / "state" / "aicore"
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert state_folder() == Path("/elsewhere/aicore")


def test_a_run_begins_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch)
    assert taken() == NOW
    set_clock(monkeypatch, 1)
    assert taken() == NOW + DAY


def test_a_clock_that_went_back_is_said_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_clock(monkeypatch, 2)
    first = taken(10)
    assert not caplog.records
    set_clock(monkeypatch)
    assert taken() == first + 11
    assert [record.message for record in caplog.records] == [
        "the clock is 2 days behind that of an earlier run; versions go on from there, so that this run's records"
        " replace the earlier ones"
    ]
    set_clock(monkeypatch, 3)
    assert taken() == NOW + 3 * DAY


@pytest.mark.parametrize("events", [0, 1, FIRST - 1, FIRST, FIRST + BLOCK, 3 * BLOCK + 7])
def test_a_run_begins_behind_all_that_earlier_ones_may_have_used(monkeypatch: pytest.MonkeyPatch, events: int) -> None:
    set_clock(monkeypatch)
    killed = Versions()
    killed.reach(killed.start + events)
    assert killed.start + events < Versions().start <= killed.start + events + 2 * BLOCK


def test_what_was_not_used_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand short runs in a moment do not run away from the clock."""
    set_clock(monkeypatch)
    assert [taken(9) for _ in range(5)] == [NOW + 10 * n for n in range(5)]


def test_what_is_given_back_is_not_what_another_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch)
    first, second = Versions(), Versions()
    first.close(first.start + 5)
    assert Versions().start >= second.start + FIRST


def test_runs_at_one_time_have_versions_of_their_own() -> None:
    program = "from aicore.run.versions import Versions\nfor _ in range(20):\n    print(Versions().start)"
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=50)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    starts = sorted(int(line) for output in outputs for line in output.splitlines())
    assert len(starts) == 80
    assert all(after - before >= FIRST for before, after in itertools.pairwise(starts))


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 17, b"17", b"-5\n", b"1e9\n", b"\xff\n", b"9" * 18 + b"\n", b"9" * 5000 + b"\n"]
)
def test_a_damaged_state_is_said_once_and_mended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    set_clock(monkeypatch)
    taken()
    Path("state/aicore/clock").write_bytes(content)
    assert taken() == NOW
    (record,) = caplog.records
    assert record.message.startswith(f"{Path.cwd()}/state/aicore/clock is damaged")
    assert taken() == NOW + 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("clock", "ahead", "kept"), [(0, 19.9, True), (0, 20.1, False), (-NOW / DAY, 50, True)])
def test_what_is_decades_ahead_is_damage_unless_the_clock_is_older_than_aicore(
    monkeypatch: pytest.MonkeyPatch, clock: float, ahead: float, kept: bool
) -> None:
    """A board without a battery begins in 1970."""
    stored = NOW + round((clock + ahead * 365) * DAY)
    set_clock(monkeypatch, clock)
    taken()
    Path("state/aicore/clock").write_text(f"{stored}\n")
    assert taken() == (stored if kept else NOW + round(clock * DAY))


def test_a_folder_that_cannot_be_used_leaves_the_clock(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_clock(monkeypatch)
    Path("state").write_text("a file")
    assert taken(BLOCK + 1) == NOW
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "Not a directory" in record.message or "File exists" in record.message
    assert "records of later runs will not replace earlier ones" in record.message


@pytest.mark.parametrize("name", ["clock", "clock.lock"])
def test_pipes_and_folders_hold_nothing_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    set_clock(monkeypatch)
    taken()
    path = Path("state/aicore") / name
    path.unlink()
    path.mkdir()
    assert taken() == NOW
    assert len(caplog.records) == 1
    path.rmdir()
    os.mkfifo(path)
    begun = time.monotonic()
    taken()
    assert time.monotonic() - begun < 5


def test_a_full_disk_amid_a_run_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    set_clock(monkeypatch)
    versions = Versions()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "replace_small", full)
    for n in range(3):
        versions.reach(versions.start + (n + 2) * BLOCK)
    versions.close(versions.start + 5 * BLOCK)
    assert len(caplog.records) == 1


def test_a_lock_that_is_never_given_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    set_clock(monkeypatch)
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    taken(10)
    with open("state/aicore/clock.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert taken() == NOW
    assert taken() == NOW + 11


def halves() -> None:
    whole = talks(*(http(10000 + n) for n in range(4)))
    whole.write("whole.pcap")
    Capture(frames=whole.frames[: len(whole.frames) // 2 - 1]).write("half.pcap")  # within a flow


def stored() -> list[int]:
    store = sqlite3.connect("flows.db")
    rows = [packets for (packets,) in store.execute("SELECT packets FROM flows ORDER BY key")]
    store.close()
    return rows


@pytest.mark.parametrize("spools", [("--spool", "a"), ("--no-spool",)])
def test_the_whole_replaces_the_half_that_was_read_with_the_clock_ahead(
    monkeypatch: pytest.MonkeyPatch, spools: tuple[str, ...]
) -> None:
    halves()
    set_clock(monkeypatch, 2)
    assert invoke("run", "half.pcap", "--to", "sqlite:flows.db").exit_code == 0
    half = stored()
    set_clock(monkeypatch)
    result = invoke("run", "whole.pcap", "--to", "sqlite:flows.db", *spools)
    assert (result.exit_code, "the clock is 2 days behind" in result.stderr) == (0, True)
    assert invoke("run", "whole.pcap", "--to", "sqlite:whole.db").exit_code == 0
    os.replace("flows.db", "found.db")
    os.replace("whole.db", "flows.db")
    whole = stored()
    os.replace("found.db", "flows.db")
    assert stored() == whole != half


def test_so_it_is_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    halves()
    for days, path in ((2, "half.pcap"), (0, "whole.pcap")):
        set_clock(monkeypatch, days)
        stack = StackLan()
        stack.set_tcp_database_adaptor("sqlite:flows.db")
        with aicore.PacketDispatcher(path) as dispatcher:
            dispatcher.stack = stack
            dispatcher.run()
    with_the_clock_ahead = stored()
    os.unlink("flows.db")
    invoke("run", "whole.pcap", "--to", "sqlite:flows.db")
    assert with_the_clock_ahead == stored()


def test_a_run_keeps_its_versions_below_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    halves()
    set_clock(monkeypatch)
    assert invoke("run", "whole.pcap", "--to", "jsonl:lines?events=all").exit_code == 0
    used = [json.loads(line)["version"] for line in Path("lines").read_text().splitlines()]
    assert NOW <= min(used) <= max(used) < Versions().start < max(used) + 10


def test_a_forced_replay_wins_with_a_clock_that_went_back(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, 2)
    ahead = taken(10)
    DeadLetters("letters", "x").write((line, "r", 1) for line in make_batch(3, kind="remove", version=ahead).json(True))
    (path,) = Path("letters").glob("x-*.jsonl")
    assert invoke("deadletter", "replay", path, "sqlite:flows.db").exit_code == 0
    set_clock(monkeypatch)
    assert invoke("deadletter", "replay", path, "sqlite:flows.db", "--force").exit_code == 0
    store = sqlite3.connect("flows.db")
    versions = [version for (version,) in store.execute("SELECT version FROM flows ORDER BY version")]
    store.close()
    assert min(versions) > ahead + 2  # those that the letters had
    assert Versions().start > max(versions)
