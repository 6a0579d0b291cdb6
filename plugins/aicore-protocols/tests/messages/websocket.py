# SPDX-License-Identifier: Apache-2.0
"""RFC 6455."""

from __future__ import annotations

from talk import c, lines, s, tcp, u8, u16, u32

MASK = u8(0x37, 0xFA, 0x21, 0x3D)


def frame(operation: int, body: bytes = b"", masked: bool = False, first: int = 0x80) -> bytes:
    size = len(body)
    if size < 126:
        length = u8(size | masked << 7)
    elif size <= 0xFFFF:
        length = u8(126 | masked << 7) + u16(size)
    else:
        length = u8(127 | masked << 7) + u32(0, size)
    if masked:
        return u8(first | operation) + length + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(body))
    return u8(first | operation) + length + body


def client(operation: int, body: bytes = b"", first: int = 0x80) -> bytes:
    return frame(operation, body, True, first)


REQUEST = lines("GET /chat HTTP/1.1", "Host: ws.example", "Connection: Upgrade", "Upgrade: websocket", "")
RESPONSE = lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "")
UPGRADE = [c(REQUEST), s(RESPONSE)]

TALKS = {
    "upgraded": tcp(
        8080,
        *UPGRADE,
        c(client(1, b"hello")),
        s(frame(2, bytes(300), first=0) + frame(0, bytes(70000)) + frame(9)),
        c(client(10) + client(8, u16(1001))),
        layer7="websocket",
        httphost="ws.example",
        websocketclientframes=3,
        websocketserverframes=3,
        websocketoperations=["text", "binary", "continuation", "ping", "pong", "close"],
        websocketclose=1001,
    ),
    "not_masked": tcp(8080, *UPGRADE, c(frame(9)), s(frame(10)), layer7="websocket", websocketclientframes=1),
    "compressed": tcp(8080, *UPGRADE, s(frame(1, bytes(30), first=0xC0)), layer7="websocket", websocketserverframes=1),
    "middle": tcp(
        12345,
        s(frame(1, b"Welcome, 192.0.2.1 !")),
        c(client(1, b"hello everybody")),
        middle=True,
        layer7="websocket",
        websocketclientframes=1,
    ),
    "middle_long": tcp(12345, c(client(1, b"{" + b"a" * 900 + b"}")), middle=True, layer7="websocket"),
    "middle_bad": tcp(
        12345,
        c(client(1, b"hello everybody") + bytes(2) + b"\x83\0"),
        middle=True,
        layer7="websocket",
        anomaly="websocket_bad_frame",
    ),
    "server_alone": tcp(12345, s(frame(1, b"Welcome, 192.0.2.1 !")), middle=True),
    "short": tcp(12345, c(client(1, b"hello")), middle=True),
    "no_text": tcp(12345, c(client(1, bytes(20))), middle=True),
    "not_from_the_start": tcp(12345, c(client(1, b"hello everybody"))),
}
