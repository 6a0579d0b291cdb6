# SPDX-License-Identifier: Apache-2.0
"""RFC 3550 section 6."""

from __future__ import annotations

from talk import c, s, u8, u16, u32, udp, vector


def packet(kind: int, count: int, body: bytes, first: int = 0x80) -> bytes:
    return u8(first | count, kind) + u16(len(body) // 4) + body


def block(lost: int, jitter: int) -> bytes:
    return u32(0x99) + u8(12) + (lost & 0xFFFFFF).to_bytes(3, "big") + u32(1000, jitter, 0, 0)


def items(*pairs: tuple[int, bytes]) -> bytes:
    body = u32(0xAABBCCDD) + b"".join(u8(kind) + vector(value, 1) for kind, value in pairs) + u8(0)
    return body + bytes(-len(body) % 4)


SENDER = packet(200, 1, u32(0xAABBCCDD) + bytes(20) + block(5, 77))
RECEIVER = packet(201, 0, u32(0x11223344))
DUPLICATES = packet(201, 1, u32(0x11223344) + block(-2, 3))
NAMES = packet(202, 1, items((1, b"ann@192.0.2.10"), (6, b"phone 1")))
BYE = packet(203, 1, u32(0xAABBCCDD))
PROFILE = packet(201, 0, u32(0x11223344, 1, 2))

TALKS = {
    "session": udp(
        20001,
        c(SENDER + NAMES),
        layer7="rtcp",
        rtcpssrc="aabbccdd",
        rtcpcname="ann@192.0.2.10",
        rtcptool="phone 1",
        rtcplost=5,
        rtcpjitter=77,
    ),
    "duplicates": udp(20001, c(SENDER + NAMES), s(DUPLICATES + BYE), layer7="rtcp", rtcplost=-2, rtcpjitter=3),
    "bare": udp(20001, c(RECEIVER), layer7="rtcp", rtcpssrc="11223344", rtcplost=None),
    "profile": udp(20001, c(PROFILE + NAMES), layer7="rtcp", rtcpcname="ann@192.0.2.10"),
    "feedback_later": udp(20001, c(SENDER + NAMES), c(packet(206, 1, u32(1, 2))), layer7="rtcp"),
    "media_beside": udp(20001, c(RECEIVER), c(u8(0x80, 96) + bytes(60)), layer7="rtcp"),
    "bad_packet": udp(20001, c(RECEIVER), c(SENDER[:-4]), layer7="rtcp", anomaly="rtcp_bad_packet"),
    "profile_alone": udp(20001, c(PROFILE)),
    "block_missing": udp(20001, c(packet(201, 1, u32(0x11223344)))),
    "does_not_fill": udp(20001, c(SENDER + NAMES + b"\0")),
    "no_report": udp(20001, c(NAMES + BYE)),
    "padding_first": udp(20001, c(packet(201, 0, u32(1), 0xA0) + NAMES)),
    "version_1": udp(20001, c(packet(201, 0, u32(1), 0x40))),
}
