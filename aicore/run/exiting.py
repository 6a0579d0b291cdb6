# SPDX-License-Identifier: Apache-2.0
"""The end of the interpreter while daemon threads run: they must not be in the core then.

Python before 3.14 ends such a thread when it comes back for the interpreter's lock, by unwinding its stack, which C++
does not survive: the process died of SIGABRT (seen in one of six tries with aicore.flows).
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that the end waits at most; a call takes a tenth of one.
_PATIENCE = 2.0

_inside: set[int] = set()  # daemon threads in such a call
_exiting = threading.Event()


def call(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Calls a function of the core that lets other threads run; never returns once the interpreter ends."""
    if not threading.current_thread().daemon:
        return function(*arguments, **options)
    me = threading.get_ident()
    _inside.add(me)  # before the question, so that whoever waits for us sees it
    try:
        if _exiting.is_set():
            _inside.discard(me)
            threading.Event().wait()
        return function(*arguments, **options)
    finally:
        _inside.discard(me)


@atexit.register
def _wait() -> None:
    _exiting.set()
    end = time.monotonic() + _PATIENCE
    while _inside and time.monotonic() < end:
        time.sleep(0.002)
