# SPDX-License-Identifier: Apache-2.0
"""MySQL's client/server protocol: HandshakeV10, HandshakeResponse41."""

from __future__ import annotations

import struct

from talk import c, s, tcp, u8

BASE = 0x1 | 0x200 | 0x8000 | 0x80000


def packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + u8(number) + body


def greeting(version: bytes, filler: bytes = bytes(6)) -> bytes:
    head = (
        u8(10)
        + version
        + b"\0"
        + struct.pack("<I", 12)
        + b"saltsalt\0"
        + struct.pack("<HBHHB", 0xFFFF, 45, 2, 0xDFFF, 21)
    )
    return packet(0, head + filler + bytes(4) + b"moresaltmore\0mysql_native_password\0")


def login(flags: int, user: bytes, rest: bytes = b"") -> bytes:
    return packet(1, struct.pack("<IIB", BASE | flags, 1 << 24, 45) + bytes(23) + user + b"\0\x04hash" + rest)


GREETING = greeting(b"8.0.36")
OK = packet(2, bytes(7))
PLAIN = login(8, b"web", b"shop\0caching_sha2_password\0")
SSL = packet(1, struct.pack("<IIB", BASE | 0x800, 1 << 24, 45) + bytes(23))
DENIED = packet(2, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied")

TALKS = {
    "log_in": tcp(
        3306,
        s(GREETING),
        c(PLAIN),
        s(OK),
        c(packet(0, b"\x02stock")),
        s(packet(1, bytes(7))),
        c(packet(0, b"\x03select 1")),
        s(packet(1, b"\x01") + packet(2, bytes(3000))),
        layer7="mysql",
        mysqlserver="8.0.36",
        mysqluser="web",
        mysqldatabase="stock",
        mysqlplugin="caching_sha2_password",
        mysqlcommand=3,
        mysqlerror=None,
        mysqltls=None,
    ),
    "denied": tcp(
        3307,
        s(greeting(b"5.5.5-10.6.12-MariaDB")),
        c(login(0, b"root")),
        s(DENIED),
        layer7="mysql",
        mysqluser="root",
        mysqlserver="5.5.5-10.6.12-MariaDB",
        mysqlerror=1045,
    ),
    "tls": tcp(3306, s(GREETING), c(SSL), layer7="mysql", mysqltls=1, mysqluser=None),
    "compressed": tcp(3306, s(GREETING), c(login(0x20, b"web")), c(bytes(30)), layer7="mysql", mysqluser="web"),
    "middle": tcp(3306, s(GREETING), middle=True, layer7="mysql", mysqlserver="8.0.36"),
    "bad_login": tcp(
        3306, s(GREETING), c(packet(1, struct.pack("<I", BASE))), layer7="mysql", anomaly="mysql_bad_packet"
    ),
    "filler": tcp(3306, s(greeting(b"8.0.36", b"filler"))),
    "no_version": tcp(3306, s(greeting(b"eight"))),
    "other_protocol": tcp(3306, s(packet(0, u8(9) + GREETING[5:]))),
}
