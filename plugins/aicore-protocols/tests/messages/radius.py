# SPDX-License-Identifier: Apache-2.0
"""RFC 2865, RFC 2866."""

from __future__ import annotations

from captures.packets import packed
from talk import c, s, u8, u16, u32, udp


def attribute(kind: int, value: bytes) -> bytes:
    return u8(kind, len(value) + 2) + value


def message(code: int, *attributes: bytes, length: int | None = None) -> bytes:
    body = b"".join(attributes)
    return u8(code, 7) + u16(20 + len(body) if length is None else length) + bytes(range(16)) + body


USER, NAS, NAS_NAME = attribute(1, b"ann"), attribute(4, packed("192.0.2.1")), attribute(32, b"switch-7")
STATION, FRAMED, STATUS = attribute(31, b"02-00-5E-10-AA-BB"), attribute(8, packed("192.0.2.99")), attribute(40, u32(1))
ASK = c(message(1, USER, NAS, STATION, NAS_NAME))
LET_IN = s(message(2, FRAMED))
FIELDS = {
    "radiususer": "ann",
    "radiusnas": "switch-7",
    "radiusstation": "02-00-5E-10-AA-BB",
    "radiusip": "192.0.2.99",
    "radiusmessage": "access-accept",
}

TALKS = {
    "let_in": udp(1812, ASK, LET_IN, layer7="radius", **FIELDS),
    "any_port": udp(18120, ASK, LET_IN, layer7="radius", **FIELDS),
    "accounting": udp(
        18130,
        c(message(4, STATUS, NAS, USER)),
        layer7="radius",
        radiusmessage="accounting-request",
        radiusnas="192.0.2.1",
    ),
    "padded": udp(1812, c(message(1, USER, NAS) + bytes(6)), layer7="radius", radiususer="ann"),
    "disconnect": udp(3799, c(message(40, USER)), layer7="radius", radiusmessage="disconnect-request"),
    "bad_message": udp(1812, ASK, s(message(2, u8(8, 200))), layer7="radius", anomaly="radius_bad_message"),
    "without_user": udp(18120, c(message(1, NAS))),
    "unknown_code": udp(1812, c(message(77, USER, NAS))),
    "longer_than_the_datagram": udp(1812, c(message(1, USER, NAS, length=400))),
    "attribute_of_one_byte": udp(1812, c(message(1, u8(1, 1)))),
}
