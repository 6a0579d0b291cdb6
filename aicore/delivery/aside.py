# SPDX-License-Identifier: Apache-2.0
"""Rows that were set aside: the store did not take them, and takes others. Not locked: the backlog's lock covers it.

They are in groups, each with later rows of its keys behind it, and each tried again at a time of its own: one row that
is refused for an hour delays neither the others nor one that is refused for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator

from aicore.delivery.inflight import InFlight
from aicore.delivery.timing import Backoff, Clock

#: Groups at most; what is set aside when there are so many joins the last one.
GROUPS = 16


class Group:
    """Rows that are tried together. Several flights where they cannot be joined: the first is tried, the others wait
    behind it."""

    def __init__(self, rows: InFlight) -> None:
        self.flights = [rows]
        self.keys = set(rows.batch.keys())
        self.rounds = 1
        self.due = 0.0

    @property
    def first(self) -> InFlight:
        return self.flights[0]

    def add(self, rows: InFlight) -> None:
        """Behind the others."""
        self.keys.update(rows.batch.keys())
        joined = self.flights[-1].joined(rows)
        if joined is None:
            self.flights.append(rows)
        else:
            self.flights[-1] = joined

    def forget_closed(self) -> None:
        """Leaves the open rows."""
        self.flights = [rest for one in self.flights if (rest := one.rest())]
        self.keys = {key for one in self.flights for key in set(one.batch.keys())}


class Aside:
    """The groups of one backlog."""

    def __init__(self, backoff: Backoff, clock: Clock) -> None:
        self._groups: list[Group] = []
        self._backoff = backoff
        self._clock = clock

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[InFlight]:
        """All rows, in the order of each key."""
        for group in self._groups:
            yield from group.flights

    @property
    def next_due(self) -> float:
        """When the next group is to be tried, by the clock; there is one."""
        return min(group.due for group in self._groups)

    @property
    def nbytes(self) -> int:
        return sum(rows.batch.nbytes for rows in self)

    def due(self) -> Group | None:
        """The group that has waited for longest since it was due."""
        first = min(self._groups, key=lambda group: group.due, default=None)
        return first if first is not None and first.due <= self._clock() else None

    def add(self, rows: InFlight) -> None:
        """Rows of keys of which none waits here, after they failed."""
        if len(self._groups) >= GROUPS:
            self._groups[-1].add(rows)
            return
        self._groups.append(Group(rows))
        self._plan(self._groups[-1])

    def tried(self, group: Group) -> None:
        """After a round: what is still open is tried again later."""
        group.rounds += 1
        self._plan(group)
        self.forget_closed()

    def forget_closed(self) -> None:
        """After rows were closed: leaves the open ones."""
        for group in self._groups:
            group.forget_closed()
        self._groups = [group for group in self._groups if group.flights]

    def follow(self, fresh: InFlight) -> InFlight | None:
        """Puts rows behind those of their key; returns the others."""
        keys = fresh.batch.keys()
        free = fresh.rows()
        for group in self._groups:
            behind = [row for row in free if keys[row] in group.keys]
            if behind:
                free = [row for row in free if keys[row] not in group.keys]
                group.add(fresh.part(behind))
        if len(free) == len(fresh.open):
            return fresh
        return fresh.part(free) if free else None

    def clear(self) -> None:
        self._groups.clear()

    def _plan(self, group: Group) -> None:
        group.due = self._clock() + self._backoff.seconds(group.rounds)
