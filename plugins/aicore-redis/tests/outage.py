# SPDX-License-Identifier: Apache-2.0
"""A process of its own, so that its memory is that of the delivery: outage.py URL PID SECONDS FOLDER.

Delivers 10,000 events a second to Redis and to an SQLite file while it stops the server PID for some seconds. Prints
JSON: counters, memory in MiB, the longest lag of SQLite in seconds, what should be in the stores.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from traffic import Traffic

import aicore
from aicore.delivery import Delivery, Spool, balance

RATE = 10_000
QUEUE_MIB = 64
TICK = 0.02


def resident() -> float:
    """MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def delivery(name: str, url: str, folder: Path) -> Delivery:
    adaptor = aicore.open_adaptor(url)
    return Delivery(
        name,
        adaptor,
        live=True,
        events=adaptor.events,
        transports={6, 17},
        url=adaptor.url,
        queue_bytes=QUEUE_MIB << 20,
        spool=Spool(folder / "spool" / name, min_free=0.0),
    )


def remembered(events: int) -> float:
    """MiB that the traffic itself takes to know what should be in the stores, found by a process of its own."""
    program = f"""
import random, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from outage import resident
from traffic import Traffic

traffic = Traffic(random.Random(1))
begin = resident()
for _ in range({events}):
    traffic._next()
print(resident() - begin)
"""
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def main(url: str, pid: int, seconds: float, folder: Path) -> dict[str, Any]:
    stores = [delivery("redis", url, folder), delivery("sqlite", f"sqlite:{folder}/flows.db", folder)]
    traffic, done = Traffic(random.Random(1)), threading.Event()
    lags, memory = [], []

    def feed() -> None:
        begin, ticks = time.monotonic(), 0
        while not done.is_set():
            batch = traffic.batch(int(RATE * TICK))
            for store in stores:
                store.put(batch)
            ticks += 1
            time.sleep(max(0.0, begin + ticks * TICK - time.monotonic()))

    def watch() -> None:
        while not done.wait(0.05):
            lags.append(stores[1].lag_seconds)
            memory.append(resident())

    for store in stores:
        store.start()
    threads = [threading.Thread(target=feed), threading.Thread(target=watch)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(3)
    before = max(memory)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    behind = stores[0].lag_seconds
    time.sleep(2)
    done.set()
    for thread in threads:
        thread.join()
    rate = traffic.version / (time.monotonic() - begin)
    last = traffic.end()
    for store in stores:
        store.put(last)
        store.finish(120)
    return {
        "redis": stores[0].counters(),
        "sqlite": stores[1].counters(),
        "balance": [balance(store.counters()) for store in stores],
        "events": traffic.version,
        "rate": rate,
        "flows": traffic.flows,
        "growth_mib": max(memory) - before - remembered(traffic.version - 3 * RATE),
        "redis_lag": behind,
        "sqlite_lag": max(lags),
        "last": {key: version for key, (version, _) in traffic.last.items()},
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))))
