# SPDX-License-Identifier: Apache-2.0
"""Dead letters: written, listed, and given to the store again."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from commandline import invoke

from aicore.delivery import DeadLetters, deadletter_list
from aicore.delivery.deadletter import read_letters
from aicore.errors import UsageError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.plugins.url import AdaptorURL
from aicore.record.batch import FlowBatch
from aicore.run.replay import deadletter_replay
from aicore.testing import flow_id, make_batch


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


@pytest.mark.parametrize("torn", ['{"time": "2024-', "{", '{"time": "x", "record": {"a"'])
def test_a_torn_letter_costs_no_other(tmp_path: Path, torn: str) -> None:
    file = buried(tmp_path, make_batch(2))
    with file.open("a") as crash:
        crash.write(torn)
    buried(tmp_path, make_batch(3))
    assert len(list(read_letters(file))) == len(file.read_text().splitlines()) == 5


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
    assert deadletter_replay(newer, url) == {"delivered": 2, "refused": 0, "not_delivered": 0}
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
    monkeypatch.setattr("aicore.run.replay.open_adaptor", lambda _: RowByRow())
    with pytest.raises(UsageError, match="--force"):
        deadletter_replay(file, "rows:x")
    assert RowByRow.calls == []
    assert deadletter_replay(file, "rows:x", force=True)["delivered"] == 3
    assert len(RowByRow.calls) == 3


@pytest.mark.parametrize("scheme", ["jsonl", "file"])
def test_a_store_that_keeps_the_last_line_is_left_out_unless_forced(tmp_path: Path, scheme: str) -> None:
    file = buried(tmp_path, make_batch(3, kind="remove"))
    with pytest.raises(UsageError, match=f"{scheme}:.* is left out: {scheme} cannot tell .*--force"):
        deadletter_replay(file, f"{scheme}:{tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()
    assert deadletter_replay(file, f"{scheme}:{tmp_path / 'out'}", force=True)["delivered"] == 3


def test_what_is_not_replayed_is_not_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = buried(tmp_path, make_batch(3))
    os.mkfifo(tmp_path / "pipe")
    done = deadletter_replay(file, f"jsonl:{tmp_path / 'pipe'}", force=True, seconds=0.2)
    assert done == {"delivered": 0, "refused": 0, "not_delivered": 3}
    assert f"3 events are not delivered; they stay in {file}" in caplog.text
    assert "lost" not in caplog.text
    with pytest.raises(UsageError, match="there is no file"):
        deadletter_replay(tmp_path / "nowhere", f"sqlite:{tmp_path / 'x.db'}")


def test_letters_leave_the_disk_its_free_share(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters(tmp_path / "letters", "x", min_free=1.0)
    assert letters.write((line, "r", 1) for line in make_batch(3).json(True)) == 3
    assert "less than 100% of the disk" in caplog.text


def test_a_letter_is_one_valid_line_whatever_it_holds(tmp_path: Path) -> None:
    batch = make_batch(1, sslhost='\x1b]0;x\a"\\\n\u202e😀')
    file = buried(tmp_path, batch)
    (line,) = file.read_bytes().split(b"\n")[:-1]
    assert not any(byte < 32 or byte == 127 for byte in line)
    assert json.loads(line)["record"]["sslhost"] == batch.column("sslhost")[0]


@pytest.mark.parametrize("what", ["folder", "pipe", "dangling link"])
def test_a_file_that_cannot_be_read_keeps_no_other_from_the_list(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "deadletter"
    letters = DeadLetters(folder, "redis")
    assert letters.write([(b'{"version": 1}', "too long", 1)]) == 0
    bad = folder / "bad-2026-01-01.jsonl"
    if what == "folder":
        bad.mkdir()
    elif what == "pipe":
        os.mkfifo(bad)
    else:
        bad.symlink_to("nowhere")
    first, second = deadletter_list(folder)
    assert (first["path"], first["rows"], bool(first["error"])) == (str(bad), 0, True)
    assert (second["rows"], second["error"]) == (1, "")
    shown = invoke("deadletter", "list", "--spool", tmp_path)
    assert shown.exit_code == 0
    assert shown.stdout.count("cannot be read: ") == 1
    assert "too long" in shown.stdout
