# SPDX-License-Identifier: Apache-2.0
"""What a batch says, as Redis commands. Nothing here talks to a server.

A batch may say several things about one key: a flow ends and another takes its key, or rows that failed are sent again
together with later ones. The last one counts, as if each had been a command of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from aicore.batch import FlowBatch

_TCP = 6


class Command(NamedTuple):
    """One command, and the rows of the batch that it delivers."""

    args: Sequence[Any]
    rows: Sequence[int]
    #: The key in Redis is one flow's own.
    own: bool = False


def hashes(batch: FlowBatch, tcp: str, udp: str, delete: bool) -> list[Command]:
    """At most one `HDEL` and one `HSET` for each transport: a command for each row costs six times the CPU."""
    keys = batch.keys()
    gone, kept = _split(batch, keys, delete)
    commands = []
    for name, rows in _by_transport(batch, gone, tcp, udp):
        commands.append(Command(("HDEL", name, *[keys[row] for row in rows]), rows))
    if kept:
        # Records of flows that are deleted are not made.
        records = batch.json() if len(kept) == len(batch) else batch.take(kept).json()
        record_of = records if len(kept) == len(batch) else dict(zip(kept, records, strict=True))
        for name, rows in _by_transport(batch, kept, tcp, udp):
            if len(rows) == len(batch):
                pairs = zip(keys, records, strict=True)
            else:
                pairs = zip([keys[row] for row in rows], [record_of[row] for row in rows], strict=True)
            commands.append(Command(("HSET", name, *chain.from_iterable(pairs)), rows))
    return commands


def flow_hashes(batch: FlowBatch, prefix: str, delete: bool, ttl: int) -> list[Command]:
    """One `UNLINK`; an `HSET`, and with a ttl an `EXPIRE`, for each flow that stays."""
    ids = batch.column("flow_id")
    gone, kept = _split(batch, ids, delete)
    commands = []
    if gone:
        commands.append(Command(("UNLINK", *[prefix + ids[row] for row in gone]), gone))
    names = batch.names()
    columns = [_texts(batch, name) for name in names]
    records = list(zip(*columns, strict=True))
    for row in kept:
        name = prefix + ids[row]
        fields = [part for pair in zip(names, records[row], strict=True) if pair[1] is not None for part in pair]
        commands.append(Command(("HSET", name, *fields), (row,), own=True))
        if ttl:
            commands.append(Command(("EXPIRE", name, ttl), (row,), own=True))
    return commands


def stream(batch: FlowBatch, name: str, maxlen: int) -> list[Command]:
    """An `XADD` for each event."""
    head = ("XADD", name, "MAXLEN", "~", maxlen, "*") if maxlen else ("XADD", name, "*")
    rows = zip(batch.column("event"), batch.column("version").tolist(), batch.json(), strict=True)
    return [
        Command((*head, "event", event, "version", version, "record", record), (row,))
        for row, (event, version, record) in enumerate(rows)
    ]


def _split(batch: FlowBatch, names: Sequence[str], delete: bool) -> tuple[Sequence[int], Sequence[int]]:
    """Rows whose name leaves the store, and rows to write, in order. Each name is in one of them only."""
    events = batch.column("event")
    if not delete or "remove" not in events:
        return (), range(len(batch))
    last = dict(zip(names, events, strict=True))
    gone = [row for row, name in enumerate(names) if last[name] == "remove"]
    return gone, [row for row, name in enumerate(names) if last[name] != "remove"]


def _by_transport(batch: FlowBatch, rows: Sequence[int], tcp: str, udp: str) -> list[tuple[str, Sequence[int]]]:
    """The rows for each hash, in their order."""
    if not rows:
        return []
    protos = batch.column("proto").tolist()
    count = protos.count(_TCP)
    if count in (0, len(protos)):
        return [(tcp if count else udp, rows)]
    parts = [
        (tcp, [row for row in rows if protos[row] == _TCP]),
        (udp, [row for row in rows if protos[row] != _TCP]),
    ]
    return [(name, part) for name, part in parts if part]


def _texts(batch: FlowBatch, name: str) -> Sequence[Any]:
    """A column as values of a hash: None where absent, lists as JSON, times in ns since the epoch."""
    column = batch.column(name)
    kind = batch.type(name)
    if kind == "str":
        return column  # type: ignore[no-any-return]  # a list of str | None
    if kind == "list":
        return [None if value is None else dumps(value, ensure_ascii=False) for value in column]
    values = column.tolist()
    valid = batch.valid(name).tobytes()
    return [value if present else None for value, present in zip(values, valid, strict=True)] if 0 in valid else values
