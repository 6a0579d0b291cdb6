# SPDX-License-Identifier: Apache-2.0
"""`reputation?lists=PATHS`: what lists or a service say of a flow's addresses and host names."""

from __future__ import annotations

import ipaddress
import logging
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import aicore
from aicore_reputation.lists import Match, ReputationList, ascii_name, best, list_files
from aicore_reputation.service import Service

__all__ = ["Reputation", "Service"]

logger = logging.getLogger("aicore")

#: Addresses and host names remembered, each.
CACHE = 1 << 16
_HOSTS = ("httphost", "sslhost", "dnsdomain")


class Reputation:
    options: dict[str, Any] = {"lists": aicore.Option(list_files, default=(), help="files, separated by commas")}
    fields = (
        aicore.Field("reputation", "int", "highest score of the flow's addresses and host names, 0 to 100"),
        aicore.Field("reputationlist", "str", "list or service that gave it", ecs="threat.feed.name"),
        aicore.Field("reputationmatch", "str", "entry that matched", ecs="threat.indicator.name", width=253),
    )

    def __init__(self, service: Service | None = None) -> None:
        self.service = service
        self.options = {"lists": ()}

    @aicore.hookimpl
    def register_protocols(self) -> None:
        # The only hook whose error keeps the run from starting.
        if self.service is None and not self.options["lists"]:
            raise aicore.UsageError("reputation needs the option lists (files, separated by commas) or a service")
        self._use(list(self.options["lists"]))

    def _use(self, lists: list[ReputationList]) -> None:
        self._lists = lists
        self._address = lru_cache(CACHE)(self._find_address)
        self._host = lru_cache(CACHE)(self._find_host)

    def _find_address(self, address: str) -> Match | None:
        return best(entries.address(address) for entries in self._lists)

    def _find_host(self, host: str) -> Match | None:
        host, address = _split(host)
        if address:
            return self._address(address)
        return best(entries.domain(host) for entries in self._lists) if host else None

    def _ask(self, service: Service, addresses: Iterable[str]) -> dict[str, Match]:
        """What is known by now of each address, asked once a batch."""
        scores = ((address, service.ask(address)) for address in set(addresses))
        return {address: Match(score, service.name, address) for address, score in scores if score is not None}

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        known = set(flows.names())
        columns = [(flows.distinct(name), self._address) for name in ("ipsrc", "ipdst")]
        columns += [(flows.distinct(name), self._host) for name in _HOSTS if name in known]
        found = [([find(value) if value else None for value in values], codes) for (values, codes), find in columns]
        if self.service is not None:
            self.service.check()
            addresses = columns[:2]
            answers = self._ask(self.service, chain.from_iterable(values for (values, _), _ in addresses))
            found += [([answers.get(value) for value in values], codes) for (values, codes), _ in addresses]
        # Few batches have a match at all, and fewer rows.
        found = [(matches, codes) for matches, codes in found if any(matches)]
        rows: Sequence[Match | None] = [None]
        numbers: Sequence[int] = array("I", bytes(4 * len(flows)))
        if found:
            by_column = [map(matches.__getitem__, codes) for matches, codes in found]
            rows = [best(iter(matches)) if any(matches) else None for matches in zip(*by_column, strict=True)]
            numbers = range(len(rows))
        flows.add("reputation", [match and match.score for match in rows], numbers)
        flows.add("reputationlist", [match and match.list for match in rows], numbers)
        flows.add("reputationmatch", [match and match.entry for match in rows], numbers)

    @aicore.hookimpl
    def reload(self) -> None:
        self._use([_reread(entries) for entries in self._lists])


def _reread(old: ReputationList) -> ReputationList:
    try:
        return ReputationList(old.path)
    except ValueError as error:
        logger.error("reputation: what was read before stays: %s", error)
        return old


def _split(host: str) -> tuple[str, str]:
    """(name, address) of a host as packets give it, one of them empty: `name`, `name:port`, an address, junk."""
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if "%" in host:  # a zone is no part of an address on the wire, and py-radix might resolve it
        return "", ""
    try:
        return "", str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return ascii_name(host), ""
    except ValueError:
        return "", ""
