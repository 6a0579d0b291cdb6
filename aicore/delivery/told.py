# SPDX-License-Identifier: Apache-2.0
"""What was said of the damage of a spool: rows wait for weeks, and each start finds the same gaps and broken bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from aicore.delivery.smallfile import read_small, replace_small

_NAME = "told"
_MOST = 1 << 20  # bytes; of more damage than that some is told again

#: Ranges [start, end) by what they are of.
_Ranges = dict[str, list[tuple[int, int]]]


class Told:
    """What earlier runs have told, and what this one finds."""

    def __init__(self, spool: Path) -> None:
        self._path = spool / _NAME
        self._found: _Ranges = {}
        self._before: _Ranges = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):
            before = json.loads(read_small(self._path, _MOST))
            self._before = {what: [(int(start), int(end)) for start, end in ranges] for what, ranges in before.items()}

    def news(self, what: str, start: int, end: int) -> int:
        """How much of the range nobody was told yet."""
        if end <= start:
            return 0
        self._found.setdefault(what, []).append((start, end))
        told = (min(end, its_end) - max(start, its_start) for its_start, its_end in self._before.get(what, ()))
        return max(0, end - start - sum(max(0, length) for length in told))

    def done(self) -> None:
        """Somebody was told all of it. Where that cannot be written, it is told again."""
        if self._found == self._before:
            return
        with suppress(OSError):
            if self._found:
                replace_small(self._path, json.dumps(self._found).encode())
            else:
                self._path.unlink(missing_ok=True)
        self._before = self._found
