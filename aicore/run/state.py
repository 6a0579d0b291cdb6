# SPDX-License-Identifier: Apache-2.0
"""Where aicore keeps what must outlast a run."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/aicore`, by the XDG Base Directory Specification, which says that a relative path is ignored.
    RuntimeError where there is no home."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "state") / "aicore"


def default_spool() -> Path:
    """The command line's directory of spools; `deadletter` and `followed` stand in it."""
    return state_folder() / "spool"
