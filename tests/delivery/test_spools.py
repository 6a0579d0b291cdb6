# SPDX-License-Identifier: Apache-2.0
"""Spools of a directory: what waits, what is damaged, which belongs to which store."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest
from commandline import invoke

from aicore import PacketDispatcher
from aicore.delivery import (
    Spool,
    SpoolSettings,
    open_spools,
    spool_check,
    spool_drop,
    spool_list,
    spool_path,
)
from aicore.delivery.payload import encode
from aicore.errors import UsageError
from aicore.plugins.discovery import open_adaptor
from aicore.plugins.url import AdaptorURL
from aicore.testing import make_batch


def filled(path: Path, frames: int = 4) -> Spool:
    spool = Spool(path, min_free=0.0)
    for number in range(frames):
        batch = make_batch(10, first=number * 10, version=number * 10 + 1)
        spool.append(encode(batch), len(batch))
    return spool


def test_list_tells_what_waits(tmp_path: Path) -> None:
    assert spool_list(tmp_path / "absent") == []
    first = filled(tmp_path / "redis-1")
    first.read()
    first.ack()
    filled(tmp_path / "sqlite-2").close()
    (tmp_path / "deadletter").mkdir()
    one, two = spool_list(tmp_path)
    assert (one["name"], one["rows"], one["in_use"], one["segments"]) == ("redis-1", 30, True, 1)
    assert (two["name"], two["rows"], two["in_use"], two["damaged_bytes"]) == ("sqlite-2", 40, False, 0)
    assert two["bytes"] > 4 * len(encode(make_batch(10)))
    assert two["oldest"] > 1_700_000_000
    first.close()


def test_a_spool_without_its_lock_is_listed_all_the_same(tmp_path: Path) -> None:
    for name in "abc":
        filled(tmp_path / name).close()
    (tmp_path / "b" / "lock").unlink()
    (tmp_path / "c" / "lock").unlink()
    (tmp_path / "c" / "lock").mkdir()
    (tmp_path / "deadletter").mkdir()
    assert [(one["name"], one["rows"]) for one in spool_list(tmp_path)] == [("a", 40), ("b", 40), ("c", 40)]
    assert spool_drop(tmp_path, "b") == 40


def test_check_names_damage_and_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "a").close()
    assert spool_check(tmp_path) == []
    (segment,) = (tmp_path / "a").glob("*.seg")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:40] + b"XXXX" + whole[44:-3])
    (problem, torn) = spool_check(tmp_path)
    assert problem.startswith(f"a: {segment.name}: ")
    assert problem.endswith("bytes at 0 are damaged")
    assert "torn" in torn
    assert spool_check(tmp_path) == [problem, torn]
    segment.write_bytes(b"AIS7" + whole[4:30])
    assert spool_check(tmp_path) == [f"a: {segment.name} is of version 7"]


def test_a_file_that_cannot_be_read_ends_neither_list_nor_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "a").close()
    filled(tmp_path / "b").close()
    (bad,) = (tmp_path / "a").glob("*.seg")
    pread = os.pread

    def broken(fd: int, length: int, at: int) -> bytes:
        if os.fstat(fd).st_ino == bad.stat().st_ino:
            raise OSError(errno.EIO, "Input/output error")
        return pread(fd, length, at)

    monkeypatch.setattr("os.pread", broken)
    a, b = spool_list(tmp_path)
    assert (a["name"], a["rows"], a["unreadable"]) == ("a", 0, 1)
    assert (b["name"], b["rows"], b["unreadable"]) == ("b", 40, 0)
    assert "1 file unreadable" in invoke("spool", "--spool", tmp_path, "list").stdout
    assert spool_check(tmp_path) == [f"a: {bad.name} cannot be read: Input/output error"]
    spool = Spool(tmp_path / "a")
    assert (spool.rows, spool.set_aside, spool.lost_rows) == (0, 1, 40)
    assert bad.exists()


def test_drop_deletes_one_that_nobody_uses(tmp_path: Path) -> None:
    spool = filled(tmp_path / "redis-1")
    with pytest.raises(UsageError, match="in use"):
        spool_drop(tmp_path, "redis-1")
    spool.close()
    with pytest.raises(UsageError, match="did you mean redis-1"):
        spool_drop(tmp_path, "redis-2")
    with pytest.raises(UsageError, match="no spool"):
        spool_drop(tmp_path, "../redis-1")
    assert spool_drop(tmp_path, "redis-1") == 40
    assert not (tmp_path / "redis-1").exists()


def test_each_target_has_its_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = AdaptorURL.parse
    here = spool_path(tmp_path, url("sqlite:flows.db"))
    assert here == spool_path(tmp_path, url(f"sqlite:{tmp_path}/flows.db"))
    assert here != spool_path(tmp_path, url("sqlite:flows.db?table=other"))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert here != spool_path(tmp_path, url("sqlite:flows.db"))


@pytest.mark.timing
def test_a_spool_that_somebody_has_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    url = AdaptorURL.parse("redis://h/0")
    filled(spool_path(tmp_path, url)).close()
    lock = os.open(spool_path(tmp_path, url) / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    timer = threading.Timer(0.05, os.close, (lock,))
    timer.start()
    found = open_spools(tmp_path, url)
    timer.join()
    assert found is not None
    assert (found.own.rows, found.own.path) == (40, spool_path(tmp_path, url))
    found.own.close()


def test_a_store_may_have_a_spool_of_another_size(tmp_path: Path) -> None:
    adaptor = open_adaptor(f"sqlite:{tmp_path}/x.db?spool=always&spool_size=3&spool_free=0.5")
    run = SpoolSettings(size=1 << 30, free=0.05)
    settings = run.of(adaptor.delivery)
    assert settings == SpoolSettings(3 << 20, 0.005, True)
    assert SpoolSettings(always=True).of(open_adaptor(f"sqlite:{tmp_path}/x.db?spool=full").delivery) == SpoolSettings()
    assert run.of(open_adaptor("memory:").delivery) == run
    found = open_spools(tmp_path, adaptor.url, settings)
    assert found is not None
    assert (found.own.max_bytes, found.own.min_free) == (3 << 20, 0.005)
    assert found.own.path == spool_path(tmp_path, AdaptorURL.parse(f"sqlite:{tmp_path}/x.db"))
    found.own.close()
    with pytest.raises(UsageError, match="spool_free must be at most 100"):
        open_adaptor("memory:?spool_free=101")
    with pytest.raises(UsageError, match=r"spool_size \(MiB\) must be at least 1"):
        PacketDispatcher("x.pcap", spool=tmp_path, spool_size=0)


def test_a_run_gets_every_spool_of_its_store_that_nobody_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = AdaptorURL.parse("redis://h/0")
    base = spool_path(tmp_path, url)
    slots = [base, *(base.with_name(f"{base.name}.{number}") for number in range(2, 7))]
    for number, slot in enumerate(slots[:5]):
        filled(slot, frames=number + 1).close()
        for segment in slot.glob("*.seg"):
            os.utime(segment, (1e9 - number, 1e9 - number))  # later ones are older
    held = Spool(slots[1])
    (slots[2] / "lock").unlink()
    (slots[2] / "lock").mkdir()
    found = open_spools(tmp_path, url)
    assert found is not None
    assert [(one.path, one.rows) for one in found.earlier] == [(slots[4], 50), (slots[3], 40)]
    assert (found.own.path, found.own.rows, found.unusable) == (slots[0], 10, 1)
    assert f"the spool {slots[2]} cannot be used: Is a directory" in caplog.text
    second = open_spools(tmp_path, url)
    assert second is not None
    assert (second.own.path, second.earlier) == (slots[5], ())
    other = open_spools(tmp_path, AdaptorURL.parse("redis://h/1"))
    assert other is not None
    assert other.own.rows == 0
    for one in (held, found.own, *found.earlier, second.own, other.own):
        one.close()


def test_paths_tell_targets_apart_but_not_passwords(tmp_path: Path) -> None:
    url = AdaptorURL.parse
    one = spool_path(tmp_path, url("redis://user:canary-1@host:1/0?ended=keep"))
    assert one == spool_path(tmp_path, url("redis://user:canary-2@host:1/0?ended=keep"))
    assert one != spool_path(tmp_path, url("redis://host:1/0"))
    assert one != spool_path(tmp_path, url("redis://host:2/0?ended=keep"))
    assert "canary" not in str(one)
