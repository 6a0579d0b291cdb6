# SPDX-License-Identifier: Apache-2.0
"""`reputation?lists=PATHS`: what lists or a service say of a flow's addresses and host names."""

from __future__ import annotations

import ipaddress
import logging
from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import aicore
from aicore_reputation.lists import Match, ReputationList, ascii_name, best
from aicore_reputation.service import Service

__all__ = ["Reputation", "Service"]

logger = logging.getLogger("aicore")

_HOSTS = ("httphost", "sslhost", "dnsdomain")
_HOST_LISTS = ("httphosts", "dnsdomains")
_REMEMBERED = 1 << 16  # names of lists


class Reputation:
    options = {"lists": aicore.Option(list, default=[], help="files, separated by commas")}
    fields = (
        aicore.Field("reputation", "int", "highest score of the flow's addresses and host names, 0 to 100"),
        aicore.Field("reputationlist", "str", "list or service that gave it", ecs="threat.feed.name"),
        aicore.Field("reputationmatch", "str", "entry that matched", ecs="threat.indicator.name", width=253),
    )

    config: Mapping[str, Any]

    def __init__(self, service: Service | None = None) -> None:
        self.service = service

    @aicore.hookimpl
    def check(self) -> None:
        if self.service is None and not self.config["lists"]:
            raise aicore.UsageError("reputation needs the option lists (files, separated by commas) or a service")
        try:
            self._use([ReputationList(path) for path in self.config["lists"]])
        except ValueError as error:
            raise aicore.UsageError(f"reputation: {error}") from error

    def _use(self, lists: list[ReputationList]) -> None:
        self._lists = lists
        self._addresses = aicore.Lookup(self._address)
        self._hosts = aicore.Lookup(self._host)
        self._names = lru_cache(_REMEMBERED)(self._host)

    def _address(self, address: str) -> Match | None:
        return best(entries.address(address) for entries in self._lists)

    def _host(self, host: str) -> Match | None:
        host, address = _split(host)
        if address:
            return self._address(address)
        return best(entries.domain(host) for entries in self._lists) if host else None

    def _answers(self, service: Service) -> aicore.Lookup:
        """What is known by now of each address, asked once a batch."""

        def ask(address: str) -> Match | None:
            score = service.ask(address)
            return None if score is None else Match(score, service.name, address)

        return aicore.Lookup(ask)

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        known = set(flows.names())
        lookups = [("ipsrc", self._addresses), ("ipdst", self._addresses)]
        lookups += [(name, self._hosts) for name in _HOSTS if name in known]
        if self.service is not None:
            self.service.check()
            answers = self._answers(self.service)
            lookups += [("ipsrc", answers), ("ipdst", answers)]
        rows: dict[int, Match] = {}
        for column, lookup in lookups:
            matches, codes = lookup.find(flows, column)
            if len(matches) > 1:  # few batches have a match at all, and fewer rows
                for row, code in enumerate(codes):
                    if code and (row not in rows or rows[row].score < matches[code].score):
                        rows[row] = matches[code]
        for column in _HOST_LISTS:
            for row, names in enumerate(flows.column(column) if column in known else ()):
                match = best((rows.get(row), *map(self._names, names))) if names else None
                if match is not None:
                    rows[row] = match
        numbers = array("I", bytes(4 * len(flows)))
        for number, row in enumerate(rows, 1):
            numbers[row] = number
        found = [None, *rows.values()]
        flows.add("reputation", [match and match.score for match in found], numbers)
        flows.add("reputationlist", [match and match.list for match in found], numbers)
        flows.add("reputationmatch", [match and match.entry for match in found], numbers)

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
