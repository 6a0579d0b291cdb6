# SPDX-License-Identifier: Apache-2.0
"""Stores whose file is moved, deleted or replaced, or is somebody else's; what a crash has left beside it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlite_file import query

import aicore
from aicore.testing import FileStoreContract, flow_id, make_batch


class TestJsonl(FileStoreContract):
    url = "jsonl:{path}"

    def held(self, path: Path) -> Iterable[str]:
        return [json.loads(line)["flow_id"] for line in path.read_text().splitlines()]


class TestFile(FileStoreContract):
    url = "file:{path}"

    def held(self, path: Path) -> Iterable[str]:
        """Its lines have the key; of the kit's flows n has the source address 10.0.0.n."""
        numbers = [line.removeprefix("Remove:[10.0.0.").partition(":")[0] for line in path.read_text().splitlines()]
        return [flow_id(int(number)) for number in numbers]


class TestSqlite(FileStoreContract):
    url = "sqlite:{path}"

    def held(self, path: Path) -> Iterable[str]:
        return [flow for (flow,) in query(path, "SELECT flow_id FROM flows")]


def opened(url: str) -> Any:
    store = aicore.open_adaptor(url)
    store.connect(store.url)
    return store


# -- SQLite's log -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [True, False])
def test_the_log_of_an_open_database_goes(moved: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the file lacks is in there: it is brought home, and a new log begun."""
    path = tmp_path / "x.db"
    store = opened(f"sqlite:{path}")
    store.write(make_batch(10))
    log = Path(f"{path}-wal")
    if moved:
        log.rename(tmp_path / "away")
    else:
        log.unlink()
    store.write(make_batch(10, first=10, version=20))
    assert query(path, "SELECT count(*) FROM flows") == [(20,)]
    assert "x.db-wal was" in caplog.text
    store.close()


KILLED = """
import os, signal, sys
import aicore
from aicore.testing import make_batch
store = aicore.open_adaptor("sqlite:x.db")
store.connect(store.url)
store.write(make_batch(10))
os.rename("x.db", "away.db")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_log_of_a_database_that_was_moved_before_a_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite deletes it when it makes the new file; the rows in it are nowhere else."""
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert done.returncode < 0
    store = opened(f"sqlite:{tmp_path / 'x.db'}")
    store.write(make_batch(3, first=50))
    store.close()
    assert f"it is kept as {tmp_path / 'x.db'}.1-wal" in caplog.text
    os.rename(tmp_path / "x.db.1-wal", tmp_path / "away.db-wal")
    assert query(tmp_path / "away.db", "SELECT count(*) FROM flows") == [(10,)]
    assert query(tmp_path / "x.db", "SELECT count(*) FROM flows") == [(3,)]


# -- what is somebody else's ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("CREATE TABLE flows (name TEXT)", "no column flow_id, version"),
        ("CREATE TABLE flows (flow_id TEXT, version INTEGER)", "flow_id is no key"),
        ("CREATE TABLE flows (flow_id TEXT, version INTEGER, x TEXT, UNIQUE (flow_id, x))", "flow_id is no key"),
        ("CREATE VIEW flows AS SELECT 1 AS flow_id, 2 AS version", "is a view, not a table"),
    ],
)
def test_a_table_of_somebody_else(statement: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    query(path, statement)
    before = query(path, "SELECT name, sql FROM sqlite_master")
    with pytest.raises(aicore.Fatal, match=f"flows of {path} .*{says}"):
        opened(f"sqlite:{path}")
    assert query(path, "SELECT name, sql FROM sqlite_master") == before
    if "VIEW" in statement:
        with pytest.raises(aicore.Fatal, match="is a view"):
            opened(f"sqlite:{path}?adopt=yes")
        return
    store = opened(f"sqlite:{path}?adopt=yes")
    store.write(make_batch(3))
    store.write(make_batch(3))
    store.close()
    assert query(path, "SELECT count(*) FROM flows") == [(3,)]


def test_rows_of_somebody_else_stay(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE flows (name TEXT, kind TEXT DEFAULT 'old', must TEXT NOT NULL DEFAULT '-',"
        " long AS (length(name))); INSERT INTO flows (name) VALUES ('a')"
    )
    connection.close()
    for version in (1, 10):
        store = opened(f"sqlite:{path}?adopt=yes")
        store.write(make_batch(1, version=version))
        store.close()
    found = query(path, "SELECT name, kind, must, long, flow_id, version FROM flows ORDER BY version")
    assert found == [("a", "old", "-", 1, None, None), (None, "old", "-", None, flow_id(0), 10)]


@pytest.mark.parametrize("scheme", ["jsonl", "file"])
def test_lines_of_somebody_else_are_appended_to_if_told(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine\n")
    with pytest.raises(aicore.UsageError, match="adopt=yes"):
        aicore.open_adaptor(f"{scheme}:{path}")
    store = opened(f"{scheme}:{path}?adopt=yes")
    store.write(make_batch(2, kind="remove"))
    store.close()
    first, *others = path.read_text().splitlines()
    assert (first, len(others)) == ("mine", 2)


@pytest.mark.parametrize("begin", ["", '{"ke', '{"key":"10.0.0.1:1', "\0" * 100, '{"key":"a"}\n{"key":"b"}\n'])
def test_what_a_run_may_have_left_is_its_own(begin: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(begin)
    opened(f"jsonl:{tmp_path / 'x'}").close()


@pytest.mark.parametrize("scheme", ["sqlite", "jsonl", "file"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: os.mkfifo(path), "pipe"),
        (lambda path: os.symlink("/dev/null", path), "device"),
        (lambda path: os.mknod(path, 0o140600), "socket"),
        (lambda path: path.mkdir(), "directory"),
    ],
)
def test_what_is_no_file(scheme: str, make: Callable[[Path], None], kind: str, tmp_path: Path) -> None:
    """Lines may be written to a pipe or a terminal; SQLite and others need a file, and nobody a disk or a socket."""
    path = tmp_path / "x"
    make(path)
    if scheme != "sqlite" and kind in ("pipe", "device"):
        aicore.open_adaptor(f"{scheme}:{path}")
        return
    with pytest.raises(aicore.UsageError, match=f"{scheme}: {path}: it is a {kind}"):
        aicore.open_adaptor(f"{scheme}:{path}")
