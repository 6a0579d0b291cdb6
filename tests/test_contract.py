# SPDX-License-Identifier: Apache-2.0
"""The embedded adaptors keep the contract that strangers' adaptors are tested against."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aicore.adaptors.memory import MemoryAdaptor
from aicore.testing import AdaptorContract, Store
from aicore.testing import contract as kit


class TestSqlite(AdaptorContract):
    nonsense = "sqlite:/nowhere/flows.db"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "flows.db"

        def records() -> list[dict[str, Any]]:
            db = sqlite3.connect(path)
            db.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in db.execute("SELECT * FROM flows")]
            finally:
                db.close()

        return Store(f"sqlite:{path}", records, {"dnsips": json.dumps})


class TestJsonl(AdaptorContract):
    lacks = {"update", "versions"}
    nonsense = "jsonl:/nowhere/flows.jsonl"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "flows.jsonl"
        return Store(f"jsonl:{path}", lambda: [json.loads(line) for line in path.read_bytes().splitlines()])


class TestFile(AdaptorContract):
    lacks = {"versions", "ended"}
    nonsense = "file:/nowhere/flows.txt"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "flows.txt"

        def records() -> Iterator[dict[str, Any]]:
            for line in path.read_bytes().split(b"\n"):
                if line.startswith(b"Update:"):
                    yield json.loads(line.partition(b"] ")[2])

        return Store(f"file:{path}", records)


class TestMemory(AdaptorContract):
    lacks = {"nonsense"}

    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> Store:
        """All adaptors of the test are one: what memory holds goes with its object."""
        one: list[MemoryAdaptor] = []

        def connected(_: Store) -> MemoryAdaptor:
            if not one:
                one.append(MemoryAdaptor())
            return one[0]

        monkeypatch.setattr(kit, "connected", connected)
        return Store("memory:", lambda: one[0].flows.values())


class TestExec(AdaptorContract):
    """A command that appends what it gets."""

    lacks = {"versions"}
    nonsense = "exec:/nowhere"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        script, path = tmp_path / "append.py", tmp_path / "flows.jsonl"
        script.write_text(
            "import sys\n"
            "out = open(sys.argv[1], 'ab')\n"
            "for line in sys.stdin.buffer:\n"
            "    if line == b'\\n':\n"
            "        out.flush()\n"
            "        print('{}', flush=True)\n"
            "    else:\n"
            "        out.write(line)\n"
        )
        url = f"exec:{sys.executable} {script} {path}"
        return Store(url, lambda: [json.loads(line) for line in path.read_bytes().splitlines()])
