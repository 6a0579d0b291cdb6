# SPDX-License-Identifier: Apache-2.0
"""The contract of adaptors, whole, in every way to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from conftest import Place
from support import microseconds, record

from aicore.testing import AdaptorContract, Store

pytestmark = pytest.mark.server


def without_nul(value: str) -> str:
    return value.replace("\0", "\\x00")


#: Of the record where PostgreSQL has something else: microseconds, and text without NUL.
FORMS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("opened", "first_seen", "last_seen", "kittime"), microseconds),
    **dict.fromkeys(("sslhost", "httpuri", "useragent"), without_nul),
}


def store_of(place: Place, options: str = "") -> Store:
    return Store(f"{place.url}{options}", lambda: map(record, place.records()), FORMS)


class Contract(AdaptorContract):
    nonsense = "postgres://user:canary-4711@127.0.0.1:1/flows"


class TestUpsert(Contract):
    @pytest.fixture
    def store(self, place: Place) -> Store:
        return store_of(place)


class TestByDay(Contract):
    @pytest.fixture
    def store(self, place: Place) -> Store:
        return store_of(place, "&partition=day")


class TestDeleting(Contract):
    lacks = {"ended"}

    @pytest.fixture
    def store(self, place: Place) -> Store:
        return store_of(place, "&ended=delete")


class TestAppending(Contract):
    lacks = {"versions"}

    @pytest.fixture
    def store(self, place: Place) -> Store:
        return store_of(place, "&mode=append&partition=day")
