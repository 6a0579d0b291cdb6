#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One subject of the benchmark on one capture: subject.py NAME CAPTURE. Prints JSON: packets, flows, cpu (seconds).

CPU seconds are user and system time of the process and its children from the first packet's opening to the end of the
run: imports are paid once, not by the packet.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

EVERY = 16


def cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def run_aicore(capture: str, adaptor: Any, uses: Sequence[tuple[Any, dict[str, Any]]] = ()) -> tuple[int, int]:
    import aicore

    stack = aicore.StackLan()
    for plugin, options in uses:
        stack.use(plugin, **options)
    if adaptor is not None:
        stack.set_tcp_database_adaptor(adaptor, EVERY)
        stack.set_udp_database_adaptor(adaptor, EVERY)
    with aicore.PacketDispatcher(capture) as dispatcher:
        dispatcher.stack = stack
        counters = dispatcher.run().counters
    return counters["packets"], counters["flows_tcp"] + counters["flows_udp"]


def run_noop(capture: str, uses: Sequence[tuple[Any, dict[str, Any]]]) -> dict[str, float]:
    """A run with plugins and an adaptor that does nothing. CPU seconds of the run, and of what was before it began."""
    import aicore

    class Noop(aicore.DatabaseAdaptor):
        events = "all"

        def write(self, batch: aicore.FlowBatch) -> None:
            """Takes every event, does nothing."""

    class Clock:
        @aicore.hookimpl(trylast=True)
        def run_started(self) -> None:
            self.started = cpu()

    clock, begin = Clock(), cpu()
    packets, flows = run_aicore(capture, Noop(), [*uses, (clock, {})])
    return {"packets": packets, "flows": flows, "cpu": cpu() - clock.started, "start": clock.started - begin}


def no_adaptor(capture: str) -> tuple[int, int]:
    return run_aicore(capture, None)


def noop_write(capture: str) -> tuple[int, int]:
    import aicore

    class Noop(aicore.DatabaseAdaptor):
        events = "all"

        def write(self, batch: aicore.FlowBatch) -> None:
            """Takes every event, does nothing."""

    return run_aicore(capture, Noop())


def noop_methods(capture: str) -> tuple[int, int]:
    import aicore

    class Noop(aicore.DatabaseAdaptor):
        def insert(self, key: str) -> None: ...

        def update(self, key: str, data: str) -> None: ...

        def remove(self, key: str) -> None: ...

    return run_aicore(capture, Noop())


def sqlite(capture: str) -> tuple[int, int]:
    import aicore

    with tempfile.TemporaryDirectory() as folder:
        adaptor = aicore.open_adaptor(f"sqlite:{folder}/flows.db")
        return run_aicore(capture, adaptor)


def flows(capture: str) -> tuple[int, int]:
    import aicore

    packets = count = 0
    for flow in aicore.flows(capture):
        packets += flow.packets
        count += 1
    return packets, count


def nfstream(capture: str) -> tuple[int, int]:
    from nfstream import NFStreamer

    packets = count = 0
    for flow in NFStreamer(source=capture, statistical_analysis=False, n_dissections=20, n_meters=1):
        packets += flow.bidirectional_packets
        count += 1
    return packets, count


SUBJECTS: dict[str, Callable[[str], tuple[int, int]]] = {
    "no adaptor": no_adaptor,
    "no-op write": noop_write,
    "no-op insert/update/remove": noop_methods,
    "sqlite": sqlite,
    "aicore.flows": flows,
    "nfstream": nfstream,
}

if __name__ == "__main__":
    name, path = sys.argv[1:]
    if name == "nfstream":
        import nfstream as _  # noqa: F401  # imports are not measured
    else:
        import aicore._core
        import aicore.run.loop
    start = cpu()
    read, found = SUBJECTS[name](path)
    print(json.dumps({"packets": read, "flows": found, "cpu": cpu() - start}))
    sys.stdout.flush()
    os._exit(0)  # a peer's worker threads must not outlive the measurement
