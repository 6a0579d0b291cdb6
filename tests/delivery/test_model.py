# SPDX-License-Identifier: Apache-2.0
"""A delivery against a model: whatever fails, in whatever order, what is promised is kept."""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aicore.delivery import Delivery, Spool, balance
from aicore.record.batch import FlowBatch
from aicore.testing import FaultyAdaptor, event, flow_id

FLOWS = st.integers(0, 30)


class DeliveryModel(RuleBasedStateMachine):
    """Flows live and end; the store fails in every way there is; runs end and begin again on the same spool.

    At the end, after the store is well: every flow's last row is in the store, unless it is a dead letter; no flow's
    rows came out of order within one run, nor twice unless a row of its key was refused for now, behind which later
    ones are written again, all of them, so that no flow goes back; every event is accounted for.
    """

    one: Delivery

    @initialize(live=st.booleans(), net=st.booleans(), queue=st.sampled_from([5_000, 50_000, 64 << 20]))
    def begin(self, live: bool, net: bool, queue: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="aicore-model-"))
        self.live, self.net, self.queue = live, net, queue
        self.version = 0
        self.alive: set[int] = set()
        self.generation: dict[int, int] = {}
        self.last: dict[str, tuple[int, str]] = {}  # flow_id: version, event
        self.suspects: set[str] = set()  # flows of which a row was refused for itself, ever
        self.number: dict[str, int] = {}  # of a flow: what its key is made of
        self.refused_for_now: set[int] = set()  # numbers of flows of which a row was, ever
        self.refused: dict[str, str] = {}  # flow_id: fate
        self.store = FaultyAdaptor("net" if net else "all")
        self.store.fate = lambda row: self.refused.get(row["flow_id"], "ok")  # type: ignore[arg-type, return-value]
        self.open()

    def open(self) -> None:
        self.store.log.clear()
        self.one = Delivery(
            "x",
            self.store,
            live=self.live,
            events=self.store.events,
            transports={6},
            queue_bytes=self.queue,
            spool=Spool(self.path / "spool", min_free=0.0, segment_bytes=10_000),
            wait=math.inf,
            backoff=(0.0005, 0.005),
        )
        self.one.start()

    def row(self, kind: str, number: int) -> dict[str, Any]:
        self.version += 1
        name = flow_id(number + 1000 * self.generation.get(number, 0))
        self.last[name] = self.version, kind
        self.number[name] = number
        # The generations of a flow have one key, as connections of one port pair do.
        return event(kind, number, self.version, flow_id=name)

    @rule(numbers=st.lists(FLOWS, min_size=1, max_size=40), ends=st.randoms(use_true_random=False))
    def put(self, numbers: list[int], ends: random.Random) -> None:
        rows = []
        for number in numbers:
            if number not in self.alive:
                self.alive.add(number)
                self.generation[number] = self.generation.get(number, 0) + 1
                rows.append(self.row("insert", number))
            elif ends.random() < 0.3:
                self.alive.discard(number)
                rows.append(self.row("remove", number))
            else:
                rows.append(self.row("update", number))
        # put() of a run on files waits for the store; this test is the only one who could heal it.
        if not self.live and self.store.down:
            self.store.down = None
        self.one.put(FlowBatch.from_rows(rows))

    @rule()
    def break_store(self) -> None:
        self.store.down = ConnectionError("away")

    @rule()
    def heal_store(self) -> None:
        self.store.down = None

    @rule(number=FLOWS, fate=st.sampled_from(["retry", "poison", "raise", "ok"]))
    def refuse(self, number: int, fate: str) -> None:
        name = flow_id(number + 1000 * self.generation.get(number, 0))
        if not self.live and fate in ("retry", "raise"):
            return  # see put()
        if fate == "ok":
            self.refused.pop(name, None)
        else:
            self.refused[name] = fate
            self.suspects.add(name)
            if fate == "retry":
                self.refused_for_now.add(number)

    @rule()
    def wait(self) -> None:
        time.sleep(0.01)

    @rule(seconds=st.sampled_from([0.0, 0.02]))
    def restart(self, seconds: float) -> None:
        self.end(seconds)
        self.open()

    def end(self, seconds: float) -> None:
        self.one.finish(seconds)
        self.one.sender.thread.join(5)
        counters = self.one.counters()
        assert balance(counters) == 0, counters
        assert min(counters.values()) >= 0, counters
        assert counters["queued"] == counters["lost"] == counters["shed"] == 0, counters
        seen: dict[str, list[int]] = {}  # versions of a flow, in the order in which they were written first
        now: dict[str, int] = {}
        for name, _, version in self.store.log:
            versions = seen.setdefault(name, [0])
            repeat = version in versions and self.number[name] in self.refused_for_now
            assert repeat or versions[-1] < version, "a flow's rows came out of order, or twice"
            now[name] = version
            if not repeat:
                versions.append(version)
        assert now == {name: versions[-1] for name, versions in seen.items()}, "a flow went back"

    def teardown(self) -> None:
        if not hasattr(self, "path"):
            return
        self.store.down = None
        self.refused = {name: fate for name, fate in self.refused.items() if fate == "poison"}
        self.end(20)
        counters = self.one.counters()
        assert counters["spooled"] == 0, counters
        dead = {
            json.loads(line)["record"]["flow_id"]
            for path in self.path.glob("deadletter/*")
            for line in path.read_text().splitlines()
        }
        assert dead <= self.suspects, "an outage made a dead letter"
        for name, (version, kind) in self.last.items():
            if name not in dead:
                assert self.store.rows[name] == {"event": kind, "version": version}
        shutil.rmtree(self.path)


TestDeliveryModel = DeliveryModel.TestCase
TestDeliveryModel.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.fault
class TestDeliveryModelLong(DeliveryModel.TestCase):  # type: ignore[misc]
    settings = settings(TestDeliveryModel.settings, max_examples=2_000, stateful_step_count=50)
