# SPDX-License-Identifier: Apache-2.0
"""`duckdb:PATH`: one row a flow in the table `flows` of a DuckDB file; `aicore-select` asks captures without a file."""

from __future__ import annotations

from aicore_duckdb.adaptor import DuckdbAdaptor

__all__ = ["DuckdbAdaptor"]
