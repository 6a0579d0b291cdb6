# SPDX-License-Identifier: Apache-2.0
"""`geoip?db=PATH`: country, city and autonomous system of both ends of a flow."""

from __future__ import annotations

from typing import Any

import aicore
from aicore_geoip.databases import mmdb_files

__all__ = ["Geoip"]

_FIELDS = {
    "country": ("str", "country (ISO 3166-1 alpha-2)", "geo.country_iso_code", 2),
    "city": ("str", "city, English name", "geo.city_name", 64),
    "asn": ("int", "number of the autonomous system", "as.number", 64),
    "asorg": ("str", "organisation of the autonomous system", "as.organization.name", 96),
}
_SIDES = (("src", "ipsrc", "source"), ("dst", "ipdst", "destination"))


class Geoip:
    options: dict[str, Any] = {"db": aicore.Option(mmdb_files, required=True, help="MMDB files, separated by commas")}
    #: What a file does not have is absent.
    fields = tuple(
        aicore.Field(f"{side}{name}", kind, f"{meaning} of {column}", ecs=f"{ecs}.{path}", width=width)  # type: ignore[arg-type]
        for side, column, ecs in _SIDES
        for name, (kind, meaning, path, width) in _FIELDS.items()
    )

    @aicore.hookimpl
    def register_protocols(self) -> None:
        # The only hook whose error keeps the run from starting.
        if isinstance(self.options["db"], aicore.Option):  # made by a program and used without options
            raise aicore.UsageError('geoip needs the option db: use("geoip", db="/path/to/file.mmdb")')

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        databases = self.options["db"]
        for side, column, _ in _SIDES:
            places, codes = databases.places.find(flows, column)
            for i, name in enumerate(databases.names):
                flows.add(f"{side}{name}", [place and place[i] for place in places], codes)

    @aicore.hookimpl
    def reload(self) -> None:
        old = self.options["db"]
        self.options["db"] = mmdb_files(old.paths)
        old.close()

    @aicore.hookimpl
    def run_finished(self) -> None:
        self.options["db"].close()
