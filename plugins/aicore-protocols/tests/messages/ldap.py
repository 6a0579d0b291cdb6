# SPDX-License-Identifier: Apache-2.0
"""RFC 4511."""

from __future__ import annotations

from ber import element, integer, octets, sequence
from captures.payloads import client_hello, server_hello
from talk import c, s, tcp, udp

ANN, BASE = b"cn=ann,dc=example", b"dc=example,dc=org"


def message(operation: bytes, number: int = 1) -> bytes:
    return sequence(integer(number), operation)


def bind(user: bytes, credentials: bytes) -> bytes:
    return message(element(0x60, integer(3), octets(user), credentials))


def result(tag: int, code: int = 0) -> bytes:
    return message(element(tag, integer(code, 10), octets(b""), octets(b"")))


def search(base: bytes) -> bytes:
    tail = integer(0) + integer(0) + element(1, b"\0") + octets(b"objectClass", 0x87) + sequence()
    return message(element(0x63, octets(base), integer(2, 10), integer(0, 10), tail), 2)


ENTRY = message(element(0x64, octets(ANN), sequence(octets(bytes(300)))), 2)
BIND, SEARCH = bind(ANN, octets(b"secret", 0x80)), search(BASE)
SASL = bind(b"", element(0xA3, octets(b"GSS-SPNEGO"), octets(bytes(200))))
START_TLS = message(element(0x77, octets(b"1.3.6.1.4.1.1466.20037", 0x80)))
HANDSHAKE = [c(client_hello("ldap.example.org")), s(server_hello())]
FIELDS = {"ldapuser": ANN.decode(), "ldapbase": BASE.decode(), "ldapresult": 0, "ldaptls": None}
BOUND = [c(BIND), s(result(0x61))]

TALKS = {
    "search": tcp(
        389, *BOUND, c(SEARCH), s(ENTRY + result(0x65)), c(message(element(0x42), 3)), layer7="ldap", **FIELDS
    ),
    "any_port": tcp(3890, *BOUND, c(SEARCH), s(ENTRY), layer7="ldap", **FIELDS),
    "refused": tcp(389, c(BIND), s(result(0x61, 49)), layer7="ldap", ldapresult=49),
    "sasl": tcp(389, c(SASL), s(result(0x61, 14)), layer7="ldap", ldapmechanism="GSS-SPNEGO", ldapuser=None),
    "start_tls": tcp(
        389, c(START_TLS), s(result(0x78)), *HANDSHAKE, layer7="tls", ldaptls=1, sslhost="ldap.example.org"
    ),
    "start_tls_refused": tcp(
        389, c(START_TLS), s(result(0x78, 2)), *BOUND, layer7="ldap", ldapuser=ANN.decode(), ldaptls=None
    ),
    "large_entry": tcp(
        389,
        *BOUND,
        s(message(element(0x64, octets(ANN), sequence(octets(bytes(20000)))))),
        c(SEARCH),
        layer7="ldap",
        **FIELDS,
    ),
    "datagram": udp(389, c(search(b"")), s(ENTRY + result(0x65)), layer7="ldap", ldapbase=None),
    "bad_message": tcp(
        389, c(BIND), s(message(element(0x61, octets(b"x")))), layer7="ldap", anomaly="ldap_bad_message"
    ),
    "version_9": tcp(3890, c(message(element(0x60, integer(9), octets(ANN), octets(b"x", 0x80))))),
    "unknown_operation": tcp(3890, c(message(element(0x7E, integer(9))))),
    "another_sequence": tcp(3890, c(sequence(octets(b"hello"), octets(b"world")))),
}
