# SPDX-License-Identifier: Apache-2.0
"""For authors of adaptors: batches to write, and an adaptor that fails on purpose."""

from __future__ import annotations

from aicore.testing.batches import event, flow_id, life, lives, make_batch
from aicore.testing.faults import FaultyAdaptor

__all__ = ["FaultyAdaptor", "event", "flow_id", "life", "lives", "make_batch"]
