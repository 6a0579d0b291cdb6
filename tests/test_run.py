# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002  # the arguments are those of the plugin interface
"""A run from its start to its end: adaptors, stopping, signals, bad input."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from captures.build import http
from captures.files import talks

import aicore
from aicore.run.loop import Run
from aicore.run.source import Source


class Recorder(aicore.DatabaseAdaptor):
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.seen: set[int] = set()

    def insert(self, key: str) -> None:
        self.seen.add(threading.get_ident())
        self.calls.append(("insert", key))

    def update(self, key: str, data: str) -> None:
        self.calls.append(("update", key))

    def remove(self, key: str) -> None:
        self.calls.append(("remove", key))

    def count(self, kind: str) -> int:
        return sum(name == kind for name, _ in self.calls)


def dispatch(source: Any, tcp: Any = None, udp: Any = None, n: int = 16) -> aicore.RunSummary:
    stack = aicore.StackLan()
    stack.set_tcp_database_adaptor(tcp, n)
    stack.set_udp_database_adaptor(udp, n)
    with aicore.PacketDispatcher(source) as dispatcher:
        dispatcher.stack = stack
        return dispatcher.run()


def test_adaptors_get_their_transport_and_nothing_else_is_tracked(capture_file: Path, visits: Any) -> None:
    udp = [flow for flow in visits.flows if ":17:" in flow.key]
    recorder = Recorder()
    summary = dispatch(capture_file, udp=recorder)
    assert {key.split(":")[2] for _, key in recorder.calls} == {"17"}
    assert recorder.count("insert") == recorder.count("remove") == len(udp)
    assert summary.adaptors[0].counters["filtered"] == 0

    one, two = Recorder(), Recorder()
    dispatch(capture_file, tcp=one, udp=two)
    assert {key.split(":")[2] for _, key in one.calls} == {"6"}
    assert two.calls == recorder.calls


def test_one_object_for_both_has_one_delivery(capture_file: Path, visits: Any) -> None:
    recorder = Recorder()
    summary = dispatch(capture_file, tcp=recorder, udp=recorder)
    assert len(summary.adaptors) == len(recorder.seen) == 1
    assert recorder.count("insert") == recorder.count("remove") == len(visits.flows)
    assert threading.get_ident() not in recorder.seen


def test_an_adaptor_bound_to_the_thread_of_run(capture_file: Path) -> None:
    class Bound(Recorder):
        threads = "caller"

    store = Bound()
    dispatch(capture_file, tcp=store, udp=store)
    assert store.seen == {threading.get_ident()}


def test_objects_without_the_base_class(capture_file: Path, visits: Any) -> None:
    class Duck:
        calls = 0

        def insert(self, key: str) -> None:
            self.calls += 1

        def update(self, key: str, data: str) -> None: ...
        def remove(self, key: str) -> None: ...

    duck = Duck()
    summary = dispatch(capture_file, tcp=duck, udp=duck)
    assert duck.calls == len(visits.flows)
    assert summary.adaptors[0].target == "Duck"


def test_none_detaches(capture_file: Path) -> None:
    recorder, stack = Recorder(), aicore.StackLan()
    stack.set_tcp_database_adaptor(recorder, 16)
    stack.set_tcp_database_adaptor(None)
    stack.set_udp_database_adaptor(None)
    dispatcher = aicore.PacketDispatcher(capture_file)
    dispatcher.stack = stack
    dispatcher.run()
    assert recorder.calls == []


def test_an_adaptor_opened_by_url_is_connected_and_closed(capture_file: Path, install: Any) -> None:
    source = """
import threading
import aicore

class Store(aicore.DatabaseAdaptor):
    log = []

    def connect(self, connection_str):
        self.log.append(("connect", connection_str, threading.get_ident()))

    def write(self, batch):
        self.log.append(("write", len(batch), threading.get_ident()))

    def close(self):
        self.log.append(("close", None, threading.get_ident()))
"""
    install("aicore-log", adaptors={"log": "log_store:Store"}, log_store=source)
    summary = dispatch(capture_file, udp="log://u:verysecret@h/x")
    import log_store  # type: ignore[import-not-found]

    log = log_store.Store.log
    assert log[0][:2] == ("connect", "log://u:verysecret@h/x")
    assert log[-1][0] == "close"
    assert {kind for kind, *_ in log[1:-1]} == {"write"}
    assert {thread for *_, thread in log} != {threading.get_ident()}
    assert (summary.adaptors[0].name, summary.adaptors[0].target) == ("log", "log://u:***@h/x")

    log.clear()
    own = log_store.Store()
    dispatch(capture_file, udp=own)
    assert {kind for kind, *_ in log} == {"write"}


def test_two_of_one_scheme(capture_file: Path, tmp_path: Path) -> None:
    stack = aicore.StackLan()
    for name in ("a", "b"):
        stack.add_database_adaptor(f"jsonl:{tmp_path}/{name}")
    summary = Run(stack, Source.of(capture_file)).run()
    assert [adaptor.name for adaptor in summary.adaptors] == ["jsonl", "jsonl#2"]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != b""


def test_summary_and_statistics(capture_file: Path, visits: Any) -> None:
    stack, store = aicore.StackLan(), Recorder()
    stack.set_tcp_database_adaptor(store)
    stack.set_udp_database_adaptor(store)
    calls: list[int] = []
    run = Run(stack, Source.of(capture_file), progress=lambda run: calls.append(run.progress_info()["packets"]))
    summary = run.run()
    assert calls
    assert summary.counters["packets"] == len(visits.frames)
    assert stack.statistics == summary.counters
    assert {name for name, *_ in summary.top["protocols"]} == {"http", "tls", "dns"}
    assert (summary.error, summary.interrupted) == (None, False)
    (adaptor,) = summary.adaptors
    assert adaptor.counters["accepted"] == adaptor.counters["delivered"] == len(store.calls)


def test_several_files_are_one_input(capture_file: Path, tmp_path: Path) -> None:
    other = talks(http(55000)).write(tmp_path / "other.pcap")
    keys = [flow.key for flow in aicore.flows([capture_file, other])]
    assert any(":55000:" in key for key in keys)
    assert len(keys) == len(set(keys)) > 30


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "neither an interface nor a file"), (b"", "empty"), (b"not a capture at all, really" * 9, "capture")],
)
def test_bad_input_is_one_clear_line(content: bytes | None, word: str, tmp_path: Path) -> None:
    path = tmp_path / "input"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(aicore.SourceError) as error:
        dispatch(path, udp=Recorder())
    assert str(path) in str(error.value)
    assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_capture_gives_what_was_read(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    data = capture_file.read_bytes()
    short = tmp_path / "short.pcap"
    short.write_bytes(data[: len(data) // 2])
    recorder, stack = Recorder(), aicore.StackLan()
    stack.set_tcp_database_adaptor(recorder)
    stack.set_udp_database_adaptor(recorder)
    summary = Run(stack, Source.of(short)).run()
    said = [*summary.warnings, summary.error or ""]
    assert any("short.pcap" in line and "truncated" in line for line in said), said
    assert 0 < recorder.count("insert") == recorder.count("remove") < len(visits.flows)


def test_a_wrong_filter_is_a_clear_error(capture_file: Path) -> None:
    with pytest.raises(aicore.SourceError, match="nonsense"):
        aicore.flows(capture_file, filter="nonsense")


def test_run_needs_a_stack(capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match=r"pd\.stack is not set"):
        aicore.PacketDispatcher(capture_file).run()


def test_other_threads_run_meanwhile(tmp_path: Path) -> None:
    """The predecessor held the GIL for the whole capture; here a thread of 1 ms ticks goes on."""
    capture = talks(*(http(10000 + i) for i in range(3000))).write(tmp_path / "many.pcap")
    ticks, done = [0], threading.Event()

    def tick() -> None:
        while not done.wait(0.001):
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.monotonic()
    dispatch(capture, tcp=Recorder())
    seconds = time.monotonic() - begin
    done.set()
    thread.join()
    assert ticks[0] > seconds * 1000 * 0.05


def test_an_adaptor_that_gives_up_is_an_error_after_the_others_have_everything(capture_file: Path, visits: Any) -> None:
    class GivesUp(Recorder):
        def insert(self, key: str) -> None:
            raise aicore.Fatal("wrong password")

    healthy = Recorder()
    with pytest.raises(aicore.Fatal, match=r"givesup: .*wrong password"):
        dispatch(capture_file, tcp=GivesUp(), udp=healthy)
    assert healthy.count("insert") == healthy.count("remove") == sum(":17:" in flow.key for flow in visits.flows)


def test_a_run_on_files_ends_early_if_nobody_is_left_to_read_for(long_capture: Path) -> None:
    class GivesUp(aicore.DatabaseAdaptor):
        events = "all"

        def write(self, batch: aicore.FlowBatch) -> None:
            raise aicore.Fatal("wrong password")

    stack = aicore.StackLan(batch_rows=16)
    stack.set_tcp_database_adaptor(GivesUp(), 1)
    summary = Run(stack, Source.of(long_capture), queue_bytes=1 << 16).run()
    assert summary.adaptors[0].state == "fatal"
    assert summary.counters["packets"] < 5000 * 8


def test_stop_from_another_thread(long_capture: Path) -> None:
    recorder, stack = Recorder(), aicore.StackLan(batch_rows=16)
    stack.set_tcp_database_adaptor(recorder, 1)
    dispatcher = aicore.PacketDispatcher(long_capture)
    dispatcher.stack = stack

    class Stopper:
        @aicore.hookimpl
        def flow_batch(self) -> None:
            threading.Thread(target=dispatcher.stop).start()
            time.sleep(0.002)

    stack.use(Stopper())
    dispatcher.run()
    assert 0 < recorder.count("insert") == recorder.count("remove") < 5000


def test_stop_before_run(long_capture: Path) -> None:
    dispatcher = aicore.PacketDispatcher(long_capture)
    dispatcher.stop()
    recorder = Recorder()
    dispatcher.stack = aicore.StackLan()
    dispatcher.stack.set_tcp_database_adaptor(recorder)
    dispatcher.run()
    assert recorder.count("insert") == recorder.count("remove") < 5000


def test_an_idle_interface_can_be_stopped() -> None:
    """No packet has to arrive; `lo` is the only interface that every machine has."""
    if os.geteuid() != 0:
        pytest.skip("no right to open an interface")
    dispatcher = aicore.PacketDispatcher("lo", filter="port 1 and port 2")
    dispatcher.stack = aicore.StackLan()
    timer = threading.Timer(0.5, dispatcher.stop)
    timer.start()
    begin = time.monotonic()
    dispatcher.run()
    assert 0.4 < time.monotonic() - begin < 3
