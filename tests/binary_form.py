# SPDX-License-Identifier: Apache-2.0
"""A second writer of the binary form of batches, from its description in native/include/aicore/binary.h: for seeds of
the fuzzer, and for what the core itself would not write."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TYPES = {"str": 1, "int": 2, "list[str]": 3, "float": 4, "bool": 5, "list[int]": 6, "list[float]": 7, "time": 8}
_MEMBERS = """
    seq version opened first_seen last_seen duration packets bytes payload_bytes src_packets dst_packets src_bytes
    dst_bytes src_payload_bytes dst_payload_bytes retransmissions ipsrc_0 ipsrc_1 ipsrc_2 ipsrc_3 ipdst_0 ipdst_1
    ipdst_2 ipdst_3 tunnel_id attribute_count portsrc portdst vlan vlan_inner layer7 anomaly sensor proto ip_version
    src_tcpflags dst_tcpflags event new sampled layer7_by tcp_state end_reason tunnel"""
#: Members of a row in the core's order, with the bytes that each takes at least.
MEMBERS = {"flow_id_high": 8, "flow_id_low": 8, **dict.fromkeys(_MEMBERS.split(), 0)}


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


def numbers(values: Sequence[int], least: int = 0) -> bytes:
    low = min(values, default=0)
    width = max(least, ((max(values, default=0) - low).bit_length() + 7) // 8)
    return struct.pack("<Bq", width, low) + b"".join((value - low).to_bytes(width, "little") for value in values)


def bits(real: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", real))[0])


def texts(values: Sequence[str]) -> bytes:
    data = [value.encode() for value in values]
    return numbers([len(one) for one in data], 1) + b"".join(data)


@dataclass
class Form:
    """Rows as numbers by member; attributes as (field, value) by row; added columns as name, type, values."""

    rows: Sequence[Mapping[str, int]]
    fields: Sequence[tuple[str, str]] = ()
    attributes: Sequence[Sequence[tuple[int, Any]]] = ()
    added: Sequence[tuple[str, str, Sequence[Any]]] = ()
    names: Sequence[str] = ()
    members: Mapping[str, int] = field(default_factory=lambda: MEMBERS)

    def schema(self) -> bytes:
        out = b"AICS" + struct.pack("<HH", 1, len(self.members)) + b"".join(map(text, self.members))
        out += struct.pack("<H", len(self.fields))
        out += b"".join(_field(name, kind) for name, kind in self.fields)
        out += struct.pack("<H", len(self.added))
        return out + b"".join(_field(name, kind) for name, kind, _ in self.added)

    def batch(self) -> bytes:
        out = b"AICB" + struct.pack("<HQI", 1, fingerprint(self.schema()), len(self.rows))
        for member, least in self.members.items():
            default = 4 if member == "ip_version" else 0
            values = [row.get(member, default) for row in self.rows]
            if member == "attribute_count" and self.attributes:
                values = [len(one) for one in self.attributes]
            out += numbers(values, least)
        out += struct.pack("<H", len(self.names)) + b"".join(map(text, self.names))
        flat = [one for row in self.attributes for one in row]
        kinds = [self.fields[number][1] for number, _ in flat]
        strings = list(dict.fromkeys(value for _, value in flat if isinstance(value, str)))
        out += numbers([number for number, _ in flat], 1) + struct.pack("<I", len(strings)) + texts(strings)
        out += numbers([strings.index(value) for _, value in flat if isinstance(value, str)], 1)
        real = [kind in ("float", "list[float]") for kind in kinds]
        whole = [int(value) for (_, value), no in zip(flat, real, strict=True) if not no and not isinstance(value, str)]
        out += numbers(whole, 1)
        out += numbers([bits(value) for (_, value), yes in zip(flat, real, strict=True) if yes], 1)
        return out + b"".join(_added(kind, values) for _, kind, values in self.added)

    def both(self) -> tuple[bytes, bytes]:
        return self.schema(), self.batch()


def fingerprint(data: bytes) -> int:
    factor, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    value = len(data) * factor & mask
    for at in range(0, len(data), 8):
        value ^= int.from_bytes(data[at : at + 8], "little")
        value = ((value << 29 | value >> 35) & mask) * factor & mask
    return value


def _field(name: str, kind: str) -> bytes:
    out = text(name) + struct.pack("<BBI", TYPES[kind], 0, 64)
    return out + text("") + text("a.b") + text("what it means") + text("seed")


def _added(kind: str, values: Sequence[Any]) -> bytes:
    out = bytes(value is not None for value in values)
    if kind.startswith("list"):
        lists: list[Sequence[Any]] = [value or [] for value in values]
        items = [item for value in lists for item in value]
        return out + numbers([len(value) for value in lists]) + _items(kind[5:-1], items, 1)
    return out + _items(kind, [("" if kind == "str" else 0) if value is None else value for value in values], 0)


def _items(kind: str, values: Iterable[Any], least: int) -> bytes:
    if kind == "str":
        return texts(list(values))
    return numbers([bits(value) if kind == "float" else int(value) for value in values], least)


def _row(flow: int, **members: int) -> dict[str, int]:
    return {
        "flow_id_high": 1,
        "flow_id_low": flow,
        "seq": flow + 1,
        "version": flow + 1,
        "ipsrc_0": 0x0100000A,
        "ipdst_0": 0x0200000A,
        "proto": 6,
        "packets": 7 * flow,
        "first_seen": 1_700_000_000_000_000_000 + flow,
        "event": flow % 3,
        **members,
    }


_FIELDS = [(f"a_{kind.replace('[', '_').rstrip(']')}", kind) for kind in TYPES]
_VALUES: dict[str, Any] = {"str": "host", "int": -5, "float": 0.5, "bool": 1, "time": 1_700_000_000_000_000_000}


def _some(kind: str) -> Any:
    return [_VALUES[kind[5:-1]]] * 2 if kind.startswith("list") else _VALUES[kind]


def _items_of(kind: str) -> list[Any]:
    return _some(kind) if kind.startswith("list") else [_some(kind)]


#: What the fuzzer begins with.
EXAMPLES = [
    Form([]),
    Form([_row(0)]),
    Form(
        [_row(n, layer7=n % 3, sensor=2, ip_version=4 + 2 * (n % 2), ipsrc_3=n % 2) for n in range(5)],
        names=["tls", "tap"],
    ),
    Form(
        [_row(n) for n in range(3)],
        fields=_FIELDS,
        attributes=[
            [
                (n, item)
                for n, (_, kind) in enumerate(_FIELDS)
                for item in (_some(kind) if "[" in kind else [_some(kind)])
            ],
            [],
            [(0, "a"), (2, "b"), (2, "a")],
        ],
    ),
    Form(
        [_row(n) for n in range(3)],
        added=[(name, kind, [None, _some(kind), None]) for name, kind in _FIELDS],
    ),
    Form([_row(0)], added=[("absent", "str", [None]), ("tags", "list[str]", [["", "a", "b"]])]),
    Form([_row(0)], members={**MEMBERS, "of_a_later_version": 0}),
    Form([_row(0)], members={name: least for name, least in MEMBERS.items() if name != "duration"}),
]
