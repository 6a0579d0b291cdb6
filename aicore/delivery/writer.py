# SPDX-License-Identifier: Apache-2.0
"""Gets the rows of one batch into the store: one write if all is well, else the search for the rows that fail.

A row that fails holds back later rows of its key, and so of its flow: each flow has one key. A write that raises
without naming rows is halved, by keys, until the bad rows stand alone: one in 1,000 costs 21 writes at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from aicore.delivery.backlog import Gone
from aicore.delivery.connection import Away, describe
from aicore.delivery.faults import FLOWS, CodeFaults, of_its_place
from aicore.delivery.inflight import InFlight, Outcome
from aicore.delivery.suspects import STRIKES, WEAK_STRIKES, RefusedShare, Suspects
from aicore.delivery.timing import Backoff
from aicore.errors import Fatal, PartialWrite, RowError
from aicore.plugins.secrets import scrub
from aicore.record.batch import FlowBatch

#: Writes of single bad rows in a row, before the next batch has to show that the store takes others.
LONE_WRITES = 3
#: Seconds for which the last row of all is tried.
LAST_ROW_PATIENCE = 30.0

#: A batch, and whether its rows may stand for several events.
Write = Callable[[FlowBatch, bool], "Sequence[RowError] | None"]


class Owner(Protocol):
    """What the sender does for its writer."""

    def resolve(
        self, rows_of: InFlight, rows: Sequence[int], outcome: Outcome, reasons: Sequence[tuple[str, int]] = ()
    ) -> None:
        """Accounts for rows that are done. For dead letters: the reason and how often it was tried, of each."""

    def failed(self, reason: str, rows: int) -> None:
        """A write failed, or some rows of it; they will be tried again."""

    def pause(self, seconds: float) -> bool:
        """Waits before the next write; False: there is no time left for one."""


class Halt(Exception):
    """The adaptor cannot go on; the open rows stay."""


class Writer:
    """For the thread that delivers. `fails` counts writes in a row that delivered nothing."""

    def __init__(self, write: Write, owner: Owner, backoff: Backoff) -> None:
        self._write = write
        self._owner = owner
        self._backoff = backoff
        self._suspects = Suspects()
        self._share = RefusedShare()
        self._faults = CodeFaults()
        self.fails = 0
        self.delivered = False  # anything, ever
        # Of the last deliver(): there was no way to the store, and a write raised something else.
        self.away = self.raised = False
        self._reason = ""  # of the last write that raised

    def deliver(self, flight: InFlight, *, fresh: bool) -> bool:
        """Tries every open row once, or until there is no time left; what stays open waits for later.

        True if any row was resolved. Halt: the adaptor has failed for good.
        """
        keys = _Keys(flight.batch)
        before = flight.open.count(1)
        self.away = self.raised = False
        self._suspects.forget_company()
        if fresh:
            self._share.next_group()
        try:
            self._try_all(flight, keys)
        except Away as error:  # the rows that were not tried wait, and nothing is held against the others
            self.away = True
            self.fails += 1
            self._owner.failed(str(error), flight.open.count(1))
        self._bury(flight, keys)
        if before > flight.open.count(1):
            return True
        if self.raised and self._faults.attempt():
            raise Halt(f"its write() fails by an error of its code: {self._reason}")
        return False

    def _try_all(self, flight: InFlight, keys: _Keys) -> None:
        stack = self._parts(flight, keys)
        lone_failed = 0
        while stack:
            rows, failed = stack.pop()
            lone = failed and self._suspects.lone(keys[rows[0]])
            if lone and lone_failed == LONE_WRITES:
                break
            parts = _split(rows, keys) if failed else [rows]
            for part in parts:
                fails = self.fails
                if not self._send(flight, part, keys, stack) and len(part) > 1:
                    stack.append((part, True))
                lone_failed += lone and self.fails > fails
            if len(parts) == 1 and failed and not flight.open[rows[0]] and rows[1:]:
                stack.append((rows[1:], False))
            if stack and self.fails and not self._pause(lone):
                break

    def judge_last(self, flights: Sequence[InFlight], failing_for: float) -> None:
        """At the end of the input, when no other flow comes to show that the store takes rows.

        A row that made the adaptor raise is then poison if it failed again after others had gone through, or if it is
        the only one left and has failed for long. Several that never had such a witness are rather an outage.
        """
        keys = {flight.batch.keys()[row] for flight in flights for row in flight.rows()}
        for key in keys:
            suspect = self._suspects.get(key)
            if suspect is None or not suspect.alone or suspect.named:
                continue
            again = suspect.again and suspect.failures >= STRIKES and not suspect.weak
            if again or (len(keys) == 1 and self.delivered and failing_for >= LAST_ROW_PATIENCE):
                suspect.strikes = WEAK_STRIKES
        for flight in flights:
            self._bury(flight, _Keys(flight.batch))

    def _parts(self, flight: InFlight, keys: _Keys) -> list[tuple[list[int], bool]]:
        """What to write, last first: rows, and whether they failed together before. No key is in two parts.

        Of a key that the adaptor wants later only what it has seen goes, and all of that: a later row may have been
        written, and an earlier one without it would take the store back. What is behind waits for the answer. Keys
        that make a write raise come last and each alone, so that the others go in one write.
        """
        if not self._suspects:
            return [(flight.rows(), False)]
        rows: list[int] = []
        lone: dict[str, list[int]] = {}
        failures: dict[str, int] = {}
        seen: set[str] = set()
        versions = flight.batch.column("version")
        for row in flight.rows():
            key = keys[row]
            suspect = self._suspects.get(key)
            if suspect is not None and self._suspects.lone(key):
                lone.setdefault(key, []).append(row)
                failures[key] = suspect.failures
            elif suspect is None or key not in seen or versions[row] <= suspect.tried:
                seen.add(key)
                rows.append(row)
        order = sorted(lone, key=lambda key: -failures[key])
        return [(lone[key], True) for key in order] + ([(rows, False)] if rows else [])

    # -- one write ----------------------------------------------------------------------------------------------

    def _send(self, flight: InFlight, rows: list[int], keys: _Keys, stack: list[tuple[list[int], bool]]) -> bool:
        """Writes these rows. False if the write failed as a whole; what it named is dealt with here."""
        batch = flight.batch if len(rows) == len(flight.batch) else flight.batch.take(rows)
        try:
            errors = _checked(self._write(batch, flight.merged), len(rows))
        except Away:
            raise
        except Fatal as error:
            raise Halt(describe(error)) from error
        except PartialWrite as error:
            cause = error.__cause__
            if isinstance(cause, Fatal):
                self._delivered(flight, rows[: error.delivered], keys)
                raise Halt(describe(cause)) from cause
            if of_its_place(cause):
                self._delivered(flight, rows[: error.delivered], keys)
                raise Away(describe(cause or error)) from cause
            at, weak = min(error.delivered, len(rows) - 1), isinstance(cause, OSError)
            self._faults.failed(cause or error, [keys[rows[at]]])
            self._stopped_at(flight, rows, at, describe(cause or error), keys, stack, weak)
            return True
        except Gone:
            raise
        except BaseException as error:  # also asyncio's CancelledError: nothing that an adaptor raises ends the thread
            if of_its_place(error):
                raise Away(describe(error)) from error
            self._reason = reason = describe(error)
            self._faults.failed(error, [keys[row] for row in rows[:FLOWS]])
            weak = isinstance(error, OSError)
            for row in rows:
                self._suspect(flight, row, keys, reason, alone=len(rows) == 1, weak=weak)
            self.raised = True
            self.fails += 1
            self._owner.failed(reason, len(rows))
            return False
        if errors:
            self._named(flight, rows, errors, keys)
        else:
            self._delivered(flight, rows, keys)
        return True

    def _stopped_at(
        self,
        flight: InFlight,
        rows: list[int],
        at: int,
        reason: str,
        keys: _Keys,
        stack: list[tuple[list[int], bool]],
        weak: bool,
    ) -> None:
        """A write in order that stopped at a row: goes on behind it, without the rows of its key."""
        if at:
            self._delivered(flight, rows[:at], keys)  # first: it says nothing about what comes behind it
        key = keys[rows[at]]
        self._suspect(flight, rows[at], keys, reason, alone=True, weak=weak)
        self.raised = True
        self._reason = reason
        self.fails += 1
        self._owner.failed(reason, 1)
        if rest := [row for row in rows[at + 1 :] if keys[row] != key]:
            stack.append((rest, False))

    def _named(self, flight: InFlight, rows: list[int], errors: dict[int, RowError], keys: _Keys) -> None:
        """An answer by rows. Later rows of a held key were perhaps written: they are written again, behind it."""
        held: set[str] = set()
        fine: list[int] = []
        poison: list[tuple[int, str]] = []
        fatal = ""
        retried = 0
        versions = flight.batch.column("version")
        for index, row in enumerate(rows):
            error = errors.get(index)
            if error is not None and error.kind == "fatal":
                fatal = fatal or error.reason
                held.add(keys[row])
            elif error is not None and error.kind == "poison":
                poison.append((row, error.reason))
            elif error is not None:
                if keys[row] not in held:
                    self._suspect(flight, row, keys, error.reason, alone=True, named=True)
                held.add(keys[row])
                retried += 1
            elif keys[row] not in held:
                fine.append(row)
            if keys[row] in held and (suspect := self._suspects.get(keys[row])):
                suspect.tried = versions[row]
        self.fails = 0 if fine or poison else self.fails + 1
        if fine:
            self._delivered(flight, fine, keys)
        if poison:
            self._refused(flight, poison, keys)
        if fatal:
            raise Halt(scrub(fatal))
        if retried:
            first = next(error.reason for error in errors.values() if error.kind == "retry")
            self._owner.failed(scrub(first), retried)

    # -- what becomes of rows -----------------------------------------------------------------------------------

    def _delivered(self, flight: InFlight, rows: list[int], keys: _Keys) -> None:
        self.fails = 0
        self._faults.delivered()
        self.delivered = True
        if self._suspects:
            done = set(rows)
            left = {keys[row] for row in flight.rows() if row not in done}
            mine = {keys[row] for row in rows}
            events = flight.batch.column("event") if self._suspects.pending else []
            wrote = self._suspects.pending and any(events[row] != "remove" for row in rows)
            self._suspects.went_through(mine, whole=mine - left, wrote=wrote)
        self._owner.resolve(flight, rows, "delivered")
        self._share.note(len(rows), 0)

    def _refused(self, flight: InFlight, poison: list[tuple[int, str]], keys: _Keys) -> None:
        """To the dead letters, unless the store refuses too many."""
        self._judge_share([reason for _, reason in poison])
        reasons = []
        for row, reason in poison:
            known = self._suspects.drop(keys[row])
            reasons.append((scrub(reason), (known.failures if known else 0) + 1))
        self._owner.resolve(flight, [row for row, _ in poison], "dead_lettered", reasons)

    def _suspect(
        self,
        flight: InFlight,
        row: int,
        keys: _Keys,
        reason: str,
        *,
        alone: bool,
        named: bool = False,
        weak: bool = False,
    ) -> None:
        remove = flight.batch.column("event")[row] == "remove"
        self._suspects.failed(keys[row], reason, remove=remove, alone=alone, named=named, weak=weak)

    def _bury(self, flight: InFlight, keys: _Keys) -> None:
        """Sends rows with enough strikes to the dead letters: the first open one of each such key."""
        buried = set(self._suspects.poison())
        if not buried:
            return
        for row in flight.rows():
            if keys[row] in buried:
                buried.discard(keys[row])
                suspect = self._suspects.get(keys[row])
                assert suspect is not None
                self._judge_share([suspect.reason])
                self._suspects.drop(keys[row])
                self._owner.resolve(flight, [row], "dead_lettered", [(scrub(suspect.reason), suspect.failures)])

    def _judge_share(self, reasons: Sequence[str]) -> None:
        self._share.note(len(reasons), len(reasons))
        if verdict := self._share.verdict():
            bad, rows = verdict
            raise Halt(f"the store refuses {bad} of the last {rows} rows, the last one: {scrub(reasons[-1])}")

    def _pause(self, lone: bool) -> bool:
        seconds = self._backoff.seconds(self.fails)
        return self._owner.pause(min(seconds, 1.0) if lone else seconds)


def _split(rows: list[int], keys: _Keys) -> list[list[int]]:
    """The rows of half of the keys and those of the other half; of one key alone, its first row."""
    distinct = list(dict.fromkeys(keys[row] for row in rows))
    if len(distinct) == 1:
        return [rows[:1]]
    first = set(distinct[: len(distinct) // 2])
    return [[row for row in rows if keys[row] in first], [row for row in rows if keys[row] not in first]]


class _Keys:
    """The keys of a batch by row, made when the first is asked for: a write that goes well needs none."""

    def __init__(self, batch: FlowBatch) -> None:
        self._batch = batch
        self._keys: Sequence[str] | None = None

    def __getitem__(self, row: int) -> str:
        if self._keys is None:
            self._keys = self._batch.keys()
        return self._keys[row]


def _checked(answer: object, rows: int) -> dict[int, RowError]:
    """A write's answer by row; TypeError or ValueError for one that means nothing."""
    if answer is None:
        return {}
    if not isinstance(answer, Iterable):
        raise TypeError(f"write() returned {type(answer).__name__}, not RowErrors")
    found: dict[int, RowError] = {}
    for error in answer:
        if not isinstance(error, RowError):
            raise TypeError(f"write() returned a {type(error).__name__} among its RowErrors")
        row: object = error.row  # plugins are not type-checked
        if not isinstance(row, int) or not 0 <= row < rows:
            raise ValueError(f"write() named row {error.row!r} of a batch of {rows}")
        if error.kind not in ("retry", "poison", "fatal"):
            raise ValueError(f"write() gave a row the kind {error.kind!r}")
        found[error.row] = error
    return found
