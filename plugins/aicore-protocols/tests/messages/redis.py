# SPDX-License-Identifier: Apache-2.0
"""RESP 2 and 3."""

from __future__ import annotations

from talk import c, lines, s, tcp


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


MAP = lines("%1", "+proto", ":3") + lines("*2", ",1.5", "#t", "_", "(12345678901")

TALKS = {
    "commands": tcp(
        6379,
        c(command(b"HELLO", b"3")),
        s(MAP),
        c(command(b"set", b"key", b"x" * 5000) + command(b"Get", b"key\r\n-ERR no")),
        s(b"+OK\r\n$14\r\nx\r\n-ERR inside\r\n"[:-1] + b"\n"),
        c(command(b"NOSUCH")),
        s(b"-ERR unknown command\r\n"),
        c(b"PING\r\n"),
        s(b"+PONG\r\n"),
        layer7="redis",
        rediscommand="NOSUCH",
        rediscommands=["HELLO", "SET", "GET", "NOSUCH"],
        rediscount=4,
        rediserror="ERR",
    ),
    "other_port": tcp(
        7001, c(command(b"AUTH", b"hidden")), s(b"-WRONGPASS no\r\n"), layer7="redis", rediserror="WRONGPASS"
    ),
    "none": tcp(6379, c(command(b"GET", b"a")), s(b"$-1\r\n*-1\r\n*0\r\n"), layer7="redis", rediserror=None),
    "copy": tcp(6379, c(command(b"PSYNC", b"?", b"-1")), s(b"+FULLRESYNC x 0\r\n$4\r\nRDB!*1\r\n"), layer7="redis"),
    "middle": tcp(6379, c(command(b"LPUSH", b"a", b"b")), middle=True, layer7="redis", rediscommand="LPUSH"),
    "bad_item": tcp(6379, c(command(b"GET", b"a")), s(b"&what\r\n"), layer7="redis", anomaly="redis_bad_item"),
    "bad_name": tcp(
        6379, c(command(b"GET", b"a") + command(b"a b")), layer7="redis", rediscount=1, anomaly="redis_bad_item"
    ),
    "no_name": tcp(6379, c(command(b"12", b"a"))),
    "none_at_all": tcp(6379, c(b"*0\r\n$4\r\nPING\r\n")),
    "length": tcp(6379, c(b"*1\r\n$3\r\nPING\r\n")),
    "no_text": tcp(6379, c(b"*1\r\n:3\r\n")),
    "star": tcp(7001, c(b"* OK ready\r\n")),
}
