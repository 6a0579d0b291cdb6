# SPDX-License-Identifier: Apache-2.0
"""Records that come late, out of dead letters or a spool, and what other runs have written meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from server import Server
from stores import flow_records
from test_layouts import connected, everything

import aicore
from aicore import FlowBatch
from aicore.delivery import DeadLetters, Delivery, Spool
from aicore.errors import UsageError
from aicore.run.replay import deadletter_replay
from aicore.testing import FaultyAdaptor, event, flow_id, make_batch

KEEPING = "?layout=flow&ended=keep"


def letters(folder: Path, batch: FlowBatch) -> Path:
    DeadLetters(folder, "redis").write((line, "as planned", 1) for line in batch.json(True))
    (file,) = folder.glob("redis-*.jsonl")
    return file


def versions(server: Server) -> dict[str, int]:
    return {record["flow_id"]: int(record["version"]) for record in flow_records(server)}


def test_dead_letters_never_replace_newer_records(empty: Server, tmp_path: Path) -> None:
    file = letters(tmp_path, make_batch(4, version=10))
    adaptor = connected(empty.url + KEEPING)
    assert adaptor.write(make_batch(2, version=500)) == []
    adaptor.close()
    assert deadletter_replay(file, empty.url + KEEPING) == {"delivered": 4, "refused": 0, "not_delivered": 0}
    assert versions(empty) == {flow_id(0): 500, flow_id(1): 501, flow_id(2): 12, flow_id(3): 13}
    deadletter_replay(file, empty.url + KEEPING, force=True)
    assert all(version > 501 for version in versions(empty).values())


@pytest.mark.parametrize("query", ["", "?ended=keep", "?layout=flow", "?layout=stream"])
def test_where_versions_cannot_be_compared_replay_leaves_the_store_out(
    empty: Server, tmp_path: Path, query: str
) -> None:
    file = letters(tmp_path, make_batch(3, kind="insert"))
    with pytest.raises(UsageError, match=r"redis:.* is left out: redis cannot tell .*--force"):
        deadletter_replay(file, empty.url + query)
    assert everything(empty) == {}
    assert deadletter_replay(file, empty.url + query, force=True)["delivered"] == 3
    assert empty.ask("DBSIZE") > 0


@pytest.mark.parametrize("query", [KEEPING, "?layout=flow"])
def test_a_spool_never_replaces_newer_records(empty: Server, tmp_path: Path, query: str) -> None:
    """Of a run whose store was away, while another run wrote: neither its updates nor its ends win."""

    def delivery(adaptor: Any, url: Any = None) -> Delivery:
        spool = Spool(tmp_path / "redis", min_free=0.0)
        return Delivery("redis", adaptor, live=True, events="net", transports={6}, url=url, spool=spool)

    away = FaultyAdaptor()
    away.down = ConnectionError("away")
    first = delivery(away)
    first.start()
    first.put(FlowBatch.from_rows([event("update", 0, 10), event("remove", 1, 11), event("update", 2, 12)]))
    first.finish(0)
    assert first.counters()["spooled"] == 3
    adaptor = connected(empty.url + query)
    assert adaptor.write(make_batch(2, version=500)) == []
    adaptor.close()
    adaptor = aicore.open_adaptor(empty.url + query)
    second = delivery(adaptor, adaptor.url)
    second.start()
    second.finish(20)
    assert second.counters()["delivered"] == 3
    assert versions(empty) == {flow_id(0): 500, flow_id(1): 501, flow_id(2): 12}
