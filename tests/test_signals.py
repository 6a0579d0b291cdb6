# SPDX-License-Identifier: Apache-2.0
"""SIGINT: the first ends the input, wherever it falls, and everything read is delivered; after the second nothing is
waited for, and everything has its account."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from captures.build import http
from captures.files import talks

import aicore
from aicore import DatabaseAdaptor, FlowBatch, RunSummary, StackLan, hookimpl

pytestmark = pytest.mark.timing

PACKAGE = Path(aicore.__file__).parent
#: What run()'s thread goes through for each batch.
LOOP = tuple(
    str(PACKAGE / name) for name in ("run/loop.py", "run/hooks.py", "run/isolation.py", "delivery/", "record/batch.py")
)


class Store(DatabaseAdaptor):
    events = "all"

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def write(self, batch: FlowBatch) -> None:
        self.gate.wait()
        self.kinds.update(batch.column("event"))


class Watch:
    """A hook that counts what passes, and keeps the summary, as run() raises."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.counters: dict[str, int] = {}

    @hookimpl
    def flow_batch(self, flows: FlowBatch) -> None:
        self.kinds.update(flows.column("event"))

    @hookimpl
    def run_finished(self, summary: RunSummary) -> None:
        self.counters = summary.adaptors[0].counters


class Interrupted:
    """A run with a SIGINT at each of the given lines that its thread executes in LOOP."""

    def __init__(self, capture: Path, *at: int, hang: bool = False) -> None:
        self.store, self.watch, self.lines, self.raised = Store(), Watch(), 0, False
        stack = StackLan(batch_rows=4)
        stack.use(self.watch)
        stack.set_tcp_database_adaptor(self.store, 1)
        if hang:
            self.store.gate.clear()

        def trace(frame: FrameType, event: str, _argument: Any) -> Any:
            if event == "call":
                return trace if frame.f_code.co_filename.startswith(LOOP) else None
            if event == "line":
                self.lines += 1
                if self.lines in at:
                    # As Python calls it; after raise_signal() the frame would be this one.
                    handler = signal.getsignal(signal.SIGINT)
                    assert callable(handler)
                    handler(signal.SIGINT, frame)
            return trace

        before = sys.gettrace()
        with aicore.PacketDispatcher(capture) as dispatcher:
            dispatcher.stack = stack
            sys.settrace(trace)
            try:
                dispatcher.run()
            except KeyboardInterrupt:
                self.raised = True
            finally:
                sys.settrace(before)
                self.store.gate.set()


@pytest.fixture(scope="module")
def short_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talks(*(http(10000 + i) for i in range(6))).write(tmp_path_factory.mktemp("short") / "short.pcap")


def test_no_line_at_which_an_interrupt_loses_or_doubles_rows(short_capture: Path) -> None:
    whole = Interrupted(short_capture)
    assert not whole.raised
    assert whole.store.kinds["insert"] == whole.store.kinds["remove"] == 6
    stride = max(1, whole.lines // 40)
    ended = 0
    for line in range(1, whole.lines, stride):
        one = Interrupted(short_capture, line)
        assert one.watch.kinds["insert"] == one.watch.kinds["remove"], line
        assert one.store.kinds == one.watch.kinds, line
        ended += one.raised and one.watch.kinds.total() > 0
    assert ended > whole.lines / stride * 0.8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_line_at_which_a_second_interrupt_leaves_rows_without_account(short_capture: Path) -> None:
    whole = Interrupted(short_capture)
    late = 0
    for line in range(whole.lines // 10, whole.lines, whole.lines // 20):
        one = Interrupted(short_capture, line, line + 15, hang=True)
        assert one.raised
        assert one.watch.kinds == whole.watch.kinds, line  # what was read comes to its end
        counters = one.watch.counters
        assert counters["accepted"] == whole.watch.kinds.total(), line
        assert counters["accepted"] == counters["lost"], line
        late += 1
    assert late >= 15


def test_a_second_interrupt_cuts_the_plugin_short_that_is_at_work(short_capture: Path) -> None:
    class Sleeper:
        @hookimpl
        def flow_batch(self) -> None:
            if not sleeping.is_set():
                sleeping.set()
                time.sleep(60)

    def interrupt() -> None:
        sleeping.wait()
        for _ in range(2):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

    sleeping, store, watch, stack = threading.Event(), Store(), Watch(), StackLan(batch_rows=4)
    stack.use(Sleeper())
    stack.use(watch)
    stack.set_tcp_database_adaptor(store, 1)
    thread = threading.Thread(target=interrupt)
    thread.start()
    begin = time.monotonic()
    with aicore.PacketDispatcher(short_capture) as dispatcher:
        dispatcher.stack = stack
        with pytest.raises(KeyboardInterrupt):
            dispatcher.run()
    thread.join()
    assert time.monotonic() - begin < 10
    assert watch.kinds["insert"] == watch.kinds["remove"] == 6
    assert watch.counters["accepted"] == watch.kinds.total() == watch.counters["lost"] + watch.counters["delivered"]


def test_a_handler_of_the_program_stays_its_own(short_capture: Path) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: seen.append(number))
    try:
        one = Interrupted(short_capture, 1000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (seen, one.raised) == ([signal.SIGINT], False)
    assert one.store.kinds["insert"] == one.store.kinds["remove"] == 6
    assert one.store.kinds == one.watch.kinds


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
def test_sigint_delivers_final_events_and_is_raised_at_the_end(
    long_capture: Path, delay: float, tmp_path: Path
) -> None:
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
