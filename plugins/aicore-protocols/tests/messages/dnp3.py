# SPDX-License-Identifier: Apache-2.0
"""IEEE 1815 clauses 8 and 9."""

from __future__ import annotations

import struct

from talk import c, s, tcp, u8, udp


def checksum(data: bytes) -> bytes:
    """Clause 9.2.4.1.4: the polynomial 0x3D65, bits reversed, the remainder inverted."""
    crc = 0
    for byte in data:
        for bit in range(8):
            high = (crc >> 15) ^ (byte >> bit & 1)
            crc = (crc << 1 & 0xFFFF) ^ (0x3D65 if high else 0)
    return (int(f"{crc:016b}"[::-1], 2) ^ 0xFFFF).to_bytes(2, "little")


def frame(function: int, body: bytes = b"", source: int = 3, destination: int = 4) -> bytes:
    data = u8(0xC0, 0xC1, function) + body
    head = u8(5, 0x64, 5 + len(data), 0xC4) + struct.pack("<HH", destination, source)
    blocks = [data[i : i + 16] for i in range(0, len(data), 16)]
    return head + checksum(head) + b"".join(block + checksum(block) for block in blocks)


READ, ANSWER = frame(1, b"\x3c\x02\x06"), frame(129, bytes(40), 4, 3)
LINK = u8(5, 0x64, 5, 0xC0, 4, 0, 3, 0)
FIELDS = {"dnp3source": 3, "dnp3destination": 4, "dnp3function": "read", "dnp3functions": ["read", "response"]}

TALKS = {
    "read": tcp(20000, c(READ), s(ANSWER), layer7="dnp3", **FIELDS),
    "any_port": tcp(21000, c(READ + READ), s(ANSWER), layer7="dnp3", **FIELDS),
    "datagrams": udp(21000, c(READ), s(ANSWER), layer7="dnp3", **FIELDS),
    "link_alone": tcp(20000, c(LINK + checksum(LINK)), layer7="dnp3", dnp3function=None, dnp3source=3),
    "middle": tcp(20000, s(ANSWER), middle=True, layer7="dnp3", dnp3function="response"),
    "bad_frame": tcp(20000, c(READ), s(b"\x05\x65" + bytes(10)), layer7="dnp3", anomaly="dnp3_bad_frame"),
    "wrong_checksum": tcp(20000, c(READ[:8] + b"\0\0" + READ[10:])),
}
