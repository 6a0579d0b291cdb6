# SPDX-License-Identifier: Apache-2.0
"""RFC 4120."""

from __future__ import annotations

from ber import element, integer, octets, sequence
from talk import c, s, tcp, udp, vector

REALM = "EXAMPLE.ORG"


def string(text: str) -> bytes:
    return octets(text.encode(), 0x1B)


def member(number: int, body: bytes) -> bytes:
    return element(0xA0 + number, body)


def name(*parts: str) -> bytes:
    return sequence(member(0, integer(1)), member(1, sequence(*map(string, parts))))


def request(kind: int, user: bytes = b"", version: int = 5, again: int | None = None, padata: int = 100) -> bytes:
    body = sequence(member(0, octets(bytes(5), 3)), user, member(2, string(REALM)), member(3, name("krbtgt", REALM)))
    first = member(1, integer(version)) + member(2, integer(kind if again is None else again))
    return element(0x60 + kind, sequence(first, member(3, sequence(octets(bytes(padata)))), member(4, body)))


def reply(kind: int) -> bytes:
    first = member(0, integer(5)) + member(1, integer(kind))
    return element(
        0x60 + kind, sequence(first, member(3, string(REALM)), member(4, name("ann")), member(5, octets(bytes(90))))
    )


ERROR = element(
    0x7E,
    sequence(
        *(
            member(0, integer(5)),
            member(1, integer(30)),
            member(4, octets(b"20260101000000Z", 0x18)),
            member(5, integer(1)),
        ),
        *(member(6, integer(25)), member(9, string(REALM)), member(10, name("krbtgt", REALM))),
    ),
)
ASK = request(10, member(1, name("ann", "admin")))
FIELDS = {
    "kerberosuser": "ann/admin",
    "kerberosrealm": REALM,
    "kerberosservice": f"krbtgt/{REALM}",
    "kerberosmessage": "as-req",
}


def framed(body: bytes) -> bytes:
    return vector(body, 4)


TALKS = {
    "datagrams": udp(88, c(ASK), s(ERROR), c(ASK), s(reply(11)), layer7="kerberos", **FIELDS, kerberoserror=25),
    "any_port": udp(8888, c(ASK), layer7="kerberos", **FIELDS),
    "stream": tcp(8888, c(framed(ASK)), s(framed(reply(11))), layer7="kerberos", **FIELDS, kerberoserror=None),
    "large": tcp(
        88,
        c(framed(request(12, padata=20000))),
        s(framed(reply(13))),
        layer7="kerberos",
        kerberosmessage="tgs-req",
        kerberosuser="ann",
    ),
    "reply_first": udp(88, s(reply(13)), layer7="kerberos", kerberosmessage="tgs-rep", kerberosuser="ann"),
    "bad_message": udp(88, c(ASK), s(b"\x6b\x03\x30\x01\x00"), layer7="kerberos", anomaly="kerberos_bad_message"),
    "version_4": udp(8888, c(request(10, version=4))),
    "another_type": udp(8888, c(request(10, again=12))),
    "another_length": tcp(8888, c(vector(ASK + b"xx", 4))),
}
