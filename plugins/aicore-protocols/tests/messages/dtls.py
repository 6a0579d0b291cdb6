# SPDX-License-Identifier: Apache-2.0
"""RFC 6347, RFC 9147; extensions of RFC 6066, RFC 7301 and RFC 8446."""

from __future__ import annotations

from talk import c, s, u8, u16, udp, vector

V10, V12, V13 = 0xFEFF, 0xFEFD, 0xFEFC


def record(kind: int, body: bytes, epoch: int = 0, version: int = V12) -> bytes:
    return u8(kind) + u16(version, epoch) + bytes(6) + vector(body, 2)


def handshake(kind: int, body: bytes, first: int | None = None) -> bytes:
    """A message, or of it the first bytes alone."""
    part = body if first is None else body[:first]
    return u8(kind) + len(body).to_bytes(3, "big") + u16(0) + bytes(3) + len(part).to_bytes(3, "big") + part


def extension(kind: int, value: bytes) -> bytes:
    return u16(kind) + vector(value, 2)


SNI = extension(0, vector(u8(0) + vector(b"media.example", 2), 2))
ALPN = extension(16, vector(vector(b"webrtc", 1) + vector(b"c-webrtc", 1), 2))
OFFERS_13 = extension(43, vector(u16(V13, V12), 1))


def client(*extensions: bytes, version: int = V12) -> bytes:
    ciphers = vector(u16(0xC02B, 0xC02F), 2)
    return u16(version) + bytes(32) + u8(0, 0) + ciphers + u8(1, 0) + vector(b"".join(extensions), 2)


def server(*extensions: bytes, version: int = V12) -> bytes:
    return u16(version) + bytes(32) + u8(0) + u16(0xC02B) + u8(0) + vector(b"".join(extensions), 2)


CLIENT_HELLO = record(22, handshake(1, client(SNI, ALPN)), version=V10)
VERIFY = record(22, handshake(3, u16(V10) + vector(bytes(20), 1)), version=V10)
CHOSEN = extension(16, vector(vector(b"c-webrtc", 1), 2))
SERVER_HELLO = record(22, handshake(2, server(CHOSEN))) + record(22, handshake(11, bytes(3000), 900))
DATA = record(23, bytes(range(48)), epoch=1)
HELLO_13 = record(22, handshake(1, client(SNI, OFFERS_13)))
ANSWER_13 = record(22, handshake(2, server(extension(43, u16(V13))))) + u8(0x2E) + bytes(range(60))
ALERT = record(21, u8(2, 40))

TALKS = {
    "verified": udp(
        4433,
        c(CLIENT_HELLO),
        s(VERIFY),
        c(CLIENT_HELLO),
        s(SERVER_HELLO),
        c(record(20, u8(1)) + record(22, bytes(range(40)), epoch=1)),
        layer7="dtls",
        sslhost="media.example",
        alpn="c-webrtc",
        tlsversion="DTLS 1.2",
    ),
    "client_alone": udp(4433, c(CLIENT_HELLO), layer7="dtls", alpn="webrtc", sslhost="media.example"),
    "version_13": udp(4433, c(HELLO_13), s(ANSWER_13), layer7="dtls", tlsversion="DTLS 1.3", alpn=None),
    "version_10": udp(
        4433,
        c(record(22, handshake(1, client(version=V10)), version=V10)),
        layer7="dtls",
        tlsversion="DTLS 1.0",
        sslhost=None,
    ),
    "version_09": udp(
        443,
        c(record(22, handshake(1, client(version=0x100)), version=0x100)),
        s(record(22, handshake(2, server(version=0x100)), version=0x100)),
        layer7="dtls",
        tlsversion="DTLS 0.9",
    ),
    "fragment": udp(
        4433, c(record(22, handshake(1, client(SNI, ALPN, bytes(900)), 300))), layer7="dtls", sslhost="media.example"
    ),
    "middle": udp(4433, c(DATA), s(DATA + DATA), layer7="dtls", tlsversion=None),
    "refused": udp(4433, s(ALERT), layer7="dtls"),
    "other_bytes_later": udp(4433, c(CLIENT_HELLO), s(bytes(40)), layer7="dtls"),
    "longer_than_the_record": udp(4433, c(CLIENT_HELLO + b"x")),
    "shorter": udp(4433, c(CLIENT_HELLO[:-1])),
    "tls": udp(4433, c(record(22, handshake(1, client()), version=0x0303))),
    "data_in_clear": udp(4433, c(record(23, bytes(48)))),
    "fragment_too_long": udp(4433, c(record(22, u8(1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8) + bytes(8)))),
}
