# SPDX-License-Identifier: Apache-2.0
"""What somebody else has made in the cluster under the names that we use stays, unless we are told to take it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from servers.elastic.reading import search
from servers.elastic.server import Node

from aicore import FlowBatch
from aicore.errors import Fatal
from aicore.testing import TYPED, event, make_batch
from aicore.testing.contract import Store, connected

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

OWN = {"_meta": {"owner": "us"}, "template": {"mappings": {"properties": {"ours": {"type": "long"}}}}}


def component(node: Node, index: str) -> None:
    node.request("PUT", f"/_component_template/{index}-mappings", OWN)


def template(node: Node, index: str) -> None:
    body = {"index_patterns": [f"{index}-*"], "priority": 300, "template": {"settings": {"number_of_replicas": 0}}}
    node.request("PUT", f"/_index_template/{index}", body)


def dated(node: Node, index: str) -> None:
    node.request("PUT", f"/{index}-2023.11.14", {"mappings": {"properties": {"ours": {"type": "long"}}}})


def single(node: Node, index: str) -> None:
    node.request("PUT", f"/{index}", {"mappings": {"_meta": {"owner": "us"}}})


def alias(node: Node, index: str) -> None:
    node.request("PUT", f"/{index}-ours", {"aliases": {index: {}}})


FOREIGN: dict[str, tuple[Callable[[Node, str], None], str, str]] = {
    "component": (component, "", "the component template {}-mappings is not aicore's; adopt=yes replaces it"),
    "template": (template, "", "the index template {} is not aicore's: it has not got the mapping {}-mappings"),
    "dated": (dated, "", "the index {}-2023.11.14 is not aicore's; adopt=yes writes into it"),
    "single": (single, "period=none", "the index {} is not aicore's; adopt=yes writes into it"),
    "alias": (alias, "period=none", "{} is an alias or a data stream of {}-ours; adopt=yes writes to it"),
}


def store(node: Node, index: str, query: str) -> Store:
    return Store(f"{node.url}/{index}?{query}", records=list)


def everything(node: Node, index: str) -> Any:
    found = {}
    for kind in ("_component_template", "_index_template"):
        found |= {kind: [one for one in node.request("GET", f"/{kind}").values() for one in one if index in str(one)]}
    return found, node.request("GET", f"/{index}*/_mapping")


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_ours_stays_unless_told(node: Node, index: str, what: str) -> None:
    make, query, text = FOREIGN[what]
    make(node, index)
    before = everything(node, index)
    with pytest.raises(Fatal, match=re.escape(text.replace("{}", index))):
        connected(store(node, index, query))
    assert everything(node, index) == before
    adaptor = connected(store(node, index, f"adopt=yes&{query or 'period=day'}"))
    assert not adaptor.write(make_batch(3))
    adaptor.close()
    assert len(search(node, index)) == 3


def test_a_data_stream_is_refused(opensearch: Node, index: str) -> None:
    """It takes no update of a document: every row would be refused. (The Elasticsearch of the tests has no module for
    data streams.)"""
    node = opensearch
    body = {"index_patterns": [index], "data_stream": {}, "priority": 300}
    node.request("PUT", f"/_index_template/{index}-ours", body)
    node.request("PUT", f"/_data_stream/{index}")
    with pytest.raises(Fatal, match=rf"{index} is an alias or a data stream of \.ds-{index}"):
        connected(store(node, index, "period=none"))
    node.request("DELETE", f"/_data_stream/{index}")
    node.request("DELETE", f"/_index_template/{index}-ours")


@pytest.mark.parametrize("query", ["", "period=none"])
def test_our_own_is_known_again(node: Node, index: str, query: str) -> None:
    for version in (1, 10):
        adaptor = connected(store(node, index, query))
        assert not adaptor.write(make_batch(3, version=version))
        adaptor.close()
    for kind, key in (("component_template", f"{index}-mappings"), ("index_template", index)):
        (found,) = node.request("GET", f"/_{kind}/{key}")[f"{kind}s"]
        assert found[kind]["_meta"] == {"owner": "aicore"}
    for found in node.request("GET", f"/{index}*/_mapping").values():
        assert found["mappings"]["_meta"] == {"owner": "aicore"}


def test_an_alias_to_read_by_is_nobodys_business(node: Node, index: str) -> None:
    """Of dated indices only those are written to."""
    connected(store(node, index, "")).close()
    dated_by_us = f"{index}-2023.11.13"
    node.request("PUT", f"/{dated_by_us}", {"aliases": {index: {}, f"{index}-2023": {}}})
    connected(store(node, index, "")).close()


def test_fields_of_every_type_are_mapped_to_types_of_the_store(node: Node, index: str) -> None:
    adaptor = connected(store(node, index, ""))
    values = ("a", 1, 0.5, True, 1_700_000_000_000_000_000, ["a"], [1], [0.5])
    row = event("update", 1, 1, **{field.name: value for field, value in zip(TYPED, values, strict=True)})
    assert not adaptor.write(FlowBatch.from_rows([row], TYPED))
    adaptor.close()
    (found,) = node.request("GET", f"/{index}-2023.11.14/_mapping").values()
    properties = found["mappings"]["properties"]["aicore"]["properties"]
    assert {field.type: properties[field.name]["type"] for field in TYPED} == {
        "str": "keyword",
        "int": "long",
        "float": "double",
        "bool": "boolean",
        "time": "date_nanos",
        "list[str]": "keyword",
        "list[int]": "long",
        "list[float]": "double",
    }
