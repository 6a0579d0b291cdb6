# SPDX-License-Identifier: Apache-2.0
"""`cassandra://user:password@host1,host2:9043/keyspace`: where to connect, and as whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from aicore.errors import UsageError

PORT = 9042
KEYSPACE = "aicore"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::(\d{1,5}))?")


def plain_name(text: str) -> str:
    """The name of a keyspace or table as it needs no quoting. ValueError otherwise."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,47}", text):
        raise ValueError("a name is a small letter, then small letters, digits and _, at most 48 in all")
    return text


@dataclass(frozen=True)
class Target:
    hosts: tuple[tuple[str, int], ...]
    keyspace: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_target(url: str) -> Target:
    """A URL, or as in the seed's programs just hosts. UsageError, whose text never holds the password."""
    rest = url.partition("?")[0].removeprefix("cassandra://")
    login, at, rest = rest.rpartition("@")
    user, colon, password = login.partition(":")
    places, _, path = rest.partition("/")
    if at and not (user and colon):
        raise UsageError("cassandra: a user needs a password: cassandra://user:password@host/keyspace")
    try:
        keyspace = plain_name(path.strip("/") or KEYSPACE)
    except ValueError as error:
        raise UsageError(f"cassandra: the path of the URL is a keyspace: {error}") from None
    hosts = tuple(_host(text) for text in (places or "localhost").split(","))
    return Target(hosts, keyspace, unquote(user) if at else None, unquote(password) if at else None)


def _host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or int(match[2] or PORT) not in range(1, 65536):
        raise UsageError("cassandra: hosts are written as host1,host2:9043 or [::1]:9042")
    return match[1].strip("[]"), int(match[2] or PORT)
