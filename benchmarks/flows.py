#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What live flows cost: flows.py [--cost] [--memory] [--flows N...] [--packets N] [--rounds N]

--cost: CPU nanoseconds per packet of flows that are chosen at random among 10,000 to 10 million live ones, without an
adaptor. What opening them costs is not in it. --memory: resident bytes per live flow: TCP and UDP without names, with
names, and with meters. Both read a capture from a pipe; a figure is taken once everything was read and the process
waits for more. Without a choice both are measured.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from mixes import ACK, PSH, TCP, UDP, ipv4, tcp, udp

HERE = Path(__file__).resolve().parent
SERVER = 0xC0000201
ANY = 0x0A000001  # replaced by each flow's address, as its port 1024 is
HEADER = bytes(12) + b"\x08\x00"
COST_FLOWS = (10_000, 100_000, 1_000_000, 10_000_000)
MEMORY_FLOWS = 1_000_000


def to_server(proto: int, body: bytes) -> bytes:
    return HEADER + ipv4(ANY, SERVER, proto, body)


def to_client(proto: int, body: bytes) -> bytes:
    return HEADER + ipv4(SERVER, ANY, proto, body)


def client_hello(name: bytes) -> bytes:
    def vector(size: int, body: bytes) -> bytes:
        return len(body).to_bytes(size, "big") + body

    suites = struct.pack(">6H", 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC030)
    names = struct.pack(">H", 0) + vector(2, vector(2, b"\0" + vector(2, name)))
    alpn = struct.pack(">H", 16) + vector(2, vector(2, vector(1, b"h2") + vector(1, b"http/1.1")))
    body = b"\3\3" + bytes(32) + vector(1, bytes(32)) + vector(2, suites) + b"\1\0" + vector(2, names + alpn)
    return b"\x16\3\1" + vector(2, b"\1" + vector(3, body))


def dns_question(name: bytes) -> bytes:
    labels = b"".join(bytes([len(part)]) + part for part in name.split(b".")) + b"\0"
    return struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0\1\0\1"


PLAIN = [to_server(TCP, tcp(1024, 443, 1, 1, ACK))]
NAMED = [to_server(TCP, tcp(1024, 443, 1, 1, ACK | PSH, client_hello(b"www.example.org")))]
UNKNOWN = bytes(range(200, 232))
#: Subject: what opens a flow, and the meter that the run names.
MEMORY: dict[str, tuple[list[bytes], str]] = {
    "TCP, no payload": (PLAIN, ""),
    "TCP, payload both ways, not recognised": (
        [
            to_server(TCP, tcp(1024, 443, 1, 1, ACK | PSH, UNKNOWN)),
            to_client(TCP, tcp(443, 1024, 1, 33, ACK | PSH, UNKNOWN)),
        ]
        * 8,
        "",
    ),
    "TCP with names (TLS)": (NAMED, ""),
    "UDP, not recognised": ([to_server(UDP, udp(1024, 443, UNKNOWN))] * 8, ""),
    "UDP, first datagram": ([to_server(UDP, udp(1024, 443, UNKNOWN))], ""),
    "UDP with names (DNS)": ([to_server(UDP, udp(1024, 53, dns_question(b"www.example.org")))], ""),
    "TCP, meter without state": (PLAIN, "packet() that returns"),
    "TCP, meter with 32 bytes of state": (PLAIN, "packet() that counts in its state"),
    "TCP, examples/native/entropy": (PLAIN, "examples/native/entropy"),
}


def subject(flows: int, meter: str, folder: Path) -> None:
    """The process that is measured."""
    import aicore

    stack = aicore.StackLan()
    stack.tcp_flows = stack.udp_flows = max(flows, 1)
    if meter:
        from meters import METERS, capsule

        stack.use(capsule(folder, *METERS[meter]))
    with aicore.PacketDispatcher("-") as dispatcher:
        dispatcher.stack = stack
        counters = dispatcher.run().counters
    assert counters["evicted"] == counters["not_admitted"] == 0
    assert counters["flows_tcp"] + counters["flows_udp"] == flows


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settle(crowd: subprocess.Popen[bytes], pid: int) -> None:
    """Waits until all that is written was read: the process uses next to no CPU time any more."""
    assert crowd.stderr is not None
    if crowd.stderr.read(1) != b".":
        raise SystemExit("benchmark: crowd has failed")
    before, quiet = cpu(pid), 0
    while quiet < 3:
        time.sleep(0.3)
        now = cpu(pid)
        quiet = quiet + 1 if now - before < 0.02 else 0
        before = now


class Run:
    def __init__(self, crowd: subprocess.Popen[bytes], pid: int) -> None:
        self._crowd, self.pid = crowd, pid

    def further(self) -> float:
        """CPU seconds that the further packets have taken."""
        before = cpu(self.pid)
        assert self._crowd.stdin is not None
        self._crowd.stdin.write(b"\n")
        self._crowd.stdin.flush()
        settle(self._crowd, self.pid)
        return cpu(self.pid) - before


@contextmanager
def running(folder: Path, opening: list[bytes], flows: int, packets: int, meter: str = "") -> Iterator[Run]:
    """A run in which so many flows are open and nothing comes any more."""
    for name, frames in (("opening", opening), ("further", opening[:1])):
        (folder / name).write_bytes(b"".join(struct.pack("=I", len(frame)) + frame for frame in frames))
    command: list[str | Path] = [folder / "crowd", str(flows), str(packets), folder / "opening", folder / "further"]
    crowd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(HERE)}
    own = [sys.executable, __file__, "--work", str(folder), "--subject", str(flows), meter]
    process = subprocess.Popen(own, stdin=crowd.stdout, env=environment)
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    crowd.stdout.close()
    settle(crowd, process.pid)
    yield Run(crowd, process.pid)
    crowd.stdin.close()
    if process.wait() or crowd.wait():
        raise SystemExit("benchmark: a run of flows.py has failed")


def cost(folder: Path, counts: list[int], packets: int, rounds: int) -> None:
    costs: dict[int, list[float]] = {flows: [] for flows in counts}
    memory: dict[int, int] = {}
    for _ in range(rounds):
        for flows, found in costs.items():
            with running(folder, PLAIN, flows, packets) as run:
                memory[flows] = resident(run.pid)
                found.append(run.further() / packets * 1e9)
    print(f"\n{packets} packets to live TCP flows chosen at random, {rounds} rounds")
    print(f"{'live flows':>12} {'CPU ns/packet':>14} {'(low-high)':>12} {'of the first':>13} {'resident MiB':>13}")
    first = median(costs[counts[0]])
    for flows, found in costs.items():
        spread = f"{min(found):.0f}-{max(found):.0f}"
        row = f"{flows:12} {median(found):14.0f} {spread:>12} {median(found) / first:13.2f}"
        print(f"{row} {memory[flows] / (1 << 20):13.0f}", flush=True)


def memory(folder: Path, flows: int) -> None:
    print(f"\n{flows} live flows")
    print(f"{'flow':40} {'resident bytes':>15}")
    for name, (opening, meter) in MEMORY.items():
        found = []
        for count in (1, flows):
            with running(folder, opening, count, 0, meter) as run:
                found.append(resident(run.pid))
        print(f"{name:40} {(found[1] - found[0]) / flows:15.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--flows", type=int, nargs="*", default=[], help="live flows, instead of the default counts")
    parser.add_argument("--packets", type=int, default=4_000_000, help="measured with each count of flows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="where programs are kept")
    parser.add_argument("--subject", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.subject:
        subject(int(arguments.subject[0]), arguments.subject[1], arguments.work)
        os._exit(0)
    folder = arguments.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", HERE / "crowd.c", "-o", folder / "crowd"], check=True)
    both = not arguments.cost and not arguments.memory
    if arguments.cost or both:
        cost(folder, arguments.flows or list(COST_FLOWS), arguments.packets, arguments.rounds)
    if arguments.memory or both:
        from meters import build

        build(folder)
        memory(folder, arguments.flows[0] if arguments.flows else MEMORY_FLOWS)


if __name__ == "__main__":
    main()
