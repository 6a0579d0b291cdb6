# SPDX-License-Identifier: Apache-2.0
"""Layer-7 protocols in Python.

The core copies the payloads of candidate flows into the open batch; run() has them inspected when it pulls the batch,
and the answers go back to the live flows. That costs a copy and a Python call a payload: declare prefixes, and answer
DONE as soon as there is nothing more to learn.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from aicore import _core
from aicore.errors import PluginError, UsageError
from aicore.plugins.options import config_of
from aicore.record.batch import Flow, FlowBatch

if TYPE_CHECKING:
    from aicore.plugins.options import Option
    from aicore.record.schema import Field
    from aicore.run.isolation import Guard

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)
_TRANSPORTS = {"tcp": 1, "udp": 2}  # aicore_transport
_INT64 = 1 << 63


class Answer(NamedTuple):
    """What `Protocol.inspect` says. Made by NO, MORE, yes() and done()."""

    code: int  # aicore_answer
    fields: Mapping[str, Any] = {}
    layer7: str | None = None


class InspectedFlow(Flow):
    """The flow of a payload, as it was when the payload came. Beside a flow's fields:

    reverse: True if the payload goes to the sender of the flow's first packet.
    other: what the other direction has sent so far, as bytes; empty once the flow is recognised.
    """

    __slots__ = ("other", "reverse")

    def __init__(self, batch: FlowBatch, row: int, reverse: bool, other: bytes) -> None:
        super().__init__(batch, row)
        self.reverse = reverse
        self.other = other


class Protocol:
    """Base of protocols. Subclasses declare what selects candidate flows, and inspect their payloads."""

    #: layer7 in the record.
    name: ClassVar[str] = ""
    help: ClassVar[str] = ""
    transports: ClassVar[Collection[str]] = ("tcp", "udp")
    #: First bytes of a payload (1 to 16) that make a flow a candidate. Without prefixes and ports every flow is one.
    prefixes: ClassVar[Sequence[bytes]] = ()
    #: Ports that make a flow a candidate. A port alone names a flow only if no payload recognised anything.
    ports: ClassVar[Sequence[int]] = ()
    #: 0 for proof by magic bytes to 100 for a guess; lower ones are asked first.
    rank: ClassVar[int] = 50
    #: What it adds to the record, of type str, int or list (of str).
    fields: ClassVar[Sequence[Field]] = ()
    #: Names of fields that emit an update when they are learnt.
    notify: ClassVar[Collection[str]] = ()
    options: ClassVar[Mapping[str, Option]] = {}
    aicore_api: ClassVar[int] = 1

    @functools.cached_property
    def config(self) -> Mapping[str, Any]:
        """The checked values of `options`, or their defaults in an object that a program made and added itself."""
        return config_of(type(self).__name__, self, {})

    #: Not this protocol, as far as this direction shows; the other one is asked all the same.
    NO: ClassVar[Answer] = Answer(0)
    #: Cannot tell yet: show this again with more behind it.
    MORE: ClassVar[Answer] = Answer(1)

    @staticmethod
    def yes(layer7: str | None = None, /, **fields: Any) -> Answer:
        """This protocol; show me what follows. `layer7` names the flow by another name."""
        return Answer(2, fields, layer7)

    @staticmethod
    def done(layer7: str | None = None, /, **fields: Any) -> Answer:
        """This protocol, and nothing more to learn from the flow."""
        return Answer(3, fields, layer7)

    def inspect(self, payload: bytes, flow: InspectedFlow) -> Answer | None:
        """Looks at a datagram, or at the stream of one direction, and answers; None is NO.

        Called on the thread of run(). Everything in payload is hostile: check lengths, bound loops. What it raises
        counts as NO. It is set aside after five errors or wrong answers in a row, or when it takes more than 1 ms a
        call over 100 calls; a call that never returns cannot be ended, only named in the log.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raises UsageError if it cannot work with `config`. Called once, before a run opens its source."""


def check_protocol(label: str, protocol: type[Protocol]) -> None:
    """PluginError if what the class declares is wrong."""
    if problem := _problem(protocol):
        raise PluginError(f"{label}: {problem}")


def _problem(protocol: type[Protocol]) -> str | None:
    name: Any = protocol.name
    rank: Any = protocol.rank
    prefixes: Sequence[Any] = protocol.prefixes
    ports: Sequence[Any] = protocol.ports
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"name must match {_NAME.pattern}, not {name!r}"
    if not protocol.transports or not set(protocol.transports) <= set(_TRANSPORTS):
        return f"transports must be of tcp and udp, not {protocol.transports!r}"
    if not all(isinstance(prefix, bytes) and 1 <= len(prefix) <= 16 for prefix in prefixes):
        return "each prefix must be 1 to 16 bytes"
    if not all(isinstance(port, int) and 0 < port < 65536 for port in ports):
        return "each port must be 1 to 65535"
    if not isinstance(rank, int) or not 0 <= rank <= 100:
        return f"rank must be 0 to 100, not {rank!r}"
    for field in protocol.fields:
        if not _FIELD.fullmatch(field.name) or field.type not in ("int", "str", "list[str]"):
            return f"field {field.name!r} of type {field.type!r} cannot be declared"
    unknown = set(protocol.notify) - {field.name for field in protocol.fields}
    if unknown:
        return f"notify names fields that are not declared: {', '.join(sorted(unknown))}"
    if protocol.inspect is Protocol.inspect:
        return "it has no inspect()"
    return None


class ProtocolRegistry:
    """The protocols of a run, native ones and Python's."""

    def __init__(self) -> None:
        self.core = _core.Registry()
        self.python: dict[str, Protocol] = {}

    def add(self, protocol: object) -> str:
        """Adds a native protocol's capsule or an `aicore.Protocol` (or its class) and returns its name. UsageError for
        anything else, a wrong ABI, a name that is taken, or a field that has another type in another protocol."""
        if isinstance(protocol, type) and issubclass(protocol, Protocol):
            protocol = protocol()
        try:
            if not isinstance(protocol, Protocol):
                return self.core.add(protocol)
            check_protocol(type(protocol).__name__, type(protocol))
            fields = [
                {
                    "name": field.name,
                    "type": field.type,
                    "notify": field.name in protocol.notify,
                    "width": field.width,
                    "unit": field.unit,
                    "ecs": field.ecs,
                    "help": field.meaning,
                }
                for field in protocol.fields
            ]
            transports = sum(_TRANSPORTS[name] for name in set(protocol.transports))
            name = self.core.add_external(
                protocol.name, transports, protocol.rank, list(protocol.ports), list(protocol.prefixes), fields
            )
        except (TypeError, ValueError) as error:
            raise UsageError(f"the protocol cannot be added: {error}") from None
        self.python[name] = protocol
        return name


class ProtocolRunner:
    """Has Python protocols inspect the payloads of a batch. For the thread of run() alone."""

    def __init__(self, protocols: Mapping[str, Protocol], guard: Guard) -> None:
        self._protocols = protocols
        self._types = {
            name: {field.name: field.type for field in protocol.fields} for name, protocol in protocols.items()
        }
        self._guard = guard
        self._answer = Protocol.NO

    def inspect(self, batch: FlowBatch, engine: _core.Engine) -> None:
        """Answers every question of the batch, also those to a protocol that was set aside: a flow may wait for it."""
        questions = batch._core.questions()
        if not questions:
            return
        flows = FlowBatch(batch._core.question_rows())
        for question, name, payload, other, reverse, row in questions:
            stats = self._guard.account(f"protocol:{name}")
            self._answer = Protocol.NO
            if stats.set_aside is None:
                flow = InspectedFlow(flows, row, bool(reverse), other or b"")
                self._guard.call(stats, "inspect", 1, self._ask, name, payload, flow)
            answer = self._answer
            engine.answer(question, answer.code, answer.layer7, answer.fields)

    def _ask(self, name: str, payload: bytes, flow: InspectedFlow) -> None:
        self._answer = self._checked(name, self._protocols[name].inspect(payload, flow))

    def _checked(self, name: str, said: object) -> Answer:
        if said is None:
            return Protocol.NO
        if not isinstance(said, Answer) or said.code not in (0, 1, 2, 3):
            raise TypeError(f"inspect() answered {said!r:.100}")
        if not (said.layer7 is None or isinstance(said.layer7, str)):
            raise TypeError(f"layer7 must be text, not {said.layer7!r:.100}")
        return said._replace(fields=dict(self._values(name, said.fields.items())))

    def _values(self, name: str, fields: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
        for field, value in fields:
            wanted = self._types[name].get(field)
            if wanted is None:
                raise ValueError(f"it does not declare the field {field!r}")
            if value is None:
                continue
            if wanted == "str" and isinstance(value, str | bytes):
                yield field, _text(value)
            elif wanted == "list[str]" and isinstance(value, list | tuple):
                yield field, [_text(part) for part in value]
            elif wanted == "int" and type(value) is int and -_INT64 <= value < _INT64:
                yield field, value
            else:
                raise TypeError(f"the field {field!r} is {wanted}, not {value!r:.100}")


def _text(value: str | bytes) -> str:
    """Packet bytes as the core writes them: valid UTF-8, a bad byte as \\xNN text."""
    raw = value if isinstance(value, bytes) else str.encode(value, "utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")
