# SPDX-License-Identifier: Apache-2.0
"""An adaptor beside the raw client of its store, and what it costs a run. For the scripts of this folder."""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aicore.record.batch import FlowBatch
from aicore.testing import make_batch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from mixes import make  # noqa: E402  # of the folder above
from run import measure  # noqa: E402

Batches = Sequence[FlowBatch]


@dataclass
class Way:
    """One way to write events. `prepare` makes what `write` gets, before the clock runs."""

    name: str
    prepare: Callable[[], Any]
    write: Callable[[Any], None]
    #: The store's own client with ready-made values: the best of these is the measure.
    raw: bool = False
    #: Events a second, and µs of CPU of this process an event, of each round.
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def batches(events: int, rows: int = 1000, *, kind: str = "update", **fields: Any) -> Batches:
    """Fresh ones, each of its own flows, whose JSON is not made yet."""
    return [make_batch(rows, kind=kind, first=at, version=at + 1, **fields) for at in range(0, events, rows)]


def compare(title: str, ways: Iterable[Way], events: int, rounds: int) -> None:
    """Every round measures every way once, in turn, so that a machine that slows down slows all of them."""
    ways = list(ways)
    for _ in range(rounds):
        for way in ways:
            given = way.prepare()
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            way.write(given)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            way.rates.append(events / wall)
            way.costs.append(cpu / events * 1e6)
    best = max(statistics.median(way.rates) for way in ways if way.raw)
    print(f"\n{title}\n{'way':44} {'events/s':>10} {'(low-high)':>21} {'of best raw':>12} {'µs CPU/event':>13}")
    for way in ways:
        rate = statistics.median(way.rates)
        spread = f"({min(way.rates):,.0f}-{max(way.rates):,.0f})"
        print(f"{way.name:44} {rate:>10,.0f} {spread:>21} {rate / best:>12.0%} {statistics.median(way.costs):>13.2f}")


def compare_runs(urls: Sequence[str], packets: int, rounds: int) -> None:
    """Packets per CPU second of a run into each store against none, with an update at every 16th packet of a flow."""
    with tempfile.TemporaryDirectory() as folder:
        captures = make(Path(folder), packets)
        for mix, capture in captures.items():
            rates: dict[str, list[float]] = {url: [] for url in ("none", *urls)}
            for _ in range(rounds):
                for url, found in rates.items():
                    result, _ = measure([sys.executable, str(HERE / "run_into.py"), url, str(capture)])
                    found.append(result["packets"] / result["cpu"])
            print(f"\n{mix}, {packets:,} packets\n{'store':44} {'packets/CPU s':>14} {'(low-high)':>23} {'of none':>8}")
            none = statistics.median(rates["none"])
            for url, found in rates.items():
                rate, spread = statistics.median(found), f"({min(found):,.0f}-{max(found):,.0f})"
                print(f"{url:44} {rate:>14,.0f} {spread:>23} {rate / none:>8.0%}")
