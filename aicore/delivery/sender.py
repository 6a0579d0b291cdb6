# SPDX-License-Identifier: Apache-2.0
"""Gets one group of rows into the store: one write if all is well, else the search for the rows that fail.

A row that fails holds back later rows of its key, and so of its flow: each flow has one key. A write that raises
without naming rows is halved, by keys, until the bad rows stand alone: one in 1,000 costs 21 writes at most.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from aicore.delivery.queue import Group
from aicore.errors import Fatal, PartialWrite, RowError
from aicore.plugins.url import scrub
from aicore.record.batch import FlowBatch

#: A row that failed so often, while rows of other flows went through, is poison.
STRIKES = 5
#: The same for a row that the adaptor wants later, or whose write ended in an OSError, such as ConnectionError and
#: TimeoutError: of a store that is overloaded, or on a network that spoils every second write, five come by chance.
#: With the usual pauses these take minutes.
WEAK_STRIKES = 20
#: Window over which the share of poison is judged. The least number of rows keeps one hostile flow on a quiet link from
#: stopping the adaptor.
WINDOW_GROUPS = 3
WINDOW_ROWS = 64
#: Writes of single bad rows in a row, before the next batch has to show that the store takes others.
LONE_WRITES = 3
#: Seconds for which the last row of all is tried.
LAST_ROW_PATIENCE = 30.0

# One of our own: the program's seed is the program's.
_random = random.Random()

Outcome = Literal["delivered", "dead_lettered"]
#: A batch, and whether its rows may stand for several events.
Write = Callable[[FlowBatch, bool], "Sequence[RowError] | None"]


class Owner(Protocol):
    """What the delivery does for its sender."""

    def resolve(
        self, group: Group, rows: Sequence[int], outcome: Outcome, reasons: Sequence[tuple[str, int]] = ()
    ) -> None:
        """Accounts for rows that are done. For dead letters: the reason and how often it was tried, of each."""

    def failed(self, reason: str, rows: int) -> None:
        """A write failed, or some rows of it; they will be tried again."""

    def pause(self, seconds: float) -> bool:
        """Waits before the next write; False: there is no time left for one."""


class Halt(Exception):
    """The adaptor cannot go on; the open rows of the group stay."""


@dataclass(slots=True)
class _Try:
    """How a key's first open row has fared."""

    failures: int = 0
    strikes: int = 0  # times that a row of another key went through after a failure
    again: int = 0  # failures after the first strike
    alone: bool = False  # the row itself is known to fail, not only a batch that holds it
    named: bool = False  # the adaptor asked for the retry
    tried: int = 0  # the version of the key's last row in the write whose answer named it
    weak: bool = False  # the last failure may well be the store's or the network's
    reason: str = ""


class Backoff:
    """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): 0 to `first` * 2^n, at most `most` s."""

    def __init__(self, first: float, most: float) -> None:
        self.first = first
        self.most = most

    def seconds(self, failures: int) -> float:
        return _random.uniform(0, min(self.most, self.first * 2.0 ** min(failures - 1, 60)))


class Sender:
    """For the thread that delivers. `fails` counts writes in a row that delivered nothing."""

    def __init__(self, write: Write, owner: Owner, backoff: Backoff) -> None:
        self._write = write
        self._owner = owner
        self._backoff = backoff
        self._tries: dict[str, _Try] = {}
        self._pending: dict[
            str, bool
        ] = {}  # keys that failed since a row of another one went through; True: with a remove
        self._window: deque[tuple[int, int]] = deque()
        self.fails = 0
        self.delivered = False  # anything, ever

    def deliver(self, group: Group, *, fresh: bool) -> bool:
        """Tries every open row once, or until there is no time left; what stays open waits for later.

        True if any row was resolved. Halt: the adaptor has failed for good.
        """
        keys = _Keys(group.batch)
        before = group.open.count(1)
        # What only was in a batch that failed, in an outage for instance, says nothing about a row.
        self._tries = {key: entry for key, entry in self._tries.items() if entry.alone}
        self._pending = {key: remove for key, remove in self._pending.items() if key in self._tries}
        if fresh:
            self._next_window()
        stack = self._parts(group, keys)
        lone_failed = 0
        while stack:
            rows, failed = stack.pop()
            lone = failed and self._lone(keys[rows[0]])
            if lone and lone_failed == LONE_WRITES:
                break
            parts = _split(rows, keys) if failed else [rows]
            for part in parts:
                fails = self.fails
                if not self._send(group, part, keys, stack) and len(part) > 1:
                    stack.append((part, True))
                lone_failed += lone and self.fails > fails
            if len(parts) == 1 and failed and not group.open[rows[0]] and rows[1:]:
                stack.append((rows[1:], False))
            if stack and self.fails and not self._pause(lone):
                break
        self._bury(group, keys)
        return before > group.open.count(1)

    def judge_last(self, group: Group, failing_for: float) -> None:
        """At the end of the input, when no other flow comes to show that the store takes rows.

        A row that made the adaptor raise is then poison if it failed again after others had gone through, or if it is
        the only one left and has failed for long. Several that never had such a witness are rather an outage.
        """
        keys = {group.batch.keys()[row] for row in group.rows()}
        for key in keys:
            entry = self._tries.get(key)
            if entry is None or not entry.alone or entry.named:
                continue
            again = entry.again and entry.failures >= STRIKES and not entry.weak
            if again or (len(keys) == 1 and self.delivered and failing_for >= LAST_ROW_PATIENCE):
                entry.strikes = WEAK_STRIKES
        self._bury(group, _Keys(group.batch))

    def _parts(self, group: Group, keys: _Keys) -> list[tuple[list[int], bool]]:
        """What to write, last first: rows, and whether they failed together before. No key is in two parts.

        Of a key that the adaptor wants later only what it has seen goes, and all of that: a later row may have been
        written, and an earlier one without it would take the store back. What is behind waits for the answer. Keys
        that make a write raise come last and each alone, so that the others go in one write.
        """
        if not self._tries:
            return [(group.rows(), False)]
        rows: list[int] = []
        lone: dict[str, list[int]] = {}
        seen: set[str] = set()
        versions = group.batch.column("version")
        for row in group.rows():
            key = keys[row]
            if self._lone(key):
                lone.setdefault(key, []).append(row)
            elif key not in self._tries or key not in seen or versions[row] <= self._tries[key].tried:
                seen.add(key)
                rows.append(row)
        order = sorted(lone, key=lambda key: -self._tries[key].failures)
        return [(lone[key], True) for key in order] + ([(rows, False)] if rows else [])

    def _lone(self, key: str) -> bool:
        entry = self._tries.get(key)
        return entry is not None and entry.alone and not entry.named

    # -- one write ----------------------------------------------------------------------------------------------

    def _send(self, group: Group, rows: list[int], keys: _Keys, stack: list[tuple[list[int], bool]]) -> bool:
        """Writes these rows. False if the write failed as a whole; what it named is dealt with here."""
        batch = group.batch if len(rows) == len(group.batch) else group.batch.take(rows)
        try:
            errors = _checked(self._write(batch, group.merged), len(rows))
        except Fatal as error:
            raise Halt(describe(error)) from error
        except PartialWrite as error:
            cause = error.__cause__
            if isinstance(cause, Fatal):
                self._delivered(group, rows[: error.delivered], keys)
                raise Halt(describe(cause)) from cause
            at, weak = min(error.delivered, len(rows) - 1), isinstance(cause, OSError)
            self._stopped_at(group, rows, at, describe(cause or error), keys, stack, weak)
            return True
        except (Exception, SystemExit) as error:
            reason = describe(error)
            weak = isinstance(error, OSError)
            for row in rows:
                self._strike_later(group, row, keys[row], reason, alone=len(rows) == 1, weak=weak)
            self.fails += 1
            self._owner.failed(reason, len(rows))
            return False
        if errors:
            self._named(group, rows, errors, keys)
        else:
            self._delivered(group, rows, keys)
        return True

    def _stopped_at(
        self,
        group: Group,
        rows: list[int],
        at: int,
        reason: str,
        keys: _Keys,
        stack: list[tuple[list[int], bool]],
        weak: bool,
    ) -> None:
        """A write in order that stopped at a row: goes on behind it, without the rows of its key."""
        if at:
            self._delivered(group, rows[:at], keys)  # first: it says nothing about what comes behind it
        key = keys[rows[at]]
        self._strike_later(group, rows[at], key, reason, alone=True, weak=weak)
        self.fails += 1
        self._owner.failed(reason, 1)
        if rest := [row for row in rows[at + 1 :] if keys[row] != key]:
            stack.append((rest, False))

    def _named(self, group: Group, rows: list[int], errors: dict[int, RowError], keys: _Keys) -> None:
        """An answer by rows. Later rows of a held key were perhaps written: they are written again, behind it."""
        held: set[str] = set()
        fine: list[int] = []
        poison: list[tuple[int, str]] = []
        fatal = ""
        retried = 0
        versions = group.batch.column("version")
        for index, row in enumerate(rows):
            error = errors.get(index)
            if error is not None and error.kind == "fatal":
                fatal = fatal or error.reason
                held.add(keys[row])
            elif error is not None and error.kind == "poison":
                poison.append((row, error.reason))
            elif error is not None:
                if keys[row] not in held:
                    self._strike_later(group, row, keys[row], error.reason, alone=True, named=True)
                held.add(keys[row])
                retried += 1
            elif keys[row] not in held:
                fine.append(row)
            if keys[row] in held and (entry := self._tries.get(keys[row])):
                entry.tried = versions[row]
        self.fails = 0 if fine or poison else self.fails + 1
        if fine:
            self._delivered(group, fine, keys)
        self._judge_share([reason for _, reason in poison])
        if poison:
            reasons = []
            for row, reason in poison:
                known = self._tries.pop(keys[row], None)
                self._pending.pop(keys[row], None)
                reasons.append((scrub(reason), (known.failures if known else 0) + 1))
            self._owner.resolve(group, [row for row, _ in poison], "dead_lettered", reasons)
        if fatal:
            raise Halt(scrub(fatal))
        if retried:
            first = next(error.reason for error in errors.values() if error.kind == "retry")
            self._owner.failed(scrub(first), retried)

    # -- evidence -----------------------------------------------------------------------------------------------

    def _delivered(self, group: Group, rows: list[int], keys: _Keys) -> None:
        self.fails = 0
        self.delivered = True
        if self._tries:
            done = set(rows)
            left = {keys[row] for row in group.rows() if row not in done}
            for key in {keys[row] for row in rows} & self._tries.keys():
                # A write that raised may have meant a later row of the key.
                if key not in left or self._tries[key].named:
                    del self._tries[key]
                    self._pending.pop(key, None)
            # A full store still takes removes (Redis at maxmemory), which says nothing about a write.
            events = group.batch.column("event") if self._pending else []
            wrote = self._pending and any(events[row] != "remove" for row in rows)
            mine = {keys[row] for row in rows}
            for key in [key for key, remove in self._pending.items() if (remove or wrote) and key not in mine]:
                self._tries[key].strikes += 1
                del self._pending[key]
        self._owner.resolve(group, rows, "delivered")
        if self._window:
            count, poison = self._window[-1]
            self._window[-1] = (count + len(rows), poison)

    def _strike_later(
        self, group: Group, row: int, key: str, reason: str, *, alone: bool, named: bool = False, weak: bool = False
    ) -> None:
        entry = self._tries.setdefault(key, _Try())
        entry.failures += 1
        entry.again += 1 if entry.strikes else 0
        entry.alone = entry.alone or alone
        entry.named = named
        entry.weak = weak or named
        entry.reason = reason
        self._pending[key] = group.batch.column("event")[row] == "remove"

    def _bury(self, group: Group, keys: _Keys) -> None:
        """Sends rows with enough strikes to the dead letters: the first open one of each such key."""
        buried = {
            key
            for key, entry in self._tries.items()
            if entry.alone and entry.strikes >= (WEAK_STRIKES if entry.weak else STRIKES)
        }
        if not buried:
            return
        for row in group.rows():
            if keys[row] in buried:
                buried.discard(keys[row])
                entry = self._tries[keys[row]]
                self._judge_share([entry.reason])
                del self._tries[keys[row]]
                self._pending.pop(keys[row], None)
                self._owner.resolve(group, [row], "dead_lettered", [(scrub(entry.reason), entry.failures)])

    def _next_window(self) -> None:
        if not self._window or self._window[-1][0]:
            self._window.append((0, 0))
        while len(self._window) > WINDOW_GROUPS and sum(rows for rows, _ in list(self._window)[1:]) >= WINDOW_ROWS:
            self._window.popleft()

    def _judge_share(self, poison: Sequence[str]) -> None:
        """More than half of the rows refused means that the store, not the rows, is wrong: schema, rights, mapping."""
        if not poison or not self._window:
            return
        count, bad = self._window[-1]
        self._window[-1] = (count + len(poison), bad + len(poison))
        rows = sum(count for count, _ in self._window)
        bad = sum(bad for _, bad in self._window)
        if len(self._window) >= WINDOW_GROUPS and rows >= WINDOW_ROWS and bad * 2 > rows:
            raise Halt(f"the store refuses {bad} of the last {rows} rows, the last one: {scrub(poison[-1])}")

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
        self._keys: list[str] | None = None

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


def describe(error: BaseException) -> str:
    """One line without secrets."""
    text = " ".join(scrub(str(error)).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
