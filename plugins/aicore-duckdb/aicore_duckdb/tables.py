# SPDX-License-Identifier: Apache-2.0
"""A batch as the table that DuckDB gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

    from aicore import FlowBatch


def table_of(batch: FlowBatch) -> pyarrow.Table:
    """The record and its version; times are TIMESTAMP_NS for DuckDB, lists are lists."""
    import pyarrow as pa

    table = batch.to_arrow().drop_columns(["event", "new", "sampled"])
    # Timestamps without a time zone, in UTC: with one the same rows would read otherwise in a session elsewhere.
    for where, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(where, field.name, table.column(where).cast(pa.timestamp("ns")))
    return table
