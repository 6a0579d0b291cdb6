# SPDX-License-Identifier: Apache-2.0
"""The records of each layout, read back with Redis' own client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from server import Server

from aicore import schema
from aicore.testing import TYPED

_HASHES = ("tcpflows", "udpflows")
_KINDS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "time": int,
    "float": float,
    "bool": lambda text: {"0": False, "1": True}[text],
    "list[str]": json.loads,
    "list[int]": json.loads,
    "list[float]": json.loads,
}
_FIELDS = {field.name: field for field in (*schema.CORE, *TYPED)}


def hash_records(server: Server) -> Iterator[dict[str, Any]]:
    """Each stands under its own key."""
    for name in _HASHES:
        for key, text in server.ask("HGETALL", name).items():
            record = json.loads(text)
            assert record["key"] == key
            assert record["proto"] == (6 if name == "tcpflows" else 17)
            yield record


def flow_records(server: Server) -> Iterator[dict[str, Any]]:
    with server.client() as client:
        names = client.keys("flow:*")
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(name)
        for name, fields in zip(names, pipeline.execute(), strict=True):
            assert name == f"flow:{fields['flow_id']}"
            yield {field: _value(field, text) for field, text in fields.items()}


def _value(field: str, text: str) -> Any:
    known = _FIELDS.get(field)
    return _KINDS.get(known.type, str)(text) if known else text


def stream_entries(server: Server, name: str = "flows") -> Iterator[dict[str, Any]]:
    """The record with `event` and `version`."""
    with server.client() as client:
        for _, entry in client.xrange(name):
            assert entry.keys() == {"event", "version", "record"}
            record = json.loads(entry["record"])
            yield record | {"event": entry["event"], "version": int(entry["version"])}
