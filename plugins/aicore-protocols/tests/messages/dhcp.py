# SPDX-License-Identifier: Apache-2.0
"""RFC 2131 and 2132; the client's name as RFC 4702 has it."""

from __future__ import annotations

from captures.packets import packed
from talk import c, s, u8, u16, u32, udp, vector

MAC = bytes.fromhex("02005e10aabb")


def option(code: int, value: bytes) -> bytes:
    return u8(code) + vector(value, 1)


def message(
    kind: int, *options: bytes, op: int = 1, given: str = "0.0.0.0", cookie: int = 0x63825363, end: bytes = b"\xff"
) -> bytes:
    head = (
        u8(op, 1, 6, 0) + u32(0x1234) + u16(0, 0) + bytes(4) + packed(given) + bytes(8) + MAC + bytes(10) + bytes(192)
    )
    return head + u32(cookie) + option(53, u8(kind)) + b"".join(options) + end + bytes(8)


NAME, VENDOR, WANTED = option(12, b"laptop"), option(60, b"MSFT 5.0"), option(50, packed("192.0.2.77"))
GIVEN = [option(51, u32(3600)), option(54, packed("198.51.100.20")), option(15, b"example.org\0")]
FQDN = option(81, u8(4, 0, 0) + vector(b"pc", 1) + vector(b"example", 1) + u8(0))
DISCOVER, REQUEST = message(1, NAME, VENDOR), message(3, NAME, WANTED)
OFFER = message(2, *GIVEN, op=2, given="192.0.2.78")
ACK = message(5, *GIVEN, op=2, given="192.0.2.78")
GOT = {
    "dhcphostname": "laptop",
    "dhcpvendor": "MSFT 5.0",
    "dhcpmac": "02:00:5e:10:aa:bb",
    "dhcpip": "192.0.2.78",
    "dhcplease": 3600,
    "dhcpserver": "198.51.100.20",
    "dhcpdomain": "example.org",
    "dhcpmessage": "ack",
}

TALKS = {
    "lease": udp(67, c(DISCOVER), s(OFFER), c(REQUEST), s(ACK), layer7="dhcp", client_port=68, **GOT),
    "discover": udp(
        67, c(DISCOVER), layer7="dhcp", client_port=68, dhcpmessage="discover", dhcphostname="laptop", dhcpip=None
    ),
    "request": udp(67, c(REQUEST), layer7="dhcp", client_port=68, dhcpmessage="request", dhcpip="192.0.2.77"),
    "any_port": udp(6767, c(DISCOVER), s(ACK), layer7="dhcp", **GOT),
    "fqdn": udp(67, c(message(3, FQDN)), layer7="dhcp", client_port=68, dhcphostname="pc.example"),
    "no_end": udp(67, c(message(8, NAME, end=b"")), layer7="dhcp", client_port=68, dhcpmessage="inform"),
    "bad_options": udp(
        67, c(DISCOVER), c(message(3, u8(12, 200), end=b"")), layer7="dhcp", client_port=68, anomaly="dhcp_bad_message"
    ),
    "no_cookie": udp(6767, c(message(1, NAME, cookie=0x63825364))),
    "option_too_long": udp(6767, c(message(1, u8(12, 200), end=b""))),
    "short": udp(6767, c(DISCOVER[:200])),
}
