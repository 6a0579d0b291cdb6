# SPDX-License-Identifier: Apache-2.0
"""OpenVPN's documentation of its network protocol: resets and control messages, bare and protected."""

from __future__ import annotations

from captures.files import EPOCH
from talk import Turn, c, s, tcp, u8, u16, u32, udp, vector

CLIENT, SERVER = bytes(range(1, 9)), bytes(range(0x81, 0x89))
NOW = EPOCH // 10**9
ASKS = u8(0) + u32(0)
ANSWERS = u8(1) + u32(0) + CLIENT + u32(0)
NOISE = bytes(17 * i % 251 for i in range(1, 600))
HELLO = u8(0x16, 3, 1) + vector(bytes(90), 2)


def packet(opcode: int, session: bytes, rest: bytes) -> bytes:
    return u8(opcode << 3) + session + rest


def auth(opcode: int, session: bytes, rest: bytes, size: int = 20, number: int = 1, time: int = NOW) -> bytes:
    return packet(opcode, session, NOISE[:size] + u32(number, time) + rest)


def crypt(opcode: int, session: bytes, length: int, number: int = 1, time: int = NOW, more: bytes = b"") -> bytes:
    return packet(opcode, session, u32(number, time) + NOISE[: 32 + length] + more)


def framed(*turns: Turn) -> list[Turn]:
    return [Turn(turn.from_server, vector(turn.data, 2)) for turn in turns]


PLAIN = [c(packet(7, CLIENT, ASKS)), s(packet(8, SERVER, ANSWERS)), c(packet(5, CLIENT, u8(1) + u32(0) + SERVER))]
AUTH = [c(auth(7, CLIENT, ASKS)), s(auth(8, SERVER, ANSWERS)), c(auth(4, CLIENT, u8(0) + u32(1) + HELLO, number=3))]
CRYPT = [c(crypt(7, CLIENT, 5)), s(crypt(8, SERVER, 17)), c(crypt(4, CLIENT, 300, 3))]
WRAPPED = NOISE[:300] + u16(302)
SESSION = "0102030405060708"


def fields(protection: str, session: str | None = SESSION) -> dict[str, str | None]:
    return {"openvpnprotection": protection, "openvpnsession": session}


TALKS = {
    "plain": udp(1194, *PLAIN, layer7="openvpn", **fields("none")),
    "plain_tcp": tcp(443, *framed(*PLAIN), layer7="openvpn", **fields("none")),
    "auth": udp(20000, *AUTH, layer7="openvpn", **fields("tls-auth")),
    "auth_tcp": tcp(20000, *framed(*AUTH), layer7="openvpn", **fields("tls-auth")),
    "auth_sha512": udp(20000, c(auth(7, CLIENT, ASKS, 64)), layer7="openvpn", **fields("tls-auth")),
    "crypt": udp(20000, *CRYPT, layer7="openvpn", **fields("tls-crypt")),
    "crypt_tcp": tcp(20000, *framed(*CRYPT), layer7="openvpn", **fields("tls-crypt")),
    "crypt_v2": udp(20000, c(crypt(10, CLIENT, 5, more=WRAPPED)), layer7="openvpn", **fields("tls-crypt-v2")),
    "crypt_v2_tcp": tcp(
        20000, *framed(c(crypt(10, CLIENT, 5, more=WRAPPED))), layer7="openvpn", **fields("tls-crypt-v2")
    ),
    "server_first": udp(20000, *PLAIN[1:], layer7="openvpn", **fields("none")),
    "server_first_auth": udp(20000, *AUTH[1:], layer7="openvpn", **fields("tls-auth")),
    "server_first_crypt": udp(20000, *CRYPT[1:], layer7="openvpn", **fields("tls-crypt", None)),
    "control_first": udp(20000, c(packet(4, CLIENT, ANSWERS + HELLO)), layer7="openvpn", **fields("none", None)),
    "control_first_auth": udp(20000, *AUTH[2:], layer7="openvpn", **fields("tls-auth", None)),
    "longer": udp(1194, c(packet(7, CLIENT, ASKS + b"x"))),
    "number_1": udp(1194, c(packet(7, CLIENT, u8(0) + u32(1)))),
    "acknowledges": udp(1194, c(packet(7, CLIENT, ANSWERS))),
    "key_1": udp(1194, c(u8(7 << 3 | 1) + CLIENT + ASKS)),
    "session_0": udp(1194, c(packet(7, bytes(8), ASKS))),
    "another_time": udp(1194, c(crypt(7, CLIENT, 5, time=NOW - 3 * 366 * 86400))),
    "number_too_high": udp(1194, c(crypt(7, CLIENT, 5, number=1 << 20))),
    "no_wrapped_key": udp(1194, c(crypt(10, CLIENT, 5, more=NOISE[:302]))),
    "data_alone": udp(1194, c(u8(0x48, 0, 0, 1) + NOISE[:80])),
    "control_without_tls": udp(1194, c(packet(4, CLIENT, u8(0) + u32(1) + NOISE[:80]))),
    "tcp_data": tcp(1194, *framed(c(u8(0x30) + NOISE[:80]))),
    "tcp_short": tcp(1194, *framed(c(b"\x38abc"))),
}
