# SPDX-License-Identifier: Apache-2.0
"""SIGINT: the first ends the input, wherever it falls, and everything read is delivered; the second ends the run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from captures.build import http
from captures.files import talks

import aicore
from aicore import DatabaseAdaptor, FlowBatch, StackLan, hookimpl

PACKAGE = Path(aicore.__file__).parent
#: What run()'s thread goes through for each batch.
LOOP = tuple(str(PACKAGE / name) for name in ("run.py", "hooks.py", "guard.py", "delivery/", "batch.py"))


class Store(DatabaseAdaptor):
    events = "all"

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def write(self, batch: FlowBatch) -> None:
        self.kinds.update(batch.column("event"))


class Rows:
    def __init__(self) -> None:
        self.rows = 0

    @hookimpl
    def flow_batch(self, flows: FlowBatch) -> None:
        self.rows += len(flows)


def interrupted(capture: Path, line: int) -> tuple[Store, Rows, int, bool]:
    """Runs with a SIGINT at the given line that run()'s thread executes; 0 is none. How many lines there were, and
    whether run() raised."""
    stack, store, hook, seen = StackLan(batch_rows=4), Store(), Rows(), 0
    stack.use(hook)
    stack.set_tcp_database_adaptor(store, 1)

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal seen
        if event == "call":
            return trace if frame.f_code.co_filename.startswith(LOOP) else None
        if event == "line":
            seen += 1
            if seen == line:
                signal.raise_signal(signal.SIGINT)
        return trace

    raised, before = False, sys.gettrace()
    with aicore.PacketDispatcher(capture) as dispatcher:
        dispatcher.stack = stack
        sys.settrace(trace)
        try:
            dispatcher.run()
        except KeyboardInterrupt:
            raised = True
        finally:
            sys.settrace(before)
    return store, hook, seen, raised


@pytest.fixture(scope="module")
def short_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talks(*(http(10000 + i) for i in range(6))).write(tmp_path_factory.mktemp("short") / "short.pcap")


def test_no_line_at_which_an_interrupt_loses_or_doubles_rows(short_capture: Path) -> None:
    store, hook, lines, raised = interrupted(short_capture, 0)
    assert not raised
    assert store.kinds["insert"] == store.kinds["remove"] == 6
    stride = max(1, lines // 40)
    ended = 0
    for line in range(1, lines, stride):
        store, hook, _, raised = interrupted(short_capture, line)
        assert store.kinds["insert"] == store.kinds["remove"], line
        assert store.kinds.total() == hook.rows, line
        ended += raised and hook.rows > 0
    assert ended > lines / stride * 0.8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_program_stays_its_own(short_capture: Path) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: seen.append(number))
    try:
        store, hook, _, raised = interrupted(short_capture, 1000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (seen, raised) == ([signal.SIGINT], False)
    assert store.kinds["insert"] == store.kinds["remove"] == 6
    assert store.kinds.total() == hook.rows


SIGNALLED = """
import sys, threading, time, os, signal
import aicore

class Store(aicore.DatabaseAdaptor):
    events = "all"
    counts = {"insert": 0, "update": 0, "remove": 0}

    def write(self, batch):
        for kind in batch.column("event"):
            self.counts[kind] += 1

class Hook:
    rows = 0
    seen = threading.Event()

    @aicore.hookimpl
    def flow_batch(self, flows):
        Hook.rows += len(flows)
        if not self.seen.is_set():
            self.seen.set()
            print("reading", flush=True)
        time.sleep(0.001)

stack, store = aicore.StackLan(batch_rows=16), Store()
stack.use(Hook())
stack.set_tcp_database_adaptor(store, 1)
with aicore.PacketDispatcher(sys.argv[1]) as pd:
    pd.stack = stack
    try:
        pd.run()
    except KeyboardInterrupt:
        print("interrupted")
print(store.counts["insert"], store.counts["remove"], sum(store.counts.values()), Hook.rows)
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.11, 0.23])
def test_sigint_delivers_final_events_and_is_raised_again(long_capture: Path, delay: float, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SIGNALLED)
    program = subprocess.Popen(
        [sys.executable, "program.py", str(long_capture)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "reading\n"
    time.sleep(delay)
    program.send_signal(signal.SIGINT)
    begin = time.monotonic()
    out, _ = program.communicate(timeout=30)
    assert time.monotonic() - begin < 15
    lines = out.splitlines()
    assert lines[0] == "interrupted"
    insert, remove, delivered, hooked = map(int, lines[1].split())
    assert 0 < insert == remove < 5000
    assert delivered == hooked


HUNG = """
import sys, time
import aicore

class Store(aicore.DatabaseAdaptor):
    events = "all"

    def write(self, batch):
        print("writing", flush=True)
        time.sleep(60)

stack = aicore.StackLan(batch_rows=16)
stack.set_tcp_database_adaptor(Store(), 1)
with aicore.PacketDispatcher(sys.argv[1]) as pd:
    pd.stack = stack
    try:
        pd.run()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_a_second_sigint_ends_a_run_whose_store_hangs(long_capture: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(HUNG)
    program = subprocess.Popen(
        [sys.executable, "program.py", str(long_capture)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "writing\n"
    program.send_signal(signal.SIGINT)
    time.sleep(1)
    assert program.poll() is None  # the store has ten seconds
    program.send_signal(signal.SIGINT)
    begin = time.monotonic()
    out, _ = program.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert out == "interrupted\n"
    assert program.returncode == 0
