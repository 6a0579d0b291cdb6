# SPDX-License-Identifier: Apache-2.0
"""Keyspace and tables as they must be, and the way of a batch into them.

Every statement carries the version as its timestamp and the whole record, so that none of them minds being sent twice,
late or in another order. With the record goes a deletion of what is older: a row is one record, never several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cassandra import AlreadyExists, AuthenticationFailed, InvalidRequest
from cassandra.cluster import NoHostAvailable
from cassandra.query import UNSET_VALUE

from aicore.errors import Fatal, RowError
from aicore_cassandra import tables
from aicore_cassandra.cells import BEFORE, TIMESTAMP, Cells
from aicore_cassandra.link import PASSING, Link, Request, Statement, judge, text_of
from aicore_cassandra.tables import CQL_TYPES, Part, Table
from aicore_cassandra.target import Target

if TYPE_CHECKING:
    from aicore import FlowBatch

_BATCH_ROWS = 100  # of one partition; larger batches gained nothing
_MIXED_ROWS = 10  # of several partitions; above that a server warns (unlogged_batch_across_partitions_warn_threshold)
# Flows whose first_seen is remembered; twice the flow tables' default sizes hold fewer.
_PLACES = 400_000

Kind = Literal["retry", "poison", "fatal"]
Fail = Callable[[int, Kind, str], None]
_RANK: dict[Kind, int] = {"poison": 0, "retry": 1, "fatal": 2}


class _Plan(NamedTuple):
    """The statements for batches with certain fields."""

    inserts: Sequence[Any]  # prepared, by part
    deletes: Sequence[Any]
    #: Fields whose type is not that of the table's column: rows that have one are poison.
    unfit: dict[str, str]


class Store:
    """Connects when made: NotLetIn for wrong credentials, Fatal for rights or tables; the driver's exceptions
    otherwise. `where` is asked at each connection, as a password may change."""

    def __init__(
        self,
        where: Callable[[], Target],
        parts: Sequence[Part],
        *,
        create: bool,
        adopt: bool,
        delete: bool,
        ttl: int,
        consistency: str,
        replication: int,
    ) -> None:
        self._where = where
        self._keyspace = where().keyspace
        self._parts = parts
        self._create = create
        self._adopt = adopt
        self._delete = delete
        self._ttl = ttl
        self._consistency = consistency
        self._replication = replication
        self._by_time = any("day" in part.table.keys for part in parts)
        self._places: dict[str, int] = {}  # flow_id: first_seen of a live flow as it was last written
        self._link: Link | None = None
        self._open()

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def write(self, batch: FlowBatch) -> list[RowError]:
        errors: dict[int, RowError] = {}

        def fail(row: int, kind: Kind, reason: str) -> None:
            if row not in errors or _RANK[kind] > _RANK[errors[row].kind]:
                errors[row] = RowError(row, kind, reason)

        try:
            link = self._link or self._open()
            plan = self._plan(link, batch)
            failed = self._singled_out(link, link.send(self._requests(link, plan, batch, fail)))
        except PASSING as error:
            # No connection, or it went while statements were prepared: nothing is said about any row.
            self._forget(error)
            return [RowError(row, "retry", text_of(error)) for row in range(len(batch))]
        for request, cause in failed:
            self._forget(cause)
            for statement in request.statements:
                fail(statement.row, judge(cause), text_of(cause))
        if self._by_time:
            self._remember(batch, errors)
        return list(errors.values())

    # -- connection and tables ----------------------------------------------------------------------------------

    def _open(self) -> Link:
        link = Link(self._where(), self._consistency)
        try:
            self._known: dict[str, dict[str, str]] = {}
            self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}
            if self._create and not self._has_keyspace(link):
                link.execute(tables.create_keyspace(self._keyspace, self._replication))
            for table in {part.table.name: part.table for part in self._parts}.values():
                self._check(link, table)
        except BaseException:
            link.close()
            raise
        self._link = link
        return link

    def _forget(self, error: Exception) -> None:
        """Without any host the next write connects anew. The driver would come back by itself too, but not after a
        server that, still starting, could not check its password."""
        if isinstance(error, NoHostAvailable | AuthenticationFailed):
            self.close()

    def _has_keyspace(self, link: Link) -> bool:
        query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
        return bool(link.execute(query, self._keyspace))

    def _check(self, link: Link, table: Table) -> None:
        """Fatal, naming all that is wrong; what is only missing is made with create=yes."""
        name = f"{self._keyspace}.{table.name}"
        found, keys = self._columns(link, table)
        if not found:
            if not self._create:
                raise Fatal(f"cassandra: there is no table {name}; ?create=yes makes it")
            link.execute(tables.create_table(self._keyspace, table, self._delete))
            found, keys = self._columns(link, table)
        missing, wrong = tables.differences(table, found, keys)
        if missing and (reason := self._lacking(link, table, missing)):
            wrong.insert(0, reason)
        if wrong:
            raise Fatal(f"cassandra: table {name}: {'; '.join(wrong)}")
        self._known[table.name] = found
        if missing:
            self._add(link, table, missing)

    def _lacking(self, link: Link, table: Table, missing: Iterable[str]) -> str | None:
        """Why columns that are missing are not added, if so."""
        names = f"columns are missing: {', '.join(missing)}"
        if not self._create:
            return f"{names} (?create=yes adds them)"
        query = "SELECT comment FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
        comments = [row.comment for row in link.execute(query, self._keyspace, table.name)]
        if self._adopt or comments == [tables.OWNER]:
            return None
        return f"{names}, and it is not aicore's (adopt=yes adds them)"

    def _columns(self, link: Link, table: Table) -> tuple[dict[str, str], list[str]]:
        """Columns with their types, and the primary key, as they are."""
        query = (
            "SELECT column_name, type, kind, position FROM system_schema.columns"
            " WHERE keyspace_name = %s AND table_name = %s"
        )
        rows = link.execute(query, self._keyspace, table.name)
        order = {"partition_key": 0, "clustering": 1}
        keys = sorted((order[row.kind], row.position, row.column_name) for row in rows if row.kind in order)
        return {row.column_name: row.type for row in rows}, [name for _, _, name in keys]

    def _add(self, link: Link, table: Table, columns: dict[str, str]) -> None:
        try:
            link.execute(tables.add_columns(self._keyspace, table, columns))
        except (InvalidRequest, AlreadyExists):
            # Another writer may have been quicker.
            found, _ = self._columns(link, table)
            if not columns.items() <= found.items():
                raise
        self._known[table.name] |= columns

    def _plan(self, link: Link, batch: FlowBatch) -> _Plan:
        fields = tuple((name, batch.type(name)) for name in batch.names())
        plan = self._plans.get(fields)
        if plan is None:
            plan = self._plans[fields] = self._make_plan(link, fields)
        return plan

    def _make_plan(self, link: Link, fields: Sequence[tuple[str, str]]) -> _Plan:
        unfit: dict[str, str] = {}
        inserts, deletes = [], []
        for part in self._parts:
            table = part.table
            names = list(table.columns)
            if table.grows:
                added = {name: CQL_TYPES[kind] for name, kind in fields if name not in table.columns}
                known = self._known[table.name]
                if missing := {name: kind for name, kind in added.items() if name not in known}:
                    if reason := self._lacking(link, table, missing):
                        raise Fatal(f"cassandra: table {self._keyspace}.{table.name}: {reason}")
                    self._add(link, table, missing)
                for name, kind in added.items():
                    if known[name] == kind or (known[name], kind) == ("double", "bigint"):
                        names.append(name)
                    else:
                        unfit[name] = f"{name} is {kind} here, {known[name]} in the table"
            inserts.append(link.prepare(tables.insert(self._keyspace, table, names, self._ttl)))
            deletes.append(link.prepare(tables.delete(self._keyspace, table)))
        return _Plan(inserts, deletes, unfit)

    # -- rows ---------------------------------------------------------------------------------------------------

    def _requests(self, link: Link, plan: _Plan, batch: FlowBatch, fail: Fail) -> Iterator[Request]:
        cells = Cells(batch, link.protocol_version)
        written = self._fit(plan, batch, fail)
        events, new = batch.column("event"), batch.column("new").tolist()
        gone = {row for row in written if events[row] == "remove"} if self._delete else set()
        kept = [row for row in written if row not in gone]
        moved = self._moved(batch, cells, written)
        ends = [row for row in kept if events[row] != "update" or new[row] or row in moved]
        for part, insert, delete in zip(self._parts, plan.inserts, plan.deletes, strict=True):
            todo: list[Statement] = []
            if kept:
                todo += _records(insert, delete, cells, part, ends if part.ends_only else kept)
            if gone:
                todo += _deletions(delete, cells, part, gone)
            if moved:
                before = [moved.get(row, time) for row, time in enumerate(cells.first_seen)]
                old = _deletions(delete, Cells(batch, link.protocol_version, before), part, moved)
                todo += _elsewhere(old, _deletions(delete, cells, part, moved))
            yield from _grouped(todo, part)

    def _fit(self, plan: _Plan, batch: FlowBatch, fail: Fail) -> list[int]:
        """Rows that the tables can take; the others are named. The core sees to what the keys are made of."""
        bad: dict[int, str] = {}
        for name, text in plan.unfit.items():
            bad |= {row: text for row, has in enumerate(batch.valid(name)) if has}
        for row, text in bad.items():
            fail(row, "poison", text)
        return [row for row in range(len(batch)) if row not in bad]

    def _moved(self, batch: FlowBatch, cells: Cells, rows: Sequence[int]) -> dict[int, int]:
        """Rows whose first_seen is not the one that stands in the tables: {row: that one}. It is part of the keys, and
        falls when a packet with an earlier time comes late."""
        if not self._places:
            return {}
        ids, times = batch.column("flow_id"), cells.first_seen
        return {row: was for row in rows if (was := self._places.get(ids[row])) is not None and was != times[row]}

    def _remember(self, batch: FlowBatch, errors: dict[int, RowError]) -> None:
        places = self._places
        rows = zip(batch.column("flow_id"), batch.column("event"), batch.column("first_seen").tolist(), strict=True)
        for row, (flow_id, event, first_seen) in enumerate(rows):
            if row in errors:
                continue
            places.pop(flow_id, None)
            if event != "remove":
                places[flow_id] = first_seen
        while len(places) > _PLACES:
            del places[next(iter(places))]

    def _singled_out(self, link: Link, failed: list[tuple[Request, Exception]]) -> list[tuple[Request, Exception]]:
        """Sends the rows of refused batches one by one: a server does not say which of them it meant."""
        refused = [request for request, error in failed if judge(error) == "poison"]
        if not refused:
            return failed
        for table in {part.table.name: part.table for part in self._parts}.values():
            self._check(link, table)  # the tables may have changed under us, which is no row's fault
        self._plans.clear()
        others = [(request, error) for request, error in failed if judge(error) != "poison"]
        if passing := next((error for _, error in others if judge(error) == "retry"), None):
            return others + [(request, passing) for request in refused]
        return others + link.send(Request([statement]) for request in refused for statement in request.statements)


def _records(insert: Any, delete: Any, cells: Cells, part: Part, rows: Iterable[int]) -> list[Statement]:
    """Rows that become the records, and nothing but them."""
    bound = cells.rows(_columns(insert, part))
    if part.shared:
        nulls = {row: [None if cell is UNSET_VALUE else cell for cell in bound[row]] for row in rows}
        return [Statement(insert, cells_of_row, row) for row, cells_of_row in nulls.items()]
    older = cells.rows(_columns(delete, part, BEFORE))
    return [Statement(insert, bound[row], row, Statement(delete, older[row], row)) for row in rows]


def _deletions(delete: Any, cells: Cells, part: Part, rows: Iterable[int]) -> list[Statement]:
    bound = cells.rows(_columns(delete, part))
    return [Statement(delete, bound[row], row) for row in rows]


def _columns(prepared: Any, part: Part, timestamp: str = TIMESTAMP) -> list[tuple[str, Any]]:
    """What a statement's markers are filled from, with their types."""
    source = {**part.source, TIMESTAMP: timestamp}
    return [(source.get(column.name, column.name), column.type) for column in prepared.column_metadata]


def _elsewhere(old: list[Statement], new: list[Statement]) -> list[Statement]:
    """Of deletions those whose key is not that of the row as it is now."""
    now = {statement.row: statement.values for statement in new}
    return [statement for statement in old if statement.values != now.get(statement.row)]


def _grouped(statements: Sequence[Statement], part: Part) -> Iterator[Request]:
    """Requests of one partition each; rows that are nearly alone in theirs share some, where the part says so."""
    partitions: dict[Any, list[Statement]] = {}
    for prepared, same in groupby(statements, attrgetter("prepared_statement")):
        partition_of = itemgetter(*prepared.routing_key_indexes)
        for statement in same:
            partitions.setdefault(partition_of(statement.values), []).append(statement)
    mixed: list[Statement] = []
    for group in partitions.values():
        if part.mixed and len(group) < _MIXED_ROWS:
            if len(mixed) + len(group) > _MIXED_ROWS:
                yield Request(mixed)
                mixed = []
            mixed += group
        else:
            for begin in range(0, len(group), _BATCH_ROWS):
                yield Request(group[begin : begin + _BATCH_ROWS])
    if mixed:
        yield Request(mixed)
