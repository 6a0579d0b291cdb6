# SPDX-License-Identifier: Apache-2.0
"""`postgres://user:password@host:port/database`: where to connect, and as whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aicore import AdaptorURL
from aicore.errors import UsageError

PORT = 5432
DATABASE = "aicore"
CONNECT_SECONDS = 5

_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1|/.*", re.ASCII)


def table_name(text: str) -> str:
    """`table` or `schema.table`, which need no quoting, with room for a partition's day. ValueError otherwise."""
    if not re.fullmatch(r"([a-z_][a-z0-9_]{0,47}\.)?[a-z_][a-z0-9_]{0,47}", text, re.ASCII):
        raise ValueError(
            "a name is small letters, digits and _, at most 48 in all; a schema may stand in front: net.flows"
        )
    return text


@dataclass(frozen=True)
class Target:
    """Names of hosts that begin with a slash are folders of Unix sockets."""

    hosts: tuple[tuple[str, int], ...]
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def local(self) -> bool:
        return all(_LOOPBACK.fullmatch(host) for host, _ in self.hosts)

    def parameters(self, *, ca: str | None, insecure: bool, allow_plaintext: bool) -> dict[str, Any]:
        """Of libpq. Elsewhere than on this machine the server must show a certificate that is verified."""
        given: dict[str, Any] = {
            "host": ",".join(host for host, _ in self.hosts),
            "port": ",".join(str(port) for _, port in self.hosts),
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "aicore",
            "target_session_attrs": "read-write",  # of several hosts the one that is not a standby
        }
        if ca is not None:
            given |= {"sslmode": "verify-full", "sslrootcert": ca}
        elif insecure:
            given |= {"sslmode": "require"}
        elif self.local or allow_plaintext:
            given |= {"sslmode": "prefer"}
        else:
            given |= {"sslmode": "verify-full", "sslrootcert": "system"}
        return {name: value for name, value in given.items() if value is not None}


def parse_target(url: str) -> Target:
    """Of a URL, or in a program just of hosts. UsageError, whose text never holds the password."""
    server = AdaptorURL.of(url, "postgres://")
    database = server.path.removeprefix("/") or DATABASE
    if "/" in database:
        raise UsageError(
            "postgres: the path of the URL is a database; the folder of a Unix socket is a host, its slashes written as"
            " %2F: postgres://%2Fvar%2Frun%2Fpostgresql/database"
        )
    hosts = tuple((unquote(host), port or PORT) for host, port in server.hosts or (("localhost", PORT),))
    for host, _ in hosts:
        if "," in host or "\0" in host or ("/" in host and not host.startswith("/")):
            raise UsageError(
                "postgres: a host is a name, an address, or the folder of a Unix socket (%2Frun%2Fpostgresql)"
            )
    return Target(hosts, database, server.user, server.password)
