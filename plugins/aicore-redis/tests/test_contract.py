# SPDX-License-Identifier: Apache-2.0
"""Every layout keeps the contract of adaptors, but for what it declares to lack."""

from __future__ import annotations

import json

import pytest
from server import Server
from stores import flow_records, hash_records, stream_entries

from aicore.testing import AdaptorContract, Store

NONSENSE = "redis://:canary-4711@127.0.0.1:1/0"


class TestDeleting(AdaptorContract):
    """As in the seed: the hashes hold the flows that live."""

    # "versions": HSET does not compare; the order is the delivery's.
    lacks = {"ended", "versions"}
    nonsense = NONSENSE

    @pytest.fixture
    def store(self, empty: Server) -> Store:
        return Store(empty.url, lambda: hash_records(empty))


class TestKeeping(AdaptorContract):
    lacks = {"versions"}
    nonsense = NONSENSE

    @pytest.fixture
    def store(self, empty: Server) -> Store:
        return Store(f"{empty.url}?ended=keep", lambda: hash_records(empty))


class TestFlowHashes(AdaptorContract):
    nonsense = NONSENSE

    @pytest.fixture
    def store(self, empty: Server) -> Store:
        return Store(f"{empty.url}?layout=flow&ended=keep", lambda: flow_records(empty), {"dnsips": json.dumps})


class TestFlowHashesDeleting(AdaptorContract):
    """Of flows that are there, versions are compared; of a deleted one nothing is known."""

    lacks = {"ended"}
    nonsense = NONSENSE

    @pytest.fixture
    def store(self, empty: Server) -> Store:
        return Store(f"{empty.url}?layout=flow", lambda: flow_records(empty), {"dnsips": json.dumps})


class TestStream(AdaptorContract):
    lacks = {"versions"}
    nonsense = NONSENSE

    @pytest.fixture
    def store(self, empty: Server) -> Store:
        return Store(f"{empty.url}?layout=stream", lambda: stream_entries(empty))
