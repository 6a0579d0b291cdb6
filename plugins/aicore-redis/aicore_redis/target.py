# SPDX-License-Identifier: Apache-2.0
"""`redis://`, `rediss://`, `redis+unix://`: where to connect, as whom, and how."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aicore import AdaptorURL, UsageError

_SCHEMES = ("redis", "rediss", "redis+unix")
PORT = 6379


@dataclass(frozen=True)
class Target:
    scheme: Literal["redis", "rediss", "redis+unix"]
    host: str
    port: int
    #: Of a socket in the file system; empty otherwise.
    path: str
    db: int
    user: str | None
    password: str | None = field(repr=False)
    timeout: float
    #: File of the authorities that vouch for the server; None: the system's.
    ca: str | None
    insecure: bool

    @classmethod
    def of(cls, url: AdaptorURL, config: Mapping[str, Any]) -> Target:
        """UsageError, whose text never holds the password, for what cannot be."""
        scheme: Any = url.scheme
        db, ca, insecure = config["db"], config["ca"], config["insecure"]
        if scheme not in _SCHEMES:
            raise UsageError(f"redis: the URL begins with {', '.join(name + '://' for name in _SCHEMES)}")
        if len(url.hosts) > 1:
            raise UsageError("redis: the URL names one host")
        if scheme != "rediss" and (ca or insecure):
            raise UsageError("redis: ca and insecure are for rediss://, which is encrypted")
        if ca and not os.path.isfile(ca):
            raise UsageError(f"redis: ca: there is no file {ca}")
        path = ""
        if scheme == "redis+unix":
            path = url.path
            if not path.startswith("/") or url.hosts:
                raise UsageError("redis: a socket is written as redis+unix:///run/redis/redis.sock")
        elif number := url.path.strip("/"):
            if not number.isdecimal():
                raise UsageError(f"redis: the path of the URL is the number of a database, not {number!r}")
            db = int(number)
        host, port = url.hosts[0] if url.hosts else ("localhost", None)
        return cls(scheme, host, port or PORT, path, db, url.user, url.password, config["timeout"], ca, insecure)
