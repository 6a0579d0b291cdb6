# SPDX-License-Identifier: Apache-2.0
"""RFC 8415; the client's name as RFC 4704 has it."""

from __future__ import annotations

from captures.packets import packed
from talk import Talk, Turn, c, s, u8, u16, u32, udp, vector


def option(code: int, value: bytes) -> bytes:
    return u16(code) + vector(value, 2)


def message(kind: int, *options: bytes) -> bytes:
    return u8(kind) + b"\x12\x34\x56" + b"".join(options)


CLIENT_ID = option(1, u16(3, 1) + bytes.fromhex("02005e10aabb"))
NAME = option(39, u8(0) + vector(b"pc", 1) + vector(b"example", 1) + u8(0))
VENDOR = option(16, u32(311) + vector(b"MSFT 5.0", 2))
ADDRESS = option(5, packed("2001:db8::77") + u32(3600, 7200))
IDENTITY = option(3, u32(1, 1800, 2880) + ADDRESS)
PREFIX = option(25, u32(1, 900, 1440) + option(26, u32(3000, 6000) + u8(56) + packed("2001:db8:77::")))
SOLICIT = message(1, CLIENT_ID, NAME, VENDOR, option(3, u32(1, 0, 0)), option(8, u16(0)))
REPLY = message(7, CLIENT_ID, IDENTITY)
RELAYED = u8(12, 0) + packed("2001:db8::1") + packed("fe80::1") + option(9, SOLICIT)
GOT = {
    "dhcphostname": "pc.example",
    "dhcpvendor": "MSFT 5.0",
    "dhcpip": "2001:db8::77",
    "dhcplease": 7200,
    "dhcpt1": 1800,
    "dhcpt2": 2880,
    "dhcpmessage": "reply",
}


def talk(*turns: Turn, **fields: object) -> Talk:
    return udp(547, *turns, layer7="dhcpv6", client_port=546, **fields)


TALKS = {
    "lease": talk(c(SOLICIT), s(message(2, CLIENT_ID, IDENTITY)), c(message(3, CLIENT_ID, IDENTITY)), s(REPLY), **GOT),
    "solicit": talk(c(SOLICIT), dhcpmessage="solicit", dhcphostname="pc.example", dhcpip=None),
    "prefix": talk(s(message(7, PREFIX)), dhcpip="2001:db8:77::", dhcplease=6000, dhcpt1=900),
    "relayed": talk(c(RELAYED), dhcphostname="pc.example", dhcpmessage="relay-forward"),
    "bad_message": talk(c(SOLICIT), c(message(3, u16(1, 200))), anomaly="dhcpv6_bad_message"),
    "unknown_type": udp(547, c(message(99, CLIENT_ID))),
    "option_too_long": udp(547, c(message(1, u16(1, 200)))),
    "relay_of_nothing": udp(547, c(u8(12, 0) + bytes(32) + option(9, b"\xff\xff"))),
}
