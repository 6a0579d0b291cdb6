# SPDX-License-Identifier: Apache-2.0
"""What a store that is stuck costs in memory, beside one that takes everything: memory.py CAPTURE [QUEUE_MIB].

Both get every event; the fast one asks each batch for its JSON and all of its columns. Each figure is the resident
memory of a process of its own, once the queue of the stuck store is full and the reader waits for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import aicore


class Fast(aicore.DatabaseAdaptor):
    events = "all"

    def write(self, batch: aicore.FlowBatch) -> None:
        batch.json()
        for name in batch.names():
            batch.column(name)


class Stuck(aicore.DatabaseAdaptor):
    events = "all"
    forever = threading.Event()

    def write(self, batch: aicore.FlowBatch) -> None:  # noqa: ARG002
        self.forever.wait()


def resident() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def measure(capture: str, queue: int, stuck: bool) -> float:
    """The largest figure of this process until the run has ended, or stands still."""
    stack = aicore.StackLan()
    stack.add_database_adaptor(Fast())
    if stuck:
        stack.add_database_adaptor(Stuck())
    dispatcher = aicore.PacketDispatcher(capture, queue=queue)
    dispatcher.stack = stack
    thread = threading.Thread(target=dispatcher.run, daemon=True)
    thread.start()
    most, since = 0.0, time.monotonic()
    while thread.is_alive() and time.monotonic() - since < 3:
        now = resident()
        if now > most + 0.1:
            most, since = now, time.monotonic()
        time.sleep(0.02)
    return most


def main(capture: str, queue: int) -> None:
    found = [
        float(
            subprocess.run(
                [sys.executable, __file__, capture, str(queue), what], check=True, capture_output=True
            ).stdout
        )
        for what in ("alone", "beside")
    ]
    print(f"a fast store: {found[0]:.0f} MiB; beside one that is stuck, queue {queue} MiB: {found[1]:.0f} MiB")
    print(f"the stuck store costs {found[1] - found[0]:.0f} MiB, {(found[1] - found[0]) / queue:.2f} of its queue")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        print(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "beside"), flush=True)
        os._exit(0)  # the stuck store stays where it is
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 32)
