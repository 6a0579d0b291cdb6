# SPDX-License-Identifier: Apache-2.0
"""Reading a store back, one record a flow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aicore import schema
from aicore_hdf5.columns import COLUMNS, Layout

_BLOCK_ROWS = 4096


def latest(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The record of the highest version of each flow, from the file at `path` and those set aside from it.

    Names are those of aicore's fields; absent ones are left out, times are nanoseconds since the epoch. Beside them
    stand `version` and `cut`, the number of strings that were too long for their columns. The ids of all flows are held
    in memory, about 250 bytes a row. FileNotFoundError where there is nothing; a file that a run is writing is locked.
    """
    import tables

    from aicore_hdf5.file import LOCK, parts

    files = parts(Path(path))
    if not files:
        raise FileNotFoundError(f"there is no store of flows {os.fspath(path)}")
    wanted = _winners(files)
    for file in files:
        with LOCK:
            opened = tables.open_file(str(file), "r")
        try:
            with LOCK:
                found = [(_layout(table), table, next(wanted)) for table in _tables(opened)]
            for layout, table, chosen in found:
                for start in range(0, len(chosen), _BLOCK_ROWS):
                    mask = chosen[start : start + _BLOCK_ROWS]
                    if mask.any():
                        with LOCK:
                            rows = table.read(start, start + _BLOCK_ROWS)
                        yield from layout.records(rows[mask])
        finally:
            with LOCK:
                opened.close()


def _winners(files: list[Path]) -> Iterator[Any]:
    """For each table of the files a mask of the rows that are their flows' latest."""
    import numpy as np
    import tables

    from aicore_hdf5.file import LOCK

    ids, versions = [np.empty(0, "S64")], [np.empty(0, "u8")]
    for file in files:
        with LOCK, tables.open_file(str(file), "r") as opened:
            for table in _tables(opened):
                ids.append(table.col("flow_id"))
                versions.append(table.col("version"))
    flow, version = np.concatenate(ids), np.concatenate(versions)
    order = np.lexsort((version, flow))
    last = np.ones(len(order), bool)
    last[:-1] = flow[order[1:]] != flow[order[:-1]]
    chosen = np.zeros(len(order), bool)
    chosen[order[last]] = True
    # A killed process may leave rows without content behind the last that it answered for.
    chosen &= flow != b""
    return iter(np.split(chosen, np.cumsum([len(part) for part in ids[1:-1]])))


def _tables(file: Any) -> list[Any]:
    from aicore_hdf5.file import TABLES

    return [file.root.flows[name] for name in TABLES.values() if f"/flows/{name}" in file]


def _layout(table: Any) -> Layout:
    """As the file itself tells it: it may come from other plugins than those that are installed."""
    fields = []
    for entry in table._v_parent._v_attrs.fields.split(","):
        name, kind = entry.split(":")
        fields.append(schema.Field(name, kind, "", width=table.dtype[COLUMNS.get(name, name)].itemsize))
    return Layout(tuple(fields))
