# SPDX-License-Identifier: Apache-2.0
"""RFC 7252."""

from __future__ import annotations

from talk import c, s, u8, u16, udp


def options(*pairs: tuple[int, bytes]) -> bytes:
    """Section 3.1: differences of numbers, lengths; 13 and 14 say that more bytes follow."""

    def nibble(value: int) -> tuple[int, bytes]:
        return (value, b"") if value < 13 else (13, u8(value - 13)) if value < 269 else (14, u16(value - 269))

    out, last = b"", 0
    for number, value in pairs:
        (delta, more), (length, more_length) = nibble(number - last), nibble(len(value))
        out += u8(delta << 4 | length) + more + more_length + value
        last = number
    return out


def message(
    code: int, *pairs: tuple[int, bytes], kind: int = 0, token: bytes = b"tk", body: bytes = b"", ver: int = 1
) -> bytes:
    payload = b"\xff" + body if body else b""
    return u8(ver << 6 | kind << 4 | len(token), code) + u16(0x1234) + token + options(*pairs) + payload


PATH = [(11, b"rooms"), (11, b"a" * 20), (15, b"unit=C"), (15, b"x=" + b"1" * 200)]
GET = message(1, (3, b"sensor.example"), *PATH, (17, b"\x32"), (35, b"p" * 300))
CONTENT = message(0x45, (12, b"\x32"), kind=2, body=b"{}")
URI = f"/rooms/{'a' * 20}?unit=C&x={'1' * 200}"
FIELDS = {"coaphost": "sensor.example", "coapuri": URI, "coapmethod": "GET", "coapcode": "2.05"}
ACK = s(u8(0x60, 0) + u16(0x1234))

TALKS = {
    "get": udp(5683, c(GET), s(CONTENT), layer7="coap", **FIELDS),
    "many_hosts": udp(
        5683,
        c(GET),
        c(message(1, (3, b"other.example"))),
        c(GET),
        layer7="coap",
        coaphost="sensor.example",
        coaphosts=["sensor.example", "other.example"],
        coapcode=None,
    ),
    "any_port": udp(17500, c(GET), s(CONTENT), layer7="coap", **FIELDS),
    "separate": udp(
        5683, c(message(3, (11, b"x"), kind=1, body=b"1")), ACK, layer7="coap", coapmethod="PUT", coapcode=None
    ),
    "bare": udp(5683, c(message(1, token=b"")), s(message(0x84)), layer7="coap", coapuri=None, coapcode="4.04"),
    "bad_message": udp(5683, c(GET), c(message(1) + b"\xff"), layer7="coap", anomaly="coap_bad_message"),
    "unknown_option_elsewhere": udp(17500, c(message(1, (11, b"x"), (2049, b"y")))),
    "no_resource_elsewhere": udp(17500, c(message(1))),
    "version_2": udp(5683, c(message(1, (11, b"x"), ver=2))),
    "token_of_nine": udp(5683, c(message(1, token=b"123456789"))),
    "empty_payload": udp(5683, c(message(1) + b"\xff")),
    "option_too_long": udp(5683, c(message(1) + u8(0xBC))),
}
