# SPDX-License-Identifier: Apache-2.0
"""The record: one table that says of every field what it is.

JSON, SQL columns, mappings of stores, documentation and `aicore fields` come from here. The core's fields stand in
`CORE`, in the order of a batch's columns (a test holds them against the native side); what loaded protocols declare
comes from their registry, what hook plugins add is read off the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

#: `time` is nanoseconds since the epoch, UTC: an int column, RFC 3339 with 9 decimals in JSON.
FieldType = Literal["str", "int", "float", "bool", "time", "list[str]", "list[int]", "list[float]"]

#: Bytes of a field in fixed-width stores, unless its definition says otherwise.
WIDTH = 64

_SQL_TYPES: Mapping[FieldType, str] = {
    "int": "INTEGER",
    "float": "REAL",
    "str": "TEXT",
    "bool": "INTEGER",
    "time": "INTEGER",
    "list[str]": "TEXT",
    "list[int]": "TEXT",
    "list[float]": "TEXT",
}


@dataclass(frozen=True)
class Field:
    """One field of the record. `width` counts bytes and matters to strings only."""

    name: str
    type: FieldType
    meaning: str
    unit: str | None = None
    ecs: str | None = None
    protocol: str = "core"
    width: int = WIDTH

    @property
    def column_type(self) -> FieldType:
        """As `FlowBatch.type()` names it: times are integers there."""
        return "int" if self.type == "time" else self.type

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list")

    @property
    def sql_type(self) -> str:
        """SQLite's storage class; lists are stored as JSON text."""
        return _SQL_TYPES[self.type]


# 39 characters hold every IPv6 address, so a key of two in brackets, two ports and the protocol has at most 99.
CORE: tuple[Field, ...] = (
    Field("key", "str", "ipsrc:portsrc:proto:ipdst:portdst of the flow, IPv6 addresses in brackets", width=104),
    Field("flow_id", "str", "identity of the flow, 128 bits in hexadecimal: the same packets give the same one"),
    Field("seq", "int", "number of the event in its run", ecs="event.sequence"),
    Field("sensor", "str", "vantage point: empty for files, else host/interface or as set", ecs="observer.name"),
    Field("ipsrc", "str", "address of the sender of the first packet", ecs="source.ip"),
    Field("portsrc", "int", "port of that sender", ecs="source.port"),
    Field("proto", "int", "IP protocol number: 6 TCP, 17 UDP", ecs="network.iana_number"),
    Field("ipdst", "str", "address of the receiver of the first packet", ecs="destination.ip"),
    Field("portdst", "int", "port of that receiver", ecs="destination.port"),
    Field("vlan", "int", "outermost VLAN id", ecs="network.vlan.id"),
    Field("vlan_inner", "int", "second VLAN id (802.1ad)", ecs="network.inner.vlan.id"),
    Field("tunnel", "str", "innermost tunnel that carried the flow, with its id where it has one"),
    Field("community_id", "str", "Community ID 1.0 flow hash, seed 0", ecs="network.community_id"),
    Field("first_seen", "time", "time of the earliest packet", "ns", "event.start"),
    Field("last_seen", "time", "time of the latest packet", "ns", "event.end"),
    Field("duration", "int", "last_seen less first_seen", "ns", "event.duration"),
    Field("packets", "int", "packets of both directions", "packets", "network.packets"),
    Field(
        "bytes",
        "int",
        "bytes of both directions from the IP header on (IPFIX octetDeltaCount)",
        "bytes",
        "network.bytes",
    ),
    Field("payload_bytes", "int", "bytes behind the TCP or UDP headers, both directions", "bytes"),
    Field("src_packets", "int", "packets sent by ipsrc", "packets", "source.packets"),
    Field("dst_packets", "int", "packets sent by ipdst", "packets", "destination.packets"),
    Field("src_bytes", "int", "bytes sent by ipsrc", "bytes", "source.bytes"),
    Field("dst_bytes", "int", "bytes sent by ipdst", "bytes", "destination.bytes"),
    Field("src_payload_bytes", "int", "payload bytes sent by ipsrc", "bytes"),
    Field("dst_payload_bytes", "int", "payload bytes sent by ipdst", "bytes"),
    Field("layer7", "str", "application protocol", ecs="network.protocol"),
    Field("layer7_by", "str", "how layer7 was found: payload or port"),
    Field(
        "src_tcpflags",
        "int",
        "TCP flags seen from ipsrc, or-ed (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128)",
    ),
    Field("dst_tcpflags", "int", "TCP flags seen from ipdst, or-ed"),
    Field("tcp_state", "str", "state of the TCP connection"),
    Field("end_reason", "str", "why the flow ended: fin, rst, idle, active, evicted, shutdown; absent while it lives"),
    Field("retransmissions", "int", "TCP segments seen before", "packets"),
    Field("anomaly", "str", "first decode or dissector counter that the flow hit"),
)

CORE_BY_NAME: Mapping[str, Field] = {field.name: field for field in CORE}


class _Columns(Protocol):
    """What this module needs of a batch."""

    def names(self) -> list[str]: ...
    def type(self, name: str) -> FieldType: ...


def declared(fields: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """Fields as `Registry.fields()` lists what protocols declare."""
    return tuple(
        Field(
            name=field["name"],
            type=field["type"],
            meaning=field.get("help") or "",
            unit=field.get("unit") or None,
            ecs=field.get("ecs") or None,
            protocol=field.get("protocol") or "plugin",
            width=field.get("width") or WIDTH,
        )
        for field in fields
    )


def of_batch(batch: _Columns, known: Iterable[Field] = ()) -> tuple[Field, ...]:
    """The fields of a batch's columns, in their order.

    `known` describes protocol fields, if the caller has them; any other one is known by name and type alone, which
    is what a store needs."""
    by_name = {**CORE_BY_NAME, **{field.name: field for field in known}}
    return tuple(
        by_name.get(name) or Field(name, batch.type(name), "added by a plugin", protocol="plugin")
        for name in batch.names()
    )


def as_dicts(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """For `aicore fields --json` and the documentation."""
    return [asdict(field) for field in fields]
