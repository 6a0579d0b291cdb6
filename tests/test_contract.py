# SPDX-License-Identifier: Apache-2.0
"""The embedded adaptors keep the contract that strangers' adaptors are tested against; and what the contract finds."""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import aicore
from aicore.adaptors.memory import MemoryAdaptor
from aicore.testing import AdaptorContract, Store, write_capture
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

        return Store(
            f"sqlite:{path}", records, dict.fromkeys(("dnsips", "kitwords", "kitsizes", "kitgaps"), json.dumps)
        )


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


# -- a store behind a server ------------------------------------------------------------------------------------------

LINES = """
import socket
import aicore

class Lines(aicore.DatabaseAdaptor):
    \"\"\"Sends a line for each row, and waits for a dot.\"\"\"

    socket = None

    def connect(self, connection_str):
        ((host, port),) = self.url.hosts
        self.socket = socket.create_connection((host, port), timeout=5)

    def write(self, batch):
        self.socket.sendall(batch.json_lines(True) + b"\\n")
        if self.socket.recv(1) != b".":
            raise ConnectionResetError("hung up")

    def close(self):
        if self.socket is not None:
            self.socket.close()

class Stubborn(Lines):
    \"\"\"As many drivers: its errors are of its own kind, so that nobody knows what happened.\"\"\"

    def write(self, batch):
        try:
            super().write(batch)
        except OSError as error:
            raise RuntimeError(f"driver: {error}") from error
"""


class LineServer:
    """Keeps what it gets, and answers each empty line with a dot."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, client.makefile("rb") as lines:
            for line in lines:
                if line == b"\n":
                    client.sendall(b".")
                else:
                    self.records.append(json.loads(line))


@pytest.fixture
def server(install: Any) -> Iterator[LineServer]:
    adaptors = {"lines": "lines_store:Lines", "stubborn": "lines_store:Stubborn"}
    install("aicore-lines", adaptors=adaptors, lines_store=LINES)
    one = LineServer()
    yield one
    one.listener.close()


class Behind(AdaptorContract):
    """Not collected by pytest: its tests are called."""

    lacks = {"versions"}


def test_an_adaptor_of_a_server_comes_back(server: LineServer) -> None:
    store = Store(f"lines://localhost:{server.port}/x", lambda: server.records)
    Behind().test_it_comes_back_after_its_server_did(store)


def test_an_adaptor_that_does_not_come_back_is_found_out(server: LineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "RETURN_SECONDS", 3.0)
    store = Store(f"stubborn://localhost:{server.port}/x", lambda: server.records)
    with pytest.raises(AssertionError, match="did not come back: RuntimeError: driver"):
        Behind().test_it_comes_back_after_its_server_did(store)


def test_a_store_can_be_restarted_by_its_author(server: LineServer) -> None:
    restarts: list[int] = []
    store = Store(f"lines://localhost:{server.port}/x", lambda: server.records, restart=lambda: restarts.append(1))
    Behind().test_it_comes_back_after_its_server_did(store)
    assert restarts == [1]


def test_a_url_that_no_proxy_can_stand_before_needs_a_restart() -> None:
    with pytest.raises(AssertionError, match=r"no port: give Store\(restart"):
        Behind().test_it_comes_back_after_its_server_did(Store("lines://localhost/x", list))
    with pytest.raises(AssertionError, match=r"several hosts: give Store\(restart"):
        Behind().test_it_comes_back_after_its_server_did(Store("lines://localhost:1,localhost:2/x", list))


def test_a_capture_is_written_to_a_path_of_any_form(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    assert write_capture(str(path), 4711, [b"ask", b"answer"]) == path
    (flow,) = aicore.flows(path)
    assert (flow.src_payload_bytes, flow.dst_payload_bytes) == (3, 6)
