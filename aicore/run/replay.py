# SPDX-License-Identifier: Apache-2.0
"""Giving dead letters to a store again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from aicore.delivery import Delivery
from aicore.delivery.deadletter import read_letters
from aicore.errors import UsageError
from aicore.plugins.adaptor import DatabaseAdaptor, events_of
from aicore.plugins.discovery import open_adaptor
from aicore.record.batch import FlowBatch
from aicore.run.standalone import standalone_context
from aicore.run.versions import Versions

_ROWS = 1000


def deadletter_replay(
    path: Path | str, url: str, *, force: bool = False, seconds: float | None = 60.0
) -> dict[str, int]:
    """Gives the rows of a dead-letter file to the adaptor of a URL. Returns how many were `delivered`, `refused` again
    and `not_delivered`; all of them stay in the file.

    The store keeps what it has where that is newer: it compares versions. With `force` the rows get new versions and so
    win. UsageError for an adaptor that cannot compare.
    """
    adaptor = open_adaptor(url)
    assert adaptor.url is not None  # open_adaptor sets it
    if not force and not _compares(adaptor):
        raise UsageError(
            f"{adaptor.url.redacted} is left out: {adaptor.url.scheme} cannot tell which records are older than its"
            " own; --force writes them all"
        )
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    adaptor.context = standalone_context()
    delivery = Delivery(
        f"replay-{adaptor.url.scheme}",
        adaptor,
        live=False,
        events=events_of(adaptor),
        transports={6, 17},
        url=adaptor.url,
        stays=str(path),
    )
    delivery.start()
    try:
        for records in _letters(path, force):
            delivery.put(FlowBatch.from_rows(records))
    finally:
        delivery.finish(seconds)
    counters = delivery.counters()
    return {
        "delivered": counters["delivered"],
        "refused": counters["dead_lettered"],
        "not_delivered": counters["lost"],
    }


def _compares(adaptor: Any) -> bool:
    """The store keeps the newest record of a flow."""
    simple = isinstance(adaptor, DatabaseAdaptor) and type(adaptor).write is DatabaseAdaptor.write
    return not simple and getattr(adaptor, "versions", True)


def _letters(path: Path, force: bool) -> Iterator[list[dict[str, Any]]]:
    versions = Versions() if force else None
    version = versions.start if versions else 0
    letters = read_letters(path)
    while records := [dict(entry["record"]) for entry in islice(letters, _ROWS)]:
        if versions:
            for record in records:
                version += 1
                record["version"] = version
            versions.reach(version)
        yield records
    if versions:
        versions.close(version)
