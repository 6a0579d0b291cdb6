# SPDX-License-Identifier: Apache-2.0
"""A small disk that a store fills, and what runs into that store do then."""

from __future__ import annotations

import contextlib
import json
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import commandline
import pytest


@contextlib.contextmanager
def mounted(path: Path, mib: int) -> Iterator[Path]:
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", path]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def packets(flows: int, start: int) -> bytes:
    """UDP packets, one of each flow, as records of a capture of raw IPv4 (link type 101)."""
    records = []
    for number in range(start, start + flows):
        udp = struct.pack(">HHHH", 1024 + number % 60_000, 9, 16, 0) + b"payload!"
        source = struct.pack(">I", 0x0A000000 + number // 60_000)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + source + bytes([192, 0, 2, 1]) + udp
        records.append(
            struct.pack("<IIII", 1_700_000_000 + number // 1000, number % 1000 * 1000, len(ip), len(ip)) + ip
        )
    return b"".join(records)


def capture(path: Path, flows: int) -> None:
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + packets(flows, 0))


def fill_and_complete(folder: Path, disk: Path, url: str, records: Callable[[], int], flows: int = 20_000) -> None:
    """A run fills the disk of its store, `url`, gives that up after 2 s and loses nothing; with more room the next run
    completes it. `records`: how many flows the store has, each of them whole."""
    capture(folder / "many.pcap", flows)
    capture(folder / "none.pcap", 0)
    run = ("--batch-rows", 256, "--json", "--to", f"{url}?wait=2&only=ended")
    begin = time.monotonic()
    code, out, err = commandline.call(folder, "run", "many.pcap", *run)
    assert time.monotonic() - begin < 60
    counters = json.loads(out)["adaptors"][0]["counters"]
    assert code == 3, err
    assert "given up after 2 s" in err
    assert re.search("No space left|is full", err)
    assert "Traceback" not in err
    assert counters["delivered"] + counters["spooled"] == flows
    assert min(counters["delivered"], counters["spooled"]) > 0
    assert records() == counters["delivered"]
    subprocess.run(["mount", "-o", "remount,size=256m", disk], check=True)
    code, out, err = commandline.call(folder, "run", "none.pcap", *run)
    assert (code, json.loads(out)["adaptors"][0]["counters"]["spooled"]) == (0, 0), err
    assert records() == flows
