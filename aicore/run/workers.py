# SPDX-License-Identifier: Apache-2.0
"""How many workers a run has."""

from __future__ import annotations

import os
from typing import Literal

from aicore.errors import UsageError

Workers = int | Literal["auto"]

MAX = 64
#: More than this `auto` does not take: then the thread that reads is what is slowest.
_AUTO_MAX = 8

#: Counters of each worker that a summary and Prometheus show.
SHOWN = (
    "packets",
    "flows_tcp",
    "flows_udp",
    "evicted",
    "not_admitted",
    "events",
    "updates_shed",
    "inspection_full",
    "inspection_lost",
    "reassembly_evicted",
)


def checked_workers(workers: object) -> int:
    """`auto` is the cores that this process may use less one, which reads, at most 8. UsageError."""
    if workers == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(max(cores - 1, 1), _AUTO_MAX)
    if isinstance(workers, int) and not isinstance(workers, bool) and 1 <= workers <= MAX:
        return workers
    raise UsageError(f"workers must be a whole number from 1 to {MAX} or 'auto', not {workers!r:.100}")
