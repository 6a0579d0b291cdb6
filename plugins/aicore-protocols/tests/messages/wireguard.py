# SPDX-License-Identifier: Apache-2.0
"""WireGuard's white paper, section 5.4; numbers are little-endian."""

from __future__ import annotations

import struct

from talk import c, s, udp

NOISE = bytes(17 * i % 251 for i in range(1, 400))


def head(kind: int, *numbers: int) -> bytes:
    return struct.pack(f"<{1 + len(numbers)}I", kind, *numbers)


def data(receiver: int, counter: int, length: int = 64, start: int = 0) -> bytes:
    return struct.pack("<IIQ", 4, receiver, counter) + NOISE[start : start + length]


INITIATION = head(1, 0xA1A2A3A4) + NOISE[:140]
RESPONSE = head(2, 0xB1B2B3B4, 0xA1A2A3A4) + NOISE[:80]
COOKIE = head(3, 0xA1A2A3A4) + NOISE[:56]

TALKS = {
    "session": udp(
        51820,
        c(INITIATION),
        s(RESPONSE),
        c(data(0xB1B2B3B4, 0)),
        layer7="wireguard",
        wireguardmessage="data",
        wireguardhandshake=1,
    ),
    "any_port": udp(443, c(INITIATION), layer7="wireguard", wireguardmessage="initiation", wireguardhandshake=None),
    "under_load": udp(51820, c(INITIATION), s(COOKIE), layer7="wireguard", wireguardmessage="cookie"),
    "another_answer": udp(
        51820, c(INITIATION), s(head(2, 1, 2) + NOISE[:80]), layer7="wireguard", wireguardhandshake=None
    ),
    "middle": udp(51820, s(data(7, 1 << 31)), layer7="wireguard", wireguardmessage="data"),
    "keep_alive": udp(51820, c(data(7, 9, 16)), layer7="wireguard"),
    "other_bytes_later": udp(51820, c(INITIATION), c(b"?"), s(RESPONSE), layer7="wireguard", wireguardhandshake=1),
    "too_long": udp(51820, c(INITIATION + b"x")),
    "reserved": udp(51820, c(b"\1\0\1\0" + INITIATION[4:])),
    "no_block": udp(51820, c(data(7, 9, 63))),
    "zeros": udp(51820, c(head(1, 5) + bytes(140))),
    "counter_too_high": udp(51820, c(data(7, 1 << 40))),
    "type_5": udp(51820, c(head(5, 1) + NOISE[:56])),
}
