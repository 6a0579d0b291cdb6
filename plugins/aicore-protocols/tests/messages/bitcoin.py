# SPDX-License-Identifier: Apache-2.0
"""Bitcoin's reference of the peer-to-peer network; before 2012 two messages had no checksum."""

from __future__ import annotations

import hashlib
import struct

from talk import c, s, tcp, u8, vector

MAIN, SIGNET = bytes.fromhex("f9beb4d9"), bytes.fromhex("0a03cf40")


def message(command: bytes, body: bytes = b"", magic: bytes = MAIN, checked: bool = True) -> bytes:
    checksum = hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] if checked else b""
    return magic + command.ljust(12, b"\0") + struct.pack("<I", len(body)) + checksum + body


def version(agent: bytes, height: int, number: int = 70016) -> bytes:
    head = struct.pack("<IQQ", number, 1033, 1700000000)
    return head + bytes(26) * 2 + bytes(8) + vector(agent, 1) + struct.pack("<I", height) + u8(1)


CORE, VERACK = message(b"version", version(b"/Satoshi:25.0.0/", 818000)), message(b"verack")
OLD = message(b"version", version(b"", 130000, 32001), checked=False), message(b"verack", checked=False)

TALKS = {
    "peers": tcp(
        8333,
        c(CORE),
        s(message(b"version", version(b"/btcd:0.23/", 818001)) + VERACK),
        c(VERACK + message(b"tx", bytes(200)) + message(b"tx", bytes(250))),
        s(message(b"block", bytes(5000)) + message(b"reject", b"\2tx\x10") + message(b"ping", bytes(8))),
        layer7="bitcoin",
        bitcoinagent="/Satoshi:25.0.0/",
        bitcoinversion=70016,
        bitcoinheight=818001,
        bitcoinnetwork="main",
        bitcoincommands=["version", "verack", "tx", "block", "reject", "ping"],
        bitcointx=2,
        bitcoinblocks=1,
        bitcoinrejects=1,
    ),
    "no_checksum": tcp(
        8333,
        c(OLD[0]),
        s(OLD[0] + OLD[1]),
        c(OLD[1] + message(b"getaddr")),
        layer7="bitcoin",
        bitcoinversion=32001,
        bitcoinheight=130000,
        bitcoinagent=None,
        bitcoincommands=["version", "verack", "getaddr"],
    ),
    "signet": tcp(40333, c(message(b"version", version(b"/x/", 1), SIGNET)), layer7="bitcoin", bitcoinnetwork="signet"),
    "middle": tcp(8333, s(message(b"inv", bytes(37))), middle=True, layer7="bitcoin", bitcoincommands=["inv"]),
    "bad_message": tcp(8333, c(CORE), c(bytes(24)), layer7="bitcoin", anomaly="bitcoin_bad_message"),
    "no_command": tcp(8333, c(MAIN + b"VERSION\0\0\0\0\0" + bytes(8))),
    "padding": tcp(8333, c(MAIN + b"version\0\0\0\0x" + bytes(120))),
    "too_long": tcp(8333, c(MAIN + b"block".ljust(12, b"\0") + b"\xff\xff\xff\xff" + bytes(100))),
}
