# SPDX-License-Identifier: Apache-2.0
"""A process that delivers through a spool until it is killed: `spooling.py DIRECTORY SEED [drain]`.

`acks` gets what put() has taken, `store` what the adaptor was given, both as `flow version` lines.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from aicore.delivery import Delivery, Spool
from aicore.errors import RowError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.record.batch import FlowBatch
from aicore.testing import event, flow_id

FLOWS = 50


def lines(batch: FlowBatch) -> bytes:
    pairs = zip(batch.column("flow_id"), batch.column("version"), strict=True)
    return "".join(f"{flow} {version}\n" for flow, version in pairs).encode()


class Store(DatabaseAdaptor):
    def __init__(self, path: Path, rng: random.Random) -> None:
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.rng = rng
        os.write(self.fd, b"start -\n")

    events = "all"

    def write(self, batch: FlowBatch) -> Any:
        now = time.monotonic() % 0.25
        if now < 0.05:
            raise ConnectionError("away")
        time.sleep(self.rng.uniform(0, 0.003))
        held = now < 0.1
        refused = {row for row, flow in enumerate(batch.column("flow_id")) if held and flow == flow_id(0)}
        os.write(self.fd, lines(batch.take([row for row in range(len(batch)) if row not in refused])))
        return [RowError(row, "retry", "held") for row in refused]


def main(directory: Path, seed: int, drain: bool) -> None:
    rng = random.Random(seed)
    spool = Spool(directory / "spool" / "x", min_free=0.0, segment_bytes=20_000)
    delivery = Delivery(
        "x",
        Store(directory / "store", rng),
        live=True,
        events="all",
        transports={6, 17},
        spool=spool,
        spool_always=True,
        backoff=(0.001, 0.01),
    )
    delivery.start()
    acks = os.open(directory / "acks", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    while not drain:
        rows = [event("update", rng.randrange(FLOWS), time.time_ns()) for _ in range(20)]
        batch = FlowBatch.from_rows(rows)
        delivery.put(batch)
        os.write(acks, lines(batch))
    delivery.finish(None)


main(Path(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3)
