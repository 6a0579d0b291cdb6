#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the benchmark's own captures: mixes.py FOLDER [--packets N]

Four mixes, each hard for another part: `fat` (16 flows: the path of a packet of a known flow), `short` (flows of two
packets: opening, dissecting, three or four events), `syn` (a flood of single SYNs: admission and eviction), `live`
(150,000 flows in turn: every packet misses the caches). Deterministic; only the standard library.
"""

from __future__ import annotations

import argparse
import random
import struct
from collections.abc import Iterator
from pathlib import Path

START = 1_700_000_000
TCP, UDP = 6, 17
SYN, ACK, PSH = 2, 16, 8


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(src: int, dst: int, proto: int, body: bytes) -> bytes:
    head = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(body), 0, 0x4000, 64, proto, 0, src, dst)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def tcp(sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0)
    return head + payload


def udp(sport: int, dport: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def client(number: int) -> tuple[int, int]:
    """An address in 10.0.0.0/8 and a port, different for each number below 2**31."""
    return 0x0A000000 | number >> 14 & 0xFFFFFF, 1024 + (number & 0x3FFF)


def fat(packets: int) -> Iterator[bytes]:
    data = bytes(1400)
    seqs = [0] * 16
    for n in range(packets):
        flow = n % 16
        src, sport = client(flow)
        if n % 3 == 2:  # one acknowledgement for two segments
            yield ipv4(src, 0xC0000201, TCP, tcp(sport, 5001, 1, seqs[flow], ACK))
        else:
            yield ipv4(0xC0000201, src, TCP, tcp(5001, sport, seqs[flow], 1, ACK | PSH, data))
            seqs[flow] += len(data)


def short(packets: int) -> Iterator[bytes]:
    for n in range(packets // 2):
        src, sport = client(n)
        name = b"\x04h%03d\x07example\x03org\x00" % (n % 1000)
        question = name + b"\0\1\0\1"
        ask = struct.pack(">HHHHHH", n & 0xFFFF, 0x0100, 1, 0, 0, 0) + question
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + struct.pack(">I", 0xC6120000 | n & 0xFFFF)
        reply = struct.pack(">HHHHHH", n & 0xFFFF, 0x8180, 1, 1, 0, 0) + question + answer
        yield ipv4(src, 0xC0000235, UDP, udp(sport, 53, ask))
        yield ipv4(0xC0000235, src, UDP, udp(53, sport, reply))


def syn(packets: int) -> Iterator[bytes]:
    rng = random.Random(1)
    for _ in range(packets):
        src, sport, seq = rng.getrandbits(32), rng.randrange(1024, 65536), rng.getrandbits(32)
        yield ipv4(src, 0xC0000201, TCP, tcp(sport, 443, seq, 0, SYN))


def live(packets: int) -> Iterator[bytes]:
    order = list(range(150_000))
    random.Random(2).shuffle(order)
    for n in range(packets):
        src, sport = client(order[n % len(order)])
        yield ipv4(src, 0xC0000202, UDP, udp(sport, 4433, bytes(64)))


MIXES = {"fat": fat, "short": short, "syn": syn, "live": live}


def write(path: Path, name: str, packets: int) -> None:
    ethernet = bytes(12) + b"\x08\x00"
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for n, packet in enumerate(MIXES[name](packets)):
            micros = n * 60_000_000 // packets  # one minute
            size = len(ethernet) + len(packet)
            file.write(struct.pack("<IIII", START + micros // 1_000_000, micros % 1_000_000, size, size))
            file.write(ethernet + packet)


def make(folder: Path, packets: int) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}-{packets}.pcap" for name in MIXES}
    for name, path in paths.items():
        if not path.exists():
            partial = path.with_suffix(".partial")
            write(partial, name, packets)
            partial.rename(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packets", type=int, default=1_000_000)
    arguments = parser.parse_args()
    for made in make(arguments.folder, arguments.packets).values():
        print(made)
