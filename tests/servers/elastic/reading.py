# SPDX-License-Identifier: Apache-2.0
"""What a node holds, read through its driver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from aicore_elastic.documents import Documents
from servers.elastic.server import Node

from aicore import record_fields


def search(node: Node, index: str, *, source: bool = True) -> list[dict[str, Any]]:
    """Every document of the index and its dated ones, as the driver gives it: _index, _id, _version, _source
    if asked for."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return _search(node, index, source)
        except Exception as error:
            # An index that is just being made has no shard to search yet.
            if getattr(error, "status_code", None) != 503 or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _search(node: Node, index: str, source: bool) -> list[dict[str, Any]]:
    pattern = f"{index},{index}-*"
    query = {"query": {"match_all": {}}, "version": True, "_source": source}
    if node.kind == "opensearch":
        from opensearchpy import OpenSearch
        from opensearchpy.helpers import scan

        with OpenSearch([{"host": "127.0.0.1", "port": node.port}], timeout=60) as old:
            old.indices.refresh(index=pattern, params={"ignore_unavailable": "true"})
            return list(scan(old, query, index=pattern, size=2000, params={"ignore_unavailable": "true"}))
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import scan as scan_all

    with Elasticsearch(f"http://127.0.0.1:{node.port}", request_timeout=60) as client:
        client.indices.refresh(index=pattern, ignore_unavailable=True)
        return list(scan_all(client, query=query, index=pattern, size=2000, ignore_unavailable=True))


def records(node: Node, index: str) -> list[dict[str, Any]]:
    """The same as records."""
    fields = record_fields()
    documents = Documents(fields)
    names = {documents.place(field.name): field.name for field in fields}
    return [
        {names.get(path) or path.removeprefix("aicore."): value for path, value in flat(hit["_source"])}
        for hit in search(node, index)
    ]


def flat(document: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each field."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flat(value, f"{at}{name}.")
        else:
            yield at + name, value
