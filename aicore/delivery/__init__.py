# SPDX-License-Identifier: Apache-2.0
"""Delivery: every store has its own queue, thread, retry and spool, so that one that is slow, dead or wrong costs
neither packets nor the other stores, and no event without a counter that says so.

    put() ─> overload ─> backlog: queue (bytes) ─┬─> sender ─> writer ─> connection ─> adaptor.write
    delivery  live runs            spool (disk) ─┘   rounds    search for   one call
                                                               bad rows     at a time

`delivery` joins the parts: `overload` says where rows go that do not fit, `backlog` owns all that is not delivered,
`sender` is the thread, `writer` finds the rows that fail by the evidence of `suspects`, `health` knows how the store
fares.
"""

from __future__ import annotations

from aicore.delivery.counters import balance
from aicore.delivery.deadletter import DeadLetters, deadletter_list
from aicore.delivery.delivery import Delivery
from aicore.delivery.health import State, checked_wait
from aicore.delivery.selection import Selection
from aicore.delivery.spool import Spool
from aicore.delivery.spoolfiles import SpoolInUse
from aicore.delivery.spools import (
    SpoolSettings,
    StoreSpools,
    open_spools,
    spool_check,
    spool_drop,
    spool_list,
    spool_path,
    store_shown,
)

__all__ = [
    "DeadLetters",
    "Delivery",
    "Selection",
    "Spool",
    "SpoolInUse",
    "SpoolSettings",
    "State",
    "StoreSpools",
    "balance",
    "checked_wait",
    "deadletter_list",
    "open_spools",
    "spool_check",
    "spool_drop",
    "spool_list",
    "spool_path",
    "store_shown",
]
