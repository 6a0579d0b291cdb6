# SPDX-License-Identifier: Apache-2.0
"""Whole runs: the tables hold every flow of a capture once, field by field, also when the server dies on the way."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from beside_jsonl import DEMO, real_captures, run
from captures.build import CAPTURES, dns, http, tls
from captures.files import talks
from commandline import environment, start
from conftest import Keyspace
from support import connected

from aicore import FlowBatch
from aicore.delivery import Delivery, balance
from aicore.testing import event, flow_id


def as_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of the table, as it stands in the JSON: times are RFC 3339 there."""
    found = dict(record)
    for name in ("opened", "first_seen", "last_seen"):
        seconds, rest = divmod(found[name], 1_000_000_000)
        found[name] = f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
    return found


def by_id(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {record["flow_id"]: record for record in records}
    assert len(found) == len(records)
    return found


def check(keyspace: Keyspace, records: Sequence[dict[str, Any]]) -> None:
    wanted = by_id(records)
    assert {flow: as_json(record) for flow, record in by_id(keyspace.records()).items()} == wanted
    ends = {(record[end], flow) for flow, record in wanted.items() for end in ("ipsrc", "ipdst")}
    rows = keyspace.ask("SELECT * FROM {}.flows_by_host")
    assert {(row["host"], row["flow_id"]) for row in rows} == ends
    assert len(rows) == len(ends)
    for row in rows:
        whole = wanted[row["flow_id"]]
        for name in ("key", "packets", "bytes", "layer7", "end_reason", "portdst"):
            assert row[name] == whole.get(name)


@pytest.mark.parametrize("name", ["demo", "vlan_twins", "port_reuse", "dns_many", "out_of_order", "jumbo", "half_open"])
def test_the_projects_captures_field_by_field(keyspace: Keyspace, tmp_path: Path, name: str) -> None:
    path = DEMO if name == "demo" else CAPTURES[name]().write(tmp_path / f"{name}.pcap")
    check(keyspace, run(tmp_path, keyspace.url, path))


def test_reading_again_changes_seq_and_version_alone(keyspace: Keyspace, tmp_path: Path) -> None:
    check(keyspace, run(tmp_path, keyspace.url, DEMO))
    before, old = by_id(keyspace.records()), keyspace.versions()
    check(keyspace, run(tmp_path, keyspace.url, DEMO))
    after, new = by_id(keyspace.records()), keyspace.versions()
    assert [{**record, "seq": 0} for record in before.values()] == [
        {**after[flow], "seq": 0} for flow, record in before.items()
    ]
    assert all(new[flow] > old[flow] for flow in old)


def test_real_captures_field_by_field(keyspace: Keyspace, tmp_path: Path) -> None:
    captures = real_captures()
    assert len(captures) == 30
    records = run(tmp_path, keyspace.url, *captures)
    assert len(records) > 300
    check(keyspace, records)
    again = run(tmp_path, keyspace.url, *captures)
    assert len(again) == len(records)
    check(keyspace, again)


@pytest.mark.fault
def test_a_large_capture_field_by_field(keyspace: Keyspace, tmp_path: Path) -> None:
    capture = os.environ.get("AICORE_LARGE_CAPTURE")
    if capture is None:
        pytest.skip("AICORE_LARGE_CAPTURE names no capture")
    for _ in range(2):
        records = run(tmp_path, keyspace.url, Path(capture), seconds=900)
        print(len(records), "flows")
        check(keyspace, records)


def test_the_demo_with_ended_flows_deleted(keyspace: Keyspace, tmp_path: Path) -> None:
    assert run(tmp_path, f"{keyspace.url}&ended=delete", DEMO)
    assert keyspace.records() == []
    assert keyspace.ask("SELECT host FROM {}.flows_by_host") == []


# -- faults -----------------------------------------------------------------------------------------------------------


def deliver(keyspace: Keyspace, flows: int, trouble: Callable[[], None]) -> None:
    """Gives whole lives of flows to a delivery, has `trouble` half-way, and holds the store against them."""
    adaptor = connected(keyspace.url)
    settings: dict[str, Any] = {"live": False, "wait": math.inf, "events": "net", "transports": {6, 17}}
    delivery = Delivery("cassandra", adaptor, queue_bytes=4 << 20, **settings)
    delivery.start()
    version = 0
    for first in range(0, flows, 250):
        for kind in ("insert", "update", "remove"):
            delivery.put(FlowBatch.from_rows(event(kind, first + n, version + n) for n in range(250)))
            version += 250
        if first == flows // 2:
            while not (before := keyspace.versions()):
                time.sleep(0.05)
            trouble()
            after = keyspace.versions()
            assert all(after[flow] >= was for flow, was in before.items())
    delivery.finish(240)
    counters = delivery.counters()
    assert balance(counters) == 0
    assert counters["delivered"] + counters["merged"] == counters["accepted"], delivery.error
    adaptor.close()
    rows = keyspace.ask("SELECT flow_id, end_reason, version FROM {}.flows")
    assert len(rows) == flows
    assert {row["flow_id"] for row in rows} == {flow_id(n) for n in range(flows)}
    assert {row["end_reason"] for row in rows} == {"fin"}
    assert len(keyspace.ask("SELECT flow_id FROM {}.flows_by_host")) == 2 * flows


def killed_and_started(keyspace: Keyspace, dice: random.Random) -> None:
    time.sleep(dice.uniform(0, 0.3))
    keyspace.server.kill()
    time.sleep(dice.uniform(0, 2))
    keyspace.server.start()
    keyspace.wait()


def frozen(keyspace: Keyspace, seconds: float) -> None:
    keyspace.server.freeze()
    try:
        time.sleep(seconds)
    finally:
        keyspace.server.thaw()


def test_a_server_that_is_killed_and_comes_back(keyspace: Keyspace) -> None:
    deliver(keyspace, 3000, lambda: killed_and_started(keyspace, random.Random(1)))


def test_a_server_that_stands_still_for_ten_seconds(keyspace: Keyspace) -> None:
    deliver(keyspace, 3000, lambda: frozen(keyspace, 10))


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(10))
def test_a_server_that_is_killed_ten_times(keyspace: Keyspace, seed: int) -> None:
    deliver(keyspace, 6000, lambda: killed_and_started(keyspace, random.Random(seed)))


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(10))
def test_a_server_that_stands_still_ten_times(keyspace: Keyspace, seed: int) -> None:
    deliver(keyspace, 6000, lambda: frozen(keyspace, random.Random(seed).uniform(1, 15)))


def test_a_run_of_the_command_line_over_a_kill(keyspace: Keyspace, tmp_path: Path) -> None:
    connected(keyspace.url).close()
    visits = talks(*(talk for n in range(400) for talk in (dns(20000 + n), http(30000 + n), tls(40000 + n))))
    path = visits.write(tmp_path / "visits.pcap")
    keyspace.server.kill()
    process = start(
        tmp_path, "run", path, "--every", "16", "--wait", "forever", "--to", keyspace.url, environ=environment(tmp_path)
    )
    time.sleep(3)
    keyspace.server.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    keyspace.wait()
    assert len(keyspace.records()) == len(visits.flows)
