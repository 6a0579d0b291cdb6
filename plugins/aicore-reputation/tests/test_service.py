# SPDX-License-Identifier: Apache-2.0
"""The service: asked beside the run, bounded in time and number."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aicore_reputation import Reputation, Service
from aicore_reputation.service import THREADS, WAITING
from captures.build import http
from captures.files import talks

import aicore


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def answer(service: Service, address: str) -> int | None:
    service.ask(address)
    until(lambda: not service._asked)
    return service.ask(address)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds calls until it is set, and lets no thread of a test stay."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_unknown_now_known_later_asked_once() -> None:
    asked: list[str] = []

    def function(address: str) -> int:
        asked.append(address)
        return 42

    service = Service(function)
    assert service.ask("8.8.8.8") is None
    assert answer(service, "8.8.8.8") == 42
    assert answer(service, "8.8.8.8") == 42
    assert asked == ["8.8.8.8"]
    assert service.counters == {"asked": 1, "answered": 1, "failed": 0, "late": 0, "refused": 0}


def test_an_answer_is_forgotten_after_its_time() -> None:
    scores = iter((1, 2))
    service = Service(lambda _: next(scores), seconds=0.3)
    assert answer(service, "8.8.8.8") == 1
    time.sleep(0.35)
    assert service.ask("8.8.8.8") is None
    assert answer(service, "8.8.8.8") == 2


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "fe80::1", "fd00::1", "::1"])
def test_internal_addresses_are_not_asked_about(address: str) -> None:
    service = Service(lambda _: 1)
    assert service.ask(address) is None
    assert service.counters["asked"] == 0


@pytest.mark.parametrize("wrong", [ValueError("x"), 101, -1, "7", 1.5, True])
def test_an_error_or_a_wrong_answer_is_unknown_and_not_repeated(wrong: object) -> None:
    def function(_: str) -> int:
        if isinstance(wrong, Exception):
            raise wrong
        return wrong  # type: ignore[return-value]

    service = Service(function)
    assert answer(service, "8.8.8.8") is None
    assert service.counters == {"asked": 1, "answered": 0, "failed": 1, "late": 0, "refused": 0}


def test_a_late_call_is_given_up_and_others_go_on(gate: threading.Event) -> None:
    def function(address: str) -> int:
        if address != "9.9.9.9":
            gate.wait(30)
        return 7

    service = Service(function, timeout=0.5)
    for i in range(THREADS):
        assert service.ask(f"8.8.8.{i}") is None
    service.ask("9.9.9.9")
    until(lambda: service.check() or service.ask("9.9.9.9") == 7)
    until(lambda: service.check() or service.counters["late"] == THREADS)
    assert service.ask("8.8.8.0") is None
    gate.set()
    until(lambda: not service._given_up)
    assert service.ask("8.8.8.0") is None, "an answer that is late is not used"
    assert service.counters["asked"] == THREADS + 1


def test_hanging_calls_are_bounded_in_threads_and_questions(gate: threading.Event) -> None:
    service = Service(lambda _: (gate.wait(30) and 1) or 1, timeout=0.02)
    for i in range(3 * WAITING):
        service.ask(f"8.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    until(lambda: service.check() or service.counters["late"] == 2 * THREADS)
    service.check()
    assert len(service._threads | service._given_up) == 2 * THREADS
    assert service.counters["refused"] >= WAITING
    gate.set()
    until(lambda: service.check() or not service._asked)  # and it recovers


def test_the_run_does_not_wait_and_the_next_batches_know(tmp_path: Path) -> None:
    """A flow enriched before the answer has none, one after it has; the run waits for neither."""
    service = Service(lambda address: 64 if address == "8.8.8.8" else None, name="intel")

    class Wait:
        """Stands for the time that passes between two batches of a live run."""

        @aicore.hookimpl
        def flow_remove(self) -> None:
            until(lambda: not service._asked)

    visits = talks(*(http(40000 + i, client="10.0.0.1", server="8.8.8.8") for i in range(40)), gap=60)
    capture = visits.write(tmp_path / "c.pcap")
    with aicore.flows(capture, plugins=[Reputation(service), Wait()], batch_rows=2) as flows:
        rows = [(flow.reputation, flow.reputationlist, flow.reputationmatch) for flow in flows]
    assert rows[0] == (None, None, None)
    assert rows[-1] == (64, "intel", "8.8.8.8")
    assert service.counters["asked"] == 1


def test_beside_lists_the_highest_score_wins(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("8.8.8.0/24,50\n9.9.9.9,90\n")
    service = Service(lambda _: 70)
    plugin = Reputation(service)
    for address in ("8.8.8.8", "9.9.9.9"):
        answer(service, address)
    stack = aicore.StackLan()
    stack.use(plugin, lists=str(tmp_path / "l"))
    capture = talks(http(40000, server="8.8.8.8"), http(40001, server="9.9.9.9")).write(tmp_path / "c.pcap")
    store = aicore.open_adaptor(f"jsonl:{tmp_path / 'f.jsonl'}")
    stack.set_tcp_database_adaptor(store)
    with aicore.PacketDispatcher(capture) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    text = (tmp_path / "f.jsonl").read_text()
    assert '"reputation":70,"reputationlist":"service","reputationmatch":"8.8.8.8"' in text
    assert '"reputation":90,"reputationlist":"l","reputationmatch":"9.9.9.9"' in text


def test_a_hanging_function_does_not_keep_the_process() -> None:
    program = (
        "import time, aicore_reputation as r\nr.Service(lambda _: time.sleep(600)).ask('8.8.8.8')\ntime.sleep(0.2)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_wrong_times() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Service(lambda _: 1, timeout=0)
