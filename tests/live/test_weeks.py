# SPDX-License-Identifier: Apache-2.0
"""What a sensor meets in weeks: floods, stores that hang, links that flap. Short by default, long with `-m fault`."""

from __future__ import annotations

import random
import statistics
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from live_hosts import DEMO, SENSOR, Network, complete, need, send

from aicore.run.loop import TRIM

ROUNDS = 4  # parts of a flood, between which memory is looked at
LONG = (pytest.mark.fault, pytest.mark.timeout(1800))


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def syns(path: Path, count: int, seed: int) -> Path:
    """A capture of SYNs, each from a source of its own."""
    rng = random.Random(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        head = bytes.fromhex("020000000001 020000000002 0800 45000028 0000 4000 40 06 0000")
        target = bytes(map(int, SENSOR.split(".")))
        for number in range(count):
            source = rng.getrandbits(30) | 0x40000000
            tcp = struct.pack(">HHIIBBHHH", 1024 + number % 60000, 80, number, 0, 0x50, 0x02, 1024, 0, 0)
            frame = head + source.to_bytes(4, "big") + target + tcp
            file.write(struct.pack("<IIII", 1_700_000_000, number % 1_000_000, len(frame), len(frame)) + frame)
    return path


TALK = """
import socket, sys, time
s = socket.create_connection(("198.51.100.1", 8080))
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    s.sendall(b"x" * 100)
    s.recv(1000)
    time.sleep(0.1)
s.close()
"""
ECHO = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1000):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("198.51.100.1", 8080), Echo).serve_forever()
"""


@pytest.mark.parametrize(("count", "room"), [(20_000, 2_000), pytest.param(2_000_000, 163_840, marks=LONG)])
def test_a_flood_of_syns(network: Network, sensor: Any, tmp_path: Path, count: int, room: int) -> None:
    """Memory is flat once the table is full, who talks stays, whoever was let in gets its end."""
    tcpreplay = need("tcpreplay", "tcpreplay")
    captures = [syns(tmp_path / f"syns{n}.pcap", count // ROUNDS, seed=n) for n in range(ROUNDS)]
    network.start(network.sensor, sys.executable, "-c", ECHO)
    # The kernel must not answer: its resets would double the packets.
    network.run(network.sensor, "ip", "route", "add", "blackhole", "64.0.0.0/2")
    one = sensor("--tcp-flows", room, "--filter", "tcp")
    pid = one.process.pid
    time.sleep(0.5)
    talking = network.start(network.peer, sys.executable, "-c", TALK, 3600)
    one.wait_for(lambda: any(event["packets"] > 16 for event in one.events(b":8080")), "the talk")
    memory = []
    for capture in captures:
        network.start(network.peer, tcpreplay, "-q", "-K", "--pps", 100_000, "-i", "eth0", capture).wait(900)
        size = -1
        while size != (size := one.records.stat().st_size):
            time.sleep(0.5)  # what waits for the store is no leak
        if capture in (captures[0], captures[-1]):
            time.sleep(TRIM + 1)  # nor is what a burst left in the heap
        memory.append(resident(pid))
    before = max(event["packets"] for event in one.events(b":8080") if event["portdst"] == 8080)
    time.sleep(5)
    talking.terminate()
    summary = one.stop()
    counters = summary["counters"]
    print(
        count,
        room,
        memory,
        {name: counters[name] for name in ("packets", "kernel_drop", "flows_tcp", "not_admitted")},
        summary["adaptors"][0]["counters"]["merged"],
    )
    assert counters["kernel_drop"] == counters["updates_shed"] == 0
    assert memory[-1] <= memory[0] * 1.05
    (store,) = summary["adaptors"]
    admitted = complete(one.events(), store["counters"]["merged"])
    assert len(admitted) == counters["flows_tcp"] >= room
    ends = [event for event in one.events(b":8080") if event["event"] == "remove"]
    (end,) = [event for event in ends if event["portdst"] == 8080]
    assert end["packets"] > before
    assert end["end_reason"] != "evicted"


HANG = """
import sys, time

hung = False
with open({path!r}, "a") as file:
    for line in sys.stdin:
        if line.strip():
            file.write(line)
            continue
        if not hung:
            hung = True
            time.sleep({seconds})
        file.flush()
        print("{{}}", flush=True)
"""


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=LONG)])
def test_a_store_that_hangs(network: Network, sensor: Any, tmp_path: Path, seconds: int) -> None:
    """No packet and no end of a flow is lost meanwhile."""
    script = tmp_path / "hang.py"
    script.write_text(HANG.format(path=str(tmp_path / "records.jsonl"), seconds=seconds))
    one = sensor("--idle-udp", "1", to=f"exec:{sys.executable} {script}?events=all&timeout={seconds + 30}")
    flows = 0
    begin = time.monotonic()
    while time.monotonic() < begin + seconds + 1:
        send(network, 500, sport=6000 + flows)
        flows += 1
    time.sleep(2)
    summary = one.stop()
    counters = summary["counters"]
    print(seconds, flows, {name: counters[name] for name in ("packets", "kernel_drop", "updates_shed")})
    assert [counters[name] for name in ("kernel_drop", "interface_drop", "not_admitted")] == [0] * 3
    ends = one.of("remove")
    assert {event["portsrc"]: event["packets"] for event in ends} == {6000 + n: 500 for n in range(flows)}
    assert len(ends) == flows


@pytest.mark.parametrize(("seconds", "pause"), [(12, 3), pytest.param(1200, 30, marks=LONG)])
def test_mixed_traffic_on_a_link_that_flaps(network: Network, sensor: Any, seconds: int, pause: int) -> None:
    """Memory does not grow, and each flow has its one end."""
    tcpreplay = need("tcpreplay", "tcpreplay")
    one = sensor("--idle-tcp", "5", "--idle-udp", "5", "--linger", "1", "--half-open", "2")
    samples: list[tuple[float, int]] = []
    begin = flapped = time.monotonic()
    sender = None
    while (now := time.monotonic()) < begin + seconds:
        if sender is None or sender.poll() is not None:
            sender = network.start(network.peer, tcpreplay, "-q", "--pps", "2000", "--loop", "20", "-i", "eth0", DEMO)
        if now > flapped + pause:
            network.link("down")
            time.sleep(0.3)
            network.link("up")
            flapped = now
        samples.append((now - begin, resident(one.process.pid)))
        time.sleep(min(1.0, pause / 10))
    summary = one.stop()
    flows = complete(one.events())
    counters = summary["counters"]
    assert len(flows) == counters["flows_tcp"] + counters["flows_udp"]
    assert counters["kernel_drop"] == counters["updates_shed"] == counters["not_admitted"] == 0
    # The first third is start-up: the table's pages are touched one by one.
    steady = [sample for sample in samples if sample[0] > seconds / 3]
    growth = statistics.linear_regression(*zip(*steady, strict=True)).slope * 600
    print(f"{seconds} s: {len(flows)} flows, {counters['packets']} packets, {growth / 1e6:.2f} MB per 10 minutes")
    if seconds > 600:
        assert growth < 1e6
