# SPDX-License-Identifier: Apache-2.0
"""Lists of addresses, networks and domains: `entry[,score]` a line, `#` comments."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import radix

logger = logging.getLogger("aicore")

SCORE = 100  # of an entry without one
# Letters, digits, hyphens (RFC 1123, section 2.1), underscores as service names have them; the last label is no number.
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 253  # of a name, in characters (RFC 1035, section 3.1)


class Match(NamedTuple):
    score: int
    list: str
    entry: str


class ReputationList:
    """One file, read. ValueError, with the path, for a file that cannot be used."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = Path(path).name
        #: Lines that are no entry.
        self.broken = 0
        self._networks = radix.Radix()
        self._domains: dict[str, Match] = {}
        try:
            lines = Path(path).read_text("utf-8").split("\n")
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path}: not UTF-8 text") from None
        used, first = 0, 0
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                self._add(text)
                used += 1
            except ValueError:
                self.broken += 1
                first = first or number
        if not used:
            raise ValueError(f"{path}: no usable line in it")
        if self.broken:
            logger.warning("reputation: %s: %d broken lines left out, the first is line %d", path, self.broken, first)

    def _add(self, text: str) -> None:
        entry, comma, number = (part.strip() for part in text.partition(","))
        score = int(number) if comma else SCORE
        if not 0 <= score <= 100 or "%" in entry:  # a zone is no part of an address on the wire
            raise ValueError
        domain = ascii_name(entry.removeprefix("*").removeprefix("."))
        if _DOMAIN.fullmatch(domain):  # no address: its last label is no number
            listed = self._domains.get(domain)
            if listed is None or listed.score < score:
                self._domains[domain] = Match(score, self.name, domain)
            return
        # Parsed here: py-radix would ask the resolver for what is no address.
        network = ipaddress.ip_network(entry)
        node = self._networks.add(packed=network.network_address.packed, masklen=network.prefixlen)
        known = node.data.get("match")
        if known is None or known.score < score:
            node.data["match"] = Match(score, self.name, entry)

    def address(self, address: str) -> Match | None:
        """Of all networks around it the one with the highest score, the longest prefix first."""
        nodes = self._networks.search_covering(address)
        return best(node.data["match"] for node in nodes) if nodes else None

    def domain(self, name: str) -> Match | None:
        """Of the name and all domains above it the one with the highest score, the longest name first."""
        labels = name.split(".")
        return best(self._domains.get(".".join(labels[i:])) for i in range(len(labels)))


def best(matches: Iterable[Match | None]) -> Match | None:
    """The highest score, the first of equals."""
    highest = None
    for match in matches:
        if match is not None and (highest is None or match.score > highest.score):
            highest = match
    return highest


def ascii_name(name: str) -> str:
    """Lower case, without the root's dot, international names in their ASCII form. ValueError if there is none."""
    name = name.lower().rstrip(".")
    if len(name) > _LONGEST:  # before the codec, whose time grows with the square of the length
        raise ValueError("too long for a name")
    return name if name.isascii() else name.encode("idna").decode("ascii")
