# SPDX-License-Identifier: Apache-2.0
"""MMDB files, and what they say of an address.

The paths within a record are those of MaxMind's and DB-IP's databases, or flat `country_code` and `city`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import maxminddb

import aicore

#: Networks of a file that are looked at to learn which values it has: the format's metadata does not say.
SAMPLE = 2_000

Place = tuple[Any, ...]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _country(record: dict[str, Any]) -> str | None:
    country = record.get("country")
    return _text(country.get("iso_code") if isinstance(country, dict) else record.get("country_code"))


def _city(record: dict[str, Any]) -> str | None:
    city = record.get("city")
    if isinstance(city, dict):
        names = city.get("names")
        city = names.get("en") if isinstance(names, dict) else None
    return _text(city)


def _asn(record: dict[str, Any]) -> int | None:
    number = record.get("autonomous_system_number")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _asorg(record: dict[str, Any]) -> str | None:
    return _text(record.get("autonomous_system_organization"))


#: Fields without `src` and `dst`, and how a record gives them.
VALUES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "country": _country,
    "city": _city,
    "asn": _asn,
    "asorg": _asorg,
}


class Databases:
    """Open files. ValueError names the one that cannot be opened. For one thread."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._readers: list[tuple[maxminddb.Reader, bool]] = []
        found: set[str] = set()
        try:
            for path in paths:
                found |= self._open(path)
        except BaseException:
            self.close()
            raise
        #: The keys of VALUES that at least one file has, in their order.
        self.names = tuple(name for name in VALUES if name in found)
        self._values = tuple(VALUES[name] for name in self.names)
        #: Of an address: its values in the order of `names`, None where no file knows one.
        self.places = aicore.Lookup(self._place)

    def _open(self, path: str) -> set[str]:
        try:
            reader = maxminddb.open_database(path)
            self._readers.append((reader, reader.metadata().ip_version == 6))
            found: set[str] = set()
            for _, record in islice(reader, SAMPLE):
                if isinstance(record, dict):
                    found.update(name for name, value in VALUES.items() if value(record) is not None)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
        # The decoder meets broken data also as values of a wrong type.
        except (maxminddb.InvalidDatabaseError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path}: {error}") from None
        if not found:
            raise ValueError(f"{path}: no country, city or autonomous system in it")
        return found

    def _place(self, address: str) -> Place | None:
        """Each value of the first file that has one."""
        place: Place | None = None
        v6 = ":" in address
        for reader, has_v6 in self._readers:
            record = None if v6 and not has_v6 else reader.get(address)
            if isinstance(record, dict):
                more = tuple([value(record) for value in self._values])
                place = (
                    more if place is None else tuple(b if a is None else a for a, b in zip(place, more, strict=True))
                )
        return place

    def close(self) -> None:
        for reader, _ in self._readers:
            reader.close()
