# SPDX-License-Identifier: Apache-2.0
"""RFC 3550, RFC 3551, RFC 2250, RFC 8285; framing of RFC 4571."""

from __future__ import annotations

import math

from talk import c, s, tcp, u8, u16, u32, udp, vector

NOISE = bytes(97 * i * i % 251 for i in range(1, 1400))


def packet(
    kind: int,
    payload: bytes,
    number: int = 1,
    source: int = 0xAABBCCDD,
    first: int = 0x80,
    time: int | None = None,
    between: bytes = b"",
) -> bytes:
    clock = 160 * number if time is None else time
    return u8(first, kind) + u16(number & 0xFFFF) + u32(clock, source) + between + payload


def alaw(sample: float) -> int:
    """G.711: sign, segment, four bits; every second bit inverted."""
    size = min(int(abs(sample) * 4095), 4095)
    segment = max(size.bit_length() - 5, 0)
    step = size >> (segment if segment else 1) & 15
    return ((0x80 if sample >= 0 else 0) | segment << 4 | step) ^ 0x55


TONE = bytes(alaw(math.sin(i / 5)) for i in range(160))
MU_TONE = bytes(byte ^ 0x55 ^ 0x7F for byte in TONE)
GSM = (b"\xd3" + NOISE[:32]) * 2
STREAM = (b"\x47" + NOISE[:187]) * 7
ONE_BYTE = u16(0xBEDE, 2) + u8(0x10, 0x7F, 0x22, 1, 2, 3, 0, 0)
TWO_BYTE = u16(0x1000, 2) + u8(1, 1, 0x7F, 2, 3, 1, 2, 3)


def framed(*numbers: int, source: int = 0xAABBCCDD, kind: int = 96) -> bytes:
    return b"".join(vector(packet(kind, NOISE[:300], number, source), 2) for number in numbers)


TALKS = {
    "pcma": udp(
        20000,
        c(packet(8, TONE)),
        s(packet(8 | 0x80, TONE, source=0x11223344)),
        layer7="rtp",
        rtptype=8,
        rtpcodec="PCMA",
        rtpssrc="aabbccdd",
        rtpssrcs=["aabbccdd", "11223344"],
    ),
    "pcmu": udp(20000, c(packet(0, MU_TONE)), layer7="rtp", rtptype=0, rtpcodec="PCMU"),
    "silence": udp(20000, c(packet(0, b"\xff" * 80)), layer7="rtp"),
    "changes": udp(
        20000, c(packet(8, TONE)), c(packet(101, NOISE[:4])), c(b"?"), layer7="rtp", rtptype=101, rtpssrcs=["aabbccdd"]
    ),
    "long": udp(20000, *[c(packet(8, TONE, i)) for i in range(70)], layer7="rtp", rtptype=8),
    "gsm": udp(20000, c(packet(3, GSM)), layer7="rtp", rtpcodec="GSM"),
    "television": udp(1234, s(packet(33, STREAM)), layer7="rtp", rtptype=33, rtpcodec="MP2T"),
    "extension": udp(20000, c(packet(111, NOISE[:90], first=0x90, between=ONE_BYTE)), layer7="rtp", rtptype=111),
    "extension_two": udp(20000, c(packet(96, NOISE[:90], first=0x90, between=TWO_BYTE)), layer7="rtp"),
    "padding": udp(
        20000, c(packet(0, MU_TONE)), c(packet(8, TONE + bytes(3) + u8(4), first=0xA0)), layer7="rtp", rtptype=8
    ),
    "padding_extension": udp(
        20000,
        c(
            packet(111, NOISE[:9] + u8(0, 2), first=0xB0, between=ONE_BYTE),
        ),
        c(packet(8, TONE)),
        layer7="rtp",
    ),
    "stream": tcp(20000, c(framed(65534, 65535, 65536, 65537)), layer7="rtp", rtptype=96, rtpssrc="aabbccdd"),
    "stream_middle": tcp(20000, s(framed(7, 8, 9)), middle=True, layer7="rtp"),
    "any_codec": udp(20000, *[c(packet(96, NOISE[:160], i)) for i in (65534, 65535, 65537)], layer7="rtp", rtptype=96),
    "both_directions": udp(
        20000,
        *[turn(packet(96, NOISE[:50], i, first=0x81, between=u32(9))) for i in range(3) for turn in (c, s)],
        layer7="rtp",
    ),
    "two_of_a_codec": udp(20000, *[c(packet(96, NOISE[:160], i)) for i in range(2)]),
    "sources": udp(20000, *[c(packet(96, NOISE[:160], i, source=i)) for i in range(9)]),
    "numbers": udp(20000, *[c(packet(96, NOISE[:160], 20 * i)) for i in range(9)]),
    "back_in_time": udp(20000, *[c(packet(96, NOISE[:160], i, time=9 - i)) for i in range(9)]),
    "something_between": udp(20000, *[c(packet(96, NOISE[:160], i) if i % 3 else b"\x80?") for i in range(9)]),
    "noise_as_sound": udp(20000, c(packet(8, NOISE[:160]))),
    "zeros": udp(20000, c(packet(0, bytes(160)))),
    "odd_length": udp(20000, c(packet(8, TONE[:150]))),
    "gsm_odd": udp(20000, c(packet(3, NOISE[:66]))),
    "out_of_step": udp(20000, c(packet(33, STREAM[1:]))),
    "version_1": udp(20000, c(packet(8, TONE, first=0x40))),
    "element_too_long": udp(20000, c(packet(96, NOISE[:90], first=0x90, between=u16(0xBEDE, 1) + u8(0x1F, 0, 0, 0)))),
    "another_profile": udp(20000, c(packet(96, NOISE[:90], first=0x90, between=u16(0xABCD, 1) + u32(0)))),
    "stream_two": tcp(20000, c(framed(1, 2))),
    "stream_gap": tcp(20000, c(framed(1, 2, 9))),
    "stream_sources": tcp(20000, c(framed(1, 2) + framed(3, source=5))),
    "stream_types": tcp(20000, c(framed(1, 2) + framed(3, kind=97))),
    "stream_back_in_time": tcp(
        20000, c(b"".join(vector(packet(96, NOISE[:300], i, time=90000 - i), 2) for i in range(4)))
    ),
    "stream_rtcp": tcp(20000, c(framed(1, 2, 3, kind=72))),
}
