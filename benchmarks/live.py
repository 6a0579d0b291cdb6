#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live capture beside tcpdump: live.py CAPTURE [--rate PPS...]. Needs root, iproute2, tcpdump and tcpreplay.

Two network namespaces are joined by a veth pair; the capture is replayed from one, at each rate in turn, into tcpdump
(`-w /dev/null`, the same buffer) and into aicore with a no-op adaptor at every 16 packets. Printed: packets a second
that were sent, packets that each lost and that aicore says it lost; the same while its process stands still for some
seconds; then the time from a packet to its event in an adaptor.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from live_hosts import PEER, SENSOR, Network, hosts, send, sockets

RECEIVE = """
import json, signal, sys, time
import aicore

delays = []

class Noop(aicore.DatabaseAdaptor):
    events = "all"

    def write(self, batch):
        if sys.argv[1:]:
            now = time.time_ns()
            delays.extend(now - seen for seen in batch.column("last_seen"))

stack, adaptor = aicore.StackLan(), Noop()
stack.set_tcp_database_adaptor(adaptor, 16)
stack.set_udp_database_adaptor(adaptor, 16)
with aicore.PacketDispatcher("eth0") as dispatcher:
    dispatcher.stack = stack
    signal.signal(signal.SIGINT, lambda *_: dispatcher.stop())
    counters = dispatcher.run().counters
print(json.dumps({"counters": counters, "delays": delays}))
"""

STOPPED = 4.0


def wait_for_socket(network: Network) -> None:
    while not sockets(network):
        time.sleep(0.05)


def replay(network: Network, capture: str, rate: int) -> tuple[int, float]:
    """Packets sent, and packets a second."""
    speed = ["--pps", str(rate)] if rate else ["--topspeed"]
    command = ["ip", "netns", "exec", network.peer, "tcpreplay", "-K", *speed, "-i", "eth0", capture]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sent = re.search(r"Successful packets:\s+(\d+)", output)
    pace = re.search(r"([\d.]+) pps", output)
    assert sent is not None
    assert pace is not None
    return int(sent[1]), float(pace[1])


def tcpdump(network: Network, capture: str, rate: int) -> tuple[int, float, int]:
    command = ["tcpdump", "-B", "65536", "-i", "eth0", "-w", "/dev/null"]
    process = network.start(network.sensor, *command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_socket(network)
    sent, pace = replay(network, capture, rate)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    captured = re.search(r"(\d+) packets? captured", said)
    assert captured is not None
    return sent, pace, sent - int(captured[1])


def aicore(network: Network, capture: str, rate: int, stopped: float = 0) -> tuple[int, float, dict[str, int]]:
    """`stopped`: seconds for which the process stands still in the middle, so that the kernel has to drop."""
    process = network.start(network.sensor, sys.executable, "-c", RECEIVE, stdout=subprocess.PIPE, text=True)
    wait_for_socket(network)
    signals = [(1, signal.SIGSTOP), (1 + stopped, signal.SIGCONT)] if stopped else []
    timers = [threading.Timer(after, process.send_signal, (number,)) for after, number in signals]
    for timer in timers:
        timer.start()
    sent, pace = replay(network, capture, rate)
    for timer in timers:
        timer.join()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    return sent, pace, json.loads(output)["counters"]


def delays(network: Network) -> list[float]:
    """Seconds from a packet to its event in write()."""
    process = network.start(network.sensor, sys.executable, "-c", RECEIVE, "delays", stdout=subprocess.PIPE, text=True)
    wait_for_socket(network)
    for flow in range(20):
        send(network, 100, gap=0.005, sport=6000 + flow)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    found = [delay / 1e9 for delay in json.loads(output)["delays"]]
    # Ends come when the run ends, long after their last packet.
    return sorted(found)[: -20 * 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture")
    parser.add_argument(
        "--rate", type=int, nargs="*", default=[100_000, 200_000, 0], help="packets a second; 0: all it can"
    )
    arguments = parser.parse_args()
    print(f"{SENSOR} hears {PEER}; packets a second, and packets lost of those sent")
    print(f"{'tcpdump at':>12} {'lost':>8} {'aicore at':>12} {'lost':>8} {'it says':>8} {'updates shed':>13}")
    for rate in arguments.rate:
        with hosts() as network:
            _, peer_pace, peer_lost = tcpdump(network, arguments.capture, rate)
            sent, pace, counters = aicore(network, arguments.capture, rate)
        lost = sent - counters["packets"]
        said = counters["kernel_drop"] + counters["interface_drop"]
        row = f"{peer_pace:12,.0f} {peer_lost:8,} {pace:12,.0f} {lost:8,} {said:8,} {counters['updates_shed']:13,}"
        print(row, flush=True)
    with hosts() as network:
        sent, _, counters = aicore(network, arguments.capture, 100_000, STOPPED)
    lost, said = sent - counters["packets"], counters["kernel_drop"] + counters["interface_drop"]
    if sent < 100_000 * (1 + STOPPED):
        print("too short a capture to stand still in")
    else:
        print(f"stopped for {STOPPED:.0f} s at 100,000 a second: {lost:,} lost of {sent:,}, it says {said:,}")
    with hosts() as network:
        found = delays(network)
    cuts = statistics.quantiles(found, n=100)
    print(f"from packet to write(): p50 {cuts[49]:.3f} s, p99 {cuts[98]:.3f} s, {len(found)} events")


if __name__ == "__main__":
    main()
