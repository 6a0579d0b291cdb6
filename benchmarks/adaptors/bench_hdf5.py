#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aicore-hdf5 beside PyTables with ready-made rows: bench_hdf5.py [--events N] [--rounds N] [--folder FOLDER].

All ways write the same rows to a file of the same layout, and flush after each batch, as the adaptor must."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import tables
from aicore_hdf5.columns import layout
from aicore_hdf5.file import TCP, FlowFile
from harness import Batches, Way, compare

import aicore
from aicore.record.batch import FlowBatch
from aicore.testing import batches, event


def captured(events: int, rows: int = 1000, **fields: Any) -> Batches:
    """TCP flows with what a capture gives them; each batch is fresh, with nothing made yet."""
    made = []
    for first in range(0, events, rows):
        part = []
        for n in range(first, first + rows):
            more: dict[str, Any] = {"tcp_state": "established", "layer7_by": "payload", "community_id": f"1:{n:027}="}
            more |= {"duration": n, "payload_bytes": n, "src_packets": n, "dst_packets": n, "src_bytes": n}
            more |= {"dst_bytes": n, "src_payload_bytes": n, "dst_payload_bytes": n, "retransmissions": 0}
            more |= {"src_tcpflags": 27, "dst_tcpflags": 27, "sensor": "", "alpn": "h2", "tlsversion": "1.3"}
            part.append(event("update", n, n + 1, **more, **fields))
        made.append(part)
    return [batch.net() for batch in batches(made)]


def bench(folder: Path, events: int, rounds: int) -> None:
    rows = layout([], aicore.record_fields())[0]
    numbers = count()

    def path() -> Path:
        return folder / f"{next(numbers)}.h5"

    def raw(make: Callable[[FlowBatch], Any]) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        def prepare() -> Any:
            return FlowFile(path(), rows, 0, 0), [make(batch) for batch in captured(events)]

        def write(given: Any) -> None:
            file, ready = given
            table = file._tables[TCP]
            for part in ready:
                table.append(part)
                table.flush()
            file.close()

        return prepare, write

    def open_adaptor() -> Any:
        adaptor = aicore.open_adaptor(f"hdf5:{path()}?rotate_size=0&compress=0")
        adaptor.connect(adaptor.url)
        return adaptor, captured(events)

    def write_batches(given: Any) -> None:
        adaptor, made = given
        for batch in made:
            adaptor.write(batch)
        adaptor.close()

    ways = [
        Way("PyTables, Table.append of tuples", *raw(lambda batch: rows.rows(batch).tolist())),
        Way("PyTables, Table.append of arrays", *raw(rows.rows), raw=True),
        Way("aicore-hdf5", open_adaptor, write_batches),
    ]
    ways = [Way(way.name, way.prepare, cleaned(folder, way.write), way.raw) for way in ways]
    compare(f"{rows.dtype.itemsize} bytes a row, PyTables {tables.__version__}", ways, events, rounds)


def cleaned(folder: Path, write: Callable[[Any], None]) -> Callable[[Any], None]:
    """What is in the kernel's cache must not grow from one way to the next."""

    def run(given: Any) -> None:
        write(given)
        for file in folder.glob("*.h5"):
            file.unlink()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the files are written (default: the temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bench(Path(folder), arguments.events, arguments.rounds)


if __name__ == "__main__":
    main()
