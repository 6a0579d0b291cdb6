# SPDX-License-Identifier: Apache-2.0
"""Cassandra's native protocol, versions 2 to 5, and the magic between its nodes."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16, u32, vector


def frame(operation: int, body: bytes = b"", version: int = 4, flags: int = 0, server: bool = False) -> bytes:
    stream = u8(1) if version <= 2 else u16(1)
    return u8(version | server << 7, flags) + stream + u8(operation) + vector(body, 4)


def answer(operation: int, body: bytes = b"", version: int = 4) -> bytes:
    return frame(operation, body, version, server=True)


def text(value: str) -> bytes:
    return vector(value.encode(), 2)


OPTIONS = frame(5)
SUPPORTED = answer(
    6, u16(2) + text("COMPRESSION") + u16(1) + text("lz4") + text("CQL_VERSION") + u16(1) + text("3.4.6")
)
START = u16(2) + text("CQL_VERSION") + text("3.3.1") + text("DRIVER_NAME") + text("DataStax Python Driver")

TALKS = {
    "session": tcp(
        9042,
        c(OPTIONS),
        s(SUPPORTED),
        c(frame(1, START)),
        s(answer(2)),
        c(frame(7, vector(b"USE shop", 4) + u16(1) + u8(0))),
        s(answer(8, u32(3) + text("shop"))),
        c(frame(7, vector(b"SELECT x", 4) + u16(1) + u8(0))),
        s(answer(0, u32(0x2200) + text("Invalid"))),
        layer7="cassandra",
        cassandraversion=4,
        cassandracql="3.3.1",
        cassandradriver="DataStax Python Driver",
        cassandraoperation="QUERY",
        cassandraoperations=["OPTIONS", "STARTUP", "QUERY"],
        cassandrakeyspace="shop",
        cassandraerror=0x2200,
    ),
    "version_5": tcp(
        9142, c(frame(1, START, 5)), s(answer(2, version=5)), c(bytes(60)), layer7="cassandra", cassandraversion=5
    ),
    "version_2": tcp(9142, c(frame(1, START, 2)), s(answer(2, version=2)), layer7="cassandra", cassandraversion=2),
    "other_port": tcp(9142, c(OPTIONS), s(SUPPORTED), layer7="cassandra", cassandracql="3.4.6"),
    "nodes": tcp(7000, c(bytes.fromhex("ca552dfa0c0a0c11") + bytes(11)), layer7="cassandra", cassandraversion=12),
    "middle": tcp(9042, c(frame(1, START)), middle=True, layer7="cassandra"),
    "bad_frame": tcp(9042, c(frame(1, START)), c(bytes(20)), layer7="cassandra", anomaly="cassandra_bad_frame"),
    "options_alone": tcp(9142, c(OPTIONS)),
    "no_version": tcp(9042, c(frame(1, u16(1) + text("COMPRESSION") + text("lz4")))),
    "not_a_clients": tcp(9042, c(frame(2))),
    "flags": tcp(9042, c(frame(1, START, flags=0x40))),
    "other_magic": tcp(7000, c(bytes.fromhex("ca552dfb0c0a0c11") + bytes(11))),
}
