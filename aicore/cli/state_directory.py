# SPDX-License-Identifier: Apache-2.0
"""Where the command line keeps what must outlast a run."""

from __future__ import annotations

import os
from pathlib import Path


def default_spool() -> Path:
    """The spools' directory by the XDG Base Directory Specification; `deadletter` and `followed` stand in it."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "aicore" / "spool"
