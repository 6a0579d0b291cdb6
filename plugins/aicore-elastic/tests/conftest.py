# SPDX-License-Identifier: Apache-2.0
"""One real node of each kind for all tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from servers.elastic.server import ElasticsearchNode, Node, OpensearchNode, Unavailable

# The first compiler only: in runs of a minute the second one takes more than it gives.
JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# So small that a test can exceed it.
SETTINGS = {"http.max_content_length": "4mb"}

_numbers = itertools.count(1)


def started(node: Node) -> Node:
    try:
        node.start()
    except Unavailable as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))
    return node


@pytest.fixture(scope="session")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = ElasticsearchNode(tmp_path_factory.mktemp("elasticsearch"), jvm=JVM, settings=SETTINGS)
    yield started(node)
    node.stop()


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    pytest.importorskip("opensearchpy", reason="the extra `opensearch` is not installed")
    node = OpensearchNode(tmp_path_factory.mktemp("opensearch"), jvm=JVM, settings=SETTINGS)
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
