# SPDX-License-Identifier: Apache-2.0
"""DuckdbAdaptor keeps aicore's contract for adaptors, all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from aicore.testing import AdaptorContract, Store


class TestDuckdbAdaptor(AdaptorContract):
    nonsense = "duckdb:/nowhere/flows.duckdb"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        path = tmp_path / "flows.duckdb"

        def records() -> list[dict[str, Any]]:
            """What the file holds, read without the adaptor; times in ns, as a datetime cannot hold them."""
            with duckdb.connect(str(path)) as db:
                flows = db.sql("FROM flows")
                kinds = zip(flows.columns, map(str, flows.types), strict=True)
                times = ", ".join(f'epoch_ns("{name}") AS "{name}"' for name, kind in kinds if kind == "TIMESTAMP_NS")
                table = db.sql(f"SELECT * REPLACE ({times}) FROM flows")
                return [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]

        return Store(f"duckdb:{path}", records)
