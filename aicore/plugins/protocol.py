# SPDX-License-Identifier: Apache-2.0
"""Layer-7 protocols in Python.

The core copies the payloads of the flows that a protocol may recognise, or has recognised, into the batches. run() has
each of them inspected, in order, when it pulls the batch, and what was found out goes back to the live flow, whatever
has come since. So the answers of a capture file do not depend on how fast anything is; from an interface, payload that
there is no room for is left out, counted (`inspection_lost`), and marked as a gap.

That costs a copy and a Python call per payload: declare prefixes, and answer DONE as soon as there is nothing more to
learn.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast, get_args

from aicore import _core
from aicore.errors import PluginError, UsageError
from aicore.plugins.options import config_of
from aicore.record.batch import Flow, FlowBatch
from aicore.record.schema import Field, FieldType, as_native

if TYPE_CHECKING:
    from aicore.plugins.options import Option
    from aicore.run.isolation import Guard

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)
_TRANSPORTS = {"tcp": 1, "udp": 2}  # aicore_transport
_INT64 = 1 << 63
_NO, _MORE, _YES, _DONE = range(4)  # aicore_answer
_GAP, _MIDSTREAM, _TRUNCATED, _REVERSE, _RECOGNISED = 1, 2, 4, 256, 512  # see _core.Engine.inspect

#: What protocols keep of flows, by number of the inspection, which the core ends when the flow does, and by protocol.
_States = dict[int, dict[str, dict[str, Any]]]


class Answer(NamedTuple):
    """What `Protocol.inspect` says. Made by NO, MORE, more(), yes() and done()."""

    code: int  # aicore_answer
    fields: Mapping[str, Any] = {}
    layer7: str | None = None
    consumed: int | None = None


class InspectedFlow(Flow):
    """The flow of a payload, as it was when the payload came. Valid during the call. Beside a flow's fields:

    reverse: the payload goes to the sender of the flow's first packet.
    recognised: this protocol owns the flow.
    other: what the other direction has sent so far, at most 16 KiB of it; empty once the flow is recognised.
    gap: bytes are missing directly before the payload: the capture lacks them, or they were left out.
    midstream: the beginning of the TCP connection was not seen, so the payload need not be the start of the stream.
    truncated: the capture holds fewer bytes of this payload than were sent.
    state: a dict of this protocol's own for this flow, empty at first. It goes when the flow ends, and before that when
    the protocol answers done() or cannot own the flow any more.
    """

    __slots__ = ("_flags", "_kept", "other")

    def __init__(self, batch: FlowBatch, row: int, flags: int, other: bytes, kept: tuple[_States, int, str]) -> None:
        super().__init__(batch, row)
        self._flags = flags
        self._kept = kept  # where `state` is, or is put when it is first asked for
        self.other = other

    @property
    def reverse(self) -> bool:
        return bool(self._flags & _REVERSE)

    @property
    def recognised(self) -> bool:
        return bool(self._flags & _RECOGNISED)

    @property
    def gap(self) -> bool:
        return bool(self._flags & _GAP)

    @property
    def midstream(self) -> bool:
        return bool(self._flags & _MIDSTREAM)

    @property
    def truncated(self) -> bool:
        return bool(self._flags & _TRUNCATED)

    @property
    def state(self) -> dict[str, Any]:
        states, inspection, protocol = self._kept
        return states.setdefault(inspection, {}).setdefault(protocol, {})


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
    #: 0 for proof by magic bytes to 100 for a guess. Of several Python protocols the lower ones are asked first, and
    #: the first that says yes() or done() owns the flow. Native protocols are asked before, at the packet itself.
    rank: ClassVar[int] = 50
    #: What it adds to the record. The value of a str may be bytes of the packet, that of a time is an int of
    #: nanoseconds since the epoch; a float may be an int, a list may be a tuple.
    fields: ClassVar[Sequence[Field]] = ()
    #: Names of fields that emit an update event when the flow gets them; other fields wait for the next event. A
    #: list of texts emits one for each new text, and holds the latest 16.
    notify: ClassVar[Collection[str]] = ()
    options: ClassVar[Mapping[str, Option]] = {}
    aicore_api: ClassVar[int] = 1

    @functools.cached_property
    def config(self) -> Mapping[str, Any]:
        """The checked values of `options`, or their defaults in an object that a program made and added itself."""
        return config_of(type(self).__name__, self, {})

    #: Not this protocol, as far as this direction shows; the other one is asked all the same.
    NO: ClassVar[Answer] = Answer(_NO)
    #: Cannot tell yet: show this again with more behind it. Before recognition up to 16 KiB of a direction
    #: (`stream_bytes` of the stack).
    MORE: ClassVar[Answer] = Answer(_MORE)

    @staticmethod
    def more(*, consumed: int) -> Answer:
        """MORE, but the first `consumed` bytes need not be shown again. For a flow that this protocol owns."""
        return Answer(_MORE, consumed=consumed)

    @staticmethod
    def yes(layer7: str | None = None, /, *, consumed: int | None = None, **fields: Any) -> Answer:
        """This protocol; show me what follows, in both directions. `layer7` names the flow by another name. With
        `consumed`, what is behind that many bytes of the payload is shown again with what follows it: the beginning of
        a message whose rest has not come. Once the flow is this protocol's, NO means no more than yes()."""
        return Answer(_YES, fields, layer7, consumed)

    @staticmethod
    def done(layer7: str | None = None, /, **fields: Any) -> Answer:
        """This protocol, and nothing more to learn from the flow."""
        return Answer(_DONE, fields, layer7)

    def inspect(self, payload: bytes, flow: InspectedFlow) -> Answer | None:
        """Looks at a datagram, or at the stream of one direction, and answers; None is NO.

        Of a TCP stream, before recognition, payload begins at the first byte of the direction; afterwards behind what
        was consumed. Called on the thread of run(), in the order of the packets. Everything in payload is hostile:
        check lengths, bound loops. What it raises counts as NO. It is set aside after five errors or wrong answers in a
        row, or when it takes more CPU time than `plugin_limit` of the stack, 1 ms per call over 100 calls by default; a
        call that never returns cannot be ended, only named in the log.
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
    for what in ("prefixes", "ports", "notify"):
        if not isinstance(given := getattr(protocol, what), tuple | list):
            return f"{what} must be a list, not {given!r:.100}"
    if not all(isinstance(prefix, bytes) and 1 <= len(prefix) <= 16 for prefix in prefixes):
        return "each prefix must be 1 to 16 bytes"
    if not all(isinstance(port, int) and 0 < port < 65536 for port in ports):
        return "each port must be 1 to 65535"
    fields: object = protocol.fields
    if not isinstance(fields, tuple | list) or not all(isinstance(field, Field) for field in fields):
        return f"fields must be a list of aicore.Field, not {fields!r:.100}"
    if not isinstance(rank, int) or not 0 <= rank <= 100:
        return f"rank must be 0 to 100, not {rank!r}"
    for field in protocol.fields:
        if field.name == "consumed":
            return "no field can be named 'consumed': it is an argument of yes()"
        if not _FIELD.fullmatch(field.name) or field.type not in get_args(FieldType):
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
            fields = [{**as_native(field), "notify": field.name in protocol.notify} for field in protocol.fields]
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
        self._flows: FlowBatch | None = None  # of the batch at hand
        self._answer = Protocol.NO
        self._states: _States = {}

    def inspect(self, batch: FlowBatch, engine: _core.Engine) -> None:
        """Every payload of the batch, also for a protocol that was set aside: a flow may wait for its answer."""
        if not self._protocols:
            return
        flows = batch._core.payload_flows()
        self._flows = None if flows is None else FlowBatch(flows)
        for ended in engine.inspect(batch._core, self._ask):
            self._states.pop(ended, None)
        self._flows = None

    def _ask(
        self, name: str, payload: bytes, other: bytes | None, flags: int, inspection: int, row: int
    ) -> tuple[int, int | None, str | None, Mapping[str, Any]]:
        stats = self._guard.account(f"protocol:{name}")
        self._answer = Protocol.NO
        if stats.set_aside is None:
            assert self._flows is not None
            flow = InspectedFlow(self._flows, row, flags, other or b"", (self._states, inspection, name))
            self._guard.call(stats, "inspect", 1, self._call, name, payload, flow)
        elif flags & _RECOGNISED:
            return _DONE, None, None, {}
        code, fields, layer7, consumed = self._answer
        return code, consumed, layer7, fields

    def _call(self, name: str, payload: bytes, flow: InspectedFlow) -> None:
        self._answer = self._checked(name, self._protocols[name].inspect(payload, flow))

    def _checked(self, name: str, said: object) -> Answer:
        if said is None:
            return Protocol.NO
        if not isinstance(said, Answer) or said.code not in (_NO, _MORE, _YES, _DONE):
            raise TypeError(f"inspect() answered {said!r:.100}")
        if not (said.layer7 is None or isinstance(said.layer7, str)):
            raise TypeError(f"layer7 must be text, not {said.layer7!r:.100}")
        consumed = said.consumed
        if not (consumed is None or (type(consumed) is int and 0 <= consumed < _INT64)):
            raise TypeError(f"consumed must be a number of bytes, not {consumed!r:.100}")
        if not said.fields:
            return said
        return said._replace(fields=dict(self._values(name, said.fields)))

    def _values(self, name: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for field, value in fields.items():
            wanted = self._types[name].get(field)
            if wanted is None:
                raise ValueError(f"it does not declare the field {field!r}")
            if value is None:
                continue
            try:
                yield field, _value(wanted, value)
            except TypeError:
                raise TypeError(f"the field {field!r} is {wanted}, not {value!r:.100}") from None


def _value(wanted: FieldType, value: Any) -> Any:
    """As the core takes a value of that type. TypeError if it is of another one, or does not fit in 64 bits."""
    if wanted.startswith("list["):
        if not isinstance(value, list | tuple):
            raise TypeError
        item = cast(FieldType, wanted[len("list[") : -1])
        return [_value(item, part) for part in value]
    kind = type(value)
    if wanted == "str" and isinstance(value, str | bytes):
        return _text(value)
    if wanted == "bool" and kind is bool:
        return value
    if wanted == "float" and (kind is float or (kind is int and -_INT64 <= value < _INT64)):
        return float(value)
    if wanted in ("int", "time") and kind is int and -_INT64 <= value < _INT64:
        return value
    raise TypeError


def _text(value: str | bytes) -> str:
    """Packet bytes as the core writes them: valid UTF-8, a bad byte as \\xNN text."""
    raw = value if isinstance(value, bytes) else str.encode(value, "utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")
