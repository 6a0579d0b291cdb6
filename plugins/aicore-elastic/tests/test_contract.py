# SPDX-License-Identifier: Apache-2.0
"""The kit that every adaptor passes, on Elasticsearch and, where its driver is installed, on OpenSearch."""

from __future__ import annotations

import pytest
from servers.elastic.reading import records
from servers.elastic.server import Node

from aicore.testing import AdaptorContract, Store

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]


class TestElasticsearch(AdaptorContract):
    nonsense = "elasticsearch://user:canary-4711@127.0.0.1:1"

    @pytest.fixture
    def store(self, elasticsearch: Node, index: str) -> Store:
        return Store(f"{elasticsearch.url}/{index}", records=lambda: records(elasticsearch, index))


class TestOpensearch(AdaptorContract):
    nonsense = "opensearch://user:canary-4711@127.0.0.1:1"

    @pytest.fixture
    def store(self, opensearch: Node, index: str) -> Store:
        return Store(f"{opensearch.url}/{index}", records=lambda: records(opensearch, index))
