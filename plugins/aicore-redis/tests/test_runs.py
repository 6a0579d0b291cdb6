# SPDX-License-Identifier: Apache-2.0
"""Whole runs: the programs of AIEngine's page "Database integration", and the command line."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from captures.build import dns, http, tls
from captures.files import Capture, Udp, talks
from commandline import call
from server import Server

SEED_PROGRAMS = Path(__file__).resolve().parents[3] / "examples" / "seed"


@pytest.fixture
def visits() -> Capture:
    """Twenty visits, and a UDP flow of 40 packets; two flows have one key."""
    long = Udp(("10.9.9.9", 9999), ("192.0.2.9", 9000))
    for _ in range(20):
        long.ask(b"ping", b"pong")
    visits = [talk for i in range(10) for talk in (dns(42000 + 2 * i), http(40000 + i), tls(41000 + i))]
    return talks(long, *visits, http(40000))


@pytest.fixture
def seed_server(redis_program: str, tmp_path: Path) -> Iterator[Server]:
    """The program knows no port but Redis' own: a loopback address where that is free."""
    for _ in range(20):
        host = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        with socket.socket() as probe:
            if probe.connect_ex((host, 6379)) != 0:
                break
    else:
        pytest.skip("port 6379 is taken on every loopback address")
    server = Server(redis_program, tmp_path, host=host, port=6379)
    server.start()
    yield server
    server.end()


def test_the_seeds_program(seed_server: Server, visits: Capture, tmp_path: Path) -> None:
    """The interface is a named pipe that stays open, so that flows live; the host is the server's. Nothing else of the
    program is changed."""
    text = (SEED_PROGRAMS / "redis_main.py").read_text()
    pipe = tmp_path / "eth0"
    os.mkfifo(pipe)
    for old, new in (('"eth0"', str(pipe)), ('"localhost"', seed_server.host)):
        assert text.count(old) == 1
        text = text.replace(old, repr(new))
    (tmp_path / "main.py").write_text(text)
    shutil.copy(SEED_PROGRAMS / "redis_adaptor.py", tmp_path)
    visits.flows = [flow for flow in visits.flows if ":17:" in flow.key]
    expected = {flow.key: flow for flow in visits.flows}
    with subprocess.Popen([sys.executable, "main.py"], cwd=tmp_path) as program:
        with pipe.open("wb") as packets:
            packets.write(visits.pcap())
            packets.flush()
            found = until_all(seed_server, expected)
        assert program.wait(30) == 0
    for key, flow in expected.items():
        record = found[key]
        assert record["key"] == key
        assert record["dnsdomain" if ":53" in key else "key"] == flow.fields.get("dnsdomain", key)
    assert found["10.9.9.9:9999:17:192.0.2.9:9000"]["packets"] == 32, "updated every 16 packets, of which there were 40"
    assert seed_server.ask("HGETALL", "udpflows") == {}
    assert seed_server.ask("EXISTS", "tcpflows") == 0


def until_all(server: Server, expected: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The records once every flow has one."""
    end = time.monotonic() + 20
    while True:
        found = {key: json.loads(text) for key, text in server.ask("HGETALL", "udpflows").items()}
        if found.keys() == expected.keys() and all(found.values()):
            return found
        assert time.monotonic() < end, (found, expected)
        time.sleep(0.05)


def test_kept_records_are_the_final_ones(server: Server, visits: Capture, tmp_path: Path) -> None:
    visits.write(tmp_path / "visits.pcap")
    code, _, err = call(
        tmp_path, "run", "visits.pcap", "--every", 16, "--to", f"{server.url}?ended=keep", "--to", "jsonl:flows.jsonl"
    )
    assert code == 0, err
    lines = (tmp_path / "flows.jsonl").read_text().splitlines()
    final = {json.loads(line)["key"]: line for line in lines}
    assert len(final) == len({flow.key for flow in visits.flows}) < len(lines)
    assert server.ask("HGETALL", "tcpflows") | server.ask("HGETALL", "udpflows") == final
    assert server.ask("HLEN", "udpflows") == 11


def test_ended_flows_are_gone(server: Server, visits: Capture, tmp_path: Path) -> None:
    visits.write(tmp_path / "visits.pcap")
    code, out, err = call(tmp_path, "run", "visits.pcap", "--to", server.url)
    assert code == 0, err
    assert "delivered" in out
    assert server.ask("KEYS", "*") == []
    assert server.ask("INFO", "commandstats")["cmdstat_hdel"]["calls"] > 0


def test_a_server_that_is_not_there(visits: Capture, tmp_path: Path) -> None:
    visits.write(tmp_path / "visits.pcap")
    begin = time.monotonic()
    code, out, err = call(tmp_path, "run", "visits.pcap", "--to", "redis://:canary-4711@127.0.0.1:1/0")
    assert code not in (0, None)
    assert time.monotonic() - begin < 12
    assert "Connection refused" in out + err
    assert "canary-4711" not in out + err
