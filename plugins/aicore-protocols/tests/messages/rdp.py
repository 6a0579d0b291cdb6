# SPDX-License-Identifier: Apache-2.0
"""MS-RDPBCGR 2.2.1.1 and 2.2.1.2, RFC 1006, X.224 section 13."""

from __future__ import annotations

import struct

from talk import c, s, tcp, u8, u16


def packet(code: int, body: bytes) -> bytes:
    return u8(3, 0) + u16(11 + len(body)) + u8(6 + len(body), code, 0, 0, 0, 0, 0) + body


def negotiation(kind: int, protocols: int) -> bytes:
    return struct.pack("<BBHI", kind, 0, 8, protocols)


COOKIE = b"Cookie: mstshash=ann\r\n"
ASK, CHOSEN = c(packet(0xE0, COOKIE + negotiation(1, 3))), s(packet(0xD0, negotiation(2, 2)))

TALKS = {
    "user": tcp(3389, ASK, CHOSEN, c(bytes(90)), layer7="rdp", rdpuser="ann", rdpsecurity="credssp"),
    "any_port": tcp(33890, ASK, CHOSEN, layer7="rdp", rdpuser="ann", rdpsecurity="credssp"),
    "no_cookie": tcp(33890, c(packet(0xE0, negotiation(1, 1))), layer7="rdp", rdpuser=None),
    "bare": tcp(3389, c(packet(0xE0, b"")), s(packet(0xD0, b"")), layer7="rdp", rdpsecurity=None),
    "refused": tcp(33890, ASK, s(packet(0xD0, negotiation(3, 5))), layer7="rdp", rdpuser="ann", rdpsecurity=None),
    "bare_elsewhere": tcp(102, c(packet(0xE0, b""))),
    "other_parameters": tcp(102, c(packet(0xE0, u8(0xC0, 1, 10, 0xC1, 2, 1, 0, 0xC2, 2, 1, 2)))),
    "data": tcp(3389, c(packet(0xF0, bytes(40)))),
}
