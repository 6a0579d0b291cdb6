# SPDX-License-Identifier: Apache-2.0
"""MS-SMB2 2.2, MS-CIFS 2.2, MS-NLMP 2.2.1.3."""

from __future__ import annotations

import struct

from talk import Turn, c, s, tcp, u8, vector


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def header2(command: int, response: bool = False, following: int = 0) -> bytes:
    flags = int(response)
    return b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ16x", 64, 0, 0, command, 1, flags, following, 1, 0, 0, 0)


def framed(*messages: bytes) -> bytes:
    return b"\0" + vector(b"".join(messages), 3)


def ask2(command: int, body: bytes) -> Turn:
    return c(framed(header2(command) + body))


def answer2(command: int, body: bytes) -> Turn:
    return s(framed(header2(command, True) + body))


def create(name: str) -> bytes:
    """2.2.13: fixed part of 56 bytes, the name behind it."""
    body = struct.pack("<H", 57) + bytes(42) + struct.pack("<HHII", 64 + 56, len(wide(name)), 0, 0)
    return body + (wide(name) or b"\0\0")


def compound(*names: str) -> bytes:
    parts = [create(name) for name in names]
    parts = [part + bytes(-len(part) % 8) for part in parts]
    last = len(parts) - 1
    return framed(*(header2(5, following=0 if i == last else 64 + len(part)) + part for i, part in enumerate(parts)))


def ntlm(user: str, host: str) -> bytes:
    fields, at, tail = b"", 72, b""
    for value in (b"", b"", b"", wide(user), wide(host)):
        fields += struct.pack("<HHI", len(value), len(value), at + len(tail))
        tail += value
    return (b"NTLMSSP\0" + struct.pack("<I", 3) + fields).ljust(72, b"\0") + tail


TREE = "\\\\files\\public"
NEGOTIATE = [
    ask2(0, struct.pack("<HH", 36, 2) + bytes(32) + struct.pack("<HH", 0x0202, 0x0210)),
    answer2(0, struct.pack("<HHH", 65, 1, 0x0210) + bytes(58)),
]
SETUP = [ask2(1, struct.pack("<H", 25) + bytes(22) + b"spnego" + ntlm("ann", "ANN-PC")), answer2(1, bytes(9))]
CONNECT = [ask2(3, struct.pack("<HHHH", 9, 0, 72, len(wide(TREE))) + wide(TREE)), answer2(3, bytes(16))]
OPEN = [ask2(5, create("dir\\\u00e4.txt")), answer2(5, bytes(88)), c(compound("", "b.txt")), answer2(9, bytes(9000))]
FIELDS = {
    "smbversion": "2.1",
    "smbuser": "ann",
    "smbhost": "ANN-PC",
    "smbshare": TREE,
    "smbfilename": "dir\\\u00e4.txt",
    "smbfilenames": ["dir\\\u00e4.txt", "b.txt"],
    "smbcommand": 9,
}


def message1(command: int, words: bytes, tail: bytes, flags: int = 0, flags2: int = 0x8000) -> bytes:
    head = b"\xffSMB" + struct.pack("<BIBH", command, 0, flags, flags2) + bytes(20)
    return framed(head + u8(len(words) // 2) + words + struct.pack("<H", len(tail)) + tail)


CONNECT1 = message1(0x75, struct.pack("<BBHHH", 255, 0, 0, 0, 1), b"\0" + wide("\\\\f\\IPC$") + b"\0\0" + b"?????\0")
CONNECT1_EVEN = message1(0x75, struct.pack("<BBHHH", 255, 0, 0, 0, 2), b"pw\0" + wide("\\\\f\\IPC$") + b"\0\0")
CREATE1 = message1(0xA2, bytes(48), b"\0" + wide("\\srvsvc") + b"\0\0")
CREATE1_BYTES = message1(0xA2, bytes(48), b"OLD.TXT\0", flags2=0)
ENCRYPTED = b"\xfdSMB" + bytes(48) + bytes(100)

TALKS = {
    "files": tcp(445, *NEGOTIATE, *SETUP, *CONNECT, *OPEN, layer7="smb", **FIELDS),
    "any_port": tcp(4450, *NEGOTIATE, *SETUP, *CONNECT, *OPEN, layer7="smb", **FIELDS),
    "encrypted": tcp(
        445,
        *NEGOTIATE[:1],
        answer2(0, struct.pack("<HHH", 65, 1, 0x0311)),
        c(framed(ENCRYPTED)),
        layer7="smb",
        smbversion="3.1.1",
    ),
    "middle": tcp(445, c(framed(ENCRYPTED)), middle=True, layer7="smb", smbversion="3"),
    "version_1": tcp(
        445,
        c(CONNECT1),
        c(CREATE1),
        layer7="smb",
        smbversion="1",
        smbshare="\\\\f\\IPC$",
        smbfilename="\\srvsvc",
        smbcommand=0xA2,
    ),
    "version_1_bytes": tcp(445, c(CREATE1_BYTES), layer7="smb", smbfilename="OLD.TXT"),
    "version_1_even_password": tcp(445, c(CONNECT1_EVEN), layer7="smb", smbshare="\\\\f\\IPC$"),
    "keep_alive": tcp(445, *NEGOTIATE, c(u8(0x85, 0, 0, 0)), ask2(5, create("x")), layer7="smb", smbfilename="x"),
    "bad_message": tcp(445, *NEGOTIATE, c(framed(b"\xfeSMB" + bytes(80))), layer7="smb", anomaly="smb_bad_message"),
    "another_mark": tcp(4450, c(framed(b"\xfeSMX" + bytes(80)))),
    "bad_header": tcp(4450, c(framed(b"\xfeSMB" + bytes(80)))),
}
