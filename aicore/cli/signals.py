# SPDX-License-Identifier: Apache-2.0
"""SIGINT, SIGTERM and SIGHUP, from the first line of aicore to the last one of Python: the exit code is one of `exits`,
whenever one comes.

Only what comes before begin() has the system's own codes (143, 129): Python starts, and imports nothing of ours yet.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from aicore.cli.exits import Exit

Handler = Callable[[int, FrameType | None], object]

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _end_with(code: Exit) -> Handler:
    """Ends the process at once, as the default action of the signal would, but with that code. An exception could fall
    where nobody takes it. SIGHUP asks a run to read files again, and never ends it."""

    def end(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP or sys.argv[1:2] != ["run"]:
            os._exit(code)

    return end


# What a signal leads to at this moment. Set in one step, so that there is no moment without it.
_now: Handler = _end_with(Exit.INTERRUPTED)


def _signalled(number: int, frame: FrameType | None) -> None:
    _now(number, frame)


def begin() -> None:
    """Takes the signals of the process, for its whole life."""
    for number in _NUMBERS:
        signal.signal(number, _signalled)
    # At its very end Python puts back the default actions, unless a signal is ignored. Registered first, it runs last.
    atexit.register(_ignore)


def _ignore() -> None:
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def ends_with(code: Exit) -> None:
    """From now on a signal ends the process at once with this code: that of a run whose work is done."""
    global _now
    _now = _end_with(code)


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Gives the signals to `handler`, unless ends_with() is called, until the end of the block."""
    global _now
    _now = handler
    # Those of begin() are there already, but not in a program that runs a command itself.
    before = {number: signal.signal(number, _signalled) for number in _NUMBERS}
    try:
        yield
    finally:
        if _now is handler:
            ends_with(Exit.INTERRUPTED)
        for number, its in before.items():
            signal.signal(number, its)
