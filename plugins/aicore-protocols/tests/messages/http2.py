# SPDX-License-Identifier: Apache-2.0
"""RFC 9113; header lists in HPACK, with the examples of RFC 7541 appendix C.4 and C.6."""

from __future__ import annotations

from talk import c, lines, s, tcp, u8, u32, vector

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, body: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(body).to_bytes(3, "big") + u8(kind, flags) + u32(stream) + body


def headers(block: bytes, flags: int = 4) -> bytes:
    return frame(1, block, flags, 1)


def literal(name: bytes | int, value: bytes, first: int = 0x40) -> bytes:
    """Section 6.2 of RFC 7541, without the code of Huffman."""
    if isinstance(name, int):
        return (u8(first | name) if first == 0x40 or name < 15 else u8(first | 15, name - 15)) + vector(value, 1)
    return u8(first) + vector(name, 1) + vector(value, 1)


SETTINGS, ACK = frame(4, b"\0\3\0\0\0\x64"), frame(4, flags=1)
# C.4.1: GET http://www.example.com/
GET = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")
# C.6.1: 302, with cache-control, date and location
FOUND = bytes.fromhex(
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
)
CALL = (
    u8(0x83, 0x86)
    + literal(4, b"/shop.Orders/Get")
    + literal(1, b"[2001:db8::1]:50051", 0)
    + literal(31, b"application/grpc+proto", 0)
    + literal(58, b"grpc-go/1.60", 0x10)
    + literal(b"grpc-timeout", b"1S")
)
START = PREFACE + SETTINGS
UPGRADE = lines("GET /old HTTP/1.1", "Host: first.example", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "")
SWITCH = lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c", "")

TALKS = {
    "get": tcp(
        8080,
        c(START),
        s(SETTINGS + ACK),
        c(ACK + headers(literal(58, b"curl/8", 0) + GET)),
        s(headers(literal(b":status", b"100"), 4) + headers(FOUND) + frame(0, bytes(9000), 1, 1)),
        layer7="http2",
        httphost="www.example.com",
        httpuri="/",
        httpmethod="GET",
        httpstatus=302,
        useragent="curl/8",
    ),
    "server_first": tcp(
        3000, s(SETTINGS), c(START + headers(GET)), s(ACK + headers(u8(0x8D))), layer7="http2", httpstatus=404
    ),
    "grpc": tcp(
        50051,
        c(START + headers(u8(2) + bytes(5) + CALL + bytes(2), 4 | 8 | 0x20)),
        s(SETTINGS + headers(u8(0x3F, 0xE1, 0x1F, 0x88))),
        layer7="grpc",
        httphost="[2001:db8::1]",
        httpuri="/shop.Orders/Get",
        httpmethod="POST",
        httpstatus=200,
        useragent="grpc-go/1.60",
    ),
    "upgraded": tcp(
        8080, c(UPGRADE), s(SWITCH), c(START), s(SETTINGS + headers(u8(0x88))), layer7="http2", httpmethod="GET"
    ),
    "middle": tcp(8080, c(START + headers(GET)), middle=True, layer7="http2", httphost="www.example.com"),
    "many_hosts": tcp(
        8080,
        c(START + headers(GET) + headers(literal(1, b"two.example:8080"))),
        s(SETTINGS + headers(u8(0x88)) + frame(0, bytes(50000), 1, 1)),
        c(headers(u8(0xBE, 0x82)) + frame(0, bytes(3000)) + headers(literal(b"host", b"three.example", 0))),
        s(frame(0, bytes(50000), 1, 3)),
        c(headers(literal(4, b"/last") + literal(1, b"two.example", 0x10))),
        layer7="http2",
        httphost="www.example.com",
        httphosts=["www.example.com", "two.example", "three.example"],
        httpuri="/",
    ),
    "bad_frame": tcp(8080, c(START + frame(0x50)), layer7="http2", anomaly="http2_bad_frame"),
    "bad_header": tcp(8080, c(START + headers(u8(0x41, 0x50) + b"www")), layer7="http2", anomaly="http2_bad_header"),
    "control_bytes": tcp(
        8080, c(START + headers(literal(1, b"a\x01b"))), layer7="http2", httphost=None, anomaly="http2_bad_header"
    ),
    "settings_alone": tcp(3000, s(SETTINGS)),
    "other_preface": tcp(8080, c(b"PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n" + SETTINGS)),
}
