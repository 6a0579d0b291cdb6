# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002  # the arguments are those of the plugin interface
"""A run from its start to its end: adaptors, stopping, signals, bad input."""

from __future__ import annotations

import math
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from captures.build import http
from captures.files import talks

import aicore
from aicore.plugins.discovery import Plugins
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
    (broken,) = summary.broken_files
    assert (broken.file, summary.error) == (str(short), broken.error)
    assert broken.error.startswith(f"{short}: capture ends inside packet ")
    assert 0 < recorder.count("insert") == recorder.count("remove") < len(visits.flows)


def test_a_wrong_filter_is_a_clear_error(capture_file: Path) -> None:
    with pytest.raises(aicore.SourceError, match="nonsense"):
        aicore.flows(capture_file, filter="nonsense")


def test_run_needs_a_stack(capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match=r"pd\.stack is not set"):
        aicore.PacketDispatcher(capture_file).run()


@pytest.mark.timing
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


def test_a_dispatcher_runs_once_at_a_time(capture_file: Path) -> None:
    errors: list[str] = []

    class Again(Recorder):
        def insert(self, key: str) -> None:
            if not self.calls:
                try:
                    dispatcher.run()
                except aicore.UsageError as error:
                    errors.append(str(error))
            super().insert(key)

    dispatcher = aicore.PacketDispatcher(capture_file)
    dispatcher.stack = stack_of(recorder := Again())
    dispatcher.run()
    assert errors == ["run() of this dispatcher goes on already"]
    assert recorder.count("insert") == recorder.count("remove") > 0
    dispatcher.run()
    assert len(errors) == 1


def test_a_stopped_dispatcher_runs_again(capture_file: Path) -> None:
    dispatcher = aicore.PacketDispatcher(capture_file)
    dispatcher.stack = stack_of(recorder := Recorder())
    dispatcher.run()
    everything = recorder.count("remove")
    dispatcher.stop()  # of the next run, as none goes on
    assert dispatcher.run().counters["flows_tcp"] <= everything
    recorder.calls.clear()
    dispatcher.run()
    assert recorder.count("remove") == everything > 0
    assert repr(dispatcher) == f"<PacketDispatcher of {capture_file}: ready, last run: {dispatcher.summary!r}>"


def test_a_dispatcher_ends_with_its_with_block(capture_file: Path) -> None:
    with aicore.PacketDispatcher(capture_file) as dispatcher:
        dispatcher.stack = stack_of(Recorder())
        dispatcher.run()
    with pytest.raises(aicore.UsageError, match="this dispatcher is closed: its with block has ended"):
        dispatcher.run()
    assert repr(dispatcher).startswith(f"<PacketDispatcher of {capture_file}: closed, last run: <RunSummary: ")


def test_a_summary_at_a_glance(capture_file: Path) -> None:
    dispatcher = aicore.PacketDispatcher(capture_file)
    dispatcher.stack = stack_of(recorder := Recorder())
    summary = dispatcher.run()
    text = repr(summary)
    packets, flows = summary.counters["packets"], recorder.count("insert")
    assert re.fullmatch(rf"<RunSummary: \d+\.\d s; {packets} packets; {flows} flows; \w+ \w+, \d+ delivered>", text), (
        text
    )
    shown = replace(summary, error="the file is cut off", interrupted=True, warnings=["a", "b"])
    assert repr(shown).endswith("; 2 warnings; interrupted; error: the file is cut off>")


def test_a_summary_shows_plugins_that_failed(capture_file: Path) -> None:
    class Raising:
        @aicore.hookimpl
        def flow_update(self, flows: aicore.FlowBatch) -> None:
            raise ValueError("taken")

    stack = aicore.StackLan()
    stack.use(Raising())
    with aicore.PacketDispatcher(capture_file) as dispatcher:
        dispatcher.stack = stack
        summary = dispatcher.run()
    (plugin,) = summary.plugins
    assert plugin.errors > 0
    assert f"; hook:raising failed {plugin.errors} time" in repr(summary)
    assert re.fullmatch(r"PluginStats\(name='hook:raising', calls=.*, set_aside=None\)", repr(plugin))


def test_a_summary_shows_what_a_store_refused(capture_file: Path) -> None:
    class Refusing(aicore.DatabaseAdaptor):
        def write(self, batch: aicore.FlowBatch) -> list[aicore.RowError]:
            return [aicore.RowError(row, "poison", "taken") for row in range(len(batch))]

    stack = aicore.StackLan()
    stack.set_tcp_database_adaptor(Refusing())
    with aicore.PacketDispatcher(capture_file) as dispatcher:
        dispatcher.stack = stack
        summary = dispatcher.run()
    refused = summary.adaptors[0].counters["dead_lettered"]
    assert refused > 0
    assert f"refusing closed, 0 delivered, {refused} refused for good" in repr(summary)


def test_plugins_of_flows_are_a_list(capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match=r"plugins=\['http'\]"):
        aicore.flows(capture_file, plugins="http")


@pytest.mark.parametrize("spool", [True, False, 5, "", b"x"])
def test_a_spool_is_a_directory(spool: Any, capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match="spool must be the path of a directory, not"):
        aicore.PacketDispatcher(capture_file, spool=spool)


def test_a_spool_that_cannot_be_written_keeps_the_run_from_starting(capture_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for spool in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/no-such-place")):
        dispatcher = aicore.PacketDispatcher(capture_file, spool=spool)
        dispatcher.stack = stack_of(recorder := Recorder())
        with pytest.raises(aicore.UsageError, match=f"^spool: {spool}: "):
            dispatcher.run()
        assert recorder.calls == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filter": 5}, "filter must be text, not 5"),
        ({"live": "x"}, "live must be yes or no, not 'x'"),
        ({"follow": 5}, "follow must be yes or no, not 5"),
        ({"spool_always": 5}, "spool_always must be yes or no, not 5"),
        ({"snaplen": "x"}, "snaplen must be a whole number, not 'x'"),
        ({"buffer_bytes": 1 << 40}, "buffer_bytes must be at most 2147483647"),
        ({"immediate": 1}, "immediate must be yes or no, not 1"),
        ({"queue": None}, r"queue \(MiB\) must be a whole number, not None"),
        (
            {"wait": "soon"},
            "wait must be a number of seconds, or forever, or seconds with ,stop behind them, not 'soon'",
        ),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], message: str, capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match=f"^{message}"):
        aicore.PacketDispatcher(capture_file, **wrong)


def test_stop_before_run(long_capture: Path) -> None:
    dispatcher = aicore.PacketDispatcher(long_capture)
    dispatcher.stop()
    recorder = Recorder()
    dispatcher.stack = aicore.StackLan()
    dispatcher.stack.set_tcp_database_adaptor(recorder)
    dispatcher.run()
    assert recorder.count("insert") == recorder.count("remove") < 5000


@pytest.mark.timing
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


# -- what PacketDispatcher takes -------------------------------------------------------------------------------------


class Away(aicore.DatabaseAdaptor):
    """A store that is not there."""

    def write(self, batch: aicore.FlowBatch) -> None:
        raise ConnectionError("away")


def stack_of(*adaptors: Any, **settings: Any) -> aicore.StackLan:
    stack = aicore.StackLan(**settings)
    for adaptor in adaptors:
        stack.add_database_adaptor(adaptor)
    return stack


def test_what_a_store_does_not_take_waits_in_the_spool_for_the_next_run(capture_file: Path, tmp_path: Path) -> None:
    state, url = tmp_path / "state", f"exec:false {tmp_path}/out"
    first = aicore.PacketDispatcher(capture_file, spool=state, wait=0.2)
    first.stack = stack_of(url)
    with pytest.raises(aicore.Fatal, match="taken nothing"):
        first.run()
    assert first.summary is not None
    waiting = first.summary.adaptors[0].counters["spooled"]
    assert waiting > 0

    (path,) = [one for one in state.iterdir() if one.name.startswith("exec-")]
    recovered = aicore.PacketDispatcher(capture_file, spool=state, wait=0.2)
    recovered.stack = stack_of(url)
    with pytest.raises(aicore.Fatal):
        recovered.run()
    assert recovered.summary is not None
    assert recovered.summary.adaptors[0].counters["recovered"] == waiting
    assert list(path.glob("*.seg"))


def test_without_a_spool_nothing_is_kept(capture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = set(tmp_path.rglob("*"))
    dispatcher = aicore.PacketDispatcher(capture_file, wait=0.2)
    dispatcher.stack = stack_of("exec:false")
    with pytest.raises(aicore.Fatal):
        dispatcher.run()
    assert dispatcher.summary is not None
    assert dispatcher.summary.adaptors[0].counters["lost"] > 0
    kept = set(tmp_path.rglob("*")) - before
    assert {path.name for path in kept} == {"state", "aicore", "clock", "clock.lock"}


@pytest.mark.timing
def test_wait_is_how_long_a_store_may_take_nothing(capture_file: Path) -> None:
    dispatcher = aicore.PacketDispatcher(capture_file, wait=0.5)
    dispatcher.stack = stack_of(Away())
    begin = time.monotonic()
    with pytest.raises(aicore.Fatal, match="away"):
        dispatcher.run()
    assert 0.5 <= time.monotonic() - begin < 4


def test_the_queue_has_a_bound(capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match=r"queue \(MiB\) must be at least 1, not 0"):
        aicore.PacketDispatcher(capture_file, queue=0)


@pytest.mark.parametrize("wait", [0, 2.5, math.inf, "forever", "2.5", "2.5,stop"])
def test_wait_is_a_number_of_seconds_or_for_ever(capture_file: Path, wait: Any) -> None:
    expected = {"forever": (math.inf, False), "2.5": (2.5, False), "2.5,stop": (2.5, True)}.get(wait, (wait, False))
    assert aicore.PacketDispatcher(capture_file, wait=wait)._wait == expected
    assert aicore.PacketDispatcher(capture_file)._wait is None


@pytest.mark.parametrize("wait", [True, False, -1, math.nan, "for ever"])
def test_the_time_to_wait_is_a_number_of_seconds(capture_file: Path, wait: Any) -> None:
    with pytest.raises(aicore.UsageError, match="wait must be"):
        aicore.PacketDispatcher(capture_file, wait=wait)


@pytest.mark.parametrize("name", ["spol", "bogus", "snap_len", "buffer"])
def test_an_unknown_setting_is_an_error_of_files_too(capture_file: Path, name: str) -> None:
    with pytest.raises(aicore.UsageError, match=f"no setting '{name}'"):
        aicore.PacketDispatcher(capture_file, **{name: 1})


def test_a_file_takes_the_settings_of_an_interface(capture_file: Path) -> None:
    aicore.PacketDispatcher(capture_file, snaplen=96, buffer_bytes=1 << 20, promiscuous=False, immediate=True)


def test_a_folder_is_the_captures_in_it(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    capture_file.rename(folder / "1.pcap")
    talks(http(55000)).write(folder / "2.pcap")
    (folder / "notes.txt").write_text("no capture")
    assert len(list(aicore.flows(folder))) == len(visits.flows) + 1


def test_a_folder_is_followed_and_each_capture_read_once(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    for run, name in enumerate(("1.pcap", "2.pcap")):
        talks(http(50000 + run)).write(folder / name)
        recorder = Recorder()
        dispatcher = aicore.PacketDispatcher(folder, follow=True, spool=state)
        dispatcher.stack = stack_of(recorder)

        class Stopper:
            @aicore.hookimpl
            def flow_insert(self, dispatcher: Any = dispatcher) -> None:
                threading.Timer(0.5, dispatcher.stop).start()

        dispatcher.stack.use(Stopper())
        dispatcher.run()
        assert [key.split(":")[1] for kind, key in recorder.calls if kind == "insert"] == [str(50000 + run)]
    (ledger,) = (state / "followed").glob("in-*.jsonl")
    assert len(ledger.read_text().splitlines()) == 2
    with pytest.raises(aicore.UsageError, match="directories"):
        aicore.PacketDispatcher(folder / "1.pcap", follow=True)


def test_reload_reaches_hooks(long_capture: Path) -> None:
    class Reloads:
        reloaded = 0

        @aicore.hookimpl
        def flow_batch(self) -> None:
            dispatcher.reload()

        @aicore.hookimpl
        def reload(self) -> None:
            self.reloaded += 1
            dispatcher.stop()

    hook, dispatcher = Reloads(), aicore.PacketDispatcher(long_capture)
    dispatcher.reload()  # nothing runs
    dispatcher.stack = aicore.StackLan(batch_rows=16)
    dispatcher.stack.use(hook)
    dispatcher.run()
    assert hook.reloaded > 0


def test_adaptors_know_the_run_before_they_connect(capture_file: Path, install: Any) -> None:
    source = """
import aicore

class Store(aicore.DatabaseAdaptor):
    seen = []

    def connect(self, connection_str):
        self.seen.append(self.context)

    def write(self, batch):
        assert self.context is self.seen[0]
"""
    install("aicore-knows", adaptors={"knows": "knows_store:Store"}, knows_store=source)

    class Declares:
        fields = (aicore.Field("color", "str", "of the flow"),)

        @aicore.hookimpl
        def run_started(self, context: aicore.RunContext) -> None:
            self.context = context

    hook, stack = Declares(), stack_of("knows:x", sensor="here")
    stack.use(hook)
    Run(stack, Source.of(capture_file)).run()
    import knows_store  # type: ignore[import-not-found]

    (context,) = knows_store.Store.seen
    assert context is hook.context
    assert context.sensor == "here"
    assert {"key", "httphost", "color"} <= {field.name for field in context.fields}


def test_adaptors_are_in_the_plugin_manager_by_their_names(capture_file: Path) -> None:
    plugins = Plugins()
    Run(stack_of(Recorder(), Recorder(), "memory:"), Source.of(capture_file), plugins=plugins).run()
    names = [name for name, _ in plugins.manager.list_name_plugin() if name.startswith("adaptor:")]
    assert names == ["adaptor:recorder", "adaptor:recorder#2", "adaptor:memory"]


def test_what_does_not_begin_leaves_nothing_open(capture_file: Path, tmp_path: Path) -> None:
    """A spool that stays locked would keep the next run from it."""
    url = f"jsonl:{tmp_path}/out"
    bad = Source.of(capture_file, filter="nonsense")
    with pytest.raises(aicore.SourceError):
        Run(stack_of(url), bad, spool=tmp_path / "state")
    good = Run(stack_of(url), Source.of(capture_file), spool=tmp_path / "state")
    assert good.run().adaptors[0].counters["delivered"] > 0
    assert [path.name for path in (tmp_path / "state").iterdir() if "." in path.name] == []
