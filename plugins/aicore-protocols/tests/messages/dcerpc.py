# SPDX-License-Identifier: Apache-2.0
"""C706 chapter 12, MS-RPCE 2.2.2."""

from __future__ import annotations

import struct
import uuid

from talk import c, s, tcp, u8

MAPPER, DRS = "e1af8308-5d1f-11c9-91a4-08002b14a0fa", "e3514235-4b06-11d1-ab04-00c04fc2dcd2"
NDR = uuid.UUID("8a885d04-1ceb-11c9-9fe8-08002b104860").bytes_le + struct.pack("<I", 2)


def packet(kind: int, body: bytes, order: str = "<", length: int | None = None, version: int = 5) -> bytes:
    head = u8(version, 0, kind, 3, 0x10 if order == "<" else 0, 0, 0, 0)
    return head + struct.pack(order + "HHI", 16 + len(body) if length is None else length, 0, 1) + body


def bind(*interfaces: str, order: str = "<", kind: int = 11) -> bytes:
    body = struct.pack(order + "HHIB3x", 5840, 5840, 0, len(interfaces))
    for number, text in enumerate(interfaces):
        raw = uuid.UUID(text)
        body += (
            struct.pack(order + "HBx", number, 1)
            + (raw.bytes_le if order == "<" else raw.bytes)
            + struct.pack(order + "I", 3)
            + NDR
        )
    return packet(kind, body, order)


ACK = packet(12, struct.pack("<HHI", 5840, 5840, 77) + bytes(40))
REQUEST = packet(0, struct.pack("<IHH", 8, 0, 3) + bytes(500))
CALL = [c(REQUEST), s(packet(2, bytes(7000)))]
FIELDS = {"dcerpcuuid": MAPPER, "dcerpcuuids": [MAPPER, DRS], "dcerpcoperation": 3}

TALKS = {
    "call": tcp(
        135,
        c(bind(MAPPER)),
        s(ACK),
        c(bind(DRS, kind=14)),
        s(packet(15, struct.pack("<HHI", 5840, 5840, 77))),
        *CALL,
        layer7="dcerpc",
        **FIELDS,
    ),
    "any_port": tcp(49155, c(bind(MAPPER, DRS)), s(ACK), *CALL, layer7="dcerpc", **FIELDS),
    "other_order": tcp(49155, c(bind(MAPPER, order=">")), layer7="dcerpc", dcerpcuuid=MAPPER),
    "middle": tcp(49155, c(REQUEST), middle=True, layer7="dcerpc", dcerpcoperation=3),
    "bad_packet": tcp(135, c(bind(MAPPER)), s(b"\5\0\2\3" + bytes(12)), layer7="dcerpc", anomaly="dcerpc_bad_packet"),
    "no_interface": tcp(49155, c(bind())),
    "version_6": tcp(49155, c(packet(11, bytes(60), version=6))),
    "unknown_type": tcp(49155, c(packet(99, bytes(60)))),
    "shorter_than_its_header": tcp(49155, c(packet(0, bytes(60), length=8))),
}
