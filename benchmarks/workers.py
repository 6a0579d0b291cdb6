#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packets per wall second with several workers, side by side: workers.py [CAPTURE...] [--workers N...] [--rounds N]

Every round runs each number of workers once, in turn; the medians are printed, and the ratio to the first number. On a
machine where nothing else runs: what others take of the cores is missing here. CPU seconds stand beside it, as what a
hand-over costs is in them, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from mixes import make
from subject import cpu

SUBJECTS = ("no adaptor", "no-op write")


def subject(name: str, capture: str, workers: int) -> dict[str, float]:
    """Seconds and CPU seconds of the run, without imports and the opening of the source."""
    import time

    import aicore

    class Noop(aicore.DatabaseAdaptor):
        events = "all"

        def write(self, batch: aicore.FlowBatch) -> None:
            """Takes every event, does nothing."""

    class Clock:
        @aicore.hookimpl(trylast=True)
        def run_started(self) -> None:
            self.started, self.cpu = time.perf_counter(), cpu()

    clock, stack = Clock(), aicore.StackLan()
    stack.use(clock)
    if name == "no-op write":
        stack.add_database_adaptor(Noop(), every=16)
    with aicore.PacketDispatcher(capture, workers=workers, live=False) as dispatcher:
        dispatcher.stack = stack
        counters = dispatcher.run().counters
    seconds, used = time.perf_counter() - clock.started, cpu() - clock.cpu
    return {"packets": counters["packets"], "seconds": seconds, "cpu": used}


def bench(capture: Path, name: str, numbers: list[int], rounds: int) -> dict[int, dict[str, float]]:
    samples: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
    for _ in range(rounds):
        for number in numbers:
            command = [sys.executable, __file__, "--subject", name, str(capture), "--workers", str(number)]
            samples[number].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    found = {}
    for number, runs in samples.items():
        found[number] = {
            "packets_per_second": statistics.median(run["packets"] / run["seconds"] for run in runs),
            "packets_per_cpu_second": statistics.median(run["packets"] / run["cpu"] for run in runs),
        }
    for figures in found.values():
        figures["of_first"] = figures["packets_per_second"] / found[numbers[0]]["packets_per_second"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--packets", type=int, default=1_000_000, help="packets of each mix")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="where mixes are kept")
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.subject:
        print(json.dumps(subject(arguments.subject, str(arguments.captures[0]), arguments.workers[0])))
        return
    captures = {path.stem: path for path in arguments.captures}
    if not captures:
        arguments.work.mkdir(parents=True, exist_ok=True)
        captures = make(arguments.work, arguments.packets)
    print(f"{'capture':24} {'subject':12} {'workers':>7} {'M packets/s':>12} {'of first':>9} {'M packets/CPU s':>16}")
    for title, capture in captures.items():
        for name in SUBJECTS:
            for number, f in bench(capture, name, arguments.workers, arguments.rounds).items():
                print(
                    f"{title:24} {name:12} {number:>7} {f['packets_per_second'] / 1e6:12.2f} {f['of_first']:9.2f}"
                    f" {f['packets_per_cpu_second'] / 1e6:16.2f}"
                )


if __name__ == "__main__":
    main()
