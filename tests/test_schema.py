# SPDX-License-Identifier: Apache-2.0
"""The schema table against the native side, and against what records hold."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import aicore
from aicore import _core
from aicore.plugins.protocol import ProtocolRegistry
from aicore.record import schema


def _protocols() -> tuple[schema.Field, ...]:
    registry = ProtocolRegistry()
    for protocol in (_core.http, _core.tls, _core.dns):
        registry.add(protocol)
    return schema.of_native(registry.core.fields())


def test_every_form_of_a_batch_has_every_core_field() -> None:
    """A row in which all have a value; what they are is tested on the native side, one by one."""
    record: dict[str, Any] = {
        field.name: {"int": n + 1, "time": n + 1, "bool": True, "str": "any text"}[field.type]
        for n, field in enumerate((*schema.CORE, *schema.META))
    }
    record |= {"proto": 6, "ipsrc": "192.0.2.1", "ipdst": "192.0.2.2", "flow_id": "1" * 32, "tunnel": "vxlan:7"}
    record |= {"layer7_by": "port", "tcp_state": "closed", "end_reason": "idle", "event": "remove"}
    batch = aicore.FlowBatch.from_rows([record])
    names = [field.name for field in schema.CORE]
    every = [*names, *(field.name for field in schema.META)]
    assert batch.names() == names == list(batch.row(0)) == list(json.loads(batch.json()[0]))
    assert set(json.loads(batch.json(meta=True)[0])) == set(every)
    assert json.loads(batch.nested_json({name: f"in.{name}" for name in names})[0])["in"].keys() == set(names)
    assert batch.to_arrow().column_names == every
    assert batch.schema == schema.CORE
    for field in (*schema.CORE, *schema.META):
        assert batch.type(field.name) == field.type
        (value,) = batch.column(field.name)
        assert value == getattr(batch[0], field.name)
        if field.name not in ("key", "community_id"):  # made of others
            assert value == record[field.name], field.name
        assert list(batch.valid(field.name)) == [1]
        place = aicore.Place(field.type, [field.name], 0, 104 if field.type == "str" else 8)
        assert any(batch.packed([place], 104)), field.name
    again = aicore.FlowBatch.from_rows([json.loads(batch.json(meta=True)[0])])
    assert again.json(meta=True) == batch.json(meta=True)
    read = aicore.FlowBatch.from_bytes(batch.schema_bytes(), batch.to_bytes())
    assert read.json(meta=True) == batch.json(meta=True)


def test_every_field_is_described() -> None:
    fields = [*schema.CORE, *_protocols()]
    assert len({field.name for field in fields}) == len(fields)
    for field in fields:
        assert re.fullmatch("[a-z][a-z0-9_]{0,47}", field.name)
        assert field.meaning, field.name
        assert field.width > 0


def test_protocol_fields_keep_what_the_protocol_says_of_them() -> None:
    fields = {field.name: field for field in _protocols()}
    assert fields["httphost"].protocol == "http"
    assert (fields["httphost"].width, fields["httpuri"].width, fields["alpn"].width) == (255, 512, 64)
    assert fields["dnsdomains"].type == "list[str]"
    assert fields["httpstatus"].type == "int"
    assert fields["sslhost"].ecs == "tls.client.server_name"


def test_a_schema_holds_fields_by_name(capture_file: Path) -> None:
    schema = aicore.flows(capture_file).schema
    assert "layer7" in schema
    assert schema[0] in schema
    assert "layr7" not in schema
    assert 5 not in schema


def test_a_key_of_two_full_ipv6_addresses_fits_its_width() -> None:
    address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    assert len(f"[{address}]:65535:17:[{address}]:65535") <= schema.CORE_BY_NAME["key"].width


def test_fields_of_a_batch_follow_its_columns() -> None:
    batch = aicore.FlowBatch.from_rows([{"flow_id": "1" * 32, "country": "NL", "risk": 0.5, "tags": ["a"], "asn": 1}])
    assert [field.name for field in batch.schema] == batch.names()
    assert [(field.name, field.type, field.protocol) for field in batch.schema[len(schema.CORE) :]] == [
        ("country", "str", "plugin"),
        ("risk", "float", "plugin"),
        ("tags", "list[str]", "plugin"),
        ("asn", "int", "plugin"),
    ]
    assert batch.schema[: len(schema.CORE)] == schema.CORE
    known = schema.Field(
        "country", "str", "where the peer is", ecs="source.geo.country_iso_code", protocol="hook:geoip"
    )
    assert aicore.FlowBatch.from_rows([{"country": "NL"}], [known]).schema[-1] == known
    batch.add("late", [True])
    assert batch.schema[-1].name == "late"
    assert batch.take([0]).schema == batch.net().schema == batch.schema


def test_a_field_of_a_schema_by_name_and_by_position() -> None:
    assert schema.CORE["layer7"] is schema.CORE[schema.CORE.names.index("layer7")]
    assert schema.CORE[:2] == tuple(schema.CORE)[:2]
    assert schema.CORE.names[:2] == ("key", "flow_id")
    with pytest.raises(KeyError, match="layer8"):
        schema.CORE["layer8"]


def test_json_of_real_flows_has_known_fields_of_the_right_types(capture_file: Path) -> None:
    """Every member of every record is in the table, and times are RFC 3339 with 9 decimals."""
    kinds = {"bool": bool, "int": int, "str": str, "list[str]": list, "time": str}
    known = {field.name: field for field in (*schema.CORE, *_protocols())}
    seen: set[str] = set()
    for flow in aicore.flows(capture_file):
        record = json.loads(flow.to_json())
        for name, value in record.items():
            assert isinstance(value, kinds[known[name].type]), name
            if known[name].type == "time":
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", value)
        seen |= record.keys()
    assert {"httphost", "sslhost", "dnsdomains", "tcp_state", "end_reason", "first_seen"} <= seen


@pytest.mark.parametrize("field", schema.CORE, ids=lambda field: field.name)
def test_fields_as_dicts_are_plain(field: schema.Field) -> None:
    (plain,) = schema.as_dicts([field])
    assert json.loads(json.dumps(plain)) == asdict(field)
