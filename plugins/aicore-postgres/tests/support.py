# SPDX-License-Identifier: Apache-2.0
"""What several test modules do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aicore_postgres import PostgresAdaptor

import aicore
from aicore import FlowBatch
from aicore.errors import RowError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def connected(url: str) -> PostgresAdaptor:
    """The adaptor of a URL, connected as a run does it."""
    adaptor = aicore.open_adaptor(url)
    assert isinstance(adaptor, PostgresAdaptor)
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    return adaptor


def write(url: str, *batches: FlowBatch) -> None:
    """Writes as the delivery does; nothing may be refused."""
    adaptor = connected(url)
    try:
        for batch in batches:
            assert adaptor.write(batch.net()) == []
    finally:
        adaptor.close()


def kinds(errors: Sequence[RowError]) -> dict[int, str]:
    return {error.row: error.kind for error in errors}


def as_text(value: Any) -> Any:
    """Of psycopg's objects: an address as its text, a time as RFC 3339 with the three decimals that it has not got."""
    if isinstance(value, IPv4Address | IPv6Address):
        return str(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}000Z"
    return value


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_text(value) for name, value in row.items()}


def microseconds(value: Any) -> Any:
    """A time of the JSON record, to the microsecond."""
    return f"{value[:-4]}000Z" if isinstance(value, str) else value
