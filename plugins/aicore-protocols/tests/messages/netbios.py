# SPDX-License-Identifier: Apache-2.0
"""RFC 1001 section 14, RFC 1002."""

from __future__ import annotations

from captures.packets import packed
from talk import c, s, tcp, u8, u16, u32, udp, vector

from messages.smb import NEGOTIATE


def name(text: str, suffix: int = 0) -> bytes:
    """Each half of a byte is a letter from A on."""
    raw = text.encode().ljust(15, b"\0" if text == "*" else b" ") + u8(suffix)
    return vector(b"".join(u8(0x41 + (byte >> 4), 0x41 + (byte & 15)) for byte in raw), 1) + b"\0"


def question(text: str, suffix: int = 0, kind: int = 0x20, flags: int = 0x0110) -> bytes:
    return u16(0x1234, flags, 1, 0, 0, 0) + name(text, suffix) + u16(kind, 1)


ANSWER = (
    u16(0x1234, 0x8500, 0, 1, 0, 0)
    + name("FILES", 0x20)
    + u16(0x20, 1)
    + u32(300)
    + vector(u16(0) + packed("192.0.2.5"), 2)
)
BODY = name("ANN-PC") + name("WORKGROUP", 0x1D) + b"\xffSMB" + bytes(60)
DATAGRAM = u8(0x11, 2) + u16(7) + packed("192.0.2.10") + u16(138, len(BODY), 0) + BODY
CALL = u8(0x81, 0) + vector(name("FILES", 0x20) + name("ANN-PC"), 2)

TALKS = {
    "question": udp(
        137,
        c(question("FILES", 0x20)),
        s(ANSWER),
        layer7="netbios",
        client_port=137,
        netbiosname="FILES",
        netbiossuffix=32,
    ),
    "status": udp(137, c(question("*", kind=0x21)), layer7="netbios", netbiosname="*"),
    "datagram": udp(
        138,
        c(DATAGRAM),
        layer7="netbios",
        client_port=138,
        netbiosname="WORKGROUP",
        netbioscaller="ANN-PC",
        netbiossuffix=29,
    ),
    "session": tcp(139, c(CALL), layer7="netbios", netbiosname="FILES", netbioscaller="ANN-PC"),
    "session_refused": tcp(1390, c(CALL), s(u8(0x83, 0, 0, 1, 0x82)), layer7="netbios", netbiosname="FILES"),
    "session_of_smb": tcp(
        139, c(CALL), s(u8(0x82, 0, 0, 0)), *NEGOTIATE, layer7="smb", netbiosname="FILES", smbversion="2.1"
    ),
    "bad_message": udp(137, c(question("FILES")), c(bytes(60)), layer7="netbios", anomaly="netbios_bad_message"),
    "other_letters": udp(137, c(question("FILES").replace(b"EG", b"EZ"))),
    "another_type": udp(137, c(question("FILES", kind=0x99))),
    "a_domain": udp(137, c(u16(1, 0x0100, 1, 0, 0, 0) + vector(b"www", 1) + b"\0" + u16(1, 1))),
    "session_too_short": tcp(1390, c(u8(0x81, 0, 0, 20) + bytes(20))),
}
