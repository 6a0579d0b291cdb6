# SPDX-License-Identifier: Apache-2.0
"""What stands in the tables after a batch, and how it is found."""

from __future__ import annotations

import datetime
import socket
import subprocess
import sys
from typing import Any

import pytest
from aicore_cassandra.link import Link, Request
from cassandra.query import UNSET_VALUE
from conftest import Keyspace
from support import connected, write

from aicore import FlowBatch
from aicore.testing import event, flow_id, life, lives, make_batch

DAY = 86_400_000_000_000
MIDNIGHT = 19_700 * DAY  # 2023-12-09


def test_a_flow_is_found_by_its_id(keyspace: Keyspace) -> None:
    write(keyspace.url, lives(range(50), updates=2))
    (row,) = keyspace.ask(
        "SELECT * FROM {}.flows WHERE day = '2023-11-14' AND bucket = '0' AND flow_id = %s", flow_id(7)
    )
    assert (row["key"], row["packets"], row["end_reason"]) == ("10.0.0.7:1031:6:192.0.2.1:443", 158, "fin")
    assert row["version"] == 158


def test_the_bucket_is_the_ids_first_digit(keyspace: Keyspace) -> None:
    ids = [f"{digit:x}{n:031x}" for digit in range(16) for n in range(3)]
    write(keyspace.url, FlowBatch.from_rows(event("insert", n, n + 1, flow_id=flow) for n, flow in enumerate(ids)))
    found = keyspace.ask("SELECT bucket, flow_id FROM {}.flows")
    assert sorted((row["bucket"], row["flow_id"]) for row in found) == [(flow[0], flow) for flow in ids]


def test_values_arrive_as_they_are(keyspace: Keyspace) -> None:
    hostile = "a'; DROP TABLE flows; --\x1b[2J\u202e é\0"
    fields = {
        "retransmissions": 0,
        "dnsdomains": ["a", "é", ""],
        "dnsips": [],
        "risk": 0.5,
        "httphost": hostile,
        "big": 2**63 - 1,
    }
    write(keyspace.url, FlowBatch.from_rows([event("update", 1, 1, **fields)]))
    (row,) = keyspace.ask("SELECT * FROM {}.flows")
    assert {name: row[name] for name in fields} == fields | {"dnsips": row["dnsips"]}
    assert row["dnsips"] in (None, [])
    assert row["sensor"] is None
    assert row["first_seen"] == 1_700_000_000_000_000_001


def test_absent_values_leave_no_tombstones(keyspace: Keyspace) -> None:
    rows = [event("update", n, n + 1, dnsdomains=["a", "b"], dnsips=["192.0.2.1"]) for n in range(64)]
    write(keyspace.url, FlowBatch.from_rows(rows), FlowBatch.from_rows(event("update", n, 100 + n) for n in range(64)))
    result = keyspace.session.execute(f"SELECT * FROM {keyspace.name}.flows", trace=True)
    assert len(list(result)) == 64
    steps = [step.description for step in result.get_query_trace(max_wait_sec=30).events]
    reads = [step for step in steps if "tombstone cells" in step]
    assert reads, steps
    assert all("and 0 tombstone cells" in step for step in reads), reads


def test_an_older_version_changes_nothing_and_an_equal_one_is_written_again(keyspace: Keyspace) -> None:
    write(keyspace.url, make_batch(1, version=10, layer7="tls"))
    write(keyspace.url, make_batch(1, version=9, layer7="old"))
    assert keyspace.ask("SELECT version, layer7 FROM {}.flows") == [{"version": 10, "layer7": "tls"}]
    write(keyspace.url, make_batch(1, version=11, layer7="new"))
    assert keyspace.ask("SELECT version, layer7 FROM {}.flows") == [{"version": 11, "layer7": "new"}]


def test_a_record_replaces_the_row(keyspace: Keyspace) -> None:
    """In both tables nothing of an earlier record stays, nor of a run that had more fields."""
    early = event("remove", 1, 10, vlan=7, httphost="old.example", end_reason="fin", fromplugin="x", layer7="http")
    late = event("insert", 1, 11, sslhost=None, layer7=None)
    write(keyspace.url, FlowBatch.from_rows([early]))
    write(keyspace.url, FlowBatch.from_rows([late]))
    (found,) = keyspace.records()
    (ends,) = of_host(keyspace, "10.0.0.1")
    assert found == {name: value for name, value in FlowBatch.from_rows([late]).row(0).items() if value is not None}
    assert (ends["version"], ends["layer7"], ends["end_reason"]) == (11, None, None)
    # What comes late, in whatever order, changes nothing.
    write(keyspace.url, FlowBatch.from_rows([early]))
    assert keyspace.records() == [found]
    assert of_host(keyspace, "10.0.0.1") == [ends]


def test_rows_live_as_long_as_asked(keyspace: Keyspace) -> None:
    write(f"{keyspace.url}&ttl=1000", lives(range(3)))
    for table in ("flows", "flows_by_host"):
        times = keyspace.ask(f"SELECT TTL(bytes) AS seconds FROM {{}}.{table}")
        assert times
        assert all(900 < row["seconds"] <= 1000 for row in times)


# -- ended=delete -----------------------------------------------------------------------------------------------------


def test_ended_flows_are_deleted_from_both_tables(keyspace: Keyspace) -> None:
    url = f"{keyspace.url}&ended=delete"
    write(url, make_batch(50, kind="insert"), make_batch(20, kind="remove", version=100))
    left = {flow_id(n) for n in range(20, 50)}
    assert keyspace.versions().keys() == left
    by_host = keyspace.ask("SELECT host, flow_id FROM {}.flows_by_host")
    assert len(by_host) == 60
    assert {row["flow_id"] for row in by_host} == left


def test_a_deleted_flow_stays_deleted_and_a_later_run_brings_it_back(keyspace: Keyspace) -> None:
    url = f"{keyspace.url}&ended=delete"
    write(url, FlowBatch.from_rows(life(1, 1000)))
    write(url, FlowBatch.from_rows([event("update", 1, 999)]))  # late, of an attempt that timed out
    assert keyspace.records() == []
    write(url, FlowBatch.from_rows([event("insert", 1, 2000)]))
    assert keyspace.versions() == {flow_id(1): 2000}
    assert len(keyspace.ask("SELECT host FROM {}.flows_by_host")) == 2


def test_deletions_are_purged_after_hours_not_days(keyspace: Keyspace) -> None:
    write(f"{keyspace.url}&ended=delete", lives([1]))
    write(f"{keyspace.url}&table=kept", lives([1]))
    found = keyspace.ask(
        "SELECT table_name, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = %s", keyspace.name
    )
    assert {row["table_name"]: row["gc_grace_seconds"] for row in found} == {
        "flows": 10_800,
        "flows_by_host": 10_800,
        "kept": 864_000,
        "kept_by_host": 864_000,
    }


# -- flows_by_host ----------------------------------------------------------------------------------------------------


def of_host(keyspace: Keyspace, host: str, day: str = "2023-11-14", more: str = "") -> list[dict[str, Any]]:
    return keyspace.ask(f"SELECT * FROM {{}}.flows_by_host WHERE host = %s AND day = %s {more}", host, day)


def test_both_ends_of_a_flow_find_it(keyspace: Keyspace) -> None:
    write(keyspace.url, lives(range(30)))
    (mine,) = of_host(keyspace, "10.0.0.7")
    assert (mine["flow_id"], mine["portdst"], mine["end_reason"], mine["layer7"]) == (flow_id(7), 443, "fin", "tls")
    theirs = of_host(keyspace, "192.0.2.1")
    assert [row["flow_id"] for row in theirs] == [flow_id(n) for n in range(30)]
    start = 1_700_000_000_000_000_000
    some = of_host(keyspace, "192.0.2.1", more=f"AND first_seen >= {start + 10} AND first_seen < {start + 20}")
    assert [row["flow_id"] for row in some] == [flow_id(n) for n in range(10, 20)]


def test_a_flow_within_one_host_stands_there_once(keyspace: Keyspace) -> None:
    write(keyspace.url, FlowBatch.from_rows(life(1, 1, ipsrc="127.0.0.1", ipdst="127.0.0.1")))
    assert len(of_host(keyspace, "127.0.0.1")) == 1


def test_the_table_by_host_is_written_at_the_beginning_and_at_the_end(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    for kind, version in (("insert", 1), ("update", 50), ("remove", 90)):
        assert adaptor.write(make_batch(3, kind=kind, version=version).net()) == []
        versions = {row["version"] for row in keyspace.ask("SELECT version FROM {}.flows_by_host")}
        expected = {"insert": {1, 2, 3}, "update": {1, 2, 3}, "remove": {90, 91, 92}}[kind]
        assert versions == expected
    adaptor.close()


def test_without_the_table_by_host(keyspace: Keyspace) -> None:
    write(f"{keyspace.url}&by_host=no", lives(range(3)))
    tables = keyspace.ask("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", keyspace.name)
    assert tables == [{"table_name": "flows"}]


def test_a_first_packet_that_comes_late_moves_the_flow(keyspace: Keyspace) -> None:
    """first_seen is part of the keys, and falls when a packet with an earlier time comes later, over midnight too."""
    adaptor = connected(keyspace.url)
    for kind, version, first in (
        ("insert", 1, MIDNIGHT + 5),
        ("update", 2, MIDNIGHT + 5),
        ("update", 3, MIDNIGHT - 5),
        ("remove", 4, MIDNIGHT - 9),
    ):
        assert adaptor.write(make_batch(2, kind=kind, version=version * 10, first_seen=first).net()) == []
        found = keyspace.ask("SELECT flow_id, day, first_seen FROM {}.flows")
        assert len(found) == 2
        assert {row["first_seen"] for row in found} == {first}
        assert {row["day"].date() for row in found} == {datetime.date(1970, 1, 1) + datetime.timedelta(first // DAY)}
        by_host = keyspace.ask("SELECT host, flow_id, first_seen FROM {}.flows_by_host")
        assert len(by_host) == 4
        assert {row["first_seen"] for row in by_host} == {first}
    adaptor.close()


def test_the_same_from_the_beginning_once_more(keyspace: Keyspace) -> None:
    """A second run writes the flow where it first stood, and moves it again."""
    for base in (0, 1000):
        adaptor = connected(keyspace.url)
        for kind, version, first in (("insert", 1, MIDNIGHT + 5), ("remove", 4, MIDNIGHT - 9)):
            row = event(kind, 1, base + version, first_seen=first)
            assert adaptor.write(FlowBatch.from_rows([row]).net()) == []
        adaptor.close()
        assert keyspace.versions() == {flow_id(1): base + 4}
        assert len(keyspace.ask("SELECT host FROM {}.flows_by_host")) == 2


# -- the way there ----------------------------------------------------------------------------------------------------


def test_a_batch_goes_as_few_requests_of_one_partition_each(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Request] = []
    send = Link.send

    def spy(link: Link, requests: Any) -> Any:
        sent.extend(requests := list(requests))
        return send(link, requests)

    monkeypatch.setattr(Link, "send", spy)
    ids = [f"{n % 16:x}{n:031x}" for n in range(1024)]
    write(keyspace.url, FlowBatch.from_rows(event("insert", n, n + 1, flow_id=flow) for n, flow in enumerate(ids)))
    partitions: dict[str, list[int]] = {"flows": [], "flows_by_host": []}
    sizes: dict[str, list[int]] = {"flows": [], "flows_by_host": []}
    for request in sent:
        table = request.statements[0].prepared_statement.column_metadata[0].table_name
        partitions[table].append(len({statement.routing_key for statement in request.statements}))
        sizes[table].append(len(request.statements))
    assert sizes["flows"] == [64] * 16
    assert set(partitions["flows"]) == {1}
    # One host has all flows, the others one each: those share requests, as many as the server takes without a warning.
    assert sorted(sizes["flows_by_host"], reverse=True)[:11] == [100] * 10 + [24]
    assert max(partitions["flows_by_host"]) == 10
    assert sum(sizes["flows_by_host"]) == 2048


def test_what_is_absent_is_not_sent(keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Request] = []
    monkeypatch.setattr(Link, "send", lambda _, requests: sent.extend(requests) or [])
    write(f"{keyspace.url}&by_host=no", make_batch(1))
    (statement,) = sent[0].statements
    names = [column.name for column in statement.prepared_statement.column_metadata]
    absent = {name for name, value in zip(names, statement.values, strict=True) if value is UNSET_VALUE}
    assert {"vlan", "sensor", "end_reason", "tunnel"} <= absent
    assert None not in statement.values
    assert names[-1] == "[timestamp]"


def test_sockets_do_not_wait(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    assert adaptor._store is not None
    link = adaptor._store._link
    assert link is not None
    for pool in link._session._pools.values():
        connections = pool._connections if hasattr(pool, "_connections") else [pool._connection]
        for connection in connections:
            assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert connection.out_buffer_size == 65_536
    adaptor.close()


def test_the_driver_is_imported_when_a_url_connects() -> None:
    code = "import sys, aicore_cassandra; aicore_cassandra.CassandraAdaptor(); assert 'cassandra' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
