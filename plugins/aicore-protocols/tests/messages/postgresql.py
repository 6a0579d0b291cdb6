# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's documentation, "Frontend/Backend Protocol"."""

from __future__ import annotations

from talk import c, s, tcp, u8, u32


def untyped(code: int, body: bytes = b"") -> bytes:
    return u32(8 + len(body), code) + body


def typed(kind: bytes, body: bytes = b"") -> bytes:
    return kind + u32(4 + len(body)) + body


def startup(*pairs: bytes, version: int = 196608) -> bytes:
    return untyped(version, b"".join(text + b"\0" for text in pairs) + b"\0")


SSL, GSS = untyped(80877103), untyped(80877104)
START = startup(b"user", b"web", b"database", b"shop", b"application_name", b"psql")
VERSION = typed(b"S", b"server_version\x0016.1\0")
ERROR = typed(b"E", b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0")
NAMES = {"postgresqluser": "web", "postgresqldatabase": "shop", "postgresqlapplication": "psql"}

TALKS = {
    "log_in": tcp(
        5432,
        c(START),
        s(typed(b"R", u32(10) + b"SCRAM-SHA-256\0\0")),
        c(typed(b"p", b"SCRAM-SHA-256\0" + bytes(40))),
        s(typed(b"R", u32(0)) + VERSION + typed(b"K", bytes(8)) + typed(b"Z", b"I")),
        c(typed(b"Q", b"select 1\0")),
        s(typed(b"D", bytes(4000)) + typed(b"C", b"SELECT 1\0") + typed(b"Z", b"I")),
        layer7="postgresql",
        postgresqlversion="16.1",
        postgresqlerror=None,
        **NAMES,
    ),
    "no_tls": tcp(
        6543,
        c(SSL),
        s(b"N"),
        c(START),
        s(ERROR),
        layer7="postgresql",
        postgresqlerror="28P01",
        postgresqltls=None,
        **NAMES,
    ),
    "no_gss_then_tls": tcp(5432, c(GSS), s(b"N"), c(SSL), s(b"S"), layer7="postgresql", postgresqltls=1),
    "gss": tcp(5432, c(GSS), s(b"G"), c(bytes(50)), layer7="postgresql", postgresqltls=None),
    "old_server": tcp(5432, c(SSL), s(ERROR), layer7="postgresql", postgresqlerror="28P01"),
    "cancel": tcp(5432, c(untyped(80877102, bytes(8))), layer7="postgresql"),
    "middle": tcp(5432, c(START), middle=True, layer7="postgresql", **NAMES),
    "bad_answer": tcp(5432, c(SSL), s(b"x"), layer7="postgresql", anomaly="postgresql_bad_message"),
    "bad_message": tcp(5432, c(START), s(u8(0) + bytes(10)), layer7="postgresql", anomaly="postgresql_bad_message"),
    "no_user": tcp(5432, c(startup(b"database", b"shop"))),
    "version_2": tcp(5432, c(startup(b"user", b"web", version=131072))),
    "longer_request": tcp(5432, c(untyped(80877103, b"x"))),
}
