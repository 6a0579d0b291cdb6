# SPDX-License-Identifier: Apache-2.0
"""What a program wants where captures are damaged, or cannot be read."""

from __future__ import annotations

from typing import Literal

from aicore.errors import SourceError, UsageError
from aicore.run.context import RunSummary

OnDamage = Literal["raise", "warn"]


def checked_on_damage(value: OnDamage) -> OnDamage:
    """UsageError for anything else."""
    if value not in ("raise", "warn"):
        raise UsageError(f"on_damage is 'raise' or 'warn', not {value!r}")
    return value


def raise_for(summary: RunSummary, on_damage: OnDamage) -> None:
    """SourceError if input is missing, but for broken captures where only a warning of them is wanted."""
    if summary.error is not None and not (on_damage == "warn" and summary.broken_files):
        raise SourceError(summary.error)
