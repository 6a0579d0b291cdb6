# SPDX-License-Identifier: Apache-2.0
"""RFC 854; terminal types of RFC 1091."""

from __future__ import annotations

from talk import c, s, tcp, u8

IAC, SE, SB, WILL, WONT, DO, DONT = 255, 240, 250, 251, 252, 253, 254
ECHO, SUPPRESS, TERMINAL, SIZE = 1, 3, 24, 31
OFFER = c(u8(IAC, DO, SUPPRESS, IAC, WILL, TERMINAL, IAC, WILL, SIZE))
ASK = s(u8(IAC, DO, TERMINAL, IAC, SB, TERMINAL, 1, IAC, SE))
ANSWER = c(u8(IAC, SB, SIZE, 0, 80, 0, 24, IAC, SE, IAC, SB, TERMINAL, 0) + b"xterm-256color" + u8(IAC, SE))

TALKS = {
    "terminal": tcp(23, OFFER, ASK, ANSWER, s(b"login: "), layer7="telnet", telnetterminal="xterm-256color"),
    "any_port": tcp(2323, OFFER, ASK, ANSWER, layer7="telnet", telnetterminal="xterm-256color"),
    "one_negotiation": tcp(23, s(u8(IAC, DO, TERMINAL)), s(b"login: "), layer7="telnet", telnetterminal=None),
    "one_on_another_port": tcp(2323, s(u8(IAC, DO, TERMINAL) + b"login: ")),
    "unknown_option": tcp(2323, s(u8(IAC, DO, 99, IAC, DO, 98))),
    "no_verb": tcp(23, s(u8(IAC, 10, 1))),
}
