# SPDX-License-Identifier: Apache-2.0
"""`memory:`: flows and events in the process."""

from __future__ import annotations

from pathlib import Path

import pytest

import aicore
from aicore.adaptors.memory import MemoryAdaptor
from aicore.testing.batches import flow_id, lives, make_batch


def test_the_latest_record_of_each_flow_and_every_event() -> None:
    memory = MemoryAdaptor()
    batch = lives(range(3), updates=2)
    memory.write(batch)
    assert [(record["event"], record["version"], record["key"]) for record in memory.log] == [
        (flow.event, flow.version, flow.key) for flow in batch
    ]
    assert list(memory.flows) == [flow_id(n) for n in range(3)]
    assert {record["event"] for record in memory.flows.values()} == {"remove"}
    assert memory.flows[flow_id(1)]["first_seen"] == 1_700_000_000_000_000_001


def test_an_older_version_stands_in_the_log_alone() -> None:
    memory = MemoryAdaptor()
    memory.write(make_batch(1, version=5))
    memory.write(make_batch(1, version=4))
    assert [record["version"] for record in memory.log] == [5, 4]
    assert memory.flows[flow_id(0)]["version"] == 5


def test_the_limit_drops_the_oldest_and_counts_them() -> None:
    memory = aicore.open_adaptor("memory:?limit=10")
    memory.write(make_batch(25))
    assert list(memory.flows) == [flow_id(n) for n in range(15, 25)]
    assert len(memory.log) == 10
    assert memory.dropped == 30


def test_a_limit_below_one_is_an_error() -> None:
    with pytest.raises(aicore.UsageError, match="at least 1"):
        aicore.open_adaptor("memory:?limit=0")


def test_a_program_reads_it_after_the_run(capture_file: Path) -> None:
    memory = MemoryAdaptor()
    stack = aicore.StackLan()
    stack.set_udp_database_adaptor(memory, 16)
    with aicore.PacketDispatcher(str(capture_file)) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    udp = [flow for flow in aicore.flows(capture_file) if flow.proto == 17]
    assert set(memory.flows) == {flow.flow_id for flow in udp}
    assert sum(record["event"] == "remove" for record in memory.log) == len(udp)
