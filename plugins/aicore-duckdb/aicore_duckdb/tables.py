# SPDX-License-Identifier: Apache-2.0
"""A batch as the table that DuckDB gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

    from aicore import FlowBatch

# Timestamps without a time zone, in UTC: with one the same rows would read otherwise in a session elsewhere.
_TIMES = ("first_seen", "last_seen")


def table_of(batch: FlowBatch) -> pyarrow.Table:
    """The record and its version; times are TIMESTAMP_NS for DuckDB, lists are lists."""
    import pyarrow as pa

    table = batch.to_arrow().drop_columns(["event", "new"])
    for name in _TIMES:
        where = table.column_names.index(name)
        table = table.set_column(where, name, table.column(where).cast(pa.timestamp("ns")))
    return table
