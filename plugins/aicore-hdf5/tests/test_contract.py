# SPDX-License-Identifier: Apache-2.0
"""Hdf5Adaptor keeps aicore's contract for adaptors; it appends, and cuts long strings."""

from __future__ import annotations

from pathlib import Path

import pytest
from aicore_hdf5 import latest

from aicore.testing import TYPED, AdaptorContract, Store


class TestHdf5Adaptor(AdaptorContract):
    lacks = {"strings", "versions"}
    nonsense = "hdf5:/nowhere/flows.h5"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "flows.h5"
        return Store(f"hdf5:{path}?fields={','.join(field.name for field in TYPED)}", lambda: list(latest(path)))
