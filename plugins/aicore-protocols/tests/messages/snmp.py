# SPDX-License-Identifier: Apache-2.0
"""RFC 1157, RFC 3416, RFC 3412."""

from __future__ import annotations

from ber import element, integer, octets, oid, sequence
from captures.packets import packed
from talk import c, s, u8, udp

NAME = "1.3.6.1.4.1.2021.999999.5"
BINDINGS = sequence(sequence(oid(NAME), element(5)))


def pdu(tag: int, bindings: bytes = BINDINGS) -> bytes:
    return element(tag, integer(70000), integer(0), integer(0), bindings)


def message(version: int, body: bytes) -> bytes:
    return sequence(integer(version), octets(b"public"), body)


TRAP1 = element(
    0xA4,
    oid("1.3.6.1.4.1.9"),
    octets(packed("192.0.2.1"), 0x40),
    integer(6),
    integer(1),
    octets(b"\1", 0x43),
    sequence(),
)
HEADER3 = sequence(integer(5), integer(65507), octets(u8(4)), integer(3))
PLAIN3 = sequence(octets(b"engine"), octets(b""), pdu(0xA0))

TALKS = {
    "get": udp(
        161,
        c(message(1, pdu(0xA0))),
        s(message(1, pdu(0xA2))),
        layer7="snmp",
        snmpversion="2c",
        snmppdu="get-request",
        snmpoid=NAME,
    ),
    "any_port": udp(16161, c(message(0, pdu(0xA1))), layer7="snmp", snmpversion="1", snmppdu="get-next-request"),
    "bulk": udp(161, c(message(1, pdu(0xA5))), layer7="snmp", snmppdu="get-bulk-request"),
    "trap_1": udp(162, c(message(0, TRAP1)), layer7="snmp", snmppdu="trap", snmpoid="1.3.6.1.4.1.9"),
    "version_3": udp(
        161, c(sequence(integer(3), HEADER3, octets(b"usm"), PLAIN3)), layer7="snmp", snmpversion="3", snmpoid=NAME
    ),
    "encrypted": udp(
        161,
        c(sequence(integer(3), HEADER3, octets(b"usm"), octets(bytes(99)))),
        layer7="snmp",
        snmpversion="3",
        snmppdu=None,
    ),
    "no_bindings": udp(161, c(message(1, pdu(0xA0, sequence()))), layer7="snmp", snmppdu="get-request", snmpoid=None),
    "bad_message": udp(
        161,
        c(sequence(integer(3), HEADER3, octets(b"usm"), octets(bytes(99)))),
        c(b"\x30\x03\x02\x01\x09"),
        layer7="snmp",
        anomaly="snmp_bad_message",
    ),
    "version_7": udp(161, c(message(7, pdu(0xA0)))),
    "bytes_behind": udp(161, c(message(1, pdu(0xA0)) + b"x")),
    "unknown_pdu": udp(161, c(message(1, pdu(0xAC)))),
}
