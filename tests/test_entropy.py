# SPDX-License-Identifier: Apache-2.0
"""The meter of examples/native/entropy against a computation in Python from the payloads of the project's captures."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from pathlib import Path

import pytest
from captures import packets as p
from captures.build import CAPTURES
from captures.files import Capture, key
from captures.generate import demo
from conftest import Install
from native_plugins import compiled

import aicore

SOURCE = Path(__file__).parent.parent / "examples" / "native" / "entropy" / "aicore_entropy.c"
FIRST = 256  # bytes of each direction
# Of Ethernet without tags, tunnels and fragments, so that a dozen lines can read them.
NAMES = ("dns_many", "equal_ports", "jumbo", "midstream", "out_of_order", "reset", "retransmitted", "short_segments")


class Stream:
    """Payload of one direction: datagrams as they come, segments by their sequence numbers, from the first on."""

    def __init__(self) -> None:
        self.begin: int | None = None
        self.bytes: dict[int, int] = {}  # by position

    def segment(self, seq: int, syn: bool, payload: bytes) -> None:
        if self.begin is None:
            self.begin = seq + syn
        self.bytes.update(enumerate(payload, (seq + syn - self.begin) % 2**32))

    def datagram(self, payload: bytes) -> None:
        self.bytes.update(enumerate(payload, len(self.bytes)))

    def entropy(self) -> float | None:
        """Bits per byte (Shannon 1948, section 6) of the first bytes; None without any."""
        first = [self.bytes[at] for at in range(min(FIRST, len(self.bytes)))]
        return -sum(n / len(first) * math.log2(n / len(first)) for n in Counter(first).values()) if first else None


def streams(capture: Capture) -> dict[str, tuple[Stream, Stream]]:
    """Both directions of each flow by its key."""
    found: dict[str, tuple[Stream, Stream]] = {}
    for frame in capture.frames:
        packet = frame.data[14:]
        if packet[0] >> 4 == 4:
            proto, src, dst, rest = packet[9], packet[12:16], packet[16:20], packet[20:]
        else:
            proto, src, dst, rest = packet[6], packet[8:24], packet[24:40], packet[40:]
        if proto not in (p.TCP, p.UDP):
            continue
        a, b = (str(ipaddress.ip_address(address)) for address in (src, dst))
        sport, dport = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        there, back = key(a, sport, proto, b, dport), key(b, dport, proto, a, sport)
        stream = found[back][1] if back in found else found.setdefault(there, (Stream(), Stream()))[0]
        if proto == p.UDP:
            stream.datagram(rest[8:])
        else:
            stream.segment(int.from_bytes(rest[4:8], "big"), bool(rest[13] & p.SYN), rest[4 * (rest[12] >> 4) :])
    return found


@pytest.fixture
def entropy(install: Install, tmp_path: Path) -> None:
    strict = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
    compiled(SOURCE, "aicore_entropy", tmp_path / "site-packages", *strict)
    install("aicore-entropy", meters={"entropy": "aicore_entropy:entropy"})


@pytest.mark.usefixtures("entropy")
def test_it_agrees_with_python_on_every_flow(tmp_path: Path) -> None:
    for name in ("demo", *NAMES):
        capture = demo() if name == "demo" else CAPTURES[name]()
        want = {flow: tuple(stream.entropy() for stream in both) for flow, both in streams(capture).items()}
        got = {
            flow.key: (flow.src_entropy, flow.dst_entropy)
            for flow in aicore.flows(capture.write(tmp_path / name), plugins=["entropy"])
        }
        assert got.keys() == want.keys(), name
        for flow, pair in got.items():
            assert pair == pytest.approx(want[flow], abs=1e-12), (name, flow)
