# SPDX-License-Identifier: Apache-2.0
"""One real node of each kind for all tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from servers.elastic.server import SHORT_RUN, ElasticsearchNode, Node, OpensearchNode
from servers.starting import or_skip

# So small that a test can exceed it.
SETTINGS = {"http.max_content_length": "4mb"}

_numbers = itertools.count(1)


def started(node: Node) -> Node:
    with or_skip():
        node.start()
    return node


@pytest.fixture(scope="session")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = ElasticsearchNode(tmp_path_factory.mktemp("elasticsearch"), jvm=SHORT_RUN, settings=SETTINGS)
    yield started(node)
    node.stop()


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    pytest.importorskip("opensearchpy", reason="the extra `opensearch` is not installed")
    node = OpensearchNode(tmp_path_factory.mktemp("opensearch"), jvm=SHORT_RUN, settings=SETTINGS)
    yield started(node)
    node.stop()


@pytest.fixture
def index() -> str:
    """An index that no other test has."""
    return f"flows{next(_numbers)}"


@pytest.fixture(params=["elasticsearch", "opensearch"])
def node(request: pytest.FixtureRequest) -> Node:
    """Each kind in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Node)
    return found
