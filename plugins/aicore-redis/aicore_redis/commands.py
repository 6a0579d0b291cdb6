# SPDX-License-Identifier: Apache-2.0
"""What a batch says, as Redis commands. Nothing here talks to a server.

A batch may say several things about one key: a flow ends and another takes its key, or rows that failed are sent again
together with later ones. The last one is sent, and counts for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from itertools import chain
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from aicore import FlowBatch

_TCP = 6
_ROWS = 512

# One flow's hash becomes the record, unless it holds a newer one; a record without fields deletes it. Fields of an
# earlier record that this one has not got go: the hash is then deleted and written once more, and nobody sees it in
# between. It is written before it is deleted, as a full server refuses a script's first write alone. Versions are
# compared as digits: Lua's numbers have 53 bits. Errors are returned, not raised, which keeps their first word in every
# release of Redis.
# ARGV: version, seconds to live or 0, then field and value in turn.
_REPLACE = """\
local name, version, fields = KEYS[1], ARGV[1], (#ARGV - 2) / 2
local function write()
  for first = 3, #ARGV, 1000 do
    local done = redis.pcall('HSET', name, unpack(ARGV, first, math.min(first + 999, #ARGV)))
    if type(done) == 'table' then return done end
  end
end
local was = redis.pcall('HGET', name, 'version')
if type(was) == 'table' then return was end
if was and (#was > #version or (#was == #version and was > version)) then return 0 end
if fields == 0 then return redis.pcall('DEL', name) end
local failed = write()
if not failed and redis.call('HLEN', name) > fields then
  redis.call('DEL', name)
  failed = write()
end
if failed then return failed end
if ARGV[2] ~= '0' then redis.call('EXPIRE', name, ARGV[2]) elseif was then redis.call('PERSIST', name) end
return 1
"""
_REPLACE_SHA = sha1(_REPLACE.encode()).hexdigest()


class Command(NamedTuple):
    """One command, and the rows of the batch that it delivers."""

    args: Sequence[Any]
    rows: Sequence[int]
    #: The key in Redis is one flow's own.
    own: bool = False
    #: It only deletes.
    frees: bool = False


def hashes(batch: FlowBatch, tcp: str, udp: str, delete: bool) -> Iterator[Command]:
    """For each transport an `HDEL`, and an `HSET` for some hundred rows: one for each row costs six times the CPU. The
    records of a command are made with it, so that the server writes the ones before at the same time."""
    keys = batch.keys()
    gone, kept, earlier = _split(batch, keys, delete)
    for name, rows in _by_transport(batch, gone, tcp, udp):
        yield Command(("HDEL", name, *[keys[row] for row in rows]), _with_earlier(rows, earlier), frees=True)
    for name, rows in _by_transport(batch, kept, tcp, udp):
        for at in range(0, len(rows), _ROWS):
            part = rows[at : at + _ROWS]
            pairs = zip([keys[row] for row in part], batch.take(part).json(), strict=True)
            yield Command(("HSET", name, *chain.from_iterable(pairs)), _with_earlier(part, earlier))


def flow_hashes(batch: FlowBatch, prefix: str, delete: bool, ttl: int) -> Iterator[Command]:
    """A script for each flow: see _REPLACE. The first brings its text, which makes the server know it; the others name
    it."""
    ids = batch.column("flow_id")
    gone, kept, earlier = _split(batch, ids, delete)
    versions = batch.column("version")
    names = batch.names()
    columns = [_texts(batch, name) for name in names]
    records = list(zip(*columns, strict=True))
    script = ("EVAL", _REPLACE)
    for row in gone:
        rows = _with_earlier((row,), earlier)
        yield Command((*script, 1, prefix + ids[row], versions[row], 0), rows, own=True, frees=True)
        script = ("EVALSHA", _REPLACE_SHA)
    for row in kept:
        pairs = zip(names, records[row], strict=True)
        fields = chain.from_iterable(pair for pair in pairs if pair[1] is not None)
        head = (*script, 1, prefix + ids[row], versions[row], ttl, "version", versions[row])
        yield Command((*head, *fields), _with_earlier((row,), earlier), own=True)
        script = ("EVALSHA", _REPLACE_SHA)


def stream(batch: FlowBatch, name: str, maxlen: int) -> Iterator[Command]:
    """An `XADD` for each event."""
    head = ("XADD", name, "MAXLEN", "~", maxlen, "*") if maxlen else ("XADD", name, "*")
    rows = zip(batch.column("event"), batch.column("version").tolist(), batch.json(), strict=True)
    for row, (event, version, record) in enumerate(rows):
        yield Command((*head, "event", event, "version", version, "record", record), (row,))


def _split(
    batch: FlowBatch, names: Sequence[str], delete: bool
) -> tuple[Sequence[int], Sequence[int], dict[int, list[int]]]:
    """The last row of each name: of those that leave the store, and of the others. For such a row the earlier ones of
    its name: in a command of their own they could be written where that of the last one failed, or behind it."""
    events = batch.column("event")
    last = dict(zip(names, range(len(names)), strict=True))
    gone: Sequence[int] = ()
    kept: Sequence[int] = list(last.values())
    if delete and "remove" in events:
        gone = [row for row in kept if events[row] == "remove"]
        kept = [row for row in kept if events[row] != "remove"]
    earlier: dict[int, list[int]] = {}
    if len(last) < len(names):
        for row, name in enumerate(names):
            if row != last[name]:
                earlier.setdefault(last[name], []).append(row)
    return gone, kept, earlier


def _with_earlier(rows: Sequence[int], earlier: dict[int, list[int]]) -> Sequence[int]:
    return (*rows, *chain.from_iterable(earlier.get(row, ()) for row in rows)) if earlier else rows


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
    """A column as values of a hash: None where absent, lists as JSON, times in ns since the epoch, booleans 1 or 0."""
    column = batch.column(name)
    kind = batch.type(name)
    if kind == "str":
        return column  # type: ignore[no-any-return]  # a list of str | None
    if kind.startswith("list"):
        return [None if value is None else dumps(value, ensure_ascii=False) for value in column]
    values = column.tolist()
    if kind == "bool":
        values = [int(value) for value in values]
    valid = batch.valid(name).tobytes()
    return [value if present else None for value, present in zip(values, valid, strict=True)] if 0 in valid else values
