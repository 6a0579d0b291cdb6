# SPDX-License-Identifier: Apache-2.0
"""`cassandra://user:password@host1,host2:9043/keyspace`: where to connect, and as whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from aicore import AdaptorURL
from aicore.errors import UsageError

PORT = 9042
KEYSPACE = "aicore"


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
    """Of a URL, or as in the seed's programs just hosts. UsageError, whose text never holds the password."""
    server = AdaptorURL.of(url, "cassandra://")
    if (server.user is None) != (server.password is None):
        raise UsageError("cassandra: a user needs a password: cassandra://user:password@host/keyspace")
    try:
        keyspace = plain_name(server.path.strip("/") or KEYSPACE)
    except ValueError as error:
        raise UsageError(f"cassandra: the path of the URL is a keyspace: {error}") from None
    hosts = tuple((host, port or PORT) for host, port in server.hosts or (("localhost", PORT),))
    return Target(hosts, keyspace, server.user, server.password)
