# SPDX-License-Identifier: Apache-2.0
"""Meters from Python: found, configured, named in runs, made anew on reload; the two examples, and what is wrong with
others."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from captures.build import dns, http
from captures.files import Capture, Tcp, Udp, talks
from commandline import invoke
from conftest import Install
from native_plugins import compiled

import aicore
from aicore import Field, FlowBatch, Meter, Option, PluginError, UsageError
from aicore._core import METER_ABI

EXAMPLES = Path(__file__).parent.parent / "examples" / "native"
CAPSULE_NAME = b"aicore.meter"  # a capsule refers to it
_FUNCTIONS = ("create", "destroy", "take_over", "opened", "packet", "stream", "named", "record", "ended")


class FieldStructure(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        *((member, ctypes.c_uint32) for member in ("type", "flags", "width")),
        *((member, ctypes.c_char_p) for member in ("unit", "ecs", "help")),
    )


class MeterStructure(ctypes.Structure):
    _fields_ = (
        *((member, ctypes.c_uint32) for member in ("abi", "size")),
        *((member, ctypes.c_char_p) for member in ("name", "help")),
        *((member, ctypes.c_uint32) for member in ("state_size", "stream_bytes")),
        ("fields", ctypes.c_void_p),
        *((member, ctypes.c_uint32) for member in ("field_count", "field_size")),
        *((member, ctypes.c_void_p) for member in _FUNCTIONS),
    )


STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")

# A native part whose create() keeps its configuration, and fails for one that begins with "bad".
ECHO = r"""
#include <Python.h>
#include <stdlib.h>
#include <string.h>
#include "aicore/meter.h"
static void *create(const aicore_meter_setup *setup) {
    char *text = calloc(1, setup->config_length + 1);
    memcpy(text, setup->config, setup->config_length);
    if (strncmp(text, "bad", 3) != 0) return text;
    strncpy(setup->error, text, setup->error_size - 1);
    free(text);
    return NULL;
}
static void record(void *self, aicore_meter_flow *flow, void *state) {
    (void)state;
    flow->host->set_string(flow, 0, self, strlen(self));
}
static const aicore_field fields[] = {{"echoed", AICORE_STRING, 0, 64, NULL, NULL, "What it was told"}};
static const aicore_meter meter = {.abi = AICORE_METER_ABI, .size = sizeof(aicore_meter), .name = "echo",
    .fields = fields, .field_count = 1, .field_size = sizeof *fields, .create = create, .destroy = free,
    .record = record};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "echo_native", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_echo_native(void) {
    PyObject *self = PyModule_Create(&module);
    PyModule_AddObject(self, "echo", PyCapsule_New((void *)&meter, AICORE_METER_CAPSULE, NULL));
    return self;
}
"""

SAYS = """
import aicore, says_native
class Says(aicore.Meter):
    options = {"text": aicore.Option(str)}
    def native(self):
        return says_native.says, self.config["text"].encode()
"""


@pytest.fixture
def examples(install: Install, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    compiled(EXAMPLES / "entropy" / "aicore_entropy.c", "aicore_entropy", site, *STRICT)
    install("aicore-entropy", meters={"entropy": "aicore_entropy:entropy"})
    (site / "aicore_watch").mkdir()
    (site / "aicore_watch" / "__init__.py").write_text((EXAMPLES / "watch/aicore_watch/__init__.py").read_text())
    compiled(EXAMPLES / "watch" / "watch.c", "aicore_watch/_native", site, *STRICT)
    install("aicore-watch", meters={"watch": "aicore_watch:Watch"})


@pytest.fixture
def echo(install: Install, tmp_path: Path) -> object:
    """The capsule; the entry point is `echo`."""
    (tmp_path / "echo.c").write_text(ECHO)
    compiled(tmp_path / "echo.c", "echo_native", tmp_path / "site-packages", "-std=c99")
    install("aicore-echo", meters={"echo": "echo_native:echo"})
    import echo_native  # type: ignore[import-not-found]

    return echo_native.echo


def entropy(data: bytes) -> float:
    return -sum(n / len(data) * math.log2(n / len(data)) for n in Counter(data).values())


@pytest.mark.usefixtures("examples")
def test_entropy_of_the_first_bytes_of_each_direction(tmp_path: Path) -> None:
    text, noise = b"to be or not to be, that is the question\r\n" * 20, bytes(range(256)) * 4
    tcp = Tcp(("10.0.0.1", 1), ("10.0.0.2", 7000)).open().say(text, size=50).say(noise, from_server=True).close()
    udp = Udp(("10.0.0.1", 2), ("10.0.0.2", 7000)).say(text[:200]).say(noise[:30]).say(noise)
    silent = Tcp(("10.0.0.1", 3), ("10.0.0.2", 7000)).open().close()
    path = talks(tcp, udp, silent).write(tmp_path / "a.pcap")
    found = {flow.portsrc: flow for flow in aicore.flows(path, plugins=["entropy"])}
    assert found[1].src_entropy == pytest.approx(entropy(text[:256]))
    assert found[1].dst_entropy == pytest.approx(8)
    assert found[2].src_entropy == pytest.approx(entropy((text[:200] + noise[:30] + noise)[:256]))
    assert (found[2].dst_entropy, found[3].src_entropy, found[3].dst_entropy) == (None, None, None)


@pytest.mark.usefixtures("examples")
def test_only_a_run_that_names_a_meter_has_its_fields(capture_file: Path) -> None:
    own = ("src_entropy", "dst_entropy", "watched")
    assert not {field.name for field in aicore.record_fields()} & set(own)
    assert [field.name for field in aicore.record_fields(["entropy"]) if field.name in own] == list(own[:2])
    listed = json.loads(invoke("fields", "--json").stdout)
    assert [(f["name"], f["type"], f["unit"], f["protocol"], f["needs"]) for f in listed if f["name"] in own] == [
        ("src_entropy", "float", "bit", "meter:entropy", "--plugin entropy"),
        ("dst_entropy", "float", "bit", "meter:entropy", "--plugin entropy"),
    ]  # the other one needs its option, and a warning says so
    flows = aicore.flows(capture_file, plugins=["entropy"])
    names = [name for name, _ in flows._fields()]  # what a reader of Arrow is told before the first packet
    assert names[-2:] == ["src_entropy", "dst_entropy"]
    batch = next(flows.batches())
    assert batch.type("src_entropy") == "float"
    assert all(value > 0 for value in batch.column("src_entropy"))


@pytest.mark.usefixtures("examples")
def test_a_name_on_the_list_is_a_detection_and_an_update_at_its_packet(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("Bad.example\n\nother.example\n")
    path = talks(
        http(1, host="bad.example"),
        http(2, host="good.example"),
        dns(3, "OTHER.example"),
        http(4, host="bad.example\0.test"),
    ).write(tmp_path / "a.pcap")
    done = invoke("run", path, "--plugin", f"watch?names={names}", "--to", f"jsonl:{tmp_path / 'flows'}", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counters"]["detections"] == 2
    rows = [json.loads(line) for line in (tmp_path / "flows").read_text().splitlines()]
    assert {row["portsrc"]: row.get("watched") for row in rows} == {
        1: "bad.example",
        2: None,
        3: "other.example",
        4: None,  # another name, though its first bytes are those of one on the list
    }


@pytest.mark.usefixtures("examples")
def test_a_list_with_a_nul_is_refused(tmp_path: Path, capture_file: Path) -> None:
    (tmp_path / "names").write_text("good.example\nbad\0.example\n")
    with pytest.raises(UsageError, match="holds a NUL"):
        aicore.flows(capture_file, plugins=[f"watch?names={tmp_path}/names"])


@pytest.mark.usefixtures("examples")
def test_list_plugins_knows_meters() -> None:
    rows = {row["name"]: row for row in json.loads(invoke("list-plugins", "--json").stdout)}
    for name, api in (("entropy", METER_ABI), ("watch", aicore.API_VERSION)):
        row = rows[f"meter:{name}"]
        assert (row["kind"], row["status"], row["api"], row["distribution"]) == ("meter", "ok", api, f"aicore-{name}")
    blocked = {row.name: row.status for row in aicore.list_plugins(["entropy"])}
    assert blocked["meter:entropy"] == "blocked"


def test_a_program_gives_a_class_an_object_or_a_capsule(echo: object, capture_file: Path) -> None:
    class Echo(Meter):
        options = {"say": Option(str, default="hello")}

        def native(self) -> tuple[object, bytes]:
            return echo, self.config["say"].encode()

    def heard(plugin: Any, **options: Any) -> set[Any]:
        stack = aicore.StackLan()
        stack.use(plugin, **options)
        memory = aicore.open_adaptor("memory:")
        stack.add_database_adaptor(memory)
        with aicore.PacketDispatcher(capture_file) as pd:
            pd.stack = stack
            pd.run()
        return {row["echoed"] for row in memory.flows.values()}

    assert heard(Echo) == {"hello"}
    assert heard(Echo, say="x") == {"x"}
    assert heard(Echo()) == {"hello"}
    assert heard(echo) == {""}
    assert heard("echo") == {""}
    assert heard("meter:echo") == {""}


def test_fields_of_the_class_stand_for_those_of_the_structure(echo: object, capture_file: Path) -> None:
    class Echo(Meter):
        options = {"as": Option(str, required=True)}

        @property
        def fields(self) -> list[Field]:  # type: ignore[override]
            return [Field(self.config["as"], "str", "What it was told", width=7)]

        def native(self) -> tuple[object, bytes]:
            return echo, b"x"

    stack = aicore.StackLan()
    stack.use(Echo(), **{"as": "said"})
    [field] = [f for f in _fields(stack, capture_file) if f.protocol == "meter:echo"]
    assert (field.name, field.width, field.meaning) == ("said", 7, "What it was told")


def _fields(stack: aicore.StackLan, path: Path) -> tuple[Field, ...]:
    seen: list[tuple[Field, ...]] = []

    class See:
        @aicore.hookimpl
        def run_started(self, context: aicore.RunContext) -> None:
            seen.append(context.fields)

    stack.use(See())
    with aicore.PacketDispatcher(path) as pd:
        pd.stack = stack
        pd.run()
    return seen[0]


def bad_meter(what: str, echo: object) -> Any:
    class Bad(Meter):
        options = {"say": Option(str)}

        def native(self) -> Any:
            match what:
                case "raises":
                    raise ZeroDivisionError("oh")
                case "refuses":
                    raise UsageError("bad: no such file")
                case "shape":
                    return echo
                case "capsule":
                    return object(), b""
                case "create":
                    return echo, b"bad luck"
            return echo, b""

    if what == "fields":
        Bad.fields = ["echoed"]  # type: ignore[list-item]
    if what == "core":
        Bad.fields = (Field("bytes", "int", "taken"),)
    if what == "detections":
        Bad.fields = (Field("detections", "str", "taken"),)
    if what == "protocol":
        Bad.fields = (Field("sslhost", "str", "taken"),)
    if what == "width":
        Bad.fields = (Field("wide", "str", "too wide", width=1 << 32),)
    if what == "surrogate":
        Bad.fields = (Field("odd", "str", "half a character: \ud800"),)
    if what == "many":
        Bad.fields = tuple(Field(f"many{i}", "int", "one of many") for i in range(4096))
    return Bad


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raises", "meter:bad: native() raised ZeroDivisionError: oh"),
        ("refuses", "bad: no such file"),
        ("shape", "meter:bad: native() must return a capsule and bytes"),
        ("capsule", "no PyCapsule named 'aicore.meter' but object"),
        ("create", "meter 'echo': bad luck"),
        ("fields", "fields must be a list of aicore.Field"),
        ("core", "field 'bytes' is a name of the core record"),
        ("protocol", "field 'sslhost' is declared by tls already"),
        ("detections", "field 'detections' is reserved for rules that matched, and has the type list[str]"),
        ("width", "field 'wide' has a bad width: 4294967296"),
        ("surrogate", "field 'odd' has a bad help"),
        ("many", "the record has more than 4096 fields"),
    ],
)
def test_a_meter_that_cannot_work_keeps_the_run_from_starting(
    what: str, reason: str, echo: object, capture_file: Path
) -> None:
    with pytest.raises((UsageError, PluginError)) as caught:
        aicore.flows(capture_file, plugins=[bad_meter(what, echo)])
    assert reason in str(caught.value)


#: For good: in a cycle, which a traceback makes, the collector may free a destructor before the capsule that calls it.
_DESTRUCTORS: list[object] = []


def structure(name: bytes, **members: Any) -> tuple[ctypes.Structure, object, list[object]]:
    """A meter that does nothing; its capsule, which says in the list when it is destroyed."""
    texts = {"name": name, "help": members.pop("help", b"nothing")}
    destroyed: list[object] = []
    destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(destroyed.append)
    made = MeterStructure(abi=METER_ABI, size=ctypes.sizeof(MeterStructure), **texts, **members)
    _DESTRUCTORS.append(destructor)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = new(ctypes.addressof(made), CAPSULE_NAME, ctypes.cast(destructor, ctypes.c_void_p))
    return made, capsule, destroyed


def test_a_run_keeps_the_capsule_of_a_meter_to_its_end(capture_file: Path) -> None:
    made, capsule, destroyed = structure(b"owner")

    class Owner(Meter):
        def native(self) -> tuple[object, bytes]:
            nonlocal capsule
            given, capsule = capsule, None
            return given, b""

    with aicore.flows(capture_file, plugins=[Owner()]) as flows:
        gc.collect()
        next(flows)
        assert destroyed == []
    del flows
    gc.collect()
    assert len(destroyed) == 1
    assert made.abi == METER_ABI  # it was there until now


@pytest.mark.parametrize("member", ["help", "field"])
def test_a_meter_whose_texts_are_not_utf8(member: str, capture_file: Path) -> None:
    field = FieldStructure(name=b"odd", type=1, help=b"\xff")
    given = {"fields": ctypes.addressof(field), "field_count": 1, "field_size": ctypes.sizeof(field)}
    made, capsule, _ = structure(b"odd", **({"help": b"\xff"} if member == "help" else given))
    with pytest.raises(UsageError, match="not UTF-8"):
        aicore.flows(capture_file, plugins=[capsule])
    assert made.size == ctypes.sizeof(MeterStructure)


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize(
    ("plugins", "reason"),
    [
        (["echo", "echo"], "'echo' is there already"),
        (["echo?say=x"], "meter:echo has no option 'say'"),
        (["ecko"], "did you mean echo?"),
    ],
)
def test_what_cannot_be_named(plugins: list[str], reason: str, capture_file: Path) -> None:
    with pytest.raises(UsageError) as caught:
        aicore.flows(capture_file, plugins=plugins)
    assert reason in str(caught.value)


def test_what_is_no_meter_is_a_row_with_its_reason(install: Install, tmp_path: Path) -> None:
    (tmp_path / "old.c").write_text(ECHO.replace("echo_native", "old_native").replace(
        ".abi = AICORE_METER_ABI", ".abi = 9"))  # fmt: skip
    compiled(tmp_path / "old.c", "old_native", tmp_path / "site-packages", "-std=c99")
    source = "import aicore\nfrom aicore._core import http\nclass Other: ...\nclass Without(aicore.Meter): ...\n"
    names = {
        name: f"of_meter:{given}" for name, given in (("other", "Other"), ("without", "Without"), ("http", "http"))
    }
    names["old"] = "old_native:echo"
    install("aicore-nothing", meters=names, of_meter=source)
    rows = {row.name: row for row in aicore.list_plugins()}
    for name, status, reason in [
        ("other", "error", "the class is no aicore.Meter"),
        ("without", "error", "it has no native()"),
        ("http", "incompatible", "it is no PyCapsule named 'aicore.meter'"),
        ("old", "incompatible", "meter ABI 9, this aicore has 1"),
    ]:
        row = rows[f"meter:{name}"]
        assert (row.status, reason in (row.error or "")) == (status, True), row


def test_an_entry_point_has_the_name_of_its_structure(echo: object, install: Install, capture_file: Path) -> None:
    assert echo
    install("aicore-alias", meters={"alias": "echo_native:echo"})
    with pytest.raises(UsageError, match="its native structure is named 'echo'"):
        aicore.flows(capture_file, plugins=["alias"])


def test_check_says_which_meter_cannot_be_made(install: Install, capture_file: Path, tmp_path: Path) -> None:
    (tmp_path / "says.c").write_text(ECHO.replace("echo_native", "says_native").replace('"echo"', '"says"'))
    compiled(tmp_path / "says.c", "says_native", tmp_path / "site-packages", "-std=c99")
    install("aicore-says", meters={"says": "says:Says"}, says=SAYS)
    for text, problem in (("good", None), ("bad luck", "meter 'says': bad luck")):
        done = invoke("check", capture_file, "--plugin", f"says?text={text}", "--to", "memory:", "--json")
        found = {row["what"]: row["error"] for row in json.loads(done.stdout)}
        assert (done.exit_code, found["plugins"], found["source"]) == (int(problem is not None), problem, None)


def _long(port: int, host: str, between: list[Any]) -> Capture:
    """A connection that names its host at once and ends behind all others."""
    talk = Tcp(("10.0.0.9", port), ("10.0.0.2", 80)).open()
    talk.say(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    last = Tcp(("10.0.0.9", port), ("10.0.0.2", 80))
    last.seq = list(talk.seq)
    last.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", from_server=True).close()
    return talks(talk, *between, last)


class Reloads(aicore.DatabaseAdaptor):
    """Writes another list and asks for a reload at the first batch; keeps the latest record of each flow."""

    events = "all"

    def __init__(self, path: Path, text: str | None) -> None:
        self.path, self.text = path, text
        self.pd: aicore.PacketDispatcher | None = None
        self.rows: dict[int, dict[str, Any]] = {}

    def connect(self, connection_str: str) -> None: ...

    def write(self, batch: FlowBatch) -> None:
        if not self.rows:
            assert self.pd is not None
            self.path.unlink()
            if self.text is not None:
                self.path.write_text(self.text)
            self.pd.reload()
        self.rows |= {flow.portsrc: flow.to_dict() for flow in batch}


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("text", ["b.example\n", None])
def test_a_reload_takes_the_new_list_and_flows_keep_what_they_know(
    text: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = tmp_path / "names"
    names.write_text("a.example\n")
    path = _long(1, "a.example", [http(100 + i, host="b.example") for i in range(2000)]).write(tmp_path / "a.pcap")
    stack = aicore.StackLan(batch_rows=2, queue_batches=2)
    stack.use("watch", names=str(names))
    store = Reloads(names, text)
    stack.add_database_adaptor(store)
    with aicore.PacketDispatcher(path) as pd, caplog.at_level(logging.ERROR, "aicore"):
        store.pd = pd
        pd.stack = stack
        summary = pd.run()
    assert store.rows[1]["watched"] == "a.example"
    assert store.rows[100].get("watched") is None
    assert store.rows[2099].get("watched") == (None if text is None else "b.example")
    [stats] = [stats for stats in summary.plugins if stats.name == "meter:watch"]
    assert (stats.calls, stats.errors, stats.set_aside) == (1, int(text is None), None)
    assert ("cannot be reloaded, what is in use stays" in caplog.text) is (text is None)
