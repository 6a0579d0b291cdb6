# SPDX-License-Identifier: Apache-2.0
"""`geoip?db=PATH`: country, city and autonomous system of both ends of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aicore
from aicore_geoip.databases import Databases

__all__ = ["Geoip"]

_FIELDS = {
    "country": ("str", "country (ISO 3166-1 alpha-2)", "geo.country_iso_code", 2),
    "city": ("str", "city, English name", "geo.city_name", 64),
    "asn": ("int", "number of the autonomous system", "as.number", 64),
    "asorg": ("str", "organisation of the autonomous system", "as.organization.name", 96),
}
_SIDES = (("src", "ipsrc", "source"), ("dst", "ipdst", "destination"))


class Geoip:
    options = {"db": aicore.Option(list, required=True, help="MMDB files, separated by commas")}
    #: What a file does not have is absent.
    fields = tuple(
        aicore.Field(f"{side}{name}", kind, f"{meaning} of {column}", ecs=f"{ecs}.{path}", width=width)  # type: ignore[arg-type]
        for side, column, ecs in _SIDES
        for name, (kind, meaning, path, width) in _FIELDS.items()
    )

    config: Mapping[str, Any]

    @aicore.hookimpl
    def check(self) -> None:
        try:
            self._databases = Databases(self.config["db"])
        except ValueError as error:
            raise aicore.UsageError(f"geoip: {error}") from error

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        databases = self._databases
        for side, column, _ in _SIDES:
            places, codes = databases.places.find(flows, column)
            for i, name in enumerate(databases.names):
                flows.add(f"{side}{name}", [place and place[i] for place in places], codes)

    @aicore.hookimpl
    def reload(self) -> None:
        old, self._databases = self._databases, Databases(self.config["db"])
        old.close()

    @aicore.hookimpl
    def run_finished(self) -> None:
        self._databases.close()
