# SPDX-License-Identifier: Apache-2.0
"""What stands in Redis after a batch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from aicore_redis import RedisAdaptor
from aicore_redis import commands as make
from server import Server
from stores import flow_records, hash_records, stream_entries

import aicore
from aicore import FlowBatch
from aicore.errors import UsageError
from aicore.testing import event, flow_id, lives, make_batch


def connected(url: str) -> RedisAdaptor:
    adaptor: RedisAdaptor = aicore.open_adaptor(url)
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    return adaptor


def write(server: Server, query: str, *batches: FlowBatch) -> RedisAdaptor:
    """Writes as the delivery does; nothing may be refused."""
    adaptor = connected(server.url + query)
    for batch in batches:
        assert adaptor.write(batch.net() if adaptor.events == "net" else batch) == []
    adaptor.close()
    return adaptor


def commands(server: Server, *names: str) -> dict[str, int]:
    """How often the server has run them since CONFIG RESETSTAT."""
    found = server.ask("INFO", "commandstats")
    return {name: found.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names}


# -- layout=hash ---------------------------------------------------------------------------------------------------


def test_live_flows_stand_in_the_hash_of_their_transport(empty: Server) -> None:
    batch = FlowBatch.from_rows(event("insert", n, n + 1, proto=6 if n % 3 else 17) for n in range(30))
    write(empty, "", batch)
    tcp, udp = empty.ask("HGETALL", "tcpflows"), empty.ask("HGETALL", "udpflows")
    assert (len(tcp), len(udp)) == (20, 10)
    expected = {key: text.decode() for key, text in zip(batch.keys(), batch.json(), strict=True)}
    assert tcp | udp == expected


def test_an_insert_writes_the_record_never_an_empty_one(empty: Server) -> None:
    """An insert that comes a second time, after a lost answer, must not wipe what came behind it in the batch."""
    rows = [event("insert", 1, 1), event("update", 1, 2, layer7="http")]
    write(empty, "", FlowBatch.from_rows(rows[:1]))
    (first,) = hash_records(empty)
    assert (first["packets"], first["seq"]) == (1, 1)
    write(empty, "", FlowBatch.from_rows(rows))
    (record,) = hash_records(empty)
    assert (record["layer7"], record["seq"]) == ("http", 2)


def test_ended_flows_are_deleted(empty: Server) -> None:
    write(empty, "", make_batch(50, kind="insert"), make_batch(20, kind="remove", version=100))
    assert {record["flow_id"] for record in hash_records(empty)} == {flow_id(n) for n in range(20, 50)}


def test_ended_flows_are_kept_when_asked(empty: Server) -> None:
    write(empty, "?ended=keep", lives(range(20)))
    records = list(hash_records(empty))
    assert len(records) == 20
    assert {record["end_reason"] for record in records} == {"fin"}


def test_a_key_that_is_used_again_in_one_batch_belongs_to_the_new_flow(empty: Server) -> None:
    same = {"ipsrc": "10.0.0.9", "portsrc": 9, "proto": 17}
    write(empty, "", FlowBatch.from_rows([event("insert", 1, 1, **same)]))
    rows = [event("update", 1, 2, **same), event("remove", 1, 3, **same), event("insert", 2, 4, **same)]
    write(empty, "", FlowBatch.from_rows(rows))
    (record,) = hash_records(empty)
    assert record["flow_id"] == flow_id(2)


@pytest.mark.parametrize("query", ["", "?layout=flow"])
def test_the_last_word_about_a_key_counts(empty: Server, query: str) -> None:
    """Rows that failed come again in one batch with later ones of their flow."""
    rows = [event("insert", 1, 1), event("update", 2, 2), event("update", 1, 3), event("remove", 1, 4)]
    adaptor = connected(empty.url + query)
    assert adaptor.write(FlowBatch.from_rows(rows)) == []
    assert adaptor.write(FlowBatch.from_rows(rows[:2])) == []
    assert adaptor.write(FlowBatch.from_rows(rows[2:])) == []
    adaptor.close()
    records = flow_records(empty) if query else hash_records(empty)
    assert [record["flow_id"] for record in records] == [flow_id(2)]


@pytest.mark.parametrize("layout", ["hash", "flow"])
def test_rows_of_one_key_stand_in_one_command(layout: str) -> None:
    """Of two commands the server may have had no room for the first: sent again, it would take the key back."""
    batch = FlowBatch.from_rows(event("update", n % 700, n + 1) for n in range(1400))
    if layout == "hash":
        made = list(make.hashes(batch, "tcp", "udp", delete=True))
        names = [name for command in made for name in command.args[2::2]]
    else:
        made = list(make.flow_hashes(batch, "flow:", delete=True, ttl=0))
        names = [command.args[3] for command in made]
    assert len(names) == len(set(names)) == 700
    assert len(made) == (2 if layout == "hash" else 700)
    assert sorted(row for command in made for row in command.rows) == list(range(1400))
    for command in made:
        latest = [row for row in command.rows if row >= 700]
        assert sorted(command.rows) == sorted([*latest, *(row - 700 for row in latest)])


def test_names_are_options(empty: Server) -> None:
    batch = FlowBatch.from_rows([event("insert", 1, 1), event("insert", 2, 2, proto=17)])
    write(empty, "?tcp=net1%3Atcp&udp=net1%3Audp", batch)
    assert sorted(empty.ask("KEYS", "*")) == ["net1:tcp", "net1:udp"]


def test_a_batch_costs_at_most_four_commands(empty: Server) -> None:
    rows = [event(kind, n, n + 1, proto=proto) for n, (kind, proto) in enumerate(KINDS * 250)]
    empty.ask("CONFIG", "RESETSTAT")
    write(empty, "", FlowBatch.from_rows(rows))
    assert commands(empty, "hset", "hdel", "multi", "eval", "evalsha") == {
        "hset": 2,
        "hdel": 2,
        "multi": 0,
        "eval": 0,
        "evalsha": 0,
    }


KINDS = [("insert", 6), ("remove", 6), ("update", 17), ("remove", 17)]


def test_ipv6_keys(empty: Server) -> None:
    write(empty, "", FlowBatch.from_rows([event("insert", 1, 1, ipsrc="2001:db8::1", ipdst="2001:db8::2")]))
    assert empty.ask("HKEYS", "tcpflows") == ["[2001:db8::1]:1025:6:[2001:db8::2]:443"]


# -- layout=flow ---------------------------------------------------------------------------------------------------


def test_a_hash_for_each_flow(empty: Server) -> None:
    write(empty, "?layout=flow", FlowBatch.from_rows([event("update", 1, 7, dnsips=["192.0.2.1", "192.0.2.2"])]))
    stored = empty.ask("HGETALL", f"flow:{flow_id(1)}")
    assert stored["key"] == "10.0.0.1:1025:6:192.0.2.1:443"
    assert stored["bytes"] == "700"
    assert stored["first_seen"] == "1700000000000000001"
    assert json.loads(stored["dnsips"]) == ["192.0.2.1", "192.0.2.2"]
    assert not {"end_reason", "vlan", "httphost"} & stored.keys(), "absent fields are absent"
    assert empty.ask("TTL", f"flow:{flow_id(1)}") == -1


def test_flow_hashes_of_ended_flows(empty: Server) -> None:
    write(empty, "?layout=flow", make_batch(50, kind="insert"), make_batch(20, kind="remove", version=100))
    assert {record["flow_id"] for record in flow_records(empty)} == {flow_id(n) for n in range(20, 50)}
    write(empty, "?layout=flow&ended=keep", make_batch(50, kind="remove", version=200))
    assert [record["end_reason"] for record in flow_records(empty)] == ["fin"] * 50


def test_ttl_runs_from_the_last_record(empty: Server) -> None:
    name = f"flow:{flow_id(0)}"
    write(empty, "?layout=flow&ended=keep&ttl=100", make_batch(1, kind="insert"))
    empty.ask("EXPIRE", name, 5)
    write(empty, "?layout=flow&ended=keep&ttl=100", make_batch(1, kind="remove", version=2))
    assert 90 <= empty.ask("TTL", name) <= 100


def test_prefix(empty: Server) -> None:
    write(empty, "?layout=flow&prefix=x/", make_batch(1))
    assert empty.ask("KEYS", "*") == [f"x/{flow_id(0)}"]


def test_a_record_replaces_the_hash(empty: Server) -> None:
    """Nothing of an earlier record stays, nor of a run with more fields, nor its time to live."""
    name = f"flow:{flow_id(1)}"
    early = event("update", 1, 1, httphost="old.example", vlan=7, fromplugin="x")
    write(empty, "?layout=flow&ended=keep&ttl=100", FlowBatch.from_rows([early]))
    late = FlowBatch.from_rows([event("update", 1, 2, sslhost="new.example")])
    write(empty, "?layout=flow&ended=keep", late)
    found = empty.ask("HGETALL", name)
    assert found["sslhost"] == "new.example"
    assert not {"httphost", "vlan", "fromplugin"} & found.keys()
    empty.ask("DEL", name)
    write(empty, "?layout=flow&ended=keep", late)
    assert empty.ask("HGETALL", name) == found
    assert empty.ask("TTL", name) == -1


@pytest.mark.parametrize(("old", "new"), [(9, 10), (99, 100), ((1 << 53) + 1, (1 << 53) + 2), (1, (1 << 63) - 1)])
def test_a_flows_hash_keeps_the_higher_version(empty: Server, old: int, new: int) -> None:
    query = "?layout=flow&ended=keep"
    newer, older = (FlowBatch.from_rows([event("update", 1, v, layer7=str(v))]) for v in (new, old))
    write(empty, query, older, newer, older)
    assert [record["layer7"] for record in flow_records(empty)] == [str(new)]


def test_an_old_end_does_not_delete_a_flow_that_lives_again(empty: Server) -> None:
    write(empty, "?layout=flow", make_batch(1, kind="insert", version=100))
    write(empty, "?layout=flow", make_batch(1, kind="remove", version=50))
    assert len(list(flow_records(empty))) == 1
    write(empty, "?layout=flow", make_batch(1, kind="remove", version=100))
    assert list(flow_records(empty)) == []


def test_as_many_fields_as_a_run_may_have(empty: Server) -> None:
    """More than Lua takes as arguments of one call."""
    fields = {f"field{n}": n for n in range(4096)}
    write(empty, "?layout=flow", FlowBatch.from_rows([event("update", 1, 1, **fields)]))
    found = empty.ask("HGETALL", f"flow:{flow_id(1)}")
    assert {name: found[name] for name in fields} == {name: str(n) for name, n in fields.items()}


def test_scripts_that_somebody_flushed(empty: Server) -> None:
    adaptor = connected(f"{empty.url}?layout=flow")
    assert adaptor.write(make_batch(3)) == []
    empty.ask("SCRIPT", "FLUSH")
    assert adaptor.write(make_batch(3, version=10)) == []
    adaptor.close()


# -- layout=stream -------------------------------------------------------------------------------------------------


def test_every_event_is_an_entry(empty: Server) -> None:
    batch = lives(range(5), updates=3)
    write(empty, "?layout=stream", batch)
    entries = list(stream_entries(empty))
    assert [(e["flow_id"], e["event"], e["version"]) for e in entries] == [
        (flow.flow_id, flow.event, flow.version) for flow in batch
    ]
    assert [{k: v for k, v in e.items() if k not in ("event", "version")} for e in entries] == [
        json.loads(record) for record in batch.json()
    ]


def test_maxlen_trims_about(empty: Server) -> None:
    for start in range(0, 5000, 1000):
        write(empty, "?layout=stream&maxlen=500&stream=s", make_batch(1000, version=start + 1))
    assert 500 <= empty.ask("XLEN", "s") <= 700
    *_, last = stream_entries(empty, "s")
    assert last["version"] == 5000


# -- all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?ended=keep", "", "?layout=flow&ended=keep"])
def test_the_same_batch_again_changes_nothing(empty: Server, query: str) -> None:
    batch = FlowBatch.from_rows(event(kind, n, n + 1, proto=proto) for n, (kind, proto) in enumerate(KINDS * 5))
    write(empty, query, batch)
    before = everything(empty)
    write(empty, query, batch, batch)
    assert everything(empty) == before


def everything(server: Server) -> dict[str, Any]:
    return {name: server.ask("HGETALL", name) for name in server.ask("KEYS", "*")}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("?ttl=5", "ttl"),
        ("?layout=flow&tcp=x", "tcp"),
        ("?layout=stream&ended=keep", "ended"),
        ("?layout=hash&maxlen=3", "maxlen"),
    ],
)
def test_an_option_of_another_layout_is_an_error(empty: Server, query: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"option {name} means nothing with layout="):
        connected(empty.url + query)


def test_the_driver_is_imported_by_connect_alone() -> None:
    code = (
        "import sys, aicore\n"
        "a = aicore.open_adaptor('redis://127.0.0.1:1/0?ended=keep')\n"
        "assert type(a).__module__ == 'aicore_redis.adaptor'\n"
        "print(*[name for name in ('redis', 'hiredis') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
