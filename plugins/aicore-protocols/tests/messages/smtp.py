# SPDX-License-Identifier: Apache-2.0
"""RFC 5321; STARTTLS of RFC 3207, BDAT of RFC 3030, LMTP of RFC 2033."""

from __future__ import annotations

from captures.payloads import client_hello, server_hello
from talk import c, lines, s, tcp

GREETING, HELLO = s(lines("220 mx.example.org ESMTP ready")), c(lines("EHLO client.example.net"))
HELLO_REPLY = s(lines("250-mx.example.org", "250-STARTTLS", "250 8BITMIME"))
START = [GREETING, HELLO, HELLO_REPLY]
ENVELOPE = [
    c(lines("MAIL FROM:<ann@example.net> SIZE=100")),
    s(lines("250 OK")),
    c(lines("RCPT TO:<bob@example.org>")),
    s(lines("250 OK")),
    c(lines("rcpt to: <eve@example.org>")),
    s(lines("250 OK")),
]
TEXT = lines("Subject: RCPT TO:<mallory@example.com>", "", "..dots", "STARTTLS", "the end")
MAIL = [*ENVELOPE, c(lines("DATA")), s(lines("354 go on")), c(TEXT + b".\r\n"), s(lines("250 queued"))]
FIELDS = {"smtpserver": "mx.example.org", "smtphelo": "client.example.net", "smtptls": None}
SENT = {
    "smtpfrom": "ann@example.net",
    "smtpsenders": ["ann@example.net"],
    "smtpto": "bob@example.org",
    "smtprecipients": ["bob@example.org", "eve@example.org"],
    "smtpmessages": 1,
    "smtpbytes": len(TEXT),
}
QUIT = [c(lines("QUIT")), s(lines("221 bye"))]
HANDSHAKE = [c(client_hello("mx.example.org")), s(server_hello())]
BDAT = [*ENVELOPE, c(lines("BDAT 10") + b"0123456789"), s(lines("250 OK")), c(lines("BDAT 3 LAST") + b"abc")]

TALKS = {
    "mail": tcp(25, *START, *MAIL, *QUIT, layer7="smtp", **FIELDS, **SENT),
    "any_port": tcp(2626, *START, *MAIL, *QUIT, layer7="smtp", **FIELDS, **SENT),
    "two_mails": tcp(
        25, *START, *MAIL, *MAIL, layer7="smtp", **{**SENT, "smtpmessages": 2, "smtpbytes": 2 * len(TEXT)}
    ),
    "bdat": tcp(25, *START, *BDAT, *QUIT, layer7="smtp", **{**SENT, "smtpbytes": 13}),
    "plain_greeting": tcp(
        2626, s(lines("220 mail ready")), c(lines("HELO me")), s(lines("250 OK")), layer7="smtp", smtphelo="me"
    ),
    "on_a_file_host": tcp(
        2626, s(lines("220 ftp.example.org ready")), HELLO, HELLO_REPLY, layer7="smtp", smtpserver="ftp.example.org"
    ),
    "client_alone": tcp(2626, c(lines("EHLO me", "MAIL FROM:<a@b>")), layer7="smtp", smtphelo="me", smtpfrom="a@b"),
    "many_mails": tcp(
        25,
        GREETING,
        c(lines("HELO me")),
        *[c(lines(f"MAIL FROM:<a{i}@b>", f"RCPT TO:<c{i}@d>")) for i in range(20)],
        layer7="smtp",
        smtpfrom="a0@b",
        smtpsenders=[f"a{i}@b" for i in range(4, 20)],
        smtprecipients=[f"c{i}@d" for i in range(4, 20)],
    ),
    "lmtp": tcp(24, s(lines("220 store LMTP")), c(lines("LHLO me")), layer7="smtp", smtphelo="me"),
    "null_sender": tcp(
        25, GREETING, c(lines("HELO me", "MAIL FROM:<>", "RCPT TO:<a@b>")), layer7="smtp", smtpfrom=None, smtpto="a@b"
    ),
    "refused_data": tcp(
        25,
        *START,
        *ENVELOPE,
        c(lines("DATA")),
        s(lines("554 no")),
        c(lines("MAIL FROM:<x@y>")),
        layer7="smtp",
        smtpmessages=None,
    ),
    "starttls": tcp(
        587,
        *START,
        c(lines("STARTTLS")),
        s(lines("220 go")),
        *HANDSHAKE,
        layer7="tls",
        **{**FIELDS, "smtptls": 1},
        sslhost="mx.example.org",
    ),
    "starttls_refused": tcp(
        587, *START, c(lines("STARTTLS")), s(lines("454 no")), *MAIL, layer7="smtp", **FIELDS, **SENT
    ),
    "middle": tcp(25, *MAIL, middle=True, layer7="smtp", **SENT),
    "bad_reply": tcp(25, GREETING, HELLO, s(b"25x what\r\n"), layer7="smtp", anomaly="smtp_bad_reply"),
    "bare_hello": tcp(2626, c(lines("EHLO "))),
    "hello_answered_otherwise": tcp(2626, s(lines("+OK ready")), c(lines("EHLO me"))),
}
