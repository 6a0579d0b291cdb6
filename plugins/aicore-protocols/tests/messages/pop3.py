# SPDX-License-Identifier: Apache-2.0
"""RFC 1939, STLS of RFC 2595."""

from __future__ import annotations

from captures.payloads import client_hello, server_hello
from talk import c, lines, s, tcp

GREETING, BARE = s(lines("+OK POP3 server ready")), s(lines("+OK"))
STAMP = s(lines("+OK hello <1896.697170952@example.org>"))
LOGIN = [c(lines("USER ann")), s(lines("+OK")), c(lines("PASS secret")), s(lines("+OK"))]
HANDSHAKE = [c(client_hello("pop.example.org")), s(server_hello())]

TALKS = {
    "login": tcp(110, GREETING, *LOGIN, layer7="pop3", pop3user="ann", pop3tls=None),
    "any_port": tcp(1110, GREETING, *LOGIN, layer7="pop3", pop3user="ann"),
    "bare_greeting": tcp(1110, BARE, *LOGIN, layer7="pop3", pop3user="ann"),
    "apop": tcp(1110, STAMP, c(lines("APOP ann c4c9334bac560ecc979e58001b3e22fb")), layer7="pop3", pop3user="ann"),
    "small_letters": tcp(110, GREETING, c(lines("user bob@example.org")), layer7="pop3", pop3user="bob@example.org"),
    "stls": tcp(
        110,
        GREETING,
        c(lines("STLS")),
        s(lines("+OK go")),
        *HANDSHAKE,
        layer7="tls",
        pop3tls=1,
        sslhost="pop.example.org",
    ),
    "stls_refused": tcp(
        110, GREETING, c(lines("STLS")), s(lines("-ERR no")), *LOGIN, layer7="pop3", pop3user="ann", pop3tls=None
    ),
    "another_servers_ok": tcp(1110, BARE, c(lines("SET x 1"))),
    "no_greeting": tcp(1110, c(lines("USER ann"))),
}
