# SPDX-License-Identifier: Apache-2.0
"""Two hosts in network namespaces, joined by a veth pair: `sensor` is where aicore listens, `peer` talks to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_number = itertools.count()
DEMO = Path(__file__).resolve().parent / "captures" / "demo.pcap"
SENSOR, PEER = "198.51.100.1", "198.51.100.2"


@dataclass
class Network:
    sensor: str
    peer: str
    _started: list[subprocess.Popen[Any]] = field(default_factory=list)

    def start(self, host: str, *command: object, **options: Any) -> subprocess.Popen[Any]:
        """Runs a command on a host; it is ended with the test."""
        process = subprocess.Popen(["ip", "netns", "exec", host, *map(str, command)], **options)
        self._started.append(process)
        return process

    def run(self, host: str, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        words = ["ip", "netns", "exec", host, *map(str, command)]
        return subprocess.run(words, check=True, text=True, capture_output=True, timeout=50, **options)

    def link(self, *words: str) -> None:
        """`ip link set dev eth0 ...` on the sensor."""
        ip("-n", self.sensor, "link", "set", "dev", "eth0", *words)

    def carrier(self) -> bool:
        states = [
            self.run(host, "cat", "/sys/class/net/eth0/operstate").stdout.strip() for host in (self.sensor, self.peer)
        ]
        return states == ["up", "up"]

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def hosts() -> Iterator[Network]:
    """The two, as long as the block lasts."""
    name = f"aicore-{os.getpid()}-{next(_number)}"
    net = Network(f"{name}-s", f"{name}-p")
    made = []
    try:
        for host in (net.sensor, net.peer):
            ip("netns", "add", host)
            made.append(host)
            # IPv6 would have the hosts chat by themselves.
            net.run(host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            ip("-n", host, "link", "set", "dev", "lo", "up")
        join(net)
        yield net
    finally:
        net.end()
        for host in made:
            ip("netns", "del", host)


def join(net: Network) -> None:
    """The link between the two, with fixed neighbours: nothing else is on it, and nothing waits for ARP."""
    ip("link", "add", "eth0", "netns", net.sensor, "type", "veth", "peer", "name", "eth0", "netns", net.peer)
    ends = {net.sensor: (SENSOR, "02:00:00:00:00:01"), net.peer: (PEER, "02:00:00:00:00:02")}
    for host, (address, mac) in ends.items():
        # Captures may hold large frames.
        ip("-n", host, "link", "set", "dev", "eth0", "address", mac, "mtu", "9000", "up")
        ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
    for host, other in ((net.sensor, net.peer), (net.peer, net.sensor)):
        address, mac = ends[other]
        ip("-n", host, "neigh", "add", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")


class Sensor:
    """An `aicore run` on the sensor, whose records go to a file of JSON lines, all events."""

    def __init__(self, network: Network, folder: Path, *arguments: object, to: str = "") -> None:
        self.records = folder / "records.jsonl"
        self._log = folder / "log"
        command = [sys.executable, "-m", "aicore", "run", "-i", "eth0", "-v", "--json", "--no-spool"]
        with self._log.open("w") as log:
            self.process = network.start(
                network.sensor,
                *command,
                "--to",
                to or f"jsonl:{self.records}?events=all",
                *arguments,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
            )
        interfaces = 1 + sum(argument == "-i" for argument in arguments)
        workers = int(str(arguments[arguments.index("--workers") + 1])) if "--workers" in arguments else 1
        self.wait_for(lambda: sockets(network) >= interfaces * workers, "it to listen")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def events(self, holding: bytes = b"") -> Iterator[dict[str, Any]]:
        """Of the lines that hold these bytes; one by one, as a flood makes millions."""
        if not self.records.exists():
            return
        with self.records.open("rb") as lines:
            for line in lines:
                if holding in line and line.endswith(b"\n"):
                    yield json.loads(line)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["event"] == kind]

    def wait_for(self, condition: Any, what: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"aicore ended with {self.process.returncode}: {self.log}"
            assert time.monotonic() < end, f"waited {seconds} s for {what}: {self.log}"
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGTERM) -> dict[str, Any]:
        """Ends the run and returns its summary."""
        self.process.send_signal(how)
        return self.finish()

    def finish(self, code: int = 0) -> dict[str, Any]:
        output, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == code, f"{self.process.returncode}: {self.log}"
        summary: dict[str, Any] = json.loads(output)
        return summary


def sockets(network: Network) -> int:
    """Packet sockets on the sensor that take every protocol of an interface: those that are not bound yet do not."""
    table = network.run(network.sensor, "cat", "/proc/net/packet").stdout.splitlines()[1:]
    return sum(proto == "0003" and interface != "0" for _, _, _, proto, interface, *_ in map(str.split, table))


SEND = """
import socket, sys, time
gap = float(sys.argv[3])
count, size, port, sport = (int(sys.argv[i]) for i in (1, 2, 4, 5))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("198.51.100.2", sport))
for _ in range(count):
    s.sendto(bytes(size), ("198.51.100.1", port))
    if gap:
        time.sleep(gap)
"""


def send(network: Network, count: int, size: int = 100, gap: float = 0.0, port: int = 5000, sport: int = 6000) -> None:
    """Datagrams from peer to sensor: one flow."""
    network.run(network.peer, sys.executable, "-c", SEND, count, size, gap, port, sport)


def need(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (apt-get install {package})")
    return found


def complete(events: Iterable[dict[str, Any]], merged: int = 0) -> set[str]:
    """The flows of the events; asserts that each has one insert, updates, one remove, in this order, and that no event
    is missing but those that were merged into a later one of their flow."""
    last: dict[str, str] = {}
    ended: set[str] = set()
    seq = missing = 0
    for event in events:
        assert event["seq"] > seq
        missing += event["seq"] - seq - 1
        seq, flow, kind = event["seq"], event["flow_id"], event["event"]
        assert flow not in ended
        before = last.pop(flow, "")
        assert (before == "") == (kind == "insert" or (merged > 0 and event["new"] == 1))
        if kind == "remove":
            assert merged or before == "update"
            ended.add(flow)
        else:
            last[flow] = kind
    assert not last
    assert missing == merged
    return ended
