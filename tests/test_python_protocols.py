# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002  # the arguments are those of the plugin interface
"""Protocols in Python: candidates, answers, fields, and what keeps a bad one from harm."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from captures.files import Capture, Tcp, Udp, talks

import aicore
from aicore.run import isolation as guard

CLIENT, SERVER = "10.1.0.1", "10.1.0.2"


class Chat(aicore.Protocol):
    """The worked example: `HI name` from the client names the flow and its user."""

    name = "chat"
    help = "An invented chat protocol"
    transports = ("tcp",)
    prefixes = (b"HI ",)
    fields = (aicore.Field("chatuser", "str", "name that the client gives"),)
    notify = ("chatuser",)

    def inspect(self, payload: bytes, flow: Any) -> Any:
        if b"\n" not in payload:
            return self.MORE if len(payload) < 100 else self.NO
        word, _, user = payload.partition(b"\n")[0].partition(b" ")
        return self.done(chatuser=user) if word == b"HI" else self.NO


def read(capture: Capture, folder: Path, *protocols: object, **settings: Any) -> list[aicore.Flow]:
    return list(aicore.flows(capture.write(folder / "capture.pcap"), plugins=protocols, **settings))


def chat(port: int = 5000, text: bytes = b"HI eve\n", step: int = 1000) -> Tcp:
    talk = Tcp((CLIENT, port), (SERVER, 7000)).open()
    for i in range(0, len(text), step):
        talk.say(text[i : i + step])
    return talk.close()


def test_a_flow_is_recognised_and_gets_its_fields(tmp_path: Path) -> None:
    other = Tcp((CLIENT, 5001), (SERVER, 7000)).open().say(b"something else\n").close()
    flows = read(talks(chat(), other), tmp_path, Chat)
    found = {flow.portsrc: (flow.layer7, flow.layer7_by, flow.chatuser) for flow in flows}
    assert found[5000] == ("chat", "payload", "eve")
    assert found[5001] == (None, None, None)


def test_a_payload_in_pieces(tmp_path: Path) -> None:
    (flow,) = read(talks(chat(text=b"HI a long name\n", step=2)), tmp_path, Chat)
    assert (flow.layer7, flow.chatuser) == ("chat", "a long name")


def test_learning_a_notified_field_is_an_update(tmp_path: Path) -> None:
    class Updates:
        users: list[str] = []

        @aicore.hookimpl
        def flow_update(self, flows: aicore.FlowBatch) -> None:
            self.users += [flow.chatuser for flow in flows]

    read(talks(chat()), tmp_path, Chat, Updates())
    assert "eve" in Updates.users


def test_fields_of_every_type_hold_what_packets_say(tmp_path: Path) -> None:
    class Typed(aicore.Protocol):
        name = "typed"
        transports = ("udp",)
        ports = (9999,)
        fields = (
            aicore.Field("textual", "str", "text"),
            aicore.Field("number", "int", "a number"),
            aicore.Field("ratio", "float", "a real number"),
            aicore.Field("whole", "float", "another"),
            aicore.Field("encrypted", "bool", "true or false"),
            aicore.Field("plain", "bool", "the other one"),
            aicore.Field("issued", "time", "a time"),
            aicore.Field("several", "list[str]", "several"),
            aicore.Field("sizes", "list[int]", "several numbers"),
            aicore.Field("gaps", "list[float]", "several real numbers"),
            aicore.Field("nothing", "list[int]", "none"),
        )
        notify = ("encrypted",)

        def inspect(self, payload: bytes, flow: Any) -> Any:
            if not flow.recognised:
                return self.yes(encrypted=False, sizes=[7], ratio=-0.5)
            numbers: dict[str, Any] = {"number": -(1 << 63), "ratio": 0.25, "whole": 3, "issued": (1 << 63) - 1}
            lists: dict[str, Any] = {"sizes": (1, 1 << 62), "gaps": [0.5, 2], "nothing": []}
            return self.done(
                "typed2", textual=payload, encrypted=True, plain=False, several=[payload, "x", "x"], **numbers, **lists
            )

    talk = Udp((CLIENT, 5000), (SERVER, 9999)).say(b"first").say(b'caf\xe9"\\\0')
    (flow,) = read(talks(talk), tmp_path, Typed)
    assert flow.layer7 == "typed2"
    assert flow.textual.startswith('caf\\xe9"\\')
    assert flow.number == -(1 << 63)
    assert flow.several == (flow.textual, "x")
    assert (flow.ratio, flow.whole, flow.issued) == (0.25, 3.0, (1 << 63) - 1)
    assert type(flow.whole) is float
    assert (flow.encrypted, flow.plain) == (True, False)
    assert (flow.sizes, flow.gaps, flow.nothing) == ((7, 1, 1 << 62), (0.5, 2.0), None)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("str", 1),
        ("int", True),
        ("int", 1.0),
        ("int", 1 << 63),
        ("int", "1"),
        ("float", "1"),
        ("float", True),
        ("float", 1 << 63),
        ("bool", 1),
        ("bool", "yes"),
        ("time", 1.5),
        ("time", "2026-01-01T00:00:00Z"),
        ("time", 1 << 63),
        ("list[str]", "text"),
        ("list[str]", [1]),
        ("list[int]", 1),
        ("list[int]", [1, None]),
        ("list[int]", [True]),
        ("list[float]", [0.5, "x"]),
    ],
)
def test_a_value_of_another_type_is_the_protocols_error(tmp_path: Path, kind: Any, wrong: object) -> None:
    class Wrong(aicore.Protocol):
        name = "wrong"
        transports = ("udp",)
        ports = (9999,)
        fields = (aicore.Field("value", kind, "of a type"),)

        def inspect(self, payload: bytes, flow: Any) -> Any:
            return self.done(value=wrong)

    talk = talks(Udp((CLIENT, 5000), (SERVER, 9999)).say(b"x"))
    capture = talk.write(tmp_path / "one.pcap")
    stack = aicore.StackLan()
    stack.use(Wrong)
    stack.add_database_adaptor("memory:")
    dispatcher = aicore.PacketDispatcher(capture)
    dispatcher.stack = stack
    stats = {one.name: one for one in dispatcher.run().plugins}["protocol:wrong"]
    assert stats.errors == 1


def test_what_inspect_is_told(tmp_path: Path) -> None:
    seen: list[tuple[bytes, bool, bytes, str | None, int | None]] = []

    class Look(aicore.Protocol):
        name = "look"
        transports = ("udp",)
        ports = (9999,)

        def inspect(self, payload: bytes, flow: Any) -> Any:
            seen.append((payload, flow.reverse, flow.other, flow.ipsrc, flow.portdst))
            assert flow.nothing_of_this_name is None or flow.key
            return self.MORE

    read(talks(Udp((CLIENT, 5000), (SERVER, 9999)).say(b"ping").say(b"pong", True)), tmp_path, Look)
    assert [(payload, reverse) for payload, reverse, *_ in seen] == [(b"ping", False), (b"pong", True)]
    assert {(src, port) for *_, src, port in seen} <= {(CLIENT, 9999), (None, None)}


def test_options(tmp_path: Path) -> None:
    class Optional(Chat):
        options = {"suffix": aicore.Option(str, default="")}

        def inspect(self, payload: bytes, flow: Any) -> Any:
            return self.done(chatuser=self.config["suffix"])

    def dispatcher(**options: Any) -> aicore.PacketDispatcher:
        pd = aicore.PacketDispatcher(talks(chat()).write(tmp_path / "a.pcap"))
        pd.stack = aicore.StackLan()
        pd.stack.use(Optional, **options)
        pd.stack.add_database_adaptor(f"jsonl:{tmp_path}/flows")
        return pd

    dispatcher(suffix="!").run()
    assert json.loads((tmp_path / "flows").read_text())["chatuser"] == "!"
    wrong = dispatcher(sufix="!")
    with pytest.raises(aicore.UsageError, match="did you mean suffix"):
        wrong.run()


class Raises(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        raise IndexError("out of range")


class Exits(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        raise SystemExit


class Junk(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        return "yes"


class Undeclared(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        return self.done(nosuchfield="x")


class WrongType(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        return self.done(chatuser=5)


class BadConsumed(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        return self.yes(consumed=-1)


class Slow(Chat):
    name = "bad"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        end = time.thread_time() + 0.003
        while time.thread_time() < end:
            pass
        return self.NO


class Sleeps(Chat):
    name = "waits"

    def inspect(self, payload: bytes, flow: Any) -> Any:
        time.sleep(0.003)
        return self.NO


class Hangs(Chat):
    name = "bad"
    calls = 0

    def inspect(self, payload: bytes, flow: Any) -> Any:
        type(self).calls += 1
        if self.calls == 1:
            time.sleep(1.0)
        return self.NO


BAD = {
    Raises: "5 errors in a row in inspect, the last one IndexError: out of range",
    Exits: "5 errors in a row in inspect, the last one SystemExit",
    Junk: "TypeError: inspect() answered 'yes'",
    Undeclared: "it does not declare the field 'nosuchfield'",
    WrongType: "the field 'chatuser' is str, not 5",
    BadConsumed: "consumed must be a number of bytes, not -1",
    Slow: "the limit (plugin_limit) is 1 ms",
    Hangs: "protocol:bad in inspect has not returned",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_protocol_harms_nobody_and_is_named(
    bad: type[aicore.Protocol], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HANGING", 0.2)
    monkeypatch.setattr(guard, "WINDOW", 20)
    talks_ = [chat(5000 + i) for i in range(40)]
    flows = read(talks(*talks_), tmp_path, bad, Chat, batch_rows=8)
    assert len(flows) == 40
    assert {(flow.layer7, flow.chatuser) for flow in flows} == {("chat", "eve")}
    assert [r for r in caplog.records if "protocol:bad" in r.message and BAD[bad] in r.message]
    if bad is not Hangs:
        assert "protocol:bad is set aside" in caplog.text


@pytest.mark.parametrize(("protocol", "limit"), [(Slow, 0.0), (Slow, 0.5), (Sleeps, 0.001)])
def test_the_limit_is_an_option_and_of_cpu_time(
    protocol: type[aicore.Protocol], limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "WINDOW", 5)
    (stats,) = summary(tmp_path, protocol, [chat(5000 + i) for i in range(10)], plugin_limit=limit).plugins
    assert stats.set_aside is None
    assert stats.calls == 10
    assert stats.seconds > 0.03
    assert (stats.cpu_seconds > 0.03) == (protocol is Slow)


def test_being_set_aside_stands_in_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WINDOW", 5)
    done = summary(tmp_path, Slow, [chat(5000 + i) for i in range(20)], plugin_limit=0.002)
    (stats,) = done.plugins
    assert stats.calls == 5
    assert stats.set_aside is not None
    assert "ms of CPU time for each of the last 5, the limit (plugin_limit) is 2 ms" in stats.set_aside
    assert done.to_dict()["plugins"][0]["set_aside"] == stats.set_aside


def summary(folder: Path, protocol: type[aicore.Protocol], conversations: list[Tcp], **settings: Any) -> Any:
    pd = aicore.PacketDispatcher(talks(*conversations).write(folder / "a.pcap"))
    pd.stack = aicore.StackLan(**settings)
    pd.stack.use(protocol)
    return pd.run()


class Talk(aicore.Protocol):
    """Reads lines of both sides: the last of each, how many there were, and how often something was missing."""

    name = "talk"
    transports = ("tcp",)
    prefixes = (b"HI ",)
    fields = (
        aicore.Field("talklines", "int", "lines of both sides"),
        aicore.Field("talklast", "list[str]", "first letter of the last line of each side"),
        aicore.Field("talkgaps", "int", "places where bytes are missing"),
    )

    def inspect(self, payload: bytes, flow: Any) -> Any:
        *lines, rest = payload.split(b"\n")
        state = flow.state
        state["lines"] = state.get("lines", 0) + len(lines)
        state["gaps"] = state.get("gaps", 0) + flow.gap
        if lines:
            state[flow.reverse] = lines[-1][:1]
        return self.yes(
            consumed=len(payload) - len(rest),
            talklines=state["lines"],
            talkgaps=state["gaps"],
            talklast=[state[side] for side in (False, True) if side in state] if True in state else None,
        )


@pytest.mark.parametrize("k", [0, 2, 3, 4, 5, 50])
def test_what_follows_the_first_payload_before_anybody_looks_at_it(k: int, tmp_path: Path) -> None:
    talk = Tcp((CLIENT, 5000), (SERVER, 7000)).open().say(b"HI eve\n", ack=False)
    talk.say(b"".join(bytes([97 + i % 26]) * 4095 + b"\n" for i in range(k)), size=4096, ack=False)
    talk.say(b"Z fine\n", True).close()
    (flow,) = read(talks(talk), tmp_path, Talk)
    assert (flow.layer7, flow.layer7_by) == ("talk", "payload")
    assert (flow.talklines, flow.talkgaps) == (k + 2, 0)
    assert flow.talklast == (chr(97 + (k - 1) % 26) if k else "H", "Z")
    (flow,) = read(talks(talk), tmp_path, Chat)
    assert (flow.layer7, flow.chatuser) == ("chat", "eve")


def test_200_kilobytes_in_segments_that_cut_lines(tmp_path: Path) -> None:
    lines = b"".join(b"%05d %s\n" % (i, b"x" * 93) for i in range(2000))
    talk = Tcp((CLIENT, 5000), (SERVER, 7000)).open().say(b"HI eve\n").say(lines).say(b"Z fine\n", True).close()
    (flow,) = read(talks(talk), tmp_path, Talk)
    assert (flow.talklines, flow.talkgaps, flow.talklast) == (2002, 0, ("0", "Z"))


def test_a_gap_is_marked(tmp_path: Path) -> None:
    talk = Tcp((CLIENT, 5000), (SERVER, 7000)).open().say(b"HI eve\n")
    talk.seq[0] += 500
    talk.say(b"lost before\n").say(b"Z fine\n", True).close()
    (flow,) = read(talks(talk), tmp_path, Talk)
    assert (flow.talklines, flow.talkgaps) == (3, 1)


def test_state_is_of_a_flow_and_a_protocol_and_goes_with_the_flow(tmp_path: Path) -> None:
    class Counts(aicore.Protocol):
        name = "counts"
        transports = ("udp",)
        fields = (aicore.Field("count", "int", "datagrams"), aicore.Field("countb", "int", "the same"))
        dies: list[Any] = []
        field = "count"

        def inspect(self, payload: bytes, flow: Any) -> Any:
            flow.state.setdefault("kept", Kept())
            flow.state["n"] = flow.state.get("n", 0) + 1
            if self.field == "countb":
                return self.NO
            return (self.done if payload == b"bye" else self.yes)(**{self.field: flow.state["n"]})

    class Kept:
        live = peak = 0

        def __init__(self) -> None:
            Kept.live += 1
            Kept.peak = max(Kept.peak, Kept.live)

        def __del__(self) -> None:
            Kept.live -= 1

    first = type("First", (Counts,), {"name": "first", "rank": 1, "field": "countb"})
    conversations = []
    for i in range(800):
        talk = Udp((CLIENT, 5000 + i), (SERVER, 9999)).say(b"hello" * 1500).say(b"again" * 1500)
        conversations.append(talk.say(b"bye") if i % 2 else talk)
    # Each has ended before the next begins.
    flows = read(talks(*conversations, gap=400), tmp_path, Counts, first, batch_rows=2, queue_batches=2)
    assert [flow.count for flow in flows] == [3 if i % 2 else 2 for i in range(800)]
    assert Kept.peak < 1200  # of two protocols: what waits in batches of 1 MiB, and of 512 packets
    assert Kept.live == 0


def test_more_with_consumed(tmp_path: Path) -> None:
    seen: list[bytes] = []

    class Frames(aicore.Protocol):
        name = "frames"
        transports = ("tcp",)
        ports = (7000,)

        def inspect(self, payload: bytes, flow: Any) -> Any:
            seen.append(payload)
            return self.more(consumed=2) if flow.recognised else self.yes(consumed=1)

    read(talks(Tcp((CLIENT, 5000), (SERVER, 7000)).open().say(b"abc").say(b"de").say(b"f")), tmp_path, Frames)
    assert seen == [b"abc", b"bcde", b"def"]


def test_flags_of_a_payload(tmp_path: Path) -> None:
    seen: list[tuple[bool, ...]] = []

    class Look(aicore.Protocol):
        name = "look"
        ports = (7000,)

        def inspect(self, payload: bytes, flow: Any) -> Any:
            seen.append((flow.midstream, flow.truncated, flow.recognised))
            return self.yes()

    talk = Tcp((CLIENT, 5000), (SERVER, 7000)).say(b"abc", ack=False).say(b"d" * 500, ack=False)
    list(aicore.flows(talks(talk).cut(200).write(tmp_path / "a.pcap"), plugins=[Look]))
    assert seen == [(True, False, False), (True, True, True)]


def test_one_error_is_answered_no(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Once(Chat):
        name = "once"
        prefixes = ()
        failed = False

        def inspect(self, payload: bytes, flow: Any) -> Any:
            if b"bomb" in payload:
                raise ValueError("bomb")
            return super().inspect(payload, flow)

    flows = read(talks(chat(5000, b"HI bomb\n"), chat(5001)), tmp_path, Once)
    assert {flow.portsrc: flow.layer7 for flow in flows} == {5000: None, 5001: "once"}
    assert [record.levelno for record in caplog.records if "protocol:once" in record.message] == [logging.ERROR]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "No Name"}, "name must match"),
        ({"transports": ("sctp",)}, "transports must be of tcp and udp"),
        ({"prefixes": (b"",)}, "1 to 16 bytes"),
        ({"prefixes": ("text",)}, "1 to 16 bytes"),
        ({"ports": (0,)}, "1 to 65535"),
        ({"rank": 101}, "rank must be 0 to 100"),
        ({"fields": ["city"]}, "fields must be a list of aicore.Field"),  # type: ignore[list-item]
        ({"fields": None}, "fields must be a list of aicore.Field"),
        ({"fields": (aicore.Field("Bad-Name", "str", ""),)}, "cannot be declared"),
        ({"fields": (aicore.Field("x", "list", ""),)}, "cannot be declared"),  # type: ignore[arg-type]
        ({"notify": ("other",)}, "not declared: other"),
        ({"fields": (aicore.Field("consumed", "int", ""),), "notify": ()}, "an argument of yes"),
        ({"inspect": aicore.Protocol.inspect}, "no inspect"),
    ],
)
def test_declarations_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(aicore.PluginError, match=message):
        aicore.ProtocolRegistry().add(type("Wrong", (Chat,), changes))


def test_protocols_recognise_and_do_not_detect() -> None:
    changes = {"fields": (aicore.Field("detections", "list[str]", "taken"),), "notify": ()}
    with pytest.raises(aicore.UsageError, match="field 'detections' is reserved for rules that matched"):
        aicore.ProtocolRegistry().add(type("Wrong", (Chat,), changes))


@pytest.mark.parametrize(("name", "value"), [("prefixes", b"CHAT"), ("ports", 4711), ("notify", "chatuser")])
def test_one_where_a_list_is_needed(name: str, value: Any) -> None:
    with pytest.raises(aicore.AicoreError, match=f"{name} must be a list, not {value!r}"):
        aicore.ProtocolRegistry().add(type("Wrong", (Chat,), {name: value})())


def test_what_cannot_be_added() -> None:
    registry = aicore.ProtocolRegistry()
    registry.add(Chat)
    other = type("Other", (Chat,), {"name": "other", "fields": (aicore.Field("chatuser", "int", ""),), "notify": ()})
    for wrong in (Chat, object(), 5, other):
        with pytest.raises(aicore.UsageError, match="cannot be added"):
            registry.add(wrong)
    assert list(registry.python) == ["chat"]
