# SPDX-License-Identifier: Apache-2.0
"""The tables, as data: keys, columns, and the CQL made of them. Nothing here talks to a server.

Names of tables are checked by the adaptor and names of fields are quoted, so no statement holds anything of a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aicore import schema

#: Times stay nanoseconds: a CQL timestamp has milliseconds. Lists are frozen because every write of another one begins
#: with a tombstone.
CQL_TYPES: Mapping[str, str] = {
    "int": "bigint",
    "float": "double",
    "str": "text",
    "bool": "boolean",
    "time": "bigint",
    "list[str]": "frozen<list<text>>",
    "list[int]": "frozen<list<bigint>>",
    "list[float]": "frozen<list<double>>",
}

#: Fields of the record that stand in the table by host; the others are a look-up by flow_id away.
_OF_HOST = (
    "flow_id",
    "first_seen",
    "last_seen",
    "key",
    "ipsrc",
    "portsrc",
    "proto",
    "ipdst",
    "portdst",
    "layer7",
    "packets",
    "bytes",
    "end_reason",
)

#: The comment of tables that aicore has made.
OWNER = "aicore"

# With ended=delete. Hints for a node that is down are kept for 3 h unless configured otherwise; one that was away for
# longer must be repaired. Over the ten days of the default, deleted flows would fill their partitions.
_GC_GRACE_SECONDS = 10_800


@dataclass(frozen=True)
class Table:
    """Columns with their CQL types, keys included."""

    name: str
    partition: tuple[str, ...]
    clustering: tuple[str, ...]
    columns: Mapping[str, str]
    #: Takes every field of a batch, not only `columns`.
    grows: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        return self.partition + self.clustering


@dataclass(frozen=True)
class Part:
    """What a flow's event becomes in one table."""

    table: Table
    #: Column: the field that it is filled from, where the names differ.
    source: Mapping[str, str] = field(default_factory=dict)
    #: Written when a flow begins and ends, not in between.
    ends_only: bool = False
    #: A batch may hold rows of several partitions, which are small here.
    mixed: bool = False
    #: The row may have columns that are not ours: what a record has not got is written as null. Otherwise the whole row
    #: is deleted with the timestamp before the record's: one deletion in place of a tombstone for each absent field,
    #: which readers would have to skip.
    shared: bool = False


def _core(name: str) -> str:
    return CQL_TYPES[schema.CORE_BY_NAME[name].type]


def flows_layout(name: str, by_host: bool) -> tuple[Part, ...]:
    """`flows` and, unless it is not wanted, `flows_by_host`."""
    core = {field.name: CQL_TYPES[field.type] for field in schema.CORE}
    columns = {"day": "date", "bucket": "text", **core, "version": "bigint"}
    flows = Table(name, ("day", "bucket"), ("flow_id",), columns, grows=True)
    if not by_host:
        return (Part(flows),)
    columns = {"host": "text", "day": "date", **{name: _core(name) for name in _OF_HOST}, "version": "bigint"}
    hosts = Table(f"{name}_by_host", ("host", "day"), ("first_seen", "flow_id"), columns)
    ends = (Part(hosts, {"host": host}, ends_only=True, mixed=True) for host in ("ipsrc", "ipdst"))
    return (Part(flows), *ends)


def seed_layout(name: str) -> tuple[Part, ...]:
    """The table of the seed's program: by key, with three columns."""
    columns = {"key": "text", "bytes": "bigint", "layer7": "text", "layer7info": "text"}
    return (Part(Table(name, ("key",), (), columns), mixed=True, shared=True),)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def create_keyspace(keyspace: str, replication: int) -> str:
    return (
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    )


def create_table(keyspace: str, table: Table, deletes: bool) -> str:
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in table.columns.items())
    key = ", ".join([f"({', '.join(map(quoted, table.partition))})", *map(quoted, table.clustering)])
    grace = f" AND gc_grace_seconds = {_GC_GRACE_SECONDS}" if deletes else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.{table.name} ({columns}, PRIMARY KEY ({key}))"
        f" WITH comment = '{OWNER}'{grace}"
    )


def add_columns(keyspace: str, table: Table, columns: Mapping[str, str]) -> str:
    added = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    return f"ALTER TABLE {keyspace}.{table.name} ADD ({added})"


def insert(keyspace: str, table: Table, names: Iterable[str], ttl: int) -> str:
    """The version is the timestamp: an older record, or a late one of an attempt that timed out, changes nothing."""
    names = list(names)
    life = f" AND TTL {ttl}" if ttl else ""
    return (
        f"INSERT INTO {keyspace}.{table.name} ({', '.join(map(quoted, names))})"
        f" VALUES ({', '.join('?' * len(names))}) USING TIMESTAMP ?{life}"
    )


def delete(keyspace: str, table: Table) -> str:
    """With a timestamp too: that of the clock would hide what later runs write, until its day comes."""
    where = " AND ".join(f"{quoted(name)} = ?" for name in table.keys)
    return f"DELETE FROM {keyspace}.{table.name} USING TIMESTAMP ? WHERE {where}"


def differences(table: Table, found: Mapping[str, str], keys: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Columns that an existing table lacks, and what is wrong with it in words."""
    missing = {name: kind for name, kind in table.columns.items() if name not in found}
    wrong = [
        f"column {name} is {found[name]}, not {kind}"
        for name, kind in table.columns.items()
        if name in found and found[name] != kind
    ]
    if tuple(keys) != table.keys:
        wrong.append(f"the primary key is ({', '.join(keys)}), not ({', '.join(table.keys)})")
    return missing, wrong
