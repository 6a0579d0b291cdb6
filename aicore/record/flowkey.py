# SPDX-License-Identifier: Apache-2.0
"""The key of a flow, `ipsrc:portsrc:proto:ipdst:portdst`, and its parts."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from aicore.errors import UsageError

_NUMBER = r"(0|[1-9][0-9]{0,4})"
_ADDRESS = r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))"
_KEY = re.compile(rf"{_ADDRESS}:{_NUMBER}:{_NUMBER}:{_ADDRESS}:{_NUMBER}", re.ASCII)


class FlowKey(NamedTuple):
    """Parts of a key. `str(FlowKey.parse(key)) == key` for every key that parse takes."""

    ipsrc: str
    portsrc: int
    proto: int
    ipdst: str
    portdst: int

    @classmethod
    def parse(cls, key: str) -> FlowKey:
        """Splits a key. IPv6 addresses stand in brackets. UsageError (a ValueError) for anything else."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise UsageError(f"not a flow key: {key[:120]!r}")
        src6, src4, portsrc, proto, dst6, dst4, portdst = match.groups()
        parts = cls(src6 or src4, int(portsrc), int(proto), dst6 or dst4, int(portdst))
        try:
            socket.inet_pton(socket.AF_INET6 if src6 else socket.AF_INET, parts.ipsrc)
            socket.inet_pton(socket.AF_INET6 if dst6 else socket.AF_INET, parts.ipdst)
        except OSError:
            raise UsageError(f"not a flow key, an address is wrong: {key[:120]!r}") from None
        if bool(src6) != bool(dst6):
            raise UsageError(f"not a flow key, IPv4 and IPv6 mixed: {key[:120]!r}")
        if parts.proto > 255 or parts.portsrc > 65535 or parts.portdst > 65535:
            raise UsageError(f"not a flow key, a number is too large: {key[:120]!r}")
        return parts

    def __str__(self) -> str:
        src, dst = (f"[{ip}]" if ":" in ip else ip for ip in (self.ipsrc, self.ipdst))
        return f"{src}:{self.portsrc}:{self.proto}:{dst}:{self.portdst}"
