# SPDX-License-Identifier: Apache-2.0
"""RFC 5905; control messages of RFC 9327."""

from __future__ import annotations

from captures.packets import packed
from talk import c, s, u8, u16, udp


def packet(
    mode: int, stratum: int = 0, reference: bytes = bytes(4), version: int = 4, rest: bytes = bytes(32)
) -> bytes:
    return u8(version << 3 | mode, stratum, 6, 0xEC) + bytes(8) + reference + rest


ASK = c(packet(3))

TALKS = {
    "second": udp(
        123,
        ASK,
        s(packet(4, 2, packed("192.0.2.123"))),
        layer7="ntp",
        ntpversion=4,
        ntpmode="server",
        ntpstratum=2,
        ntpreference="192.0.2.123",
    ),
    "first": udp(123, ASK, s(packet(4, 1, b"GPS\0", 3)), layer7="ntp", ntpversion=3, ntpstratum=1, ntpreference="GPS"),
    "refused": udp(123, ASK, s(packet(4, 0, b"RATE")), layer7="ntp", ntpstratum=0, ntpreference="RATE"),
    "client_alone": udp(123, ASK, layer7="ntp", ntpmode="client", ntpstratum=None),
    "authenticated": udp(123, c(packet(3, rest=bytes(32 + 20))), layer7="ntp", ntpmode="client"),
    "control": udp(123, c(u8(0x16, 2) + u16(1, 0, 0, 0, 4) + b"abcd"), layer7="ntp", ntpmode="control", ntpversion=2),
    "short": udp(123, c(packet(3)[:40])),
    "version_7": udp(123, c(packet(3, version=7))),
    "control_too_short": udp(123, c(u8(0x16, 2) + u16(1, 0, 0, 0, 400) + b"abcd")),
}
