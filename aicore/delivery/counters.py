# SPDX-License-Identifier: Apache-2.0
"""Every counter of a delivery, in one place."""

from __future__ import annotations

import threading
from collections.abc import Mapping

#: name: (gauge or counter, meaning). Events unless the name says otherwise.
ADAPTOR: dict[str, tuple[str, str]] = {
    "accepted": ("counter", "events handed over by the run, and those an earlier run left in the spool"),
    "delivered": ("counter", "events that the store has"),
    "merged": ("counter", "events merged into a later one of their flow"),
    "filtered": ("counter", "events that the store does not get"),
    "dead_lettered": ("counter", "events that the store refuses for good"),
    "shed": ("counter", "updates dropped because queue and spool were full"),
    "lost": ("counter", "events for which there was no room anywhere, or that the disk lost"),
    "queued": ("gauge", "events in memory"),
    "spooled": ("gauge", "events in the spool"),
    "queued_bytes": ("gauge", "bytes in memory"),
    "spooled_bytes": ("gauge", "bytes of the spool"),
    "spool_written": ("counter", "events that were written to the spool"),
    "spool_age_seconds": ("gauge", "age of the oldest segment that waits"),
    "spool_damaged_bytes": ("counter", "bytes of the spool that were damaged and skipped"),
    "spool_damaged_rows": ("counter", "events that damage of the spool has cost, as far as can be told"),
    "spool_set_aside": ("gauge", "files of the spool that cannot be read, or are of another version"),
    "spool_vanished": ("counter", "events that became unreadable in the spool while the run went on"),
    "spools_unusable": ("gauge", "spools of the store that cannot be opened: what waits there is not counted"),
    "recovered": ("counter", "events found in the spool at the start"),
    "replayed": ("counter", "events delivered from the spool"),
    "retried": ("counter", "events of failed writes, each time"),
    "dead_letters_unwritten": ("counter", "dead letters for which there was no file or no room"),
    "batches": ("counter", "batches handed over"),
    "writes": ("counter", "calls of write()"),
    "write_ms": ("counter", "milliseconds in write()"),
}

#: Where an accepted event can be. The sum of these is `accepted`, always.
PLACES = ("delivered", "merged", "filtered", "dead_lettered", "shed", "lost", "queued", "spooled")


class Counters:
    """Those of one delivery. `lock` is the delivery's; a caller that holds it changes several parts as one."""

    def __init__(self, lock: threading.Condition) -> None:
        self._lock = lock
        self._values = dict.fromkeys(ADAPTOR, 0)

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def add(self, **changes: int) -> None:
        """Adds to several at once."""
        with self._lock:
            for name, change in changes.items():
                self._values[name] += change

    def copy(self) -> dict[str, int]:
        with self._lock:
            return dict(self._values)


def balance(counters: Mapping[str, int]) -> int:
    """accepted minus everywhere an event can be: 0 unless something was miscounted."""
    return counters["accepted"] - sum(counters[place] for place in PLACES)
