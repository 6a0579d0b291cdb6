# SPDX-License-Identifier: Apache-2.0
"""Delivery: every adaptor has its own queue, thread, retry and spool, so that a store that is slow, dead or wrong costs
neither packets nor the other stores, and no event without a counter that says so.

    put() ─> queue (bytes) ─> one batch in flight ─> adaptor.write ─> delivered
               │ full            │ fails: again, with backoff; a row alone and often: dead letter
               └> net ─> spool ─> shed updates ─> no new flows
"""

from __future__ import annotations

from aicore.delivery.deadletter import DeadLetters, deadletter_list
from aicore.delivery.manage import deadletter_replay, spool_check, spool_drop, spool_list
from aicore.delivery.metrics import balance
from aicore.delivery.spool import Spool, SpoolInUse, spool_path
from aicore.delivery.state import State
from aicore.delivery.worker import Delivery

__all__ = [
    "DeadLetters",
    "Delivery",
    "Spool",
    "SpoolInUse",
    "State",
    "balance",
    "deadletter_list",
    "deadletter_replay",
    "spool_check",
    "spool_drop",
    "spool_list",
    "spool_path",
]
