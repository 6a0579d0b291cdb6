# SPDX-License-Identifier: Apache-2.0
"""FlowBatch.to_bytes and from_bytes: everything comes back, and no bytes do harm."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from binary_form import EXAMPLES
from hypothesis import given
from hypothesis import strategies as st

import aicore
from aicore.testing import event

META = ("event", "new", "version")


def contents(batch: aicore.FlowBatch) -> dict[str, tuple[str, list[Any], list[int]]]:
    """Every column: type, values, where there is one."""
    return {
        name: (batch.type(name), list(batch.column(name)), list(batch.valid(name))) for name in (*batch.names(), *META)
    }


def again(batch: aicore.FlowBatch) -> aicore.FlowBatch:
    return aicore.FlowBatch.from_bytes(batch.schema_bytes(), batch.to_bytes())


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
_COUNT = st.integers(0, (1 << 63) - 1)
_PORT = st.integers(0, 65535)
_V4 = st.ip_addresses(v=4).map(str)
_V6 = st.ip_addresses(v=6).map(str)


def _records() -> st.SearchStrategy[dict[str, Any]]:
    counts = ("packets", "bytes", "payload_bytes", "src_packets", "dst_packets", "src_bytes", "dst_bytes")
    counts += ("src_payload_bytes", "dst_payload_bytes", "retransmissions", "duration", "seq", "version")
    optional: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(counts, _COUNT),
        **dict.fromkeys(("first_seen", "last_seen"), _INT64),
        **dict.fromkeys(("portsrc", "portdst", "vlan", "vlan_inner"), _PORT),
        **dict.fromkeys(("src_tcpflags", "dst_tcpflags"), st.integers(0, 255)),
        "flow_id": st.integers(0, (1 << 128) - 1).map(lambda n: f"{n:032x}"),
        "proto": st.sampled_from([6, 17, 1]),
        "event": st.sampled_from(["insert", "update", "remove"]),
        "new": st.booleans(),
        "tunnel": st.sampled_from(["gre", "vxlan:7", "geneve:4294967295", "teredo"]),
        "layer7": st.sampled_from(["http", "tls", "x" * 300]) | _TEXT,
        "layer7_by": st.sampled_from(["payload", "port"]),
        "tcp_state": st.sampled_from(["syn_sent", "reset"]),
        "end_reason": st.sampled_from(["fin", "shutdown"]),
        "sensor": _TEXT,
        "anomaly": st.just("tcp_flags"),
    }
    addresses = st.tuples(_V4, _V4) | st.tuples(_V6, _V6)
    return st.builds(
        lambda pair, fields: {"ipsrc": pair[0], "ipdst": pair[1], **fields},
        addresses,
        st.fixed_dictionaries({}, optional=optional),
    )


_ADDED = {
    "note": _TEXT,
    "asn": _INT64,
    "share": st.floats(allow_nan=False) | st.just(0.1),
    "tags": st.lists(_TEXT, max_size=4),
}


@given(st.lists(_records(), max_size=8), st.data())
def test_every_column_comes_back(records: list[dict[str, Any]], data: st.DataObject) -> None:
    batch = aicore.FlowBatch.from_rows(records)
    for name, values in _ADDED.items():
        if data.draw(st.booleans()):
            batch.add(name, data.draw(st.lists(st.none() | values, min_size=len(records), max_size=len(records))))
    back = again(batch)
    assert contents(back) == contents(batch)
    assert back.names() == batch.names()
    assert back.json(meta=True) == batch.json(meta=True)
    assert (back.schema_bytes(), back.to_bytes()) == (batch.schema_bytes(), batch.to_bytes())
    with pytest.raises(aicore.UsageError, match="sealed"):
        back.add("late", [None] * len(back))


def test_a_real_capture_comes_back(capture_file: Path) -> None:
    schemas = set()
    for batch in aicore.flows(capture_file, batch_rows=7).batches():
        back = again(batch)
        assert contents(back) == contents(batch)
        assert back.json(meta=True) == batch.json(meta=True)
        schemas.add(batch.schema_bytes())
    assert len(schemas) == 1


def test_what_is_made_of_a_batch_has_its_schema_and_comes_back() -> None:
    batch = aicore.FlowBatch.from_rows([event("insert", 1, 1), event("update", 2, 2), event("remove", 1, 3)])
    batch.add("country", ["NL", None, "DE"])
    removes = batch.kind("remove")
    assert removes is not None
    for part in (batch.net(), batch.take([2, 0]), removes, batch.take([])):
        assert part.schema_bytes() == batch.schema_bytes()
        assert contents(again(part)) == contents(part)
    assert [flow.new for flow in again(batch.net())] == [0, 1]


def test_numbers_that_are_not_finite_come_back() -> None:
    batch = aicore.FlowBatch.from_rows([event("insert", n, n + 1) for n in range(4)])
    batch.add("share", [math.nan, math.inf, -math.inf, -0.0])
    share = list(again(batch).column("share"))
    assert math.isnan(share[0])
    assert share[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, share[3]) == -1


def test_a_batch_of_another_schema_is_refused() -> None:
    batch = aicore.FlowBatch.from_rows([event("insert", 1, 1)])
    plain = batch.to_bytes()
    batch.add("country", ["NL"])
    with pytest.raises(ValueError, match="another schema"):
        aicore.FlowBatch.from_bytes(batch.schema_bytes(), plain)
    for schema in (b"", b"AICS", plain, batch.schema_bytes()[:-1], batch.schema_bytes() + b"\0"):
        with pytest.raises(ValueError, match=r"no schema|too early|behind the end"):
            aicore.FlowBatch.from_bytes(schema, plain)


def test_damaged_bytes_are_an_error_or_a_whole_batch() -> None:
    """Every cut, and bytes changed at random: ValueError, or a batch whose every form can be made."""
    batch = aicore.FlowBatch.from_rows([event("update", n, n + 1, httphost=f"host{n % 3}.example") for n in range(20)])
    batch.add("tags", [["a", "b"][: n % 3] for n in range(20)])
    schema, rows = batch.schema_bytes(), batch.to_bytes()
    for size in range(len(rows)):
        with pytest.raises(ValueError, match=r"no batch|too early|longer than the input"):
            aicore.FlowBatch.from_bytes(schema, rows[:size])
    with pytest.raises(ValueError, match="behind the end"):
        aicore.FlowBatch.from_bytes(schema, rows + b"\0")
    rng = random.Random(3)
    whole = 0
    for _ in range(3000):
        parts = [bytearray(schema), bytearray(rows)]
        changed = parts[rng.random() < 0.8]
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            back = aicore.FlowBatch.from_bytes(*map(bytes, parts))
        except ValueError:
            continue
        whole += 1
        assert len(back.json()) == len(back.json(meta=True)) == len(back)
        assert contents(back).keys() >= {"key", "event"}
    assert whole > 100  # a changed number is a number


def test_what_a_second_writer_wrote_is_read() -> None:
    """binary_form.py writes what the description says; the core must agree, member by member and type by type."""
    found = [aicore.FlowBatch.from_bytes(*form.both()) for form in EXAMPLES]
    assert [len(batch) for batch in found] == [len(form.rows) for form in EXAMPLES]
    named = found[2]
    assert named.column("layer7") == (None, "tls", "tap", None, "tls")
    assert named.column("sensor") == ("tap",) * 5
    assert named.column("ipsrc") == ("10.0.0.1", "a00:1::100:0", "10.0.0.1", "a00:1::100:0", "10.0.0.1")
    assert list(named.column("packets")) == [0, 7, 14, 21, 28]
    assert named.column("event") == ("insert", "update", "remove", "insert", "update")
    first, second, third = (flow.to_dict() for flow in found[3])
    values = {"str": "host", "int": -5, "float": 0.5, "bool": True, "time": 1_700_000_000_000_000_000}
    for name, kind in EXAMPLES[3].fields:
        assert first[name] == ((values[kind[5:-1]],) * 2 if "[" in kind else values[kind]), name
        assert (name in second, name in third) == (False, kind in ("str", "list[str]"))
    assert third["a_list_str"] == ("b", "a")
    for name, kind, _ in EXAMPLES[4].added:
        assert found[4].type(name) == kind
        assert [flow.to_dict().get(name) for flow in found[4]] == [None, first[name], None], name
    assert found[5].column("absent") == (None,)
    assert found[5].column("tags") == (("", "a", "b"),)
    assert found[6].json() == found[1].json()
    assert found[7][0].duration == 0
