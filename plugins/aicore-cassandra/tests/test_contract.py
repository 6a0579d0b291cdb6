# SPDX-License-Identifier: Apache-2.0
"""The contract of adaptors, whole."""

from __future__ import annotations

import pytest
from conftest import Keyspace

from aicore.testing import AdaptorContract, Store


class TestFlows(AdaptorContract):
    nonsense = "cassandra://user:canary-4711@127.0.0.1:1/flows"

    @pytest.fixture
    def store(self, keyspace: Keyspace) -> Store:
        return Store(keyspace.url, lambda: keyspace.records())


class TestFlowsAlone(AdaptorContract):
    nonsense = TestFlows.nonsense

    @pytest.fixture
    def store(self, keyspace: Keyspace) -> Store:
        return Store(f"{keyspace.url}&by_host=no&table=mine", lambda: keyspace.records("mine"))


class TestDeleting(AdaptorContract):
    lacks = {"ended"}
    nonsense = TestFlows.nonsense

    @pytest.fixture
    def store(self, keyspace: Keyspace) -> Store:
        return Store(f"{keyspace.url}&ended=delete", lambda: keyspace.records())
