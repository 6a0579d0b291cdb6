# SPDX-License-Identifier: Apache-2.0
"""RFC 8489, RFC 8656, RFC 3489; framing of RFC 4571; DTLS beside it, RFC 7983."""

from __future__ import annotations

from captures.packets import packed
from talk import c, s, tcp, u8, u16, u32, udp, vector

from messages.dtls import CLIENT_HELLO, DATA, SERVER_HELLO

COOKIE, ID = 0x2112A442, bytes(range(1, 13))
REQUEST, ANSWER, ERROR = 0, 0x100, 0x110


def attribute(kind: int, value: bytes) -> bytes:
    return u16(kind) + vector(value, 2) + bytes(-len(value) % 4)


def message(kind: int, *attributes: bytes, cookie: int = COOKIE, extra: int = 0) -> bytes:
    body = b"".join(attributes)
    return u16(kind, len(body) + extra) + u32(cookie) + ID + body


def address(kind: int, ip: str, port: int, plain: bool = False) -> bytes:
    raw = packed(ip)
    key = bytes(18) if plain else u16(COOKIE >> 16) + u32(COOKIE) + ID
    value = bytes(a ^ b for a, b in zip(u16(port) + raw, key, strict=False))
    return attribute(kind, u8(0, 1 if len(raw) == 4 else 2) + value)


def channel(data: bytes, padded: bool = False) -> bytes:
    return u16(0x4001) + vector(data, 2) + bytes(-len(data) % 4 if padded else 0)


BINDING = message(1, attribute(0x8022, b"agent 1"))
BOUND = message(1 | ANSWER, address(0x20, "203.0.113.9", 4321))
BOUND6 = message(1 | ANSWER, address(0x20, "2001:db8::9", 4321))
TURN = [
    c(message(3, attribute(0x19, u8(17, 0, 0, 0)))),
    s(message(3 | ERROR, attribute(9, u8(0, 0, 4, 1) + b"who?"), attribute(0x14, b"example.org"))),
    c(message(3, attribute(6, b"ann"), attribute(0x14, b"example.org"))),
    s(message(3 | ANSWER, address(0x16, "198.51.100.99", 50000), address(0x20, "203.0.113.9", 4321))),
    c(message(9, attribute(0xC, u16(0x4001, 0)), address(0x12, "192.0.2.200", 999))),
]
TURN_FIELDS = {
    "stunuser": "ann",
    "stunrealm": "example.org",
    "stunerror": 401,
    "stunrelayip": "198.51.100.99",
    "stunpeerip": "192.0.2.200",
    "stunip": "203.0.113.9",
}
OLD_REQUEST = message(1, attribute(3, u32(0)), cookie=7)
OLD_ANSWER = message(1 | ANSWER, address(1, "203.0.113.9", 4321, plain=True), cookie=7)
MEDIA = u8(0x80, 0) + bytes(170)


def framed(data: bytes) -> bytes:
    return vector(data, 2)


TALKS = {
    "binding": udp(
        3478,
        c(BINDING),
        s(BOUND),
        layer7="stun",
        stunmethod="binding",
        stunip="203.0.113.9",
        stunport=4321,
        stunsoftware="agent 1",
        stunchannels=None,
    ),
    "any_port": udp(20000, c(BINDING), s(BOUND6), layer7="stun", stunip="2001:db8::9", stunport=4321),
    "bare": udp(20000, c(message(1)), layer7="stun", stunmethod="binding"),
    "turn": udp(
        3478, *TURN, c(channel(b"hello")), layer7="stun", stunchannels=1, stunmethod="channel-bind", **TURN_FIELDS
    ),
    "turn_tcp": tcp(
        3478, *TURN, c(channel(b"hello", True) + message(4)), layer7="stun", stunmethod="refresh", **TURN_FIELDS
    ),
    "ice_tcp": tcp(
        20000, c(framed(BINDING)), s(framed(BOUND) + framed(MEDIA)), layer7="stun", stunip="203.0.113.9", stunport=4321
    ),
    "tcp_out_of_step": tcp(20000, c(BINDING), s(BOUND), c(bytes(40)), layer7="stun", anomaly="stun_bad_message"),
    "old": udp(20000, c(OLD_REQUEST), s(OLD_ANSWER), layer7="stun", stunip="203.0.113.9", stunport=4321),
    "old_bare": udp(3478, c(message(1, cookie=7)), layer7="stun"),
    "unpadded": udp(3478, c(message(3, u16(6) + vector(b"ann", 2))), layer7="stun", stunuser="ann"),
    "media": udp(20000, c(BINDING), s(BOUND), *[c(MEDIA)] * 70, layer7="stun"),
    "dtls": udp(
        20000,
        c(BINDING),
        s(BOUND),
        c(CLIENT_HELLO),
        s(SERVER_HELLO),
        c(DATA),
        layer7="dtls",
        sslhost="media.example",
        tlsversion="DTLS 1.2",
        stunip="203.0.113.9",
    ),
    "bad_attribute": udp(3478, c(message(1, u16(6, 90) + b"ann!")), layer7="stun", anomaly="stun_bad_message"),
    "wrong_length": udp(20000, c(message(1, extra=4))),
    "old_bare_elsewhere": udp(20000, c(message(1, cookie=7))),
    "old_unknown_attribute": udp(20000, c(message(1, attribute(0x99, u32(0)), cookie=7))),
    "old_odd_address": udp(20000, s(message(1 | ANSWER, attribute(1, u32(0)), cookie=7))),
    "old_odd_class": udp(20000, c(message(0x211, attribute(3, u32(0)), cookie=7))),
    "tcp_without_cookie": tcp(20000, c(OLD_REQUEST)),
    "channel_alone": udp(3478, c(channel(b"hello"))),
}
