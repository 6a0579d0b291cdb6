#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aicore-elastic beside elasticsearch-py with ready-made documents: bench_elastic.py [--events N] [--rounds N].

Starts an Elasticsearch of its own. Every measurement begins with an empty index. The first round, for a server that is
not warm, is not shown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aicore_elastic.documents import Documents
from elasticsearch import Elasticsearch
from harness import HERE, Batches, Way, batches, compare, compare_runs

import aicore

sys.path.insert(0, str(HERE.parent.parent / "tests"))
from servers.elastic.server import ElasticsearchNode  # of the tests

# What the delivery gives to one write when the store is the slower one, as Elasticsearch is.
WRITE_ROWS = 4096
FIELDS: dict[str, Any] = {"alpn": "h2", "tlsversion": "1.3", "ja4": "t13d1516h2_8daaf6152771_02713d6af862"}


def made(events: int) -> Batches:
    return batches(events, WRITE_ROWS, **FIELDS)


def bodies(events: int, rows: int) -> Iterator[bytes]:
    """Ready-made requests of so many documents, the same ones that the adaptor makes."""
    documents = Documents(aicore.record_fields())
    for batch in batches(events, rows, **FIELDS):
        lines = []
        for flow_id, version, document in zip(
            batch.column("flow_id"), batch.column("version"), documents.of(batch), strict=True
        ):
            action = (
                f'{{"index":{{"_index":"bench","_id":"{flow_id}","version":{version},"version_type":"external_gte"}}}}'
            )
            lines.append(b"%b\n%b\n" % (action.encode(), document))
        yield b"".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20 * WRITE_ROWS)
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = ElasticsearchNode(Path(folder), heap="1g")
        node.start()
        try:
            bench(node, arguments)
        finally:
            node.stop()


def bench(node: ElasticsearchNode, arguments: argparse.Namespace) -> None:
    events = arguments.events
    client = Elasticsearch(f"http://127.0.0.1:{node.port}", request_timeout=60)
    pool = ThreadPoolExecutor(2)
    adaptor = aicore.open_adaptor(f"{node.url}/bench?period=none")
    adaptor.connect(adaptor.url)

    def send(body: bytes) -> None:
        # The client sends bytes as they are, which its types leave out.
        answer = client.bulk(operations=body, filter_path="errors,items.*.status")  # type: ignore[arg-type]
        if answer["errors"]:
            raise SystemExit("bench_elastic: the server refuses rows")

    def send_all(given: list[bytes]) -> None:
        for body in given:
            send(body)

    def send_by_two(given: list[bytes]) -> None:
        for _ in pool.map(send, given):
            pass

    def ready(rows: int) -> Callable[[], list[bytes]]:
        return lambda: list(bodies(events, rows))

    def write(given: Batches) -> None:
        for batch in given:
            if adaptor.write(batch):
                raise SystemExit("bench_elastic: the server refuses rows")

    def empty(make: Callable[[], Any]) -> Callable[[], Any]:
        def prepare() -> Any:
            client.indices.delete(index="bench", ignore_unavailable=True)
            client.indices.create(index="bench")
            return make()

        return prepare

    def ways() -> list[Way]:
        return [
            *(
                Way(f"client.bulk, {rows:,} a request", empty(ready(rows)), send_all, raw=True)
                for rows in (1000, WRITE_ROWS)
            ),
            Way("client.bulk, 1,000 a request, 2 threads", empty(ready(1000)), send_by_two, raw=True),
            Way("aicore-elastic, documents made", empty(lambda: made(events)), write),
        ]

    compare("warming up", ways(), events, 1)
    compare("whole records, external_gte", ways(), events, arguments.rounds)
    adaptor.close()
    pool.shutdown()
    compare_runs([f"{node.url}/bench?period=none"], arguments.packets, arguments.rounds)


if __name__ == "__main__":
    main()
