# SPDX-License-Identifier: Apache-2.0
"""memcached's protocol.txt and protocol-binary.txt."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16, u32, udp


def binary(
    opcode: int, key: bytes = b"", value: bytes = b"", extras: bytes = b"", magic: int = 0x80, number: int = 9
) -> bytes:
    body = extras + key + value
    return u8(magic, opcode) + u16(len(key)) + u8(len(extras), 0) + u16(0) + u32(len(body), number) + bytes(8) + body


def datagram(body: bytes, part: int = 0, parts: int = 1) -> bytes:
    return u16(1, part, parts, 0) + body


STATS = b"STAT pid 1162\r\nSTAT version 1.6.18\r\nEND\r\n"
VALUE = b"VALUE a 0 9\r\nget b\r\nEN\r\nEND\r\n"

TALKS = {
    "lines": tcp(
        11211,
        c(b"set user:7 0 60 13\r\nget nothing\r\n\r\n"),
        s(b"STORED\r\n"),
        c(b"get user:7\r\n"),
        s(VALUE),
        c(b"delete user:7 noreply\r\nincr n 1\r\nstats\r\n"),
        s(b"5\r\n" + STATS),
        layer7="memcached",
        memcachedcommand="stats",
        memcachedcommands=["set", "get", "delete", "incr", "stats"],
        memcachedkey="user:7",
        memcachedversion="1.6.18",
    ),
    "other_port": tcp(21211, c(b"get a\r\n"), s(VALUE), layer7="memcached", memcachedkey="a", memcachedcommand="get"),
    "version": tcp(21211, c(b"version\r\n"), s(b"VERSION 1.6.18\r\n"), layer7="memcached", memcachedversion="1.6.18"),
    "meta": tcp(21211, c(b"ms a 2 T60\r\nhi\r\nmg a v\r\n"), s(b"HD\r\nVA 2\r\nhi\r\n"), layer7="memcached"),
    "binary": tcp(
        11211,
        c(binary(1, b"k", b"v" * 3000, bytes(8))),
        s(binary(1, magic=0x81)),
        c(binary(0x0B)),
        s(binary(0x0B, value=b"1.4.15", magic=0x81)),
        layer7="memcached",
        memcachedkey="k",
        memcachedcommands=["set", "version"],
        memcachedversion="1.4.15",
    ),
    "binary_other_port": tcp(21211, c(binary(0, b"k")), s(binary(0, magic=0x81)), layer7="memcached", memcachedkey="k"),
    "datagrams": udp(
        11211, c(datagram(b"stats\r\n")), s(datagram(STATS, 0, 2)), s(datagram(b"x", 1, 2)), layer7="memcached"
    ),
    "reflected": udp(11211, s(datagram(VALUE)), layer7="memcached"),
    "middle": tcp(11211, c(b"get a b\r\n"), middle=True, layer7="memcached"),
    "bad_message": tcp(11211, c(b"get a\r\n"), s(bytes(30)), layer7="memcached", anomaly="memcached_bad_message"),
    "question_alone": tcp(21211, c(b"get a\r\n")),
    "answer_alone": tcp(21211, s(b"STORED\r\n")),
    "no_key": tcp(11211, c(b"get\r\n")),
    "no_length": tcp(11211, c(b"set a b c d\r\n")),
    "binary_other_number": tcp(21211, c(binary(0, b"k")), s(binary(0, magic=0x81, number=8))),
    "datagram_other_port": udp(21211, c(datagram(b"stats\r\n"))),
}
