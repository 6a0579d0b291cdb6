# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as a store of flows: `postgres://user:password@host:port/database?table=flows`."""

from __future__ import annotations

from aicore_postgres.adaptor import PostgresAdaptor

__all__ = ["PostgresAdaptor"]
