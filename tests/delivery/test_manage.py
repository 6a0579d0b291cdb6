# SPDX-License-Identifier: Apache-2.0
"""What the command line sees of spools and dead letters, and the replay of those."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from aicore.delivery import (
    DeadLetters,
    Spool,
    deadletter_list,
    deadletter_replay,
    spool_check,
    spool_drop,
    spool_list,
    spool_path,
)
from aicore.errors import UsageError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.plugins.url import AdaptorURL
from aicore.record.batch import FlowBatch
from aicore.testing import flow_id, make_batch


def filled(path: Path, frames: int = 4) -> Spool:
    spool = Spool(path, min_free=0.0)
    for number in range(frames):
        batch = make_batch(10, first=number * 10, version=number * 10 + 1)
        spool.append(batch.json_lines(True), len(batch))
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
    assert two["bytes"] > 10_000
    assert two["oldest"] > 1_700_000_000
    first.close()


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
    segment.write_bytes(b"AIS7" + whole)
    assert spool_check(tmp_path) == [f"a: {segment.name} is of version 7"]


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


# -- dead letters ----------------------------------------------------------------------------------------------------


def buried(path: Path, batch: FlowBatch) -> Path:
    letters = DeadLetters(path / "deadletter", "sqlite")
    reasons = ["too long", "too long", "odd"]
    assert letters.write((line, reasons[n % 3], 5) for n, line in enumerate(batch.json(True))) == 0
    (file,) = (path / "deadletter").glob("sqlite-*.jsonl")
    return file


def test_letters_are_listed_with_their_reasons(tmp_path: Path) -> None:
    file = buried(tmp_path, make_batch(6))
    with file.open("a") as torn:
        torn.write('{"time": "2024-')
    (entry,) = deadletter_list(tmp_path / "deadletter")
    assert (entry["adaptor"], entry["rows"], entry["path"]) == ("sqlite", 6, str(file))
    assert entry["reasons"] == {"too long": 4, "odd": 2}


def test_letters_are_bounded(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "x", max_bytes=5_000)
    lines = make_batch(20).json(True)
    unwritten = letters.write((line, "r", 1) for line in lines)
    assert unwritten > 0
    (file,) = tmp_path.glob("x-*.jsonl")
    assert file.stat().st_size <= 5_000
    assert len(file.read_text().splitlines()) == 20 - unwritten
    assert letters.write([(lines[0], "r", 1)]) == 1


def versions(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as store:
        found = dict(store.execute("SELECT flow_id, packets FROM flows").fetchall())
    store.close()
    return found


def test_replay_leaves_newer_rows_alone_and_force_does_not(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/flows.db"
    old, new = make_batch(4, version=10), make_batch(2, version=500)
    newer = buried(tmp_path / "b", new)
    assert deadletter_replay(newer, url)["delivered"] == 2
    file = buried(tmp_path / "a", old)
    assert deadletter_replay(file, url)["delivered"] == 4
    assert versions(tmp_path / "flows.db") == {flow_id(0): 500, flow_id(1): 501, flow_id(2): 12, flow_id(3): 13}
    deadletter_replay(file, url, force=True)
    assert versions(tmp_path / "flows.db") == {flow_id(n): 10 + n for n in range(4)}
    assert len(file.read_text().splitlines()) == 4


class RowByRow(DatabaseAdaptor):
    url = AdaptorURL.parse("rows:x")
    calls: list[str] = []

    def update(self, key: str, data: str) -> None:  # noqa: ARG002
        self.calls.append(key)


def test_replay_into_a_store_that_cannot_compare_needs_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = buried(tmp_path, make_batch(3))
    monkeypatch.setattr("aicore.delivery.manage.open_adaptor", lambda _: RowByRow())
    with pytest.raises(UsageError, match="--force"):
        deadletter_replay(file, "rows:x")
    assert RowByRow.calls == []
    assert deadletter_replay(file, "rows:x", force=True)["delivered"] == 3
    assert len(RowByRow.calls) == 3


def test_a_letter_is_one_valid_line_whatever_it_holds(tmp_path: Path) -> None:
    batch = make_batch(1, sslhost='\x1b]0;x\a"\\\n\u202e😀')
    file = buried(tmp_path, batch)
    (line,) = file.read_bytes().split(b"\n")[:-1]
    assert not any(byte < 32 or byte == 127 for byte in line)
    assert json.loads(line)["record"]["sslhost"] == batch.column("sslhost")[0]
