# SPDX-License-Identifier: Apache-2.0
"""`aicore-select SQL CAPTURE...`: the flows of captures as the table `flows`, in memory."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import click

from aicore import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


@click.command("aicore-select", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("sql")
@click.argument("captures", nargs=-1, required=True, metavar="CAPTURE...")
def main(sql: str, captures: Sequence[str]) -> None:
    """Answer a SELECT over the flows of captures.

    The table is called flows; `aicore fields` lists its columns. On a terminal the answer is a table, else it is CSV.
    Exit code 1: captures are damaged, and the answer is about what could be read.

    \b
    aicore-select 'SELECT layer7, count(*), sum(bytes) FROM flows GROUP BY ALL' capture.pcap
    """
    import duckdb

    from aicore import AicoreError

    try:
        db = duckdb.connect()
        db.execute("SET enable_external_access = false")  # the question is about the captures, and about nothing else
        whole = _read(db, captures)
        _show(db.execute(sql))
    except (AicoreError, duckdb.Error) as error:
        terminal.warn(f"error: {' '.join(str(error).split())}")
        sys.exit(2)
    if not whole:
        sys.exit(1)


def _read(db: duckdb.DuckDBPyConnection, captures: Sequence[str]) -> bool:
    """Fills `flows`, batch by batch. False: captures are damaged, as aicore's log says; what was read counts."""
    from aicore import FlowBatch, SourceError, flows
    from aicore_duckdb.tables import table_of

    batches = flows(captures, live=False).batches()
    whole = False
    command = "CREATE TABLE flows AS FROM batch"
    try:
        for batch in batches:
            db.register("batch", table_of(batch))
            db.execute(command)
            command = "INSERT INTO flows BY NAME FROM batch"
        whole = True
    except SourceError:
        pass  # raised at the end, behind all that could be read
    if command.startswith("CREATE"):
        db.register("batch", table_of(FlowBatch.from_rows([])))
        db.execute(command)
    return whole


def _show(answer: duckdb.DuckDBPyConnection) -> None:
    header = [column[0] for column in answer.description or ()]
    if sys.stdout.isatty():
        for line in terminal.table(header, answer.fetchall()):
            terminal.say(line)
        return
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(header)
    while rows := answer.fetchmany(1024):
        out.writerows(rows)
