# SPDX-License-Identifier: Apache-2.0
"""Elements of the Basic Encoding Rules, ITU-T X.690 section 8.1."""

from __future__ import annotations

from talk import u8, vector


def element(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return u8(tag, len(body)) + body
    width = (len(body).bit_length() + 7) // 8
    return u8(tag, 0x80 | width) + vector(body, width)


def sequence(*parts: bytes) -> bytes:
    return element(0x30, *parts)


def integer(value: int, tag: int = 2) -> bytes:
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes, tag: int = 4) -> bytes:
    return element(tag, value)


def oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = b""
    for value in (first * 40 + second, *rest):
        part = u8(value & 0x7F)
        while value := value >> 7:
            part = u8(0x80 | value & 0x7F) + part
        out += part
    return element(6, out)
