# SPDX-License-Identifier: Apache-2.0
"""RFC 959, AUTH TLS of RFC 4217."""

from __future__ import annotations

from captures.payloads import client_hello, server_hello
from talk import c, lines, s, tcp

GREETING, PLAIN = s(lines("220-Welcome", "220 ftp.example.org FTP server")), s(lines("220 hello"))
LOGIN = [c(lines("USER ann")), s(lines("331 password")), c(lines("PASS x")), s(lines("230 in"))]
FILES = [
    c(lines("RETR a.zip")),
    s(lines("150 here", "226 done")),
    c(lines("STOR dir/b c.txt")),
    s(lines("150 go", "226 done")),
]
FIELDS = {"ftpuser": "ann", "ftpfile": "a.zip", "ftpfiles": ["a.zip", "dir/b c.txt"], "ftptls": None}
AUTH = c(lines("AUTH TLS"))
HANDSHAKE = [c(client_hello("ftp.example.org")), s(server_hello())]

TALKS = {
    "files": tcp(21, GREETING, *LOGIN, *FILES, layer7="ftp", **FIELDS),
    "any_port": tcp(2121, GREETING, *LOGIN, *FILES, layer7="ftp", **FIELDS),
    "plain_greeting": tcp(2121, PLAIN, *LOGIN, *FILES, layer7="ftp", **FIELDS),
    "on_a_mail_host": tcp(2121, s(lines("220 smtp.example.org FTP server")), *LOGIN, layer7="ftp", ftpuser="ann"),
    "auth": tcp(21, GREETING, AUTH, s(lines("234 go")), *HANDSHAKE, layer7="tls", ftptls=1, sslhost="ftp.example.org"),
    "auth_plain_greeting": tcp(2121, PLAIN, AUTH, s(lines("234 go")), *HANDSHAKE, layer7="tls", ftptls=1),
    "auth_refused": tcp(21, GREETING, AUTH, s(lines("504 no")), *LOGIN, layer7="ftp", ftpuser="ann", ftptls=None),
    "no_greeting": tcp(2121, c(lines("USER ann", "PASS x"))),
    "another_client": tcp(2121, PLAIN, c(lines("HELP"))),
}
