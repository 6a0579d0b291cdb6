# SPDX-License-Identifier: Apache-2.0
"""What the server's answers mean for each row, and where documents go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.elastic.reading import records, search
from servers.elastic.server import Node

from aicore import DatabaseAdaptor, FlowBatch, open_adaptor
from aicore.delivery import Delivery
from aicore.errors import Fatal
from aicore.testing import event, flow_id, lives, make_batch
from aicore.testing.contract import Store, connected

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

DAY = 86_400 * 1_000_000_000
FIRST = 1_700_006_400 * 1_000_000_000  # 2023-11-15 00:00:00 UTC

Open = Callable[[str], DatabaseAdaptor]


@pytest.fixture
def connect(node: Node, index: str) -> Iterator[Open]:
    """The adaptor on this test's index, with options."""
    opened: list[DatabaseAdaptor] = []

    def connect(query: str = "") -> DatabaseAdaptor:
        opened.append(connected(Store(f"{node.url}/{index}?{query}", records=list)))
        return opened[-1]

    yield connect
    for adaptor in opened:
        adaptor.close()


def days(*numbers: int, **fields: Any) -> FlowBatch:
    """One flow for each number, begun so many days after 15 November 2023."""
    return FlowBatch.from_rows(
        event("update", n, n + 1, first_seen=FIRST + number * DAY + n, last_seen=FIRST + number * DAY + n, **fields)
        for n, number in enumerate(numbers)
    )


def ids(node: Node, index: str) -> set[str]:
    return {hit["_id"] for hit in search(node, index)}


def test_only_the_rows_with_a_wrong_type_are_poison(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("period=none")
    node.request("PUT", f"/{index}", {"mappings": {"properties": {"network.protocol": {"type": "long"}}}})
    rows = [event("update", n, n + 1, layer7="tls" if n in (3, 777) else "7") for n in range(1500)]
    errors = adaptor.write(FlowBatch.from_rows(rows)) or []
    assert {(error.row, error.kind) for error in errors} == {(3, "poison"), (777, "poison")}
    assert "network.protocol" in errors[0].reason
    assert ids(node, index) == {flow_id(n) for n in range(1500)} - {flow_id(3), flow_id(777)}


def test_only_the_row_with_a_huge_string_is_poison(node: Node, index: str, connect: Open) -> None:
    rows = [event("update", n, n + 1, sslhost="x" * 102_400 if n == 5 else "y") for n in range(1000)]
    errors = connect("").write(FlowBatch.from_rows(rows)) or []
    assert [(error.row, error.kind) for error in errors] == [(5, "poison")]
    assert ids(node, index) == {flow_id(n) for n in range(1000) if n != 5}


def test_a_full_disk_is_worth_a_retry(node: Node, index: str, connect: Open) -> None:
    """What the server does to its indices when the disk is nearly full."""
    adaptor, batch = connect(""), days(0, 1, 0, 1)
    assert not adaptor.write(days(0))
    blocked = {"index.blocks.read_only_allow_delete": True}
    node.request("PUT", f"/{index}-2023.11.15/_settings", blocked)
    errors = adaptor.write(batch) or []
    # All rows: which ones get through at such a time says nothing about them.
    assert [(error.row, error.kind) for error in sorted(errors, key=lambda e: e.row)] == [
        (n, "retry") for n in range(4)
    ]
    node.request("PUT", f"/{index}-2023.11.15/_settings", {"index.blocks.read_only_allow_delete": None})
    assert not adaptor.write(batch)
    assert ids(node, index) == {flow_id(n) for n in range(4)}


def test_a_shard_that_is_away_is_worth_a_retry(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("")
    nowhere = {"settings": {"index.routing.allocation.require._name": "nobody"}}
    node.request("PUT", f"/{index}-2023.11.15?wait_for_active_shards=0", nowhere)
    errors = adaptor.write(days(0, 1)) or []
    assert [(error.row, error.kind) for error in errors] == [(0, "retry")]
    assert "503" in errors[0].reason
    assert ids(node, f"{index}-2023.11.16") == {flow_id(1)}


def test_a_closed_index_is_worth_a_retry_for_its_rows_alone(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("")
    assert not adaptor.write(days(0))
    node.request("POST", f"/{index}-2023.11.15/_close")
    errors = adaptor.write(days(0, 1, 0, 1)) or []
    assert [(error.row, error.kind) for error in errors] == [(0, "retry"), (2, "retry")]
    assert ids(node, f"{index}-2023.11.16") == {flow_id(1), flow_id(3)}
    node.request("POST", f"/{index}-2023.11.15/_open?wait_for_active_shards=1")
    assert not adaptor.write(days(0, 1, 0, 1))
    assert ids(node, index) == {flow_id(n) for n in range(4)}


def test_yesterdays_index_is_closed_and_todays_flows_are_delivered(node: Node, index: str, connect: Open) -> None:
    """On a quiet link, where the row that has to wait is alone in its batch."""
    first = connect("")
    assert not first.write(days(0))
    node.request("POST", f"/{index}-2023.11.15/_close")
    adaptor = open_adaptor(f"{node.url}/{index}")
    delivery = Delivery("x", adaptor, live=True, events="net", url=adaptor.url)
    delivery.start()
    try:
        delivery.put(days(0))
        until(lambda: delivery.counters()["retried"] > 2)
        for n in range(1, 6):
            begin = time.monotonic()
            delivery.put(days(*[0] * n, 1).take([n]))
            until(lambda n=n: delivery.counters()["delivered"] == n)
            assert time.monotonic() - begin < 3
        assert delivery.counters()["dead_lettered"] == 0
        node.request("POST", f"/{index}-2023.11.15/_open?wait_for_active_shards=1")
        until(lambda: delivery.counters()["delivered"] == 6)
    finally:
        delivery.finish(5)
    assert ids(node, index) == {flow_id(n) for n in range(6)}


def test_a_first_request_that_takes_long_does_not_end_a_run_on_files(
    node: Node, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that let us in. One that is not there is given up after START_SECONDS."""
    monkeypatch.setattr("aicore.delivery.health.START_SECONDS", 0.1)
    monkeypatch.setattr("aicore_elastic.clients.TIMEOUT", 0.5)
    adaptor = open_adaptor(f"{node.url}/{index}")
    delivery = Delivery("x", adaptor, live=False, events="net", url=adaptor.url, backoff=(0.05, 0.1))
    delivery.start()
    try:
        until(lambda: adaptor.answered)
        node.freeze()
        delivery.put(days(0))
        until(lambda: delivery.counters()["retried"] > 1)
    finally:
        node.thaw()
        delivery.finish(30)
    assert delivery.counters()["delivered"] == 1
    assert ids(node, index) == {flow_id(0)}


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("block", ["index.blocks.write", "index.blocks.read_only"])
def test_an_index_made_read_only_is_worth_a_retry(node: Node, index: str, connect: Open, block: str) -> None:
    adaptor = connect("")
    assert not adaptor.write(days(0))
    node.request("PUT", f"/{index}-2023.11.15/_settings", {block: True})
    errors = adaptor.write(days(0, 1)) or []
    assert [(error.row, error.kind) for error in errors] == [(0, "retry")]
    node.request("PUT", f"/{index}-2023.11.15/_settings", {block: False})


def test_a_cluster_that_takes_no_more_shards_stops_the_adaptor(node: Node, connect: Open) -> None:
    adaptor = connect("")
    assert not adaptor.write(days(0))
    node.request("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 1}})
    try:
        errors = adaptor.write(days(0, 1)) or []
    finally:
        node.request("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": None}})
    assert [(error.row, error.kind) for error in errors] == [(1, "fatal")]
    assert "shards" in errors[0].reason


def test_a_request_that_is_too_large_is_split(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("")
    batch = make_batch(2000, sslhost="s" * 3000, httpuri="u" * 3000)  # the node takes 4 MiB at most
    assert not adaptor.write(batch)
    assert ids(node, index) == {flow_id(n) for n in range(2000)}


def test_a_document_that_is_too_large_alone_is_poison(node: Node, index: str, connect: Open) -> None:
    rows = [event("update", n, n + 1, useragent="x" * 5_000_000 if n == 2 else "y") for n in range(5)]
    errors = connect("").write(FlowBatch.from_rows(rows)) or []
    assert [(error.row, error.kind) for error in errors] == [(2, "poison")]
    assert ids(node, index) == {flow_id(n) for n in (0, 1, 3, 4)}


@pytest.mark.parametrize(
    ("period", "names"),
    [("day", ["-2023.11.15", "-2023.11.16", "-2023.12.15"]), ("month", ["-2023.11", "-2023.12"]), ("none", [""])],
)
def test_the_index_is_that_of_first_seen(node: Node, index: str, connect: Open, period: str, names: list[str]) -> None:
    assert not connect(f"period={period}").write(days(0, 1, 30))
    hits = search(node, index)
    assert sorted({hit["_index"] for hit in hits}) == [index + name for name in names]
    (mapping,) = node.request("GET", f"/{index}{names[-1]}/_mapping").values()
    properties = mapping["mappings"]["properties"]
    assert properties["source"]["properties"]["ip"] == {"type": "ip"}
    assert properties["event"]["properties"]["start"] == {"type": "date_nanos"}
    assert {hit["_version"] for hit in hits} == {1, 2, 3}


def test_wild_times_do_not_fill_the_cluster_with_indices(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("indices=2")
    errors = adaptor.write(days(0, 1, 2, 0, 3)) or []
    assert [(error.row, error.kind) for error in errors] == [(2, "poison"), (4, "poison")]
    assert ids(node, index) == {flow_id(n) for n in (0, 1, 3)}


def test_a_flow_whose_first_packet_comes_late_moves(node: Node, index: str, connect: Open) -> None:
    """At midnight a packet out of order takes a flow's beginning to the day before."""
    adaptor = connect("")
    rows = {
        kind: event(kind, 1, version, first_seen=first, last_seen=FIRST + 9)
        for version, (kind, first) in enumerate([("insert", FIRST), ("update", FIRST - 1), ("remove", FIRST - 2)], 1)
    }
    for _ in range(2):
        for kind, where in (("insert", "15"), ("update", "14"), ("remove", "14")):
            assert not adaptor.write(FlowBatch.from_rows([rows[kind], event("update", 2, 9, first_seen=FIRST)]))
            if kind != "insert":
                found = {hit["_id"]: hit["_index"] for hit in search(node, index)}
                assert found == {flow_id(1): f"{index}-2023.11.{where}", flow_id(2): f"{index}-2023.11.15"}


def test_ended_flows_can_be_deleted(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("ended=delete")
    batch = lives(range(10), updates=2)
    for kind in ("insert", "update", "remove"):
        part = batch.kind(kind)
        assert part is not None
        assert not adaptor.write(part.net())
        assert len(ids(node, index)) == (0 if kind == "remove" else 10)
    assert not adaptor.write(batch.net())  # again: nothing is there to delete
    stale = batch.kind("update")
    assert stale is not None
    assert not adaptor.write(stale.net())
    assert ids(node, index) == set()


def test_the_template_becomes_the_users_own(node: Node, index: str, connect: Open) -> None:
    connect("")
    (template,) = node.request("GET", f"/_index_template/{index}")["index_templates"]
    own = template["index_template"] | {"template": {"settings": {"number_of_replicas": 0}}}
    node.request("PUT", f"/_index_template/{index}", own)
    adaptor = connect("")
    assert not adaptor.write(days(0))
    (settings,) = node.request("GET", f"/{index}-2023.11.15/_settings").values()
    assert settings["settings"]["index"]["number_of_replicas"] == "0"
    (mapping,) = node.request("GET", f"/{index}-2023.11.15/_mapping").values()
    assert mapping["mappings"]["properties"]["@timestamp"] == {"type": "alias", "path": "event.start"}


def test_without_a_template_only_rows_are_written(node: Node, index: str, connect: Open) -> None:
    adaptor = connect("template=no")
    assert index not in str(node.request("GET", "/_index_template"))
    assert f"{index}-mappings" not in str(node.request("GET", "/_component_template"))
    assert not adaptor.write(days(0))
    assert [record["flow_id"] for record in records(node, index)] == [flow_id(0)]


def test_ecs_names_can_be_searched(node: Node, index: str, connect: Open) -> None:
    assert not connect("").write(make_batch(20, kind="remove", dnsips=["192.0.2.7"], vlan=7))
    node.request("POST", f"/{index}-*/_refresh")
    for query in (
        {"term": {"source.ip": "10.0.0.0/28"}},
        {"range": {"@timestamp": {"gte": "2023-11-14T22:13:20.000000000Z", "lt": "2023-11-14T22:13:20.000000016Z"}}},
    ):
        answer = node.request("POST", f"/{index}-*/_search", {"query": query})
        assert answer["hits"]["total"]["value"] == 16
    for name, value in (("dns.resolved_ip", "192.0.2.0/24"), ("network.vlan.id", "7"), ("aicore.end_reason", "fin")):
        answer = node.request("POST", f"/{index}-*/_search", {"query": {"term": {name: value}}})
        assert answer["hits"]["total"]["value"] == 20


def test_rows_of_a_closed_adaptor_are_not_lost_in_silence(connect: Open) -> None:
    adaptor = connect("")
    adaptor.close()
    with pytest.raises(Fatal, match="not connected"):
        adaptor.write(days(0))
