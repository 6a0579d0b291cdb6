# SPDX-License-Identifier: Apache-2.0
"""The way of a batch into the table: one transaction, and where the server refuses rows, the parts of it that it takes.

The server does not say which row it means. So the batch is halved, each part under a savepoint, until the refused rows
are alone: one of 1,000 takes some 20 attempts. Everything is still one transaction: a write that is interrupted has
done nothing, and may be repeated also where rows are appended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from aicore.errors import RowError
from aicore_postgres import tables
from aicore_postgres.catalog import Catalog
from aicore_postgres.cells import encoded
from aicore_postgres.link import Link, judge, raising, text_of
from aicore_postgres.tables import STAGING, type_of

if TYPE_CHECKING:
    from aicore import Field, FlowBatch

logger = logging.getLogger("aicore")

_DAY = 86_400_000_000_000  # ns
_EXPIRE_SECONDS = 60.0  # between two looks for rows whose time is over
_EXPIRE_ROWS = 10_000  # deleted by one statement
_EXPIRE_BUSY = 1.0  # seconds after which the rest waits for the next look


class _Plan(NamedTuple):
    """How batches with certain fields are written."""

    fields: Sequence[str]
    upsert: str
    #: Fields that the table cannot take: rows that have one are poison.
    unfit: Mapping[str, str]


class Store:
    """Connects when made. Exceptions are those of `raising`, NotLetIn and Fatal."""

    def __init__(
        self,
        parameters: dict[str, Any],
        name: str,
        fields: Iterable[Field],
        *,
        create: bool,
        adopt: bool,
        append: bool,
        delete: bool,
        partition: str,
        partitions: int,
        ttl: int,
    ) -> None:
        self._append = append
        self._delete = delete
        self._by_day = partition == "day"
        self._hypertable = partition == "hypertable"
        self._partitions = partitions
        self._ttl = ttl
        self._catalog = Catalog(name, create=create, adopt=adopt, append=append, partition=partition)
        self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}
        self._staged: tuple[str, ...] = ()  # columns of the staging table
        self._days: set[int] = set()  # of which this run has seen a partition
        self._expire_at = 0.0
        self._worked = False  # rows were written over this connection
        self._link = Link(parameters)
        try:
            with raising():
                self._table = self._catalog.checked(self._link, _columns((f.name, f.type) for f in fields))
        except BaseException:
            self._link.close()
            raise

    @property
    def closed(self) -> bool:
        return self._link.closed

    def close(self) -> None:
        self._link.close()

    def write(self, batch: FlowBatch) -> list[RowError]:
        try:
            with raising(worked=self._worked):
                plan = self._plan(batch)
                errors = self._unfit(plan, batch)
                errors |= self._placed(batch, errors)
                rows = [row for row in range(len(batch)) if row not in errors] if errors else None
                errors |= self._written(plan, batch, rows)
                self._worked = True
                self._expire()
        except (OSError, psycopg.Error):
            self._link.close()  # the transaction may be half done
            raise
        return [RowError(row, "poison", reason) for row, reason in errors.items()]

    # -- rows ---------------------------------------------------------------------------------------------------

    def _written(self, plan: _Plan, batch: FlowBatch, rows: list[int] | None) -> dict[int, str]:
        """Rows that the server refuses, with its reason. `rows` are the ones to write, None for all."""
        if rows is not None and not rows:
            return {}
        try:
            with self._link.transaction():
                self._load(plan, batch if rows is None else batch.take(rows))
            return {}
        except psycopg.Error as error:
            if judge(error) != "rows":
                raise
        return self._in_parts(plan, batch, list(range(len(batch))) if rows is None else rows)

    def _in_parts(self, plan: _Plan, batch: FlowBatch, rows: list[int]) -> dict[int, str]:
        refused: dict[int, str] = {}
        parts = [rows]
        execute = self._link.execute
        with self._link.transaction():
            execute("SET CONSTRAINTS ALL IMMEDIATE")  # a deferred one would fail at the end, for all
            while parts:
                part = parts.pop()
                execute("SAVEPOINT part")
                try:
                    self._load(plan, batch.take(part))
                except psycopg.Error as error:
                    if judge(error) != "rows":
                        raise
                    execute("ROLLBACK TO part")
                    if len(part) == 1:
                        refused[part[0]] = text_of(error)
                    else:
                        half = len(part) // 2
                        parts += (part[half:], part[:half])
                else:
                    if not self._append:
                        execute(f"DELETE FROM {STAGING}")
                    execute("RELEASE part")
        return refused

    def _load(self, plan: _Plan, batch: FlowBatch) -> None:
        """Into the table, within a transaction."""
        if self._append:
            columns = encoded(batch, plan.fields)
            self._link.copy(tables.copy(self._table.quoted, columns.names), columns.data)
            return
        if self._delete and (gone := batch.kind("remove")) is not None:
            values = [list(gone.column("flow_id")), gone.column("version").tolist()]
            self._link.execute(tables.delete(self._table), values)
            kept = [row for row, event in enumerate(batch.column("event")) if event != "remove"]
            if not kept:
                return
            batch = batch.take(kept)
        columns = encoded(batch, plan.fields)
        self._link.copy(tables.copy(STAGING, columns.names), columns.data)
        self._link.execute(plan.upsert, prepare=True)

    # -- table --------------------------------------------------------------------------------------------------

    def _plan(self, batch: FlowBatch) -> _Plan:
        fields = tuple((name, batch.type(name)) for name in batch.names())
        plan = self._plans.get(fields)
        if plan is None:
            plan = self._plans[fields] = self._make_plan(fields)
        if not self._append and self._staged != (staged := ("version", *plan.fields)):
            types = dict(fields)
            self._link.execute(f"DROP TABLE IF EXISTS {STAGING}")
            self._link.execute(tables.create_staging(_columns((name, types[name]) for name in plan.fields)))
            self._staged = staged
        return plan

    def _make_plan(self, fields: Sequence[tuple[str, str]]) -> _Plan:
        columns = _columns(fields)
        missing, _ = tables.differences(self._table, columns)
        if missing:
            self._table = self._catalog.grown(self._link, self._table, missing)
            self._plans.clear()  # their statements leave out the new columns, which are to become null
        known = self._table.columns
        unfit = {
            name: f"{name} is {kind} here, {known[name]} in the table"
            for name, kind in columns.items()
            if known[name] != kind
        }
        names = [name for name, _ in fields if name not in unfit]
        key = self._table.key
        return _Plan(names, "" if key is None else tables.upsert(self._table, ("version", *names), key), unfit)

    def _unfit(self, plan: _Plan, batch: FlowBatch) -> dict[int, str]:
        bad: dict[int, str] = {}
        for name, text in plan.unfit.items():
            bad |= {row: text for row, has in enumerate(batch.valid(name)) if has}
        return bad

    def _placed(self, batch: FlowBatch, bad: Mapping[int, str]) -> dict[int, str]:
        """Sees to the partitions of the rows, and names rows that would be in too many: a capture with wild times must
        not fill the database with tables."""
        if not self._by_day:
            return {}
        days = [time // _DAY for time in batch.column("opened").tolist()]
        if new := {day for row, day in enumerate(days) if row not in bad} - self._days:
            known = self._catalog.days(self._link, self._table)
            for day in sorted(new):
                if len(self._days) < self._partitions:
                    if day not in known:
                        self._catalog.add_day(self._link, self._table, day)
                    self._days.add(day)
        text = f"it would be in one more than {self._partitions} partitions; see the option partitions"
        return {row: text for row, day in enumerate(days) if day not in self._days and row not in bad}

    # -- retention ----------------------------------------------------------------------------------------------

    def _expire(self) -> None:
        """Whatever keeps rows from going (locks, rights) keeps none from coming: those of the batch are safe by now."""
        now = time.monotonic()
        if not self._ttl or now < self._expire_at:
            return
        self._expire_at = now + _EXPIRE_SECONDS
        try:
            if self._hypertable:
                self._link.rows(
                    "SELECT drop_chunks(%s::regclass, older_than => make_interval(secs => %s))",
                    self._table.quoted,
                    self._ttl,
                )
            elif self._by_day:
                self._drop_days()
            else:
                self._delete_old(now + _EXPIRE_BUSY)
        except (psycopg.Error, OSError) as error:
            text = text_of(error) if isinstance(error, psycopg.Error) else str(error)
            logger.warning("postgres: rows older than ttl stay in %s for now: %s", self._table, text)

    def _drop_days(self) -> None:
        last = (time.time_ns() - self._ttl * 1_000_000_000) // _DAY  # flows of this day may be younger than that
        for day, name in self._catalog.days(self._link, self._table).items():
            if day < last:
                self._days.discard(day)
                self._link.execute(f"DROP TABLE {tables.quoted(self._table.schema)}.{tables.quoted(name)}")

    def _delete_old(self, until: float) -> None:
        """`opened` is never later than `last_seen`, and has the index."""
        old = f"SELECT ctid FROM {self._table.quoted} WHERE opened < {{0}} AND last_seen < {{0}} LIMIT {_EXPIRE_ROWS}"
        old = old.format(f"now() - make_interval(secs => {self._ttl})")
        statement = f"DELETE FROM {self._table.quoted} WHERE ctid = ANY (ARRAY ({old}))"
        while self._link.execute(statement) == _EXPIRE_ROWS and time.monotonic() < until:
            pass


def _columns(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Columns of these fields with their types, and `version`."""
    return {**{name: type_of(name, kind) for name, kind in fields}, "version": "bigint"}
