# SPDX-License-Identifier: Apache-2.0
"""RFC 5424 and RFC 3164; framing of RFC 6587."""

from __future__ import annotations

from talk import c, tcp, udp

NEW = b"<165>1 2026-01-02T03:04:05.003Z host.example app 77 ID47 - text"
OLD = b"<34>Oct  1 22:14:15 mymachine su[12]: 'su root' failed"
FIELDS = {"sysloghost": "host.example", "syslogapp": "app", "syslogfacility": "local4", "syslogseverity": "notice"}

TALKS = {
    "new": udp(514, c(NEW), layer7="syslog", **FIELDS),
    "new_any_port": udp(5140, c(NEW), layer7="syslog", **FIELDS),
    "old_any_port": udp(
        5140,
        c(OLD),
        layer7="syslog",
        sysloghost="mymachine",
        syslogapp="su",
        syslogfacility="auth",
        syslogseverity="crit",
    ),
    "no_host": udp(514, c(b"<30>Oct 11 22:14:15 su: x"), layer7="syslog", sysloghost=None, syslogapp="su"),
    "no_time": udp(514, c(b"<189>94: %LINK-3-UPDOWN: up"), layer7="syslog", syslogfacility="local7", sysloghost=None),
    "last_severity": udp(514, c(OLD), c(b"<7>kernel"), layer7="syslog", syslogseverity="debug", sysloghost="mymachine"),
    "stream_counted": tcp(601, c(str(len(NEW)).encode() + b" " + NEW), layer7="syslog", **FIELDS),
    "stream_lines": tcp(6514, c(NEW + b"\n" + OLD + b"\n"), layer7="syslog", **FIELDS),
    "counted_on_its_port": tcp(601, c(str(len(OLD)).encode() + b" " + OLD), layer7="syslog", syslogapp="su"),
    "no_time_on_another_port": udp(5140, c(b"<189>94: %LINK-3-UPDOWN: up")),
    "priority_192": udp(514, c(b"<192>Oct 11 22:14:15 a b: x")),
    "leading_zero": udp(514, c(b"<034>Oct 11 22:14:15 a b: x")),
    "xml": tcp(6514, c(b"<?xml version='1.0'?>\n")),
    "bytes": udp(514, c(b"<30>\0\1\2\3\4\5")),
}
