# SPDX-License-Identifier: Apache-2.0
"""RFC 3501; literals of RFC 7888, ID of RFC 2971."""

from __future__ import annotations

from captures.payloads import client_hello, server_hello
from talk import c, lines, s, tcp

GREETING = s(lines("* OK IMAP4rev1 ready"))
PLAIN = s(lines("* OK [PERMANENTFLAGS ()] hello"))
CAPABILITY = [c(lines("a1 CAPABILITY")), s(lines("* CAPABILITY IMAP4rev1 STARTTLS", "a1 OK done"))]
LOGIN = [c(lines("a2 LOGIN ann secret")), s(lines("a2 OK in"))]
FETCH = [
    c(lines("a3 FETCH 1 BODY[]")),
    s(lines("* 1 FETCH (BODY[] {25}") + b"a9 LOGIN mallory x\r\nabc\r\n" + lines(")", "a3 OK")),
]
STARTTLS = c(lines("s1 STARTTLS"))
HANDSHAKE = [c(client_hello("imap.example.org")), s(server_hello())]

TALKS = {
    "login": tcp(143, GREETING, *CAPABILITY, *LOGIN, *FETCH, layer7="imap", imapuser="ann", imaptls=None),
    "any_port": tcp(1143, GREETING, *LOGIN, layer7="imap", imapuser="ann"),
    "word_in_the_capabilities": tcp(1143, PLAIN, *CAPABILITY, *LOGIN, layer7="imap", imapuser="ann"),
    "quoted": tcp(
        143, GREETING, c(lines('a "no command" x', 'a2 LOGIN "ann lee" "x"')), layer7="imap", imapuser="ann lee"
    ),
    "literal": tcp(
        143,
        GREETING,
        c(lines("a2 LOGIN {7}")),
        s(lines("+ go")),
        c(b"ann lee {2}\r\nab\r\n"),
        layer7="imap",
        imapuser="ann lee",
    ),
    "appended": tcp(
        143,
        GREETING,
        c(lines("a1 APPEND x {24+}") + lines("a2 LOGIN mallory secret", "", "a3 LOGIN ann x")),
        layer7="imap",
        imapuser="ann",
    ),
    "authenticate": tcp(143, GREETING, c(lines("a2 AUTHENTICATE PLAIN")), layer7="imap", imapmechanism="PLAIN"),
    "starttls": tcp(
        143, GREETING, STARTTLS, s(lines("s1 OK go")), *HANDSHAKE, layer7="tls", imaptls=1, sslhost="imap.example.org"
    ),
    "starttls_refused": tcp(
        143, GREETING, STARTTLS, s(lines("s1 NO")), *LOGIN, layer7="imap", imapuser="ann", imaptls=None
    ),
    "client_alone": tcp(143, c(lines("a1 LOGIN ann secret")), layer7="imap", imapuser="ann"),
    "another_servers_ok": tcp(1143, s(lines("* OK so far")), c(lines("hello world"))),
    "another_command": tcp(143, c(lines("a1 DANCE"))),
}
