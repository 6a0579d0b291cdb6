# SPDX-License-Identifier: Apache-2.0
"""Real servers. `server` and `proxy` are importable from here; `captures` and `commandline` come from the project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from server import Server, find_server


@pytest.fixture(scope="session")
def redis_program() -> str:
    program = find_server()
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    return program


@pytest.fixture
def server(redis_program: str, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own; what it has acknowledged survives its SIGKILL. (With `everysec` it acknowledges what
    it writes up to two seconds later, when the disk is busy.)"""
    server = Server(redis_program, tmp_path, appendonly="yes", appendfsync="always")
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def shared(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(redis_program, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.end()


@pytest.fixture
def empty(shared: Server) -> Server:
    """The module's server, emptied."""
    shared.ask("FLUSHALL")
    return shared
