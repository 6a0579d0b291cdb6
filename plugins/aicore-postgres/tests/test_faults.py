# SPDX-License-Identifier: Apache-2.0
"""A cluster that is killed, stopped or frozen, and rows that are refused, in the middle of a run: no flow is lost, none
stands twice, no version goes back.

Each test has a long form under the marker `fault`: ten seeds, by which a failing one is repeated.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aicore_postgres import link
from captures.build import dns, http, tls
from captures.files import talks
from commandline import environment, start
from conftest import Place, begun, made
from servers.postgres.server import PostgresServer
from support import connected, write

from aicore import FlowBatch
from aicore.delivery import Delivery, balance
from aicore.delivery.deadletter import DeadLetters
from aicore.testing import event, flow_id, make_batch

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

SEEDS = [pytest.param(0, id="short"), *(pytest.param(seed, marks=pytest.mark.fault) for seed in range(1, 11))]
Harm = Callable[[PostgresServer, random.Random], None]


@pytest.fixture(scope="module")
def victim() -> Iterator[PostgresServer]:
    """A cluster of our own, to be harmed."""
    server = begun()
    yield server
    server.remove()


def killed(server: PostgresServer, dice: random.Random) -> None:
    server.kill()
    time.sleep(dice.uniform(0, 1))
    server.start()


def stopped(server: PostgresServer, dice: random.Random) -> None:
    server.stop()
    time.sleep(dice.uniform(0, 1))
    server.start()


def frozen(server: PostgresServer, dice: random.Random) -> None:
    """For shorter or longer than an answer is waited for."""
    server.freeze()
    time.sleep(dice.uniform(0.5, 2.5) * link.ANSWER_SECONDS)
    server.thaw()


def backend_killed(server: PostgresServer, dice: random.Random) -> None:
    """One process by SIGKILL: PostgreSQL ends all the others and recovers."""
    (row,) = Place(server, "public").ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'aicore' LIMIT 1")
    os.kill(row["pid"], signal.SIGKILL)
    time.sleep(dice.uniform(0, 1))


def deliver(place: Place, options: str, flows: int, harm: Callable[[], None]) -> dict[str, int]:
    """Gives whole lives of flows to a delivery and does harm half-way, when some rows stand there and others do not."""
    adaptor = connected(place.url + options)
    settings: dict[str, Any] = {"live": False, "wait": math.inf, "events": "net", "transports": {6, 17}}
    delivery = Delivery("postgres", adaptor, queue_bytes=4 << 20, backoff=(0.05, 0.5), url=adaptor.url, **settings)
    delivery.start()
    version = 0
    for first in range(0, flows, 250):
        for kind in ("insert", "update", "remove"):
            delivery.put(FlowBatch.from_rows(event(kind, first + n, version + n) for n in range(250)))
            version += 250
        if first == flows // 2:
            while not (before := _versions(place)):
                time.sleep(0.01)
            harm()
            after = _versions(place)
            assert all(after[flow] >= was for flow, was in before.items())
    delivery.finish(240)
    counters = delivery.counters()
    assert balance(counters) == 0
    assert counters["delivered"] + counters["merged"] == counters["accepted"], delivery.error
    adaptor.close()
    return _versions(place)


def _versions(place: Place) -> dict[str, int]:
    rows = place.ask("SELECT flow_id, max(version) AS version FROM flows GROUP BY flow_id")
    return {row["flow_id"]: row["version"] for row in rows}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("harm", [killed, stopped, frozen, backend_killed])
def test_nothing_is_lost_or_stands_twice(
    victim: PostgresServer, monkeypatch: pytest.MonkeyPatch, harm: Harm, seed: int
) -> None:
    if seed == 0:
        monkeypatch.setattr(link, "ANSWER_SECONDS", 1.0)
    place, dice = made(victim), random.Random(seed)
    options = "&partition=day" if seed % 2 else ""
    flows = 6000 if seed else 3000

    def harmed() -> None:
        time.sleep(dice.uniform(0, 0.2))
        harm(victim, dice)

    found = deliver(place, options, flows, harmed)
    assert found.keys() == {flow_id(n) for n in range(flows)}
    rows = place.ask("SELECT flow_id, end_reason, version FROM flows")
    assert len(rows) == flows
    assert {row["end_reason"] for row in rows} == {"fin"}


@pytest.mark.parametrize("seed", SEEDS)
def test_where_rows_are_appended_none_is_lost(victim: PostgresServer, seed: int) -> None:
    """A batch whose acknowledgement was lost stands there again, with the same versions: once by DISTINCT ON."""
    place, dice = made(victim), random.Random(seed)
    flows = 6000 if seed else 3000
    found = deliver(place, "&mode=append", flows, lambda: killed(victim, dice))
    assert found.keys() == {flow_id(n) for n in range(flows)}
    latest = place.ask("SELECT DISTINCT ON (flow_id) end_reason FROM flows ORDER BY flow_id, version DESC")
    assert {row["end_reason"] for row in latest} == {"fin"}


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_are_refused_are_dead_letters_and_the_others_are_not(
    victim: PostgresServer, tmp_path: Path, seed: int
) -> None:
    """While the server is killed, too."""
    place, dice = made(victim), random.Random(seed)
    write(place.url, make_batch(1, first=100_000))
    place.ask("ALTER TABLE flows ADD CONSTRAINT no CHECK (vlan IS NULL)")
    flows, share = (4000, 0.02) if seed else (1000, 0.01)
    bad = {n for n in range(flows) if dice.random() < share}
    adaptor = connected(place.url)
    letters = DeadLetters(tmp_path / "deadletter", "postgres")
    delivery = Delivery(
        "postgres", adaptor, live=False, wait=math.inf, events="net", url=adaptor.url, deadletters=letters,
        backoff=(0.05, 0.5),
    )  # fmt: skip
    delivery.start()
    for first in range(0, flows, 250):
        rows = [event("update", n, n + 1, **({"vlan": 1} if n in bad else {})) for n in range(first, first + 250)]
        delivery.put(FlowBatch.from_rows(rows))
        if first == flows // 2:
            killed(victim, dice)
    delivery.finish(240)
    counters = delivery.counters()
    adaptor.close()
    assert balance(counters) == 0
    assert counters["dead_lettered"] == len(bad) > 0
    assert _versions(place).keys() == {flow_id(n) for n in range(flows) if n not in bad} | {flow_id(100_000)}
    assert len(place.records()) == flows - len(bad) + 1
    found = [json.loads(line) for path in (tmp_path / "deadletter").iterdir() for line in path.read_text().splitlines()]
    assert {flow_id(n) for n in bad} <= {str(one.get("record", one).get("flow_id")) for one in found}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_of_the_command_line_over_a_kill(victim: PostgresServer, tmp_path: Path, seed: int) -> None:
    place, dice = made(victim), random.Random(seed)
    connected(place.url).close()
    visits = talks(*(talk for n in range(300) for talk in (dns(20000 + n), http(30000 + n), tls(40000 + n))))
    path = visits.write(tmp_path / "visits.pcap")
    process = start(
        tmp_path, "run", path, "--every", "16", "--wait", "forever", "--to", f"{place.url}&only=all",
        environ=environment(tmp_path),
    )  # fmt: skip
    time.sleep(dice.uniform(0.2, 0.8))
    victim.kill()
    time.sleep(dice.uniform(0, 1.5))
    victim.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(place.records()) == len(visits.flows)
