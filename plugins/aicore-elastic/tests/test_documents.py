# SPDX-License-Identifier: Apache-2.0
"""Records as documents, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aicore_elastic.adaptor import ElasticsearchAdaptor
from aicore_elastic.documents import Documents

import aicore
from aicore import FlowBatch
from aicore.plugins.discovery import Plugins
from aicore.run.standalone import standalone_context
from aicore.testing import event

FULL: dict[str, Any] = event(
    "remove",
    1,
    7,
    vlan=5,
    dnsdomain="a.example",
    dnsqtype="A",
    dnsips=["192.0.2.1"],
    dnsdomains=["a.example"],
    httpstatus=200,
    httpmethod="GET",
)


def documents(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(document) for document in Documents(aicore.record_fields()).of(FlowBatch.from_rows(rows))]


class Where:
    """A hook that declares fields."""

    fields = (
        aicore.Field("postal", "str", "claimed by no other plugin", ecs="destination.geo.postal_code"),
        aicore.Field("clash", "str", "stands where another is", ecs="source.ip"),
        aicore.Field("under", "str", "stands under a field", ecs="source.ip.name"),
        aicore.Field("over", "str", "stands where an object is", ecs="dns.question"),
    )

    @aicore.hookimpl
    def flow_enrich(self, flows: FlowBatch) -> None: ...


def test_names_are_ecs_and_the_rest_is_ours() -> None:
    (document,) = documents(FULL)
    assert document["source"] == {"ip": "10.0.0.1", "port": 1025, "packets": 0, "bytes": 0}
    assert document["destination"] == {"ip": "192.0.2.1", "port": 443, "packets": 0, "bytes": 0}
    network = {"iana_number": 6, "vlan": {"id": 5}, "packets": 7, "bytes": 700, "protocol": "tls"}
    assert document["network"].items() >= network.items()
    assert document["event"]["start"] == "2023-11-14T22:13:20.000000001Z"
    assert document["event"]["sequence"] == 7
    assert document["dns"] == {"question": {"name": "a.example", "type": "A"}, "resolved_ip": ["192.0.2.1"]}
    assert document["http"] == {"request": {"method": "GET"}, "response": {"status_code": 200}}
    assert document["tls"] == {"client": {"server_name": "host-1.example"}}
    assert document["aicore"]["flow_id"] == f"{1:032x}"
    assert document["aicore"]["dnsdomains"] == ["a.example"]
    assert "http" not in documents(event("update", 2, 1))[0]


def test_every_known_field_is_mapped_with_its_type() -> None:
    fields = aicore.record_fields()
    mapped = Documents(fields).mappings()["properties"]
    for field in fields:
        name = f"aicore.{field.name}"
        assert (field.ecs or name) in mapped, field.name
        assert field.ecs is None or name not in mapped or mapped[name]["copy_to"] == field.ecs
    kinds = {name: mapping["type"] for name, mapping in mapped.items()}
    assert {kinds[name] for name in ("source.ip", "destination.ip", "dns.resolved_ip")} == {"ip"}
    assert {kinds[name] for name in ("event.start", "event.end")} == {"date_nanos"}
    assert {kinds[name] for name in ("network.iana_number", "network.vlan.id", "tls.version")} == {"keyword"}
    assert {kinds[name] for name in ("source.bytes", "event.duration", "http.response.status_code")} == {"long"}


class Users(aicore.Protocol):
    """Claims names that others have."""

    name = "users"
    ports = (7,)
    fields = (
        aicore.Field("usershost", "str", "as http has it", ecs="url.domain"),
        aicore.Field("usersone", "str", "one of two", ecs="user.name"),
        aicore.Field("userstwo", "str", "two of two", ecs="user.name"),
        aicore.Field("usersnumber", "int", "of another type than http's", ecs="url.original"),
    )

    def inspect(self, flow: object, payload: bytes) -> object:  # noqa: ARG002
        return self.NO


def test_a_name_of_several_fields_is_filled_by_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Plugins.load
    monkeypatch.setattr(Plugins, "names", lambda _, kind: ["http", "users"] if kind == "protocol" else [])
    monkeypatch.setattr(Plugins, "load", lambda self, kind, name: Users if name == "users" else load(self, kind, name))
    documents = Documents(aicore.record_fields())
    mapped = documents.mappings()["properties"]
    assert documents.place("httphost") == "url.domain"
    assert mapped["aicore.usershost"] == {"type": "keyword", "copy_to": "url.domain"}
    assert mapped["aicore.usersone"] == mapped["aicore.userstwo"] == {"type": "keyword", "copy_to": "user.name"}
    assert mapped["user.name"] == mapped["url.domain"] == {"type": "keyword"}
    assert mapped["aicore.usersnumber"] == {"type": "long"}


def test_a_field_of_nobody_stands_under_aicore() -> None:
    (document,) = documents(event("update", 1, 1, score=0.5, tags=["a"]))
    assert document["aicore"]["score"] == 0.5
    assert document["aicore"]["tags"] == ["a"]


def test_hook_plugins_say_where_their_fields_stand() -> None:
    row = event("update", 1, 1, postal="D02", clash="a", under="b", over="c")
    (found,) = Documents(aicore.record_fields([Where()])).of(FlowBatch.from_rows([row]))
    document = json.loads(found)
    assert document["destination"]["geo"] == {"postal_code": "D02"}
    assert document["source"]["ip"] == "10.0.0.1"
    # What would take another field's place, or break an object, is not worth losing a row for.
    assert {name: document["aicore"][name] for name in ("clash", "under", "over")} == {
        "clash": "a",
        "under": "b",
        "over": "c",
    }


def test_no_plugin_is_loaded_for_the_fields_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = aicore.record_fields()
    monkeypatch.setattr(Plugins, "load", lambda *_: pytest.fail("a plugin is loaded again"))
    adaptor = ElasticsearchAdaptor()
    adaptor.context = standalone_context(fields)
    assert adaptor.documents().place("httphost") == "url.domain"
