# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002  # the arguments are those of the plugin interface
"""Hooks: when each is called, and that no plugin can harm another, an adaptor or the run."""

from __future__ import annotations

import inspect
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import aicore
from aicore.plugins import hookspecs
from aicore.run import isolation as guard
from aicore.run.context import RunContext, RunSummary
from aicore.run.loop import Run
from aicore.run.source import Source

Install = Callable[..., None]
HOOKS = [name for name, value in vars(hookspecs).items() if hasattr(value, "aicore_spec")]


class Store(aicore.DatabaseAdaptor):
    """A good adaptor beside the plugin under test."""

    events = "all"

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def write(self, batch: aicore.FlowBatch) -> None:
        self.kinds += batch.column("event")
        self.rows += [flow.to_dict() for flow in batch]


def run(capture: Path, *plugins: object, store: Store | None = None, **settings: Any) -> RunSummary:
    stack = aicore.StackLan(**settings)
    for plugin in plugins:
        stack.use(plugin)
    if store is not None:
        stack.set_tcp_database_adaptor(store, 4)
        stack.set_udp_database_adaptor(store, 4)
    return Run(stack, Source.of(capture)).run()


def test_every_hook_has_a_test() -> None:
    missing = [name for name in HOOKS if f"test_hook_{name}" not in globals()]
    assert not missing


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented(name: str) -> None:
    """When, on which thread, what may be raised: each docstring says it, and names only arguments that exist."""
    hook = getattr(hookspecs, name)
    text = inspect.getdoc(hook) or ""
    for word in ("When:", "Thread:", "May raise:"):
        assert word in text, word
    assert set(inspect.signature(hook).parameters) <= {"flows", "context", "summary", "registry"}


def test_hook_flow_enrich(capture_file: Path) -> None:
    class Plugin:
        fields = (aicore.Field("size", "str", "big or small"),)
        sealed: list[str] = []

        @aicore.hookimpl
        def flow_enrich(self, flows: aicore.FlowBatch) -> None:
            flows.add("size", ["big" if n > 1000 else "small" for n in flows.column("bytes")])

        @aicore.hookimpl
        def flow_batch(self, flows: aicore.FlowBatch) -> None:
            try:
                flows.add("late", [1] * len(flows))
            except aicore.UsageError as error:
                self.sealed.append(str(error))

    store = Store()
    run(capture_file, Plugin(), store=store)
    assert {row["size"] for row in store.rows} == {"big", "small"}
    assert all(row["size"] == ("big" if row["bytes"] > 1000 else "small") for row in store.rows)
    assert Plugin.sealed


class Declares:
    """Two fields, of which it fills one, and not in the first batch."""

    fields = (aicore.Field("score", "float", "a number", unit="points"), aicore.Field("seen", "time", "when"))

    def __init__(self) -> None:
        self.batches = 0

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        self.batches += 1
        assert [field.name for field in flows.schema[-2:]] == ["score", "seen"]
        assert set(flows.column("seen")) == {0}
        if self.batches > 1:
            flows.add("score", [None if n % 2 else n for n in range(len(flows))])


def test_every_batch_has_the_schema_of_the_run(capture_file: Path) -> None:
    class Witness:
        schemas: list[tuple[aicore.Field, ...]] = []
        values: list[list[Any]] = []

        @aicore.hookimpl
        def flow_batch(self, flows: aicore.FlowBatch, context: aicore.RunContext) -> None:
            assert flows.schema is context.fields
            assert flows.names() == [field.name for field in flows.schema]
            assert [flows.type(name) for name in ("score", "seen")] == ["float", "time"]
            self.schemas += [flows.schema, flows.take([0]).schema, flows.net().schema]
            self.values.append([flow.score for flow in flows])
            assert all(flow.seen is None for flow in flows)

    run(capture_file, Declares(), Witness(), batch_rows=4)
    assert len(set(Witness.schemas)) == 1
    declared = Witness.schemas[0][-2:]
    assert [(field.name, field.type, field.unit, field.protocol) for field in declared] == [
        ("score", "float", "points", "hook:declares"),
        ("seen", "time", None, "hook:declares"),
    ]
    assert Witness.values[:2] == [[None] * 4, [0.0, None, 2.0, None]]


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (aicore.Field("bytes", "int", "taken"), "is a name of the core record"),
        (aicore.Field("sampled", "bool", "taken"), "is a name of the core record"),
        (aicore.Field("to_json", "str", "taken"), "is an attribute of every Flow"),
        (aicore.Field("first_seen_at", "time", "taken"), "is an attribute of every Flow"),
        (aicore.Field("detections", "str", "taken"), r"reserved for rules that matched, and has the type list\[str\]"),
        (aicore.Field("severity", "str", "taken"), "reserved for rules that matched, and has the type int"),
        (aicore.Field("dnsdomain", "str", "taken"), "is a field of dns"),
        (aicore.Field("Bad", "str", "no name"), "has no name of the form"),
        (aicore.Field("junk", "text", "no type"), "has no type 'text'"),  # type: ignore[arg-type]
    ],
)
def test_a_field_that_cannot_be_keeps_the_run_from_starting(field: aicore.Field, why: str, capture_file: Path) -> None:
    class Plugin:
        fields = (field,)

        @aicore.hookimpl
        def flow_enrich(self, flows: aicore.FlowBatch) -> None: ...

    with pytest.raises(aicore.UsageError, match=why):
        run(capture_file, Plugin())


def test_two_hooks_may_declare_a_field_if_they_agree_on_its_type(capture_file: Path) -> None:
    class Same:
        fields = (aicore.Field("score", "float", "another meaning"),)

        @aicore.hookimpl
        def flow_batch(self, flows: aicore.FlowBatch) -> None:
            assert [field.name for field in flows.schema].count("score") == 1

    class Other(Same):
        fields = (aicore.Field("score", "int", "a count"),)

    run(capture_file, Declares(), Same())
    with pytest.raises(aicore.UsageError, match="'score' of hook:other has another type in hook:declares"):
        run(capture_file, Declares(), Other())


@pytest.mark.parametrize("hook", ["flow_insert", "flow_update", "flow_remove", "flow_batch"])
def test_the_rows_of_a_hook_cannot_be_changed(capture_file: Path, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field added there would be in a copy that no store and no other hook sees: an error tells the author."""
    monkeypatch.setenv("AICORE_STRICT", "1")

    def add(flows: aicore.FlowBatch) -> None:
        flows.add("late", [True] * len(flows))

    plugin = type("Late", (), {hook: staticmethod(aicore.hookimpl(add))})()
    with pytest.raises(aicore.UsageError, match="sealed"):
        run(capture_file, plugin)


def test_hook_flow_insert(capture_file: Path, visits: Any) -> None:
    class Plugin:
        keys: list[str] = []

        @aicore.hookimpl
        def flow_insert(self, flows: aicore.FlowBatch, context: RunContext) -> None:
            assert set(flows.column("event")) == {"insert"}
            assert not context.live
            self.keys += flows.keys()

    run(capture_file, Plugin())
    assert sorted(Plugin.keys) == sorted(flow.key for flow in visits.flows)


def test_hook_flow_update(capture_file: Path, visits: Any) -> None:
    class Plugin:
        last: dict[str, str] = {}

        @aicore.hookimpl
        def flow_update(self, flows: aicore.FlowBatch) -> None:
            for flow in flows:
                assert flow.event == "update"
                self.last[flow.key] = flow.layer7

    run(capture_file, Plugin())
    assert set(Plugin.last) == {flow.key for flow in visits.flows}
    assert set(Plugin.last.values()) == {"dns", "http", "tls"}


def test_hook_flow_remove(capture_file: Path, visits: Any) -> None:
    class Plugin:
        flows: list[aicore.Flow] = []

        @aicore.hookimpl
        def flow_remove(self, flows: aicore.FlowBatch) -> None:
            self.flows += flows

    run(capture_file, Plugin())
    assert sorted((flow.key, flow.packets) for flow in Plugin.flows) == sorted(
        (flow.key, flow.packets) for flow in visits.flows
    )
    assert all(flow.end_reason for flow in Plugin.flows)


def test_hook_flow_batch(capture_file: Path) -> None:
    """Once a batch, in order of seq, after the hooks for its kinds and before the adaptors."""

    class Plugin:
        calls: list[tuple[str, list[int]]] = []

        @aicore.hookimpl
        def flow_batch(self, flows: aicore.FlowBatch) -> None:
            self.calls.append(("batch", flows.column("seq").tolist()))

        @aicore.hookimpl
        def flow_remove(self, flows: aicore.FlowBatch) -> None:
            self.calls.append(("remove", flows.column("seq").tolist()))

        @aicore.hookimpl
        def flow_insert(self, flows: aicore.FlowBatch) -> None:
            self.calls.append(("insert", flows.column("seq").tolist()))

    run(capture_file, Plugin(), batch_rows=16)
    kinds = [kind for kind, _ in Plugin.calls]
    assert kinds.count("batch") > 1
    seqs = [seq for kind, rows in Plugin.calls if kind == "batch" for seq in rows]
    assert seqs == sorted(set(seqs))
    for before, after in itertools.pairwise(kinds):
        assert (before, after) not in {("remove", "insert"), ("insert", "insert"), ("remove", "remove")}


def test_hook_check(capture_file: Path, tmp_path: Path) -> None:
    class Plugin:
        calls: list[tuple[int, str]] = []
        options = {"number": aicore.Option(int, default=1)}
        config: Mapping[str, Any]

        @aicore.hookimpl
        def check(self) -> None:
            self.calls.append((self.config["number"], "check"))

        @aicore.hookimpl
        def run_started(self) -> None:
            self.calls.append((self.config["number"], "run_started"))

    stack = aicore.StackLan()
    stack.use(Plugin)
    stack.use(Plugin, number=2)
    with aicore.PacketDispatcher(capture_file) as pd:
        pd.stack = stack
        pd.run()
    assert Plugin.calls == [(1, "check"), (2, "check"), (1, "run_started"), (2, "run_started")]
    Plugin.calls.clear()
    (tmp_path / "no.pcap").write_bytes(b"junk")
    with pytest.raises(aicore.SourceError):
        run(tmp_path / "no.pcap", Plugin())
    assert Plugin.calls == [(1, "check")], "before the source is opened"


def test_hook_flow_detected(capture_file: Path) -> None:
    """It may be implemented; nothing in this run detects."""

    class Plugin:
        calls = 0

        @aicore.hookimpl
        def flow_detected(self, flows: aicore.FlowBatch, context: RunContext) -> None:
            type(self).calls += 1

    run(capture_file, Plugin(), store=Store())
    assert Plugin.calls == 0


def test_hook_run_started(capture_file: Path) -> None:
    class Plugin:
        seen: list[Any] = []

        @aicore.hookimpl
        def run_started(self, context: RunContext) -> None:
            names = [field.name for field in context.fields]
            self.seen += [context.source, context.sensor, context.run_id, sum(context.counters().values()), names]

    run(capture_file, Plugin(), sensor="lab")
    source, sensor, run_id, packets, names = Plugin.seen
    assert (source, sensor, packets) == ((str(capture_file),), "lab", 0)
    assert abs(int(run_id) / 1e6 - time.time()) < 60
    assert {"key", "httphost"} <= set(names)


def test_hook_run_finished(capture_file: Path, visits: Any) -> None:
    class Plugin:
        summaries: list[RunSummary] = []

        @aicore.hookimpl
        def run_finished(self, context: RunContext, summary: RunSummary) -> None:
            self.summaries.append(summary)
            assert context.counters() == summary.counters

    store = Store()
    summary = run(capture_file, Plugin(), store=store)
    assert Plugin.summaries == [summary]
    assert store.kinds.count("remove") == len(visits.flows)
    assert [adaptor.name for adaptor in summary.adaptors] == ["store"]
    assert summary.to_dict()["plugins"][0]["name"] == "hook:plugin"


def test_hook_reload(capture_file: Path) -> None:
    class Plugin:
        reloads = 0

        @aicore.hookimpl
        def reload(self) -> None:
            type(self).reloads += 1

    stack = aicore.StackLan()
    stack.use(Plugin())
    whole = Run(stack, Source.of(capture_file))
    whole.reload()
    whole.run()
    assert Plugin.reloads == 1


def test_hook_register_protocols(capture_file: Path) -> None:
    class Shout(aicore.Protocol):
        name = "shout"
        transports = ("udp",)

        def inspect(self, payload: bytes, flow: Any) -> Any:
            return self.done()

    class Plugin:
        names: list[str] = []

        @aicore.hookimpl
        def register_protocols(self, registry: aicore.ProtocolRegistry) -> None:
            self.names.append(registry.add(Shout()))

    class Raises:
        @aicore.hookimpl
        def register_protocols(self, registry: aicore.ProtocolRegistry) -> None:
            registry.add(Shout)
            registry.add(Shout)

    run(capture_file, Plugin())
    assert Plugin.names == ["shout"]
    with pytest.raises(aicore.PluginError, match="hook:raises: register_protocols raised UsageError"):
        run(capture_file, Raises())


def test_plugins_are_called_in_the_order_in_which_they_are_named(capture_file: Path) -> None:
    order: list[int] = []

    def plugin(number: int) -> object:
        class Plugin:
            @aicore.hookimpl
            def run_started(self) -> None:
                order.append(number)

        return Plugin()

    run(capture_file, plugin(1), plugin(2), plugin(3))
    assert order == [1, 2, 3]


def test_plugins_by_name_get_their_options(capture_file: Path, install: Install) -> None:
    source = """
import aicore
class Mark:
    options = {"text": aicore.Option(str, required=True)}
    fields = (aicore.Field("mark", "str", "text"),)
    @aicore.hookimpl
    def flow_enrich(self, flows):
        flows.add("mark", [self.config["text"]] * len(flows))
"""
    install("aicore-mark", hooks={"mark": "mark:Mark"}, mark=source)
    (text,) = {flow.mark for flow in aicore.flows(capture_file, plugins=["mark?text=a%20b"])}
    assert text == "a b"
    for plugin, message in (
        ("mark", "hook:mark needs the option text"),
        ("mark?txt=a", "did you mean text"),
        ("marc?text=a", "did you mean mark"),
        ("sqlite", "'sqlite' is the name of an adaptor, not of a hook, a meter or a protocol"),
    ):
        with pytest.raises(aicore.UsageError, match=message):
            aicore.flows(capture_file, plugins=[plugin])


def test_an_object_that_is_used_has_its_options(capture_file: Path) -> None:
    class Mark:
        options = {"text": aicore.Option(str, default="d")}
        config: Mapping[str, Any]

        @aicore.hookimpl
        def flow_insert(self) -> None:
            seen.add(self.config["text"])

    class Needs(Mark):
        options = {"text": aicore.Option(str, required=True)}

    seen: set[str] = set()
    set_up = Needs()
    set_up.config = {"text": "mine"}
    given = [(Mark(), {}), (set_up, {}), (Mark, {"text": "class"}), (Needs(), {"text": "object"})]
    stack = aicore.StackLan()
    for plugin, options in given:
        stack.use(plugin, **options)
    for _ in range(2):  # what an object has it keeps
        seen.clear()
        with aicore.PacketDispatcher(capture_file) as pd:
            pd.stack = stack
            pd.run()
        assert seen == {"d", "mine", "class", "object"}
    assert Mark.options["text"].default == "d"
    with pytest.raises(TypeError):
        given[0][0].config["text"] = "changed"  # type: ignore[union-attr]
    with pytest.raises(aicore.UsageError, match="hook:needs needs the option text"):
        run(capture_file, Needs())
    stack.use(Mark, txt="x")
    pd = aicore.PacketDispatcher(capture_file)
    pd.stack = stack
    with pytest.raises(aicore.UsageError, match="did you mean text"):
        pd.run()


@pytest.mark.parametrize("hook", ["check", "run_started"])
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (aicore.UsageError("no such table"), aicore.UsageError, "no such table"),
        (OSError(2, "gone"), aicore.PluginError, r"hook:\w+: \w+ raised FileNotFoundError: \[Errno 2\] gone"),
        (SystemExit(3), aicore.PluginError, r"hook:\w+: \w+ raised SystemExit: 3"),
    ],
    ids=["usage", "os", "exit"],
)
def test_a_hook_that_cannot_start_keeps_the_run_from_starting(
    hook: str, error: BaseException, raised: type[Exception], message: str, capture_file: Path
) -> None:
    class Witness:
        @aicore.hookimpl
        def run_started(self) -> None:
            calls.append("run_started")

        @aicore.hookimpl
        def flow_batch(self) -> None:
            calls.append("flow_batch")

        @aicore.hookimpl
        def run_finished(self) -> None:
            calls.append("run_finished")

    def fail(_self: object) -> None:
        raise error

    class Connects(Store):
        url = aicore.AdaptorURL.parse("memory:")

        def connect(self, connection_str: str) -> None:
            calls.append("connect")

    calls: list[str] = []
    bad = type("Bad", (), {hook: aicore.hookimpl(fail)})
    with pytest.raises(raised, match=message):
        run(capture_file, Witness(), bad(), Witness(), store=Connects())
    assert calls == ([] if hook == "check" else ["run_started"] * 2 + ["run_finished"] * 2)
    if hook == "run_started":
        calls.clear()
        with pytest.raises(raised, match=message):
            next(aicore.flows(capture_file, plugins=[Witness(), bad()]))
        assert calls == ["run_started", "run_finished"]


class Raises:
    @aicore.hookimpl
    def flow_batch(self, flows: aicore.FlowBatch) -> None:
        raise ValueError("always\nand a second line")


class Exits:
    @aicore.hookimpl
    def flow_batch(self, flows: aicore.FlowBatch) -> None:
        raise SystemExit(3)


class WrongLength:
    fields = (aicore.Field("junk", "int", "anything"),)

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        flows.add("junk", [1])


class WrongType:
    fields = (aicore.Field("junk", "int", "anything"),)

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        flows.add("junk", [object()] * len(flows))


class OtherType:
    fields = (aicore.Field("junk", "int", "anything"),)

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        flows.add("junk", ["text"] * len(flows))


class Undeclared:
    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        flows.add("junk", [0.5] * len(flows))


class Overwrites:
    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        flows.add("bytes", [0] * len(flows))


class Slow:
    @aicore.hookimpl
    def flow_batch(self, flows: aicore.FlowBatch) -> None:
        end = time.thread_time() + 0.002 * len(flows)
        while time.thread_time() < end:
            pass


class Hangs:
    @aicore.hookimpl
    def run_finished(self) -> None:
        time.sleep(1.0)


BAD = {
    Raises: "5 errors in a row in flow_batch, the last one ValueError: always and a second line",
    Exits: "5 errors in a row in flow_batch, the last one SystemExit: 3",
    WrongLength: "field 'junk' cannot be added",
    WrongType: "field 'junk' cannot be added",
    OtherType: "field 'junk' cannot be added: row 0: must be an integer, not str",
    Undeclared: "no hook declares it: a hook names what it adds in its `fields`, as fields = "
    '(aicore.Field("junk", "float", "what it means"),)',
    Overwrites: "field 'bytes' cannot be added",
    Slow: "too slow, ",
    Hangs: "has not returned",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_plugin_harms_nobody_and_is_named(
    bad: type, capture_file: Path, visits: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Good:
        rows = 0

        @aicore.hookimpl
        def flow_batch(self, flows: aicore.FlowBatch) -> None:
            type(self).rows += len(flows)

    monkeypatch.setattr(guard, "HANGING", 0.2)
    monkeypatch.setattr(guard, "WINDOW", 10)
    store = Store()
    name = f"hook:{bad.__name__.lower()}"
    summary = run(capture_file, Good(), bad(), Good(), store=store, batch_rows=4)
    assert Good.rows == 2 * len(store.rows)
    assert store.kinds.count("insert") == store.kinds.count("remove") == len(visits.flows)
    assert [record.message for record in caplog.records if name in record.message and BAD[bad] in record.message]
    assert all("\n" not in record.message for record in caplog.records)
    (stats,) = [stats for stats in summary.plugins if stats.name == name]
    if bad is not Hangs:
        assert stats.set_aside
        assert stats.calls < 20
    assert stats.seconds >= 0


def test_errors_now_and_then_do_not_set_a_plugin_aside(capture_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Flaky:
        calls = 0

        @aicore.hookimpl
        def flow_batch(self) -> None:
            type(self).calls += 1
            if self.calls % 3:
                raise ValueError("now and then")

    summary = run(capture_file, Flaky(), batch_rows=2)
    (stats,) = summary.plugins
    assert Flaky.calls == stats.calls > 30
    assert stats.errors == stats.calls - stats.calls // 3
    assert stats.set_aside is None
    lines = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert 0 < len(lines) < 10  # 1, 2, 4, 8 ...: not one for each error


def test_strict_mode_raises(capture_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_STRICT", "1")
    with pytest.raises(ValueError, match="always"):
        run(capture_file, Raises(), store=Store())


def test_a_wrapper_is_refused(capture_file: Path) -> None:
    class Wrapper:
        @aicore.hookimpl(wrapper=True)
        def flow_batch(self, flows: Any) -> Any:
            return (yield)

    with pytest.raises(aicore.PluginError, match="flow_batch is a wrapper"):
        run(capture_file, Wrapper())


def test_a_protocol_nobody_named_may_be_broken(
    capture_file: Path, install: Install, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("aicore-bad", protocols={"bad": "bad:Bad"}, bad="import no_such_module")
    assert {flow.layer7 for flow in aicore.flows(capture_file)} == {"dns", "http", "tls"}
    assert "protocol:bad of aicore-bad 1.0 cannot be loaded: ModuleNotFoundError" in caplog.text
    with pytest.raises(aicore.PluginError, match="protocol:bad"):
        aicore.flows(capture_file, plugins=["bad"])
    monkeypatch.setenv("AICORE_STRICT", "1")
    with pytest.raises(aicore.PluginError, match="protocol:bad"):
        aicore.flows(capture_file)
    monkeypatch.setenv("AICORE_DISABLE_PLUGINS", "bad")
    assert list(aicore.flows(capture_file))


def test_a_blocked_protocol_recognises_nothing(capture_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_DISABLE_PLUGINS", "protocol:http")
    assert "http" not in {flow.layer7 for flow in aicore.flows(capture_file)}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (None, "hook:adds: fields must be a list of aicore.Field, not None"),
        (["city"], "hook:adds: fields must be a list of aicore.Field"),
        ((aicore.Field("city", "str", "where", width=-1),), "field 'city' has a bad width: -1"),
        ((aicore.Field("city", "str", "\ud800"),), "field 'city' has a bad help"),
        ([aicore.Field(f"city{i}", "str", "one of many") for i in range(4097)], "more than 4096 fields"),
    ],
)
def test_fields_that_cannot_be_declared(fields: Any, reason: str, capture_file: Path) -> None:
    class Adds:
        @aicore.hookimpl
        def flow_enrich(self, flows: aicore.FlowBatch) -> None:
            raise AssertionError

    Adds.fields = fields  # type: ignore[attr-defined]
    with pytest.raises((aicore.UsageError, aicore.PluginError)) as caught:
        aicore.flows(capture_file, plugins=[Adds()])
    assert reason in str(caught.value)
