# SPDX-License-Identifier: Apache-2.0
"""Evidence on who is wrong when writes fail: a row, or the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

#: A row that failed so often, while rows of other flows went through, is poison.
STRIKES = 5
#: The same for a row whose write ended in an OSError, such as ConnectionError and TimeoutError: on a network that
#: spoils every second write five come by chance. With the usual pauses these take minutes.
WEAK_STRIKES = 20
#: Window over which the share of poison is judged. The least number of rows keeps one hostile flow on a quiet link from
#: stopping the adaptor.
WINDOW_GROUPS = 3
WINDOW_ROWS = 64


@dataclass(slots=True)
class Suspect:
    """How a key's first open row has fared."""

    failures: int = 0
    strikes: int = 0  # times that a row of another key went through after a failure
    again: int = 0  # failures after the first strike
    alone: bool = False  # the row itself is known to fail, not only a batch that holds it
    # The adaptor asked for the retry: it knows that the row is not to blame. A Redis at its limit of memory takes small
    # rows and refuses large ones for as long as nobody gives it more.
    named: bool = False
    tried: int = 0  # the version of the key's last row in the write whose answer named it
    weak: bool = False  # the last failure may well be the store's or the network's
    reason: str = ""


class Suspects:
    """Keys whose rows failed."""

    def __init__(self) -> None:
        self._found: dict[str, Suspect] = {}
        # Those that failed since a row of another one went through; True: with a remove.
        self._pending: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def get(self, key: str) -> Suspect | None:
        return self._found.get(key)

    def lone(self, key: str) -> bool:
        """The key's row makes a write raise that holds it."""
        found = self._found.get(key)
        return found is not None and found.alone and not found.named

    def forget_company(self) -> None:
        """Drops those that only were in a batch that failed, in an outage for instance: it says nothing about a row."""
        self._found = {key: one for key, one in self._found.items() if one.alone}
        self._pending = {key: remove for key, remove in self._pending.items() if key in self._found}

    def failed(
        self, key: str, reason: str, *, remove: bool, alone: bool, named: bool = False, weak: bool = False
    ) -> None:
        one = self._found.setdefault(key, Suspect())
        one.failures += 1
        one.again += 1 if one.strikes else 0
        one.alone = one.alone or alone
        one.named = named
        one.weak = weak
        one.reason = reason
        self._pending[key] = remove

    def went_through(self, keys: Collection[str], *, whole: Collection[str], wrote: bool) -> None:
        """Rows of these keys were delivered; of those in `whole` nothing is left. wrote: not only removes, which a full
        store still takes (Redis at maxmemory), and which say nothing about a write."""
        for key in [key for key in keys if key in self._found]:
            # A write that raised may have meant a later row of the key.
            if key in whole or self._found[key].named:
                self.drop(key)
        for key in [key for key, remove in self._pending.items() if (remove or wrote) and key not in keys]:
            self._found[key].strikes += 1
            del self._pending[key]

    @property
    def pending(self) -> bool:
        """went_through() would be a strike for somebody."""
        return bool(self._pending)

    def poison(self) -> Iterator[str]:
        """Keys with enough strikes."""
        for key, one in self._found.items():
            if one.alone and not one.named and one.strikes >= (WEAK_STRIKES if one.weak else STRIKES):
                yield key

    def drop(self, key: str) -> Suspect | None:
        self._pending.pop(key, None)
        return self._found.pop(key, None)


class RefusedShare:
    """How many of the last rows were refused for good: more than half means that the store, not the rows, is wrong
    (schema, rights, mapping)."""

    def __init__(self) -> None:
        self._window: deque[tuple[int, int]] = deque()  # rows, refused ones, of each group

    def next_group(self) -> None:
        if not self._window or self._window[-1][0]:
            self._window.append((0, 0))
        while len(self._window) > WINDOW_GROUPS and sum(rows for rows, _ in list(self._window)[1:]) >= WINDOW_ROWS:
            self._window.popleft()

    def note(self, rows: int, refused: int) -> None:
        if self._window:
            count, bad = self._window[-1]
            self._window[-1] = (count + rows, bad + refused)

    def verdict(self) -> tuple[int, int] | None:
        """Refused and all rows of the window, if the store is to blame."""
        rows = sum(count for count, _ in self._window)
        bad = sum(bad for _, bad in self._window)
        wrong = len(self._window) >= WINDOW_GROUPS and rows >= WINDOW_ROWS and bad * 2 > rows
        return (bad, rows) if wrong else None
