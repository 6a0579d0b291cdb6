#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aicore-redis beside redis-py with ready-made values: bench_redis.py [--url redis://...] [--events N] [--rounds N].

Starts a redis-server of its own unless given one, whose data it deletes.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import redis
from aicore_redis import RedisAdaptor, commands
from aicore_redis.client import send
from harness import Batches, Way, batches, compare, compare_runs

import aicore
from aicore.record.batch import FlowBatch
from aicore.testing import event


@contextmanager
def server() -> Iterator[str]:
    program = shutil.which("redis-server") or exit("bench_redis: redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            while True:
                time.sleep(0.05)
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def connected(url: str, query: str) -> tuple[RedisAdaptor, Any]:
    """The adaptor and its connection."""
    opened = aicore.open_adaptor(f"{url}?{query}")
    opened.connect(opened.url)
    return opened, opened._connection


def check(errors: Any) -> None:
    if errors:
        raise SystemExit(f"bench_redis: the server refuses rows: {errors[0].reason}")


#: A raw way: what makes its argument of a batch, and what sends it.
Raw = tuple[Callable[[FlowBatch], Any], Callable[[Any], Any]]


def ways(url: str, query: str, make: Callable[[], Batches], raw: dict[str, Raw]) -> list[Way]:
    """The raw ways, and the adaptor: with its commands made before, and from batches as a run hands them over."""
    adaptor, connection = connected(url, query)

    def write(given: Batches) -> None:
        for batch in given:
            check(adaptor.write(batch))

    def write_ready(given: list[list[commands.Command]]) -> None:
        for ready in given:
            check(send(connection, ready))

    def prepared(one: Callable[[FlowBatch], Any]) -> Callable[[], list[Any]]:
        return lambda: [one(batch) for batch in make()]

    def sending(one: Callable[[Any], Any]) -> Callable[[list[Any]], None]:
        def run(given: list[Any]) -> None:
            for part in given:
                one(part)

        return run

    found = [Way(name, prepared(one), sending(sender), raw=True) for name, (one, sender) in raw.items()]
    found.append(
        Way("aicore-redis, commands ready", prepared(lambda batch: list(adaptor._commands(batch))), write_ready)
    )
    found.append(Way("aicore-redis, from batches", make, write))
    return found


def ended_and_live(events: int) -> Batches:
    """Half of the flows end."""
    kinds = ("update", "remove")
    rows = [event(kinds[n % 2], n, n + 1) for n in range(events)]
    return [FlowBatch.from_rows(rows[at : at + 1000]) for at in range(0, events, 1000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--packets", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.url:
        bench(arguments.url, arguments)
    else:
        with server() as url:
            bench(url, arguments)


def bench(url: str, arguments: argparse.Namespace) -> None:
    events, rounds = arguments.events, arguments.rounds
    client = redis.from_url(url)
    piped = client.pipeline(transaction=False)

    def mapping(batch: FlowBatch) -> dict[str, bytes]:
        return dict(zip(batch.keys(), batch.json(), strict=True))

    def items(batch: FlowBatch) -> list[Any]:
        return list(chain.from_iterable(zip(batch.keys(), batch.json(), strict=True)))

    raw: dict[str, Any] = {
        "redis-py hset(mapping)": (mapping, lambda ready: client.hset("tcpflows", mapping=ready)),
        "redis-py hset(items)": (items, lambda ready: client.hset("tcpflows", items=ready)),
    }
    compare("ended=keep, 1,000 a call", ways(url, "ended=keep", lambda: batches(events), raw), events, rounds)

    def halves(batch: FlowBatch) -> tuple[Sequence[str], dict[Any, Any]]:
        keys = batch.keys()
        return keys[1::2], dict(zip(keys[::2], batch.json()[::2], strict=True))

    def send_halves(ready: tuple[Sequence[str], dict[Any, Any]]) -> None:
        piped.hdel("tcpflows", *ready[0])
        piped.hset("tcpflows", mapping=ready[1])
        piped.execute()

    raw = {"redis-py pipeline hdel, hset(mapping)": (halves, send_halves)}
    compare("ended=delete, half of the rows end", ways(url, "", lambda: ended_and_live(events), raw), events, rounds)

    def flow_commands(batch: FlowBatch) -> list[Any]:
        """Plain ones: what comparing versions and replacing the hash costs is the adaptor's."""
        made = [command.args for command in commands.flow_hashes(batch, "flow:", False, 0)]
        return [("HSET", args[3], *args[6:]) for args in made]

    def send_commands(ready: list[Any]) -> None:
        for args in ready:
            piped.execute_command(*args)  # type: ignore[no-untyped-call]
        piped.execute()

    few = events // 10
    raw = {"redis-py pipeline of hset, a flow each": (flow_commands, send_commands)}
    compare("layout=flow", ways(url, "layout=flow&ended=keep", lambda: batches(few), raw), few, rounds)

    def stream_commands(batch: FlowBatch) -> list[Any]:
        return [command.args for command in commands.stream(batch, "flows", 0)]

    raw = {"redis-py pipeline of xadd": (stream_commands, send_commands)}
    client.delete("flows")
    compare("layout=stream", ways(url, "layout=stream", lambda: batches(few), raw), few, rounds)
    client.flushdb()

    compare_runs([f"{url}?ended=keep", url], arguments.packets, rounds)


if __name__ == "__main__":
    main()
